"""The inner loops of personalized PageRank, compiled by numba.

Importing this module loads numba and compiles the loops, or reads them from numba's cache, so it is imported where it
is first needed. Every loop runs without the interpreter's lock, on one thread, in one order: no addition depends on who
came first. Sums are in float64. Indices are read as unsigned, which spares the loops Python's rule for negative ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from graph.prefetch import prefetch

Array = Any
"""What numba makes of an array; its own types are in the signatures."""

_AHEAD = 32
"""Entries between a neighbour's prefetch and its use."""
_NOISE = 2.0**-20
"""What is wrong and this small but no longer falls is the rounding of the scores to float32, which sum to 1."""


def _read(kind: types.Type, dimensions: int = 1) -> types.Type:
    return types.Array(kind, dimensions, "C", readonly=True)


_NODES = types.int32[::1]
_SCORES = types.float64[::1]
_ADJACENCY = (_read(types.int64), _read(types.int32), _read(types.float32), _read(types.float64))
"""``indptr, indices, weights, degree`` of ``graph.walk.Walk``."""
_SIZES = (types.float64, types.float64, types.float64, types.int64)


def compiled(signature: types.Type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, cached on the disk where numba finds a folder that it may write to."""

    def compile_now(function: Callable[..., Any]) -> Callable[..., Any]:
        options = {"nogil": True, "error_model": "numpy"}
        try:
            kernel = numba.njit(signature, cache=True, **options)(function)
        except (RuntimeError, OSError):  # no folder to write to: this process compiles for itself
            kernel = numba.njit(signature, **options)(function)
        return kernel  # type: ignore[no-any-return]

    return compile_now


@compiled(types.float64(*_ADJACENCY, types.float32[::1], _read(types.float32), *_SIZES))
def relax_one(
    indptr: Array,
    indices: Array,
    weights: Array,
    degree: Array,
    scores: Array,
    start: Array,
    damping: float,
    omega: float,
    enough: float,
    sweeps: int,
) -> float:
    """Sweep over the nodes until a sweep finds ``enough`` or less wrong, or only rounding, ``sweeps`` times at most.

    ``scores`` and ``start`` are over degree, so that a sweep reads one number a neighbour. Returns the L1 norm of what
    the last sweep found wrong.
    """
    wrong, before = 0.0, np.inf
    for _ in range(sweeps):
        wrong = 0.0
        for node in range(len(degree)):
            if degree[node] <= 0:
                continue
            total = 0.0
            for at in range(indptr[node], indptr[node + 1]):
                total += np.float64(weights[at]) * np.float64(scores[np.uint32(indices[at])])
            correction = damping * total / degree[node] + start[node] - scores[node]
            wrong += abs(correction) * degree[node]
            scores[node] += omega * correction
        if wrong <= enough or (wrong <= _NOISE and wrong >= before):
            break
        before = wrong
    return wrong


@compiled(types.void(*_ADJACENCY, types.float32[:, ::1], _read(types.float32, 2), *_SIZES, _SCORES))
def relax_many(
    indptr: Array,
    indices: Array,
    weights: Array,
    degree: Array,
    scores: Array,
    start: Array,
    damping: float,
    omega: float,
    enough: float,
    sweeps: int,
    wrong: Array,
) -> None:
    """The same for several columns at once, until it holds for all; ``wrong`` is filled with a number a column.

    The width is no constant on purpose: loops of a constant width are unrolled and then not vectorised.
    """
    width = scores.shape[1]
    last = len(indices) - 1
    total = np.empty(width, np.float64)
    before = np.inf
    for _ in range(sweeps):
        wrong[:] = 0.0
        for node in range(len(degree)):
            if degree[node] <= 0:
                continue
            total[:] = 0.0
            for at in range(indptr[node], indptr[node + 1]):
                prefetch(scores, indices[min(at + _AHEAD, last)])
                weight = np.float64(weights[at])
                theirs = scores[np.uint32(indices[at])]
                for column in range(width):
                    total[column] += weight * np.float64(theirs[column])
            scale = damping / degree[node]
            ours = scores[node]
            begun = start[node]
            for column in range(width):
                correction = scale * total[column] + begun[column] - ours[column]
                wrong[column] += abs(correction) * degree[node]
                ours[column] += omega * correction
        most = wrong.max()
        if most <= enough or (most <= _NOISE and most >= before):
            break
        before = most


@compiled(types.void(_read(types.float64), types.float32[:, ::1], _SCORES))
def weigh(degree: Array, scores: Array, total: Array) -> None:
    """Scores over degree become scores; what rounding left below zero becomes zero; ``total`` is added to by column."""
    for node in range(len(degree)):
        ours = scores[node]
        for column in range(scores.shape[1]):
            score = max(np.float64(ours[column]) * degree[node], 0.0)
            ours[column] = score
            total[column] += score


@compiled(
    types.UniTuple(types.int64, 2)(
        *_ADJACENCY, _SCORES, _SCORES, _NODES, types.int64, _NODES, types.float64, types.float64, types.int64
    )
)
def push_all(
    indptr: Array,
    indices: Array,
    weights: Array,
    degree: Array,
    estimate: Array,
    residual: Array,
    touched: Array,
    count: int,
    queue: Array,
    damping: float,
    threshold: float,
    budget: int,
) -> tuple[int, int]:
    """Push until no node holds ``threshold`` or more for each of its edges, first in first out.

    ``touched[:count]`` are the nodes that have an estimate or a residual, and a node waits in the queue exactly if it
    holds its threshold, so neither needs a mark of its own. Returns the new count and how many edges were pushed along;
    leaves off when these are ``budget`` or more.
    """
    size = len(queue)
    head, tail, waiting, pushed = 0, 0, 0, 0
    for at in range(count):
        node = np.uint32(touched[at])
        held = residual[node]
        if held > 0 and held >= threshold * (indptr[node + 1] - indptr[node]):
            queue[tail] = node
            tail = tail + 1 if tail + 1 < size else 0
            waiting += 1
    while waiting > 0 and pushed < budget:
        node = np.uint32(queue[head])
        head = head + 1 if head + 1 < size else 0
        waiting -= 1
        held = residual[node]
        estimate[node] += held
        residual[node] = 0.0
        begin, end = indptr[node], indptr[node + 1]
        if begin == end:
            continue
        pushed += end - begin
        share = damping * held / degree[node]
        for at in range(begin, end):
            neighbour = np.uint32(indices[at])
            had = residual[neighbour]
            has = had + share * weights[at]
            residual[neighbour] = has
            if had == 0 and has > 0 and estimate[neighbour] == 0:
                touched[count] = neighbour
                count += 1
            if has >= threshold:
                needed = threshold * (indptr[neighbour + 1] - indptr[neighbour])
                if had < needed and has >= needed:
                    queue[tail] = neighbour
                    tail = tail + 1 if tail + 1 < size else 0
                    waiting += 1
    return count, pushed


@compiled(types.int64(_SCORES, _SCORES, _NODES, types.int64, types.int64, types.float64, _NODES, _SCORES))
def leaders(
    estimate: Array,
    residual: Array,
    touched: Array,
    count: int,
    among: int,
    floor: float,
    nodes: Array,
    scores: Array,
) -> int:
    """Find touched nodes below ``among`` with ``floor`` or more in estimate and residual; returns how many."""
    found = 0
    for at in range(count):
        node = np.uint32(touched[at])
        if node < among and estimate[node] + residual[node] >= floor:
            nodes[found] = node
            scores[found] = estimate[node] + residual[node]
            found += 1
    return found


@compiled(types.float64(_SCORES, _SCORES, _NODES, types.int64, _SCORES))
def take(estimate: Array, residual: Array, touched: Array, count: int, scores: Array) -> float:
    """Move estimate and residual of touched nodes to ``scores``, leaving zeros; returns the sum of the residuals."""
    left = 0.0
    for at in range(count):
        node = np.uint32(touched[at])
        scores[at] = estimate[node] + residual[node]
        left += residual[node]
        estimate[node] = 0.0
        residual[node] = 0.0
    return left
