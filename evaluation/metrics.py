"""Retrieval metrics over one question."""

from __future__ import annotations

from collections.abc import Sequence


def recall_at(ranked: Sequence[str], gold: Sequence[str], k: int) -> float:
    """Share of the gold items among the first ``k``; every item counts once.

    Raises:
        ValueError: there is no gold, so that no share is defined.
    """
    wanted = set(gold)
    if not wanted:
        raise ValueError("recall needs at least one gold item")
    return len(wanted & set(ranked[:k])) / len(wanted)
