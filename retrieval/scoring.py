"""From what dense and lexical search found for one text to one score for each of them.

No channel is best everywhere, so each text decides how far to trust a channel, by how sharply its scores fall:

1. ``scaled(c)``: the channel's scores to [0, 1]; the best is 1, the last of a full list is 0.
2. ``trust(c) = 1 − mean of the `judged` best scaled scores``: few scores near the best mean that something was found.
3. ``found = Σ share(c) · scaled(c)``, ``share(c) = trust(c) · weight(c)``, normalised to sum 1 over dense and lexical.
4. ``base = (1 − coverage_weight) · found + coverage_weight · coverage``, with the coverage of the `covered` best of
   ``found``: how much of the text their best sentence holds (``retrieval.coverage``), unless one channel is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.tables import Ranking
from warehouse.sections import FusionSettings

Scores = NDArray[np.float32]
Cover = Callable[[Sequence[str]], Scores]
"""Passages to how much of a text they hold, the best 1."""


def scaled(scores: Scores, full: int) -> Scores:
    """Scores of one channel to [0, 1]: the best is 1; the last of a full list is 0, of a shorter one a score of 0."""
    if not len(scores):
        return scores
    top = scores.max()
    floor = scores.min() if len(scores) >= full else min(np.float32(0), scores.min())
    return (scores - floor) / (top - floor) if top > floor else np.ones_like(scores)


def trust(scaled_scores: Scores, judged: int) -> float:
    """One minus the mean of the ``judged`` best scaled scores; a missing hit counts as 0.

    A word that only two passages bear makes the lexical channel nearly certain; twenty equal scores make it worthless.
    """
    top = np.sort(scaled_scores)[::-1][:judged]
    return float(1.0 - top.sum() / judged) if len(top) else 0.0


def base_scores(searched: Mapping[str, Ranking], settings: FusionSettings, full: int) -> dict[str, float]:
    """Steps 1 to 3: passage id to base score."""
    weights = {"dense": settings.dense_weight, "lexical": settings.lexical_weight}
    by_channel = {name: scaled(ranking.scores, full) for name, ranking in searched.items() if ranking.ids}
    shares = {name: trust(scores, settings.judged) * weights[name] for name, scores in by_channel.items()}
    total = sum(shares.values())
    if total <= 0:
        shares = {name: weights[name] for name in by_channel}
        total = sum(shares.values()) or 1.0
    base: dict[str, float] = {}
    for name, scores in by_channel.items():
        for key, score in zip(searched[name].ids, scores.tolist(), strict=True):
            base[key] = base.get(key, 0.0) + score * shares[name] / total
    return base


def covered(found: Mapping[str, float], cover: Cover | None, settings: FusionSettings) -> Mapping[str, float]:
    """Step 4: passage id to base score; what was found, where there is nothing that covers the question."""
    best_first = sorted(found, key=lambda key: (-found[key], key))[: settings.covered]
    held = cover(best_first) if cover and best_first and settings.coverage_weight else np.zeros(0, dtype=np.float32)
    if not held.any():
        return found
    weight = settings.coverage_weight
    base = {key: (1 - weight) * score for key, score in found.items()}
    for key, share in zip(best_first, held.tolist(), strict=True):
        base[key] += weight * share
    return base
