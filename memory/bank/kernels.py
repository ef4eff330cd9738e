"""The inner loops of the bank, compiled by numba.

Importing this module loads numba and compiles the loops, or reads them from numba's cache, so it is imported where it
is first needed. Indices are unsigned where that spares the loops Python's rule for negative ones.

A row's result depends on the row alone: sums are made in one order, whatever rows are beside it and whichever thread
has it. So a code does not change with the batch that it is made in, and blocks of rows can be shared out among threads
(``by_blocks``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numba import types

Array = Any
"""What numba makes of an array; its own types are in the signatures."""

CODES = 256
"""Of a codebook: as many as a byte names."""

_BLOCK_ROWS = 4_096
"""Rows that a thread takes at a time, at least; fewer are not worth another thread."""
_TURNS = 4
"""Blocks a thread, at most, so that one that is held up does not hold up all."""


def _read(kind: types.Type, dimensions: int) -> types.Type:
    return types.Array(kind, dimensions, "C", readonly=True)


_BYTES, _FLOATS = _read(types.uint8, 2), _read(types.float32, 2)
_ROWS = _read(types.int64, 1)


def _compiled(signature: types.Type, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, cached on the disk where numba finds a folder that it may write to."""

    def compile_now(function: Callable[..., Any]) -> Callable[..., Any]:
        settings = {"nogil": True, "error_model": "numpy", **options}
        try:
            kernel = numba.njit(signature, cache=True, **settings)(function)
        except (RuntimeError, OSError):  # no folder to write to: this process compiles for itself
            kernel = numba.njit(signature, **settings)(function)
        return kernel  # type: ignore[no-any-return]

    return compile_now


def by_blocks(work: Callable[[int, int], object], rows: int) -> None:
    """Call ``work(start, end)`` for blocks of rows, on as many threads as there are processors."""
    processors = os.cpu_count() or 1
    block = max(_BLOCK_ROWS, -(-rows // (processors * _TURNS)))
    starts = range(0, rows, block)
    if processors == 1 or len(starts) <= 1:
        work(0, rows)
        return
    with ThreadPoolExecutor(min(len(starts), processors)) as threads:
        list(threads.map(lambda start: work(start, min(start + block, rows)), starts))


@_compiled(types.void(_FLOATS, _FLOATS, types.float32[:, ::1], types.int64, types.int64))
def rotate(vectors: Array, rotation: Array, out: Array, start: int, end: int) -> None:
    """``out = vectors @ rotation``, a row at a time."""
    width = rotation.shape[1]
    for row in range(start, end):
        out[row] = 0.0
        for at in range(rotation.shape[0]):
            value = vectors[row, at]
            for column in range(width):
                out[row, column] += value * rotation[at, column]


@_compiled(
    types.void(
        types.float32[:, ::1],
        _read(types.float32, 3),
        _FLOATS,
        types.uint8[:, ::1],
        types.int64,
        types.int64,
        types.int64,
    ),
    fastmath={"contract", "nnan"},
)
def nearest(residuals: Array, turned: Array, halves: Array, codes: Array, first: int, start: int, end: int) -> None:
    """One stage: each block's nearest code by L2 goes to ``codes`` from column ``first`` on, and is subtracted.

    ``turned`` is the codebooks of shape ``(blocks, width, 256)``, ``halves`` half the squared length of each code. Of
    codes that are equally near the first is taken.
    """
    blocks, width = turned.shape[0], turned.shape[1]
    fours = width - width % 4
    likeness = np.empty(CODES, np.float32)
    for row in range(start, end):
        for block in range(blocks):
            own = residuals[row, block * width : (block + 1) * width]
            book = turned[block]
            for code in range(CODES):
                likeness[code] = -halves[block, code]
            for at in range(0, fours, 4):  # four at once, since each round reads and writes all that is summed
                a, b, c, d = own[at], own[at + 1], own[at + 2], own[at + 3]
                book_a, book_b, book_c, book_d = book[at], book[at + 1], book[at + 2], book[at + 3]
                for code in range(CODES):
                    likeness[code] += a * book_a[code] + b * book_b[code] + c * book_c[code] + d * book_d[code]
            for at in range(fours, width):
                value = own[at]
                for code in range(CODES):
                    likeness[code] += value * book[at, code]
            most = likeness[0]
            for code in range(CODES):
                most = max(most, likeness[code])
            best = 0
            while best < CODES - 1 and likeness[best] < most:
                best += 1
            codes[row, first + block] = best
            for at in range(width):
                own[at] -= book[at, best]


@_compiled(types.void(_FLOATS, _BYTES, types.int64, types.float64[:, ::1], types.float64[:, :, ::1]))
def gather(residuals: Array, codes: Array, first: int, counts: Array, sums: Array) -> None:
    """Add each row to the count and the sum of its code, by block; one thread, in the order of the rows."""
    blocks, _, width = sums.shape
    for row in range(len(residuals)):
        for block in range(blocks):
            code = codes[row, first + block]
            counts[block, code] += 1.0
            for at in range(width):
                sums[block, code, at] += residuals[row, block * width + at]


@_compiled(types.void(_BYTES, _FLOATS, types.float32[::1], types.int64, types.int64))
def look_up(codes: Array, tables: Array, scores: Array, start: int, end: int) -> None:
    """The score of every code: the sum of what its first bytes stand for, as many as there are tables."""
    width = len(tables)
    entries = tables.reshape(width * CODES)
    for row in range(start, end):
        code = codes[row]
        score = np.float32(0.0)
        for at in range(width):
            score += entries[np.uint64(at * CODES) + np.uint64(code[at])]
        scores[row] = score


@_compiled(types.void(_BYTES, _FLOATS, _ROWS, types.float32[::1], types.int64, types.int64))
def look_up_rows(codes: Array, tables: Array, rows: Array, scores: Array, start: int, end: int) -> None:
    """The same for some of the codes."""
    width = len(tables)
    entries = tables.reshape(width * CODES)
    for place in range(start, end):
        code = codes[rows[place]]
        score = np.float32(0.0)
        for at in range(width):
            score += entries[np.uint64(at * CODES) + np.uint64(code[at])]
        scores[place] = score


@_compiled(
    types.void(
        _read(types.int8, 2), _read(types.float32, 1), types.float32, types.float32[::1], types.int64, types.int64
    ),
    fastmath={"reassoc", "contract"},
)
def weigh(levels: Array, weights: Array, constant: float, scores: Array, start: int, end: int) -> None:
    """``scores = levels @ weights + constant``; additions are vectorised, in the same way for each row."""
    width = len(weights)
    for row in range(start, end):
        score = np.float32(0.0)
        for at in range(width):
            score += np.float32(levels[row, at]) * weights[at]
        scores[row] = score + constant
