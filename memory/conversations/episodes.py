"""Episodes: runs of rounds on one topic, cut where the talk changes (TextTiling, Hearst 1997; Nemori, 2508.03341).

Every round lies in one episode, in order. The sizes are bounds, not targets: within them the vectors alone decide.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

WINDOW = 3
"""Rounds on each side of a gap that are compared."""
FEWEST, MOST = 2, 12
"""Rounds of an episode; fewer only where a session has fewer."""


def episodes(vectors: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Places ``[first, last)`` of the rounds of each episode.

    Args:
        vectors: one row a round, shape ``(rounds, dimensions)``, of any length.
    """
    count = len(vectors)
    if count == 0:
        return []
    depths = _depths(_similarities(vectors))
    cuts: list[int] = []
    if len(depths):
        threshold = float(depths.mean() + depths.std() / 2)
        for gap in np.argsort(-depths, kind="stable"):
            place = int(gap) + 1
            if depths[gap] <= threshold or depths[gap] <= 0:
                break
            if all(abs(place - other) >= FEWEST for other in (0, count, *cuts)):
                cuts.append(place)
    edges = [0, *sorted(cuts), count]
    return [piece for first, last in pairwise(edges) for piece in _within(first, last, depths)]


def _similarities(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of the sums of the windows before and after each gap, shape ``(rounds - 1,)``."""
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0, dtype=np.float64)])
    gaps = np.arange(1, len(vectors))
    before = sums[gaps] - sums[np.maximum(gaps - WINDOW, 0)]
    after = sums[np.minimum(gaps + WINDOW, len(vectors))] - sums[gaps]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    products = np.einsum("ij,ij->i", before, after)
    cosines: NDArray[np.float64] = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return cosines


def _depths(similarities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each gap lies below the nearest peak on either side."""
    depths = np.zeros_like(similarities)
    for gap, value in enumerate(similarities):
        left = right = value
        for other in similarities[:gap][::-1]:
            if other < left:
                break
            left = other
        for other in similarities[gap + 1 :]:
            if other < right:
                break
            right = other
        depths[gap] = left + right - 2 * value
    return depths


def _within(first: int, last: int, depths: NDArray[np.float64]) -> list[tuple[int, int]]:
    """A run, cut at its deepest gap as often as it is too long; equal depths are cut near the middle."""
    pending, found = [(first, last)], []
    while pending:
        first, last = pending.pop()
        if last - first <= MOST:
            found.append((first, last))
            continue
        middle = (first + last) / 2
        cut = max(range(first + FEWEST, last - FEWEST + 1), key=lambda at: (depths[at - 1], -abs(at - middle), -at))
        pending.extend([(cut, last), (first, cut)])
    return found
