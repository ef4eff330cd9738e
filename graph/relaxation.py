"""Personalized PageRank of a whole graph to a given accuracy, by successive over-relaxation.

Unnormalised scores x solve (I − damping · A D⁻¹) x = (1 − damping) · reset, with A the symmetric adjacency and D its
degrees. A sweep visits the nodes in their order and adds to each ω times what its own equation lacks, which it computes
from the scores as they are by then. The system is similar to the symmetric positive definite I − damping · D^−½ A D^−½,
so this converges for any ω in (0, 2) (Ostrowski; Saad, "Iterative Methods for Sparse Linear Systems", section 4.2).
With ω = 2 / (1 + √(1 − damping²)) and edges that join passages with entities only, the order is consistent and the
error falls by ω − 1 a sweep (Young, 1954): .07 at a damping of .5, where power iteration has .5 and Chebyshev's .27.
Edges between entities make that slower; the bound does not rest on it.

The bound is measured. If the last sweep found the L1 norm Δ wrong, the residual behind it is at most
(|ω − 1| + damping · ω) · Δ, since a node is left with 1 − ω of its own and gets at most ``damping`` of each later
correction; what x lacks is at most 1 / (1 − damping) of the residual, as the columns of A D⁻¹ sum to at most 1. What
float32 loses is added. Columns are solved apart from each other, so threads change nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from graph.walk import Mass, Walk

_LINE = 64
"""Bytes of a cache line."""
BLOCK = 16
"""Columns that are solved together: their float32 fill a cache line, so one access serves all."""
_UNIT = 2.0**-24
"""Relative error of rounding to float32."""

Bounds = NDArray[np.float64]


def sweeps_expected(damping: float, tolerance: float) -> float:
    """Sweeps that a graph of passages and entities takes, the first two of which only spread the reset."""
    return 2 + float(np.log(tolerance) / np.log(_omega(damping) - 1)) if damping else 1


def relax(walk: Walk, resets: Sequence[Mass], damping: float, tolerance: float) -> tuple[NDArray[np.float32], Bounds]:
    """Normalised scores for each reset, and bounds on their L1 errors.

    Args:
        resets: each sums to 1.
        tolerance: what every bound should be; it stays above where float32 does not reach so far.

    Returns:
        ``(nodes, resets)`` and ``(resets,)``.
    """
    scores = np.empty((walk.nodes, len(resets)), dtype=np.float32)
    bounds = np.empty(len(resets))

    def fill(first: int) -> None:
        inside = slice(first, min(first + BLOCK, len(resets)))
        bounds[inside] = _block(walk, resets[inside], damping, tolerance, scores[:, inside])

    blocks = range(0, len(resets), BLOCK)
    if len(blocks) == 1:
        fill(0)
    else:
        with ThreadPoolExecutor(min(len(blocks) or 1, os.cpu_count() or 1)) as threads:
            list(threads.map(fill, blocks))
    return scores, bounds


def _block(walk: Walk, resets: Sequence[Mass], damping: float, tolerance: float, out: NDArray[np.float32]) -> Bounds:
    """The same for a block; fills ``out`` with the scores and returns the bounds."""
    from graph.kernels import relax_many, relax_one, weigh

    width = 1 if len(resets) == 1 else BLOCK
    start, scores = (_on_lines(walk.nodes, width) for _ in range(2))
    whole = np.ones(len(resets))
    lonely: list[tuple[NDArray[np.int32], int, NDArray[np.float64]]] = []
    for column, (nodes, mass) in enumerate(resets):
        degree = walk.degree[nodes]
        linked = degree > 0
        start[nodes[linked], column] = (1 - damping) * mass[linked] / degree[linked]
        if not linked.all():
            lonely.append((nodes[~linked], column, (1 - damping) * mass[~linked]))
            whole[column] -= damping * mass[~linked].sum()

    omega = _omega(damping)
    behind = (abs(omega - 1) + damping * omega) / (1 - damping)
    # A quarter for what was found wrong; the rest is for the normalisation and for rounding.
    enough = tolerance * float(whole.min()) / (4 * behind) if damping else np.inf
    sweeps = int(np.ceil(np.log(_UNIT) / np.log(damping))) + 2 if damping else 1
    adjacency = (walk.indptr, walk.indices, walk.weights, walk.degree)
    scores[:] = start
    wrong = np.zeros(width)
    if width == 1:
        vectors = (scores.reshape(-1), start.reshape(-1))
        wrong[0] = relax_one(*adjacency, *vectors, damping, omega, enough, sweeps)
    else:
        relax_many(*adjacency, scores, start, damping, omega, enough, sweeps, wrong)

    reached = np.zeros(width)
    weigh(walk.degree, scores, reached)
    total = reached[: len(resets)].copy()
    for nodes, column, mass in lonely:
        scores[nodes, column] = mass
        total[column] += mass.sum()
    np.divide(scores[:, : len(resets)], total.astype(np.float32), out=out)
    # Between x / total and x* / whole: what x lacks, and what dividing by its own total makes of that.
    lacking = (behind * wrong + 2 * _UNIT / (1 - damping) * reached)[: len(resets)]
    bounds: Bounds = (lacking + np.abs(whole - total)) / whole + 4 * _UNIT
    return bounds


def _on_lines(nodes: int, width: int) -> NDArray[np.float32]:
    """Zeros of shape ``(nodes, width)`` that begin with a cache line, so that a row of a block is one line, not two."""
    memory = np.zeros(nodes * width * 4 + _LINE, dtype=np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + nodes * width * 4].view(np.float32).reshape(nodes, width)


def _omega(damping: float) -> float:
    return float(2 / (1 + np.sqrt(1 - damping**2)))
