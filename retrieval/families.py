"""Collapsing: of passages that say the same, one is shown and the others are named beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Families:
    """The families of one space of a snapshot; a passage that is in none stands alone."""

    representative: Mapping[str, str]
    """Of each passage in a family, itself included."""
    members: Mapping[str, tuple[str, ...]]
    """Of each representative, itself included, in the order of their ids."""

    @classmethod
    def of(cls, representative: Mapping[str, str]) -> Families:
        """From each passage's representative."""
        members: dict[str, list[str]] = {}
        for key in sorted(representative):
            members.setdefault(representative[key], []).append(key)
        return cls(representative, {shown: tuple(keys) for shown, keys in members.items()})


NO_FAMILIES = Families({}, {})


@dataclass(frozen=True, slots=True)
class Shown:
    """One passage of a result."""

    key: str
    score: float
    found: tuple[str, ...]
    """The passages of its family that were found, best first: their ranks count as its own."""
    others: tuple[str, ...] = field(default=())
    """The other passages of its family."""


def collapse(
    ids: Sequence[str],
    scores: NDArray[np.float32],
    families: Families,
    allowed: Collection[str] | None = None,
) -> list[Shown]:
    """The found passages in their order, each family once, where its best one was.

    The representative is shown, unless a filter (``allowed``) does not let it through: then the best one found is.
    """
    found: dict[str, list[str]] = {}
    best: dict[str, float] = {}
    for key, score in zip(ids, scores.tolist(), strict=True):
        family = families.representative.get(key, key)
        found.setdefault(family, []).append(key)
        best.setdefault(family, score)
    shown = []
    for family, keys in found.items():
        members = families.members.get(family, (family,))
        permitted = [key for key in members if allowed is None or key in allowed]
        key = family if family in permitted or family not in families.members else keys[0]
        others = tuple(other for other in permitted if other != key)
        shown.append(Shown(key, best[family], tuple(keys), others))
    return shown
