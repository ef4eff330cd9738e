"""Why the walk came to a passage: the strongest paths from where it started.

Personalized PageRank of a passage is a sum over all paths that lead to it (Jeh and Widom, "Scaling Personalized Web
Search", WWW 2003): each adds ``(1 − damping) · reset(start) · Π damping · W(to, from)``. The largest of these terms are
the reasons that can be shown; what their sum leaves to the score is spread over paths too weak to tell. Found exactly,
by Dijkstra on −log of the factors, backwards from the passage, over at most `NEIGHBOURHOOD` nodes.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.pagerank import DAMPING

NEIGHBOURHOOD = 2_000
"""Nodes that are looked at around a passage."""


class EdgeKind(StrEnum):
    """What joins two nodes."""

    MENTION = "mention"
    """A passage mentions an entity, or its title names it."""
    FACT = "fact"
    """A fact states something of both entities."""
    SYNONYM = "synonym"
    """Two names of one thing, or an acronym and its long form."""


@dataclass(frozen=True, slots=True)
class PathEdge:
    """One step of the walk."""

    kind: EdgeKind
    start: int
    end: int
    """Nodes of the graph: passages first, then entities."""
    probability: float
    """Of going from ``start`` to ``end`` once there."""
    fact: int = -1
    """For a fact, its row: the first of the highest weight."""


@dataclass(frozen=True, slots=True)
class WalkPath:
    """A way from a node that the walk started from to the passage."""

    start: int
    edges: tuple[PathEdge, ...]
    """In order; none where the walk started from the passage itself."""
    strength: float
    """What the path adds to the passage's PageRank."""


def strongest_paths(
    graph: CompiledGraph,
    reset: NDArray[np.float32],
    passage: int,
    count: int = 3,
    damping: float = DAMPING,
) -> tuple[WalkPath, ...]:
    """The strongest path from each of the ``count`` nodes of the reset that lead to a passage best, strongest first.

    Ties go to the lower start; of equal paths from one start one is taken, always the same.

    Args:
        reset: ``(passages + entities,)``, not negative, as given to the walk; need not be normalised.
        passage: its node.
    """
    total = float(reset.sum())
    highest = float(reset.max(initial=0.0))
    if total <= 0:
        return ()
    costs, following = _settled(graph, reset, passage, count, damping, -math.log(highest))
    reached = sorted((cost - math.log(float(reset[node])), node) for node, cost in costs.items() if reset[node] > 0)
    return tuple(
        WalkPath(node, _edges(graph, node, following), (1 - damping) * math.exp(-cost) / total)
        for cost, node in reached[:count]
    )


def _settled(
    graph: CompiledGraph, reset: NDArray[np.float32], passage: int, count: int, damping: float, least: float
) -> tuple[dict[int, float], dict[int, tuple[int, float]]]:
    """Nodes to the cost of their best way to the passage, nearest first, and to its next node and probability.

    It ends when no further node of the reset, however large, could be among the ``count`` best.

    Args:
        least: −log of the largest reset.
    """
    costs: dict[int, float] = {}
    following: dict[int, tuple[int, float]] = {}
    found: list[float] = []
    pending = [(0.0, passage, -1, 1.0)]
    while pending and len(costs) < NEIGHBOURHOOD:
        cost, node, after, probability = heapq.heappop(pending)
        if len(found) >= count and cost + least > sorted(found)[count - 1]:
            break
        if node in costs:
            continue
        costs[node] = cost
        following[node] = (after, probability)
        if reset[node] > 0:
            found.append(cost - math.log(float(reset[node])))
        span = slice(int(graph.walk_indptr[node]), int(graph.walk_indptr[node + 1]))
        befores = graph.walk_indices[span]
        chances = graph.walk_weights[span] / graph.walk_degree[befores]
        for before, moved in zip(befores.tolist(), chances.tolist(), strict=True):
            if before not in costs and damping * moved > 0:
                heapq.heappush(pending, (cost - math.log(damping * moved), before, node, moved))
    return costs, following


def _edges(graph: CompiledGraph, start: int, following: dict[int, tuple[int, float]]) -> tuple[PathEdge, ...]:
    edges: list[PathEdge] = []
    node = start
    while following[node][0] >= 0:
        after, probability = following[node]
        kind, fact = _kind(graph, node, after)
        edges.append(PathEdge(kind, node, after, probability, fact))
        node = after
    return tuple(edges)


def _kind(graph: CompiledGraph, one: int, other: int) -> tuple[EdgeKind, int]:
    """The kind of an edge, and for a fact its row."""
    if min(one, other) < graph.passages:
        return EdgeKind.MENTION, -1
    ends = (one - graph.passages, other - graph.passages)
    forth = (graph.fact_subject == ends[0]) & (graph.fact_object == ends[1])
    back = (graph.fact_subject == ends[1]) & (graph.fact_object == ends[0])
    facts = np.flatnonzero(forth | back)
    if not len(facts):
        return EdgeKind.SYNONYM, -1
    return EdgeKind.FACT, int(facts[graph.fact_weight[facts].argmax()])
