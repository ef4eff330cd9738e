"""Personalized PageRank near a sparse reset, by forward push in rounds of falling thresholds.

Every node has an estimate and a residual, none negative. Pushing a node moves its residual to its estimate, and
``damping`` of it on to its neighbours. Through every push, estimate + (scores of a walk that starts from the residuals
over 1 − damping) = the exact unnormalised scores (Andersen, Chung and Lang, 2006), so estimate plus residual lacks
damping / (1 − damping) of the residuals' sum in L1, is nowhere too high, and never falls. A node is pushed when it
holds a threshold for each of its edges; as in PowerPush (Wu et al., 2021) the threshold falls in rounds, so that large
residuals go first and merge on their way.

The arrays over all nodes are reused: only what a query touched is cleared behind it, so its cost does not grow with the
graph. A workspace belongs to one query at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from graph.walk import Mass, Walk

_FALL = 4.0
"""Factor between the thresholds of two rounds: a round pushes along about three times the edges of the one before."""

_FINE = 0.01
"""Share of the last of the best scores that an edge may still carry when the best are taken to be stable."""


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """What a push reached: ``scores`` are unnormalised, and nowhere too high."""

    nodes: NDArray[np.int32]
    scores: NDArray[np.float64]
    lacking: float
    """What the scores lack in all."""


@dataclass(frozen=True, slots=True, eq=False)
class _Workspace:
    """Arrays over the nodes of a graph or more; estimate and residual are zero between two queries."""

    estimate: NDArray[np.float64]
    residual: NDArray[np.float64]
    touched: NDArray[np.int32]
    queue: NDArray[np.int32]
    nodes: NDArray[np.int32]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, size: int) -> _Workspace:
        def scores() -> NDArray[np.float64]:
            return np.zeros(size)

        def nodes() -> NDArray[np.int32]:
            return np.zeros(size, dtype=np.int32)

        return cls(scores(), scores(), nodes(), nodes(), nodes(), scores())


_free: list[_Workspace] = []
_lock = Lock()


def push(walk: Walk, reset: Mass, damping: float, tolerance: float, budget: int, top: int, among: int) -> Pushed | None:
    """Push until the scores lack ``tolerance`` at most or, if ``top`` is positive, until the best are stable.

    Stable are the ``top`` best of the first ``among`` nodes when a round has changed at most one in fifty of them, and
    its threshold, what an edge may still carry, was a small share of the last one's score.

    Args:
        reset: sums to 1.
        budget: edges to push along.

    Returns:
        ``None`` where the budget did not suffice.
    """
    from graph.kernels import leaders, push_all, take

    nodes, mass = reset
    adjacency = (walk.indptr, walk.indices, walk.weights, walk.degree)
    edges = int((walk.indptr[nodes + 1] - walk.indptr[nodes]).sum())
    if edges + len(nodes) > budget:
        return None
    with _workspace(walk.nodes) as space:
        scores = (space.estimate, space.residual)
        count = len(nodes)
        space.touched[:count] = nodes
        space.residual[nodes] = (1 - damping) * mass
        threshold = (1 - damping) / max(edges, 1)
        floor, best = 0.0, np.empty(0, dtype=np.int32)
        reached = False
        while not reached:
            count, pushed = push_all(*adjacency, *scores, space.touched, count, space.queue, damping, threshold, budget)
            budget -= pushed
            if budget <= 0:
                break
            if top:
                found = leaders(*scores, space.touched, count, among, floor, space.nodes, space.scores)
                before, best, floor = best, *_best(space.nodes[:found], space.scores[:found], top, floor)
                changed = len(np.setdiff1d(best, before))
                reached = len(best) == top and threshold <= _FINE * floor and changed <= top // 50
            reached = reached or _left(space, count) * damping <= tolerance * (1 - damping)
            threshold /= _FALL
        touched, values = space.touched[:count].copy(), np.empty(count)
        left = take(*scores, space.touched, count, values)
        return Pushed(touched, values, left * damping / (1 - damping)) if reached else None


def _left(space: _Workspace, count: int) -> float:
    return float(space.residual[space.touched[:count]].sum())


def _best(
    nodes: NDArray[np.int32], scores: NDArray[np.float64], top: int, floor: float
) -> tuple[NDArray[np.int32], float]:
    """The best nodes, ties by node, and the score of the last, below which none will be as long as scores only rise."""
    order = np.lexsort((nodes, -scores))[:top]
    return nodes[order], float(scores[order[-1]]) if len(order) == top else floor


@contextmanager
def _workspace(nodes: int) -> Iterator[_Workspace]:
    """A workspace for this many nodes or more, handed back clean; one that an error left behind is dropped."""
    with _lock:
        space = _free.pop() if _free else None
    if space is None or len(space.queue) < nodes:
        space = _Workspace.of(nodes)
    yield space
    with _lock:
        _free.append(space)
