"""Passages by what finer and coarser granularities say of them; the base score that fusion goes on from.

For a question and its parts (``retrieval.aspects``), with settings in `code`, each step a convex sum, so that scores
stay in [0, 1]:

1. each text has its own scores of the passages (``retrieval.scoring``);
   ``base = (1 − aspect_weight) · question + aspect_weight · the best part's``, each over its best passage.
2. ``pieces``: for the `covered` best of ``base``, the cosine of their best sentence or turn to the best of the texts,
   from the least of them to the best; late interaction with vectors that were made in the passage's context.
3. ``memories = Σ weight(g) · layer(g)``: each granularity's memories are scored like passages, a passage has the best
   of the memories that lead to it, and ``weight(g)`` is the router's (``retrieval.granularity``). A superseded fact
   counts by ``graph.compiled.SUPERSEDED_WEIGHT``.
   ``base' = (1 − piece_weight − memory_weight) · base + piece_weight · pieces + memory_weight · memories``.
4. where the question says something of time (``retrieval.temporal``), ``base'' = base' · (1 + time_weight ·
   (2 t − 1)) / (1 + time_weight)``, with ``t`` in [0, 1] how well the passage's dates suit it.

Coarse granularities give the same score to all passages that they lead to; the finer ones and the passages' own
choose among these. Layers are searched apart and then fused, as in MoM (arXiv 2510.14252).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.scoring import Scores
from warehouse.sections import FusionSettings

Found = Mapping[str, float]
"""Passage id to score."""


def over_best(found: Found) -> dict[str, float]:
    """Scores over the best of them; nothing changes where none is above 0."""
    peak = max(found.values(), default=0.0)
    return {key: score / peak for key, score in found.items()} if peak > 0 else dict(found)


def with_aspects(question: Found, parts: Sequence[Found], settings: FusionSettings) -> dict[str, float]:
    """Step 1."""
    weight = settings.aspect_weight
    if not parts or not weight:
        return dict(question)
    base = {key: (1 - weight) * score for key, score in over_best(question).items()}
    best: dict[str, float] = {}
    for part in map(over_best, parts):
        for key, score in part.items():
            best[key] = max(best.get(key, 0.0), score)
    for key, score in best.items():
        base[key] = base.get(key, 0.0) + weight * score
    return base


def piece_scores(texts: NDArray[np.float32], pieces: Sequence[NDArray[np.float32]]) -> Scores:
    """Step 2: how near the best piece of each passage is, the best passage 1, the least near 0.

    Args:
        texts: unit vectors of the question and its parts, ``(texts, dimensions)``.
        pieces: unit vectors of the pieces of each passage; a passage may have none.
    """
    lengths = [len(each) for each in pieces]
    if not any(lengths):
        return np.zeros(len(pieces), dtype=np.float32)
    flat = np.concatenate([each for each in pieces if len(each)]) @ texts.T
    starts = np.concatenate([[0], np.cumsum([length for length in lengths if length])[:-1]])
    nearest = np.zeros((len(pieces), len(texts)), dtype=np.float32)
    nearest[np.flatnonzero(lengths)] = np.maximum.reduceat(flat, starts, axis=0)
    peaks = nearest.max(axis=0)
    best: Scores = (nearest / np.where(peaks > 0, peaks, 1)).max(axis=1)
    least = best.min()
    return (best - least) / (1 - least) if least < 1 else np.ones_like(best)


def layered(base: Found, pieces: Found, memories: Found, settings: FusionSettings) -> dict[str, float]:
    """Step 3; without pieces, or without memories, nothing is taken from the base for them."""
    piece_weight = settings.piece_weight if pieces else 0.0
    memory_weight = settings.memory_weight if memories else 0.0
    score = {key: (1 - piece_weight - memory_weight) * value for key, value in base.items()}
    for weight, found in ((piece_weight, pieces), (memory_weight, memories)):
        for key, value in found.items():
            score[key] = score.get(key, 0.0) + weight * value
    return score


def timed(base: Found, suits: Found, settings: FusionSettings) -> dict[str, float]:
    """Step 4.

    Args:
        suits: how well each passage's dates suit the question.
    """
    weight = settings.time_weight
    return {key: score * (1 + weight * (2 * suits[key] - 1)) / (1 + weight) for key, score in base.items()}
