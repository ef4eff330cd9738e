"""Personalized PageRank: where a walk is that at each step goes on with chance ``damping``, else back to the reset.

What is at a node without edges goes back to the reset, as in networkx and igraph; in other words the scores are the
solution of the linear system, normalised. Two methods give them, and the cost decides: pushing from the reset
(``graph.push``) while that touches a small part of the graph, and sweeps over all of it (``graph.relaxation``) where
the reset is dense, where push has cost about as much as they will, and for batches. Either way the scores come with a
bound on their error. Haveliwala, "Topic-Sensitive PageRank", 2002; damping 0.5 is HippoRAG's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graph.push import push
from graph.relaxation import relax, sweeps_expected
from graph.walk import Mass, Walk

DAMPING = 0.5
TOLERANCE = 1e-6

_PUSH_COST = 8.0
"""An edge pushed along costs as much as so many entries of a sweep, which reads them in their order."""
_TRIAL = 0.1
"""Share of the sweeps' cost that is tried on a push to full accuracy: only a small component lets it end."""

Reset = NDArray[np.floating] | tuple[NDArray[np.integer], NDArray[np.floating]]
"""A weight for each node, or some nodes and their weights."""


@dataclass(frozen=True, slots=True, eq=False)
class PageRank:
    """Scores of some nodes; the others have none."""

    nodes: NDArray[np.int32]
    """Each once, in no particular order."""
    scores: NDArray[np.float32]
    """Positive or zero, of sum 1."""
    bound: float
    """On the L1 distance to the exact scores."""
    method: Literal["push", "relaxation"]

    def dense(self, nodes: int) -> NDArray[np.float32]:
        """``(nodes,)``: the scores of the first so many nodes."""
        scores = np.zeros(nodes, dtype=np.float32)
        inside = self.nodes < nodes
        scores[self.nodes[inside]] = self.scores[inside]
        return scores


def personalized_pagerank(
    walk: Walk,
    reset: Reset,
    damping: float = DAMPING,
    tolerance: float = TOLERANCE,
    top: int = 0,
    among: int | None = None,
) -> PageRank:
    """Scores to within ``tolerance``, or, if ``top`` is given, as good as the order of the best nodes needs.

    Args:
        reset: not negative, not all zero; need not be normalised; weights of a node that comes twice are added.
        damping: in [0, 1).
        tolerance: on the L1 error. The bound stays above it where float32 does not reach so far.
        top: stop as soon as the ``top`` best nodes no longer change. That is an observation, no proof, and the bound
            may then be far above ``tolerance``: what is not spread yet is missing, and the rest is scaled up for it.
        among: only the first so many nodes count for ``top``.

    Raises:
        ValueError: damping or tolerance is out of range, or the reset names no node of the graph, is not finite,
            negative somewhere or zero everywhere; so it always is for a graph without nodes.
    """
    _check(damping, tolerance)
    start = _normalised(reset, walk.nodes)
    budget = sweeps_expected(damping, tolerance) * walk.entries / _PUSH_COST
    pushed = push(
        walk,
        start,
        damping,
        tolerance / 2,  # the normalisation may double what is lacking
        int(budget if top else budget * _TRIAL),
        top,
        walk.nodes if among is None else among,
    )
    if pushed is None:
        scores, bounds = relax(walk, [start], damping, tolerance)
        return PageRank(np.arange(walk.nodes, dtype=np.int32), scores[:, 0], float(bounds[0]), "relaxation")
    total = float(pushed.scores.sum())
    whole = 1 - damping * float(start[1][walk.degree[start[0]] == 0].sum())
    bound = (pushed.lacking + abs(whole - total)) / whole + 2.0**-23
    return PageRank(pushed.nodes, (pushed.scores / total).astype(np.float32), bound, "push")


def personalized_pagerank_batch(
    walk: Walk, resets: Sequence[Reset], damping: float = DAMPING, tolerance: float = TOLERANCE
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scores of every node for each reset to within ``tolerance``, and bounds on their L1 errors.

    Returns:
        ``(nodes, resets)`` and ``(resets,)``.

    Raises:
        ValueError: as above.
    """
    _check(damping, tolerance)
    starts = [_normalised(reset, walk.nodes) for reset in resets]
    return relax(walk, starts, damping, tolerance)


def _check(damping: float, tolerance: float) -> None:
    if not 0 <= damping < 1:
        raise ValueError("damping must be in [0, 1)")
    if not 0 < tolerance < 1:
        raise ValueError("tolerance must be in (0, 1)")


def _normalised(reset: Reset, nodes: int) -> Mass:
    """Nodes with a positive weight, ascending, each once, and weights of sum 1."""
    if isinstance(reset, tuple):
        given, weights = np.asarray(reset[0], dtype=np.int64), np.asarray(reset[1], dtype=np.float64)
        if given.shape != weights.shape or given.ndim != 1:
            raise ValueError("the reset must have one weight a node")
        if len(given) and not 0 <= given.min() <= given.max() < nodes:
            raise ValueError("the reset must name nodes of the graph")
    else:
        weights = np.asarray(reset, dtype=np.float64)
        if weights.shape != (nodes,):
            raise ValueError("the reset must have one weight a node")
        given = np.flatnonzero(weights)
        weights = weights[given]
    total = float(weights.sum())
    if not (np.isfinite(total) and total > 0 and weights.min() >= 0):
        raise ValueError("the reset must be finite and non-negative and have a positive sum")
    unique, at = np.unique(given, return_inverse=True)
    mass = np.bincount(at, weights=weights)
    held = mass > 0
    return unique[held].astype(np.int32), mass[held] / total
