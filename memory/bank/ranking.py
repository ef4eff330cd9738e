"""The best of many scores, in an order that depends on scores and rows alone.

Of equal scores the smaller row is the better one, everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memory.bank.codec import Hits

_STRIDE = 64
"""Of many scores one in so many is looked at first, to leave out most of the others."""


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Places of the k largest scores, the best first; fewer where there are fewer."""
    found = best_unordered(scores, k)
    return found[np.lexsort((found, -scores[found]))]


def best_unordered(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The same places in rising order.

    Twice as many as are wanted are guessed from a sample and searched; where the guess was too high, all are.
    """
    if k <= 0:
        return np.empty(0, np.int64)
    if k >= len(scores):
        return np.arange(len(scores))
    sample = scores[::_STRIDE]
    guessed = 2 * k // _STRIDE + 16
    if guessed < len(sample) // 2:
        likely = np.flatnonzero(scores >= _largest(sample, guessed))
        if k <= len(likely) < len(scores):
            return likely[best_unordered(scores[likely], k)]
    least = _largest(scores, k)
    above = np.flatnonzero(scores > least)
    return np.sort(np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]]))


def _largest(scores: NDArray[np.float32], k: int) -> np.float32:
    """The k-th largest."""
    value: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    return value


def hits(found: list[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Hits:
    """One line a query; all found equally many."""
    if not found:
        return Hits(np.empty((0, 0), np.int64), np.empty((0, 0), np.float32))
    return Hits(np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found]))
