"""Where the nodes around one centre go: a function of their boxes alone, without any randomness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 400
_GAP = 8.0
"""Least space between two boxes, in pixels."""
_ONE_RING = 12
"""So many nodes and fewer stand on one ring however wide the canvas is."""
_INNER = 0.58
"""Radius of the inner ring as a share of the outer one's."""


def place(sizes: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Centres of the boxes, ``(n, 2)`` in pixels from the top left; box 0 is in the middle, the others around it.

    They stand at equal distances along an ellipse as large as the canvas; where there are many and the canvas is wide,
    every second one on a smaller ellipse. Boxes that still overlap are pushed apart, as far as the canvas has room.

    Args:
        sizes: ``(n, 2)``: widths and heights of the boxes.
    """
    n = len(sizes)
    canvas = np.array([width, height])
    at = np.tile(canvas / 2, (n, 1))
    if n > 1:
        radii = np.maximum(canvas / 2 - sizes[1:].max(axis=0) / 2 - _GAP, 1)
        rim = _ellipse(radii, n - 1)
        if n - 1 > _ONE_RING and width > height:
            rim[1::2] *= _INNER
        at[1:] += rim
    return _apart(at, sizes, canvas).round(1)


def _ellipse(radii: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Points at equal distances along an ellipse around the origin, from the top, clockwise."""
    turn = np.linspace(0, 2 * np.pi, 4097)
    curve = np.stack([np.sin(turn), -np.cos(turn)], axis=1) * radii
    walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    stops = np.arange(count) / count * walked[-1]
    return np.stack([np.interp(stops, walked, curve[:, axis]) for axis in (0, 1)], axis=1)


def _apart(at: NDArray[np.float64], sizes: NDArray[np.float64], canvas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Push overlapping boxes apart along the axis where they overlap less; box 0 stays where it is."""
    first, second = np.triu_indices(len(at), 1)
    needed = (sizes[first] + sizes[second]) / 2 + _GAP
    share = np.where(first == 0, 0.0, 0.5)[:, None]
    for _ in range(_ROUNDS):
        between = at[second] - at[first]
        overlap = needed - np.abs(between)
        hit = np.flatnonzero((overlap > 0.05).all(axis=1))
        if not len(hit):
            break
        # A canvas that is higher than wide has room above and below only.
        axis = np.where(canvas[1] > canvas[0], 1, np.argmin(overlap[hit] / needed[hit], axis=1))
        # Boxes on one spot go apart in the order of their numbers.
        sign = np.where(between[hit, axis] < 0, -1.0, 1.0)
        push = np.zeros_like(between)
        push[hit, axis] = sign * overlap[hit, axis] * 0.6
        np.add.at(at, second, push * (1 - share))
        np.subtract.at(at, first, push * share)
        at = np.clip(at, sizes / 2 + 2, canvas - sizes / 2 - 2)
    return at
