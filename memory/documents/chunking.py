"""Where a document can be cut into chunks: at its headings, or where its sentences change the subject.

A chunking is the places of the units that chunks begin with, the first one 0. Chunks have at least :data:`SMALLEST`
tokens and at most :data:`LARGEST`, except that a whole document may be smaller, and that one unit more is allowed
where nothing better can be cut. A heading is never parted from what stands below it.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from memory.blocks import CODE, LIST, TABLE
from memory.documents.units import HEADING, Units

SMALLEST = 100
LARGEST = 800
"""Tokens of a chunk."""

SCALES = (2, 4, 8)
"""Units on either side of a gap that are compared."""

SPLITTING_SCALE = 4
"""The scale by which chunks that are too large are cut."""

_WITHIN_PARAGRAPH = 0.5
"""What a gap between sentences counts for, where one between paragraphs counts for 1."""

_AT_ONCE = 4_096
"""Gaps that are compared together, which bounds the memory that sums take."""


def chunkings(units: Units) -> dict[str, tuple[int, ...]]:
    """The chunkings that a document offers, by how each was made; equal ones are there once, none for no units."""
    if not len(units):
        return {}
    if int(units.tokens.sum()) < 2 * SMALLEST:
        return {"whole": (0,)}
    splitting = depths(units, SPLITTING_SCALE)
    found: dict[str, tuple[int, ...]] = {}
    if len(set(units.sections.tolist())) > 1:
        found["headings"] = _by_headings(units, splitting)
    for scale in SCALES:
        found[f"sentences-{scale}"] = _by_depth(units, splitting if scale == SPLITTING_SCALE else depths(units, scale))
    distinct: dict[tuple[int, ...], str] = {}
    for name, starts in found.items():
        distinct.setdefault(starts, name)
    return {name: starts for starts, name in distinct.items()}


def depths(units: Units, scale: int) -> NDArray[np.float64]:
    """How deep a valley of similarity each gap lies in (TextTiling, Hearst 1997); row i is the gap before unit i + 1.

    A gap that is no local minimum has 0, as has one within a list, a table or code; below a heading it is negative.
    """
    similar = gap_similarities(units, scale)
    left, right = similar.copy(), similar.copy()
    for gap in range(1, len(similar)):
        if similar[gap - 1] >= similar[gap]:
            left[gap] = left[gap - 1]
    for gap in range(len(similar) - 2, -1, -1):
        if similar[gap + 1] >= similar[gap]:
            right[gap] = right[gap + 1]
    depth: NDArray[np.float64] = left + right - 2 * similar
    lowest = np.ones(len(similar), dtype=bool)
    lowest[1:] &= similar[1:] <= similar[:-1]
    lowest[:-1] &= similar[:-1] <= similar[1:]
    depth[~lowest] = 0.0
    kinds = np.array(units.kinds, dtype=object)
    same_block = units.blocks[1:] == units.blocks[:-1]
    depth[same_block] *= _WITHIN_PARAGRAPH
    depth[same_block & np.isin(kinds[1:], [CODE, LIST, TABLE])] = 0.0
    depth[kinds[:-1] == HEADING] = -1.0
    return np.round(depth, 6)


def gap_similarities(units: Units, scale: int) -> NDArray[np.float64]:
    """Cosine of up to ``scale`` units before each gap and as many behind it; 1 where one side has no known word."""
    count = len(units)
    similar = np.ones(max(count - 1, 0))
    for first in range(1, count, _AT_ONCE):
        gaps = np.arange(first, min(first + _AT_ONCE, count))
        offset = max(first - scale, 0)
        until = min(int(gaps[-1]) + scale, count)
        sums = np.zeros((until - offset + 1, units.sums.shape[1]))
        np.cumsum(units.sums[offset:until], axis=0, out=sums[1:])
        before = sums[gaps - offset] - sums[np.maximum(gaps - scale, 0) - offset]
        behind = sums[np.minimum(gaps + scale, count) - offset] - sums[gaps - offset]
        similar[gaps - 1] = cosines(before, behind, empty=1.0)
    return similar


def cosines(one: NDArray[np.floating], other: NDArray[np.floating], empty: float = 0.0) -> NDArray[np.float64]:
    """Cosine of each row of one with the same row of the other; ``empty`` where a row is zero."""
    products = np.einsum("ij,ij->i", one, other)
    lengths = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other), dtype=np.float64)
    known = lengths > 1e-9
    return np.where(known, products / np.where(known, lengths, 1.0), empty)


def _by_depth(units: Units, depth: NDArray[np.float64]) -> tuple[int, ...]:
    """The deepest gaps first, while both chunks keep the least size; then what is too large is split.

    A gap counts from Hearst's cautious bound on: the mean depth less half a standard deviation.
    """
    before = _before(units.tokens)
    valleys = depth[depth > 0]
    bound = float(valleys.mean() - valleys.std() / 2) if len(valleys) else np.inf
    starts = [0]
    edges = [0, int(before[-1])]
    for gap in np.argsort(-depth, kind="stable"):
        if depth[gap] < bound:
            break
        place = int(before[gap + 1])
        at = bisect(edges, place)
        if place - edges[at - 1] >= SMALLEST and at < len(edges) and edges[at] - place >= SMALLEST:
            edges.insert(at, place)
            insort(starts, int(gap) + 1)
    return without_large(starts, depth, units.tokens)


def _by_headings(units: Units, depth: NDArray[np.float64]) -> tuple[int, ...]:
    """A chunk a section; a small section takes the next one in, the last one goes with the one before."""
    before = _before(units.tokens)
    starts = [0]
    for unit in np.flatnonzero(np.diff(units.sections)) + 1:
        if before[unit] - before[starts[-1]] >= SMALLEST:
            starts.append(int(unit))
    if len(starts) > 1 and before[-1] - before[starts[-1]] < SMALLEST:
        starts.pop()
    return without_large(starts, depth, units.tokens)


def without_large(
    starts: Sequence[int], depth: NDArray[np.float64], tokens: NDArray[np.int64], keep: Collection[int] = ()
) -> tuple[int, ...]:
    """The chunking, every chunk above the largest size split at its deepest gap that leaves enough on both sides.

    Args:
        starts: the units that chunks begin with.
        depth: of each gap (:func:`depths`).
        tokens: of each unit.
        keep: starts of chunks that stay whole, however large they are.
    """
    before = _before(tokens)
    whole = frozenset(keep)
    done: list[int] = []
    open_ = list(zip(starts, [*starts[1:], len(before) - 1], strict=True))[::-1]
    while open_:
        first, last = open_.pop()
        if before[last] - before[first] <= LARGEST or last - first < 2 or first in whole:
            done.append(first)
            continue
        low = max(int(np.searchsorted(before, before[first] + SMALLEST)), first + 1)
        high = min(int(np.searchsorted(before, before[last] - SMALLEST, side="right")) - 1, last - 1)
        if low <= high:
            inner = depth[low - 1 : high]
            if inner.max() > 0:
                place = low + int(inner.argmax())
            else:  # nothing tells the places apart but what lies below a heading: the one nearest to the middle
                place = _nearest_middle(before, first, last, low, high, inner)
        else:
            place = min(max(low, first + 1), last - 1)
        open_ += [(place, last), (first, place)]
    return tuple(done)


def _nearest_middle(
    before: NDArray[np.int64], first: int, last: int, low: int, high: int, inner: NDArray[np.float64]
) -> int:
    middle = (before[first] + before[last]) / 2
    distance = np.abs(before[low : high + 1] - middle)
    allowed = np.where(inner < 0, np.inf, distance)
    return low + int((allowed if np.isfinite(allowed).any() else distance).argmin())


def _before(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens before each unit, and of all."""
    return np.concatenate(([0], np.cumsum(tokens)))
