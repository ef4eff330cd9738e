"""Facts beside the walk: which of them a question is about, and how near two passages' facts together come to it.

After HippoRAG 2 (arXiv 2502.14802), which embeds each fact as a sentence, takes the five nearest to the question, lets
a model choose among them, and resets its walk on their ends. Ours asks no model: of the `NEAREST` facts those stay
whose cosine is close to the best one's, and an end weighs the mean of its facts times its specificity. A pair of facts
is read as one sentence by the sum of their vectors, in the way of PropRAG's paths (arXiv 2504.18070): the second fact
of a two-step question says little about it alone, and much together with the first.

Cosines are of float32 vectors, one question at a time, and ties go to the lower row; so equal graphs answer equally.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.hop import best, slices

NEAREST = 20
"""Facts that a question is linked to at most."""

_TINY = np.float32(1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class QuestionFacts:
    """A question among the facts of a graph."""

    vector: NDArray[np.float32]
    """``(dimensions,)``: the embedded question."""
    rows: NDArray[np.int64]
    """The facts nearest to it, best first."""
    scores: NDArray[np.float32]
    """Their cosines times their weights, all positive."""
    recognised: bool = False
    """Whether they were chosen as relevant, so that no cut by cosine is due."""


def link_facts(graph: CompiledGraph, vector: NDArray[np.float32]) -> QuestionFacts | None:
    """The facts nearest to a question; ``None`` where the graph has no embedded facts.

    Reads every fact's vector once.

    Raises:
        ValueError: the question has another number of dimensions than the facts.
    """
    if not len(graph.fact_vectors):
        return None
    scores = (graph.fact_vectors @ vector) * graph.fact_weight
    rows = best(scores, NEAREST)
    return QuestionFacts(vector, rows, scores[rows])


def near_facts(found: QuestionFacts, cut: float) -> NDArray[np.bool_]:
    """Which of the facts are kept: those that were recognised, else those from this share of the best score."""
    if found.recognised:
        return np.ones(len(found.rows), dtype=bool)
    near: NDArray[np.bool_] = found.scores >= np.float32(cut) * found.scores.max(initial=0.0)
    return near


def fact_ends(graph: CompiledGraph, found: QuestionFacts, cut: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Entity rows at the ends of the facts that are kept, ascending, and their weights, which sum to 1.

    Args:
        cut: facts below this share of the best score are left out.
    """
    kept = near_facts(found, cut)
    rows = found.rows[kept]
    ends = np.concatenate([graph.fact_subject[rows], graph.fact_object[rows]]).astype(np.int64)
    scores = np.tile(found.scores[kept], 2)
    nodes = graph.frequency[ends] > 0  # one that carries no edge would keep what it is given
    scores, ends = scores[nodes], ends[nodes]
    entities, place, count = np.unique(ends, return_inverse=True, return_counts=True)
    weights = np.bincount(place, weights=scores, minlength=len(entities)) / count * graph.specificity[entities]
    return entities, (weights / weights.sum() if len(weights) else weights).astype(np.float32)


def pair_relevance(
    graph: CompiledGraph,
    vector: NDArray[np.float32],
    sources: NDArray[np.integer],
    targets: NDArray[np.integer],
    alone: NDArray[np.float32],
) -> NDArray[np.float32]:
    """max over the facts f of a source and g of its target of cos(question, f + g), for each pair of passages.

    Args:
        vector: the question, ``(dimensions,)``, of unit length.
        sources: passage nodes, ``(pairs,)``, few distinct ones.
        targets: passage nodes, ``(pairs,)``.
        alone: what a pair has where one of both states no fact, ``(pairs,)``.
    """
    relevance = alone.astype(np.float32)
    from_, source = np.unique(sources, return_inverse=True)
    to, target = np.unique(targets, return_inverse=True)
    first, mine = _stated(graph, from_)
    second, theirs = _stated(graph, to)
    if not len(first) or not len(second):
        return relevance
    cosines = _pair_cosines(graph, vector, first, second)
    highest = np.zeros((len(from_), len(to)), dtype=np.float32)
    by_source = np.maximum.reduceat(cosines, _starts(mine), axis=0)
    highest[np.ix_(mine > 0, theirs > 0)] = np.maximum.reduceat(by_source, _starts(theirs), axis=1)
    known = (mine[source] > 0) & (theirs[target] > 0)
    return np.where(known, highest[source, target], relevance)


def best_pair(
    graph: CompiledGraph, vector: NDArray[np.float32], source: int, target: int
) -> tuple[int, int, float] | None:
    """The facts of two passages that together come nearest to a question, and how near; ``None`` without facts.

    It says why a hop from ``source`` to ``target`` was worth it.
    """
    first, second = (_stated(graph, np.array([node]))[0] for node in (source, target))
    if not len(first) or not len(second) or not len(graph.fact_vectors):
        return None
    cosines = _pair_cosines(graph, vector, first, second)
    row, column = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return int(first[row]), int(second[column]), float(cosines[row, column])


def standing(graph: CompiledGraph, entities: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Passages all of whose facts about some entities are superseded, ascending, and the highest weight of these facts.

    A passage that also states of one of them what still holds, or states nothing of them, is not among them.

    Args:
        entities: rows.
    """
    outdated = np.flatnonzero(graph.fact_weight < 1)
    outdated = outdated[_about(graph, outdated, entities)]
    at, _ = slices(graph.support_indptr, outdated)
    passages = np.unique(graph.support_indices[at]).astype(np.int64)
    if not len(passages):
        return passages, np.empty(0, dtype=np.float32)
    facts, lengths = _stated(graph, passages)
    weights = np.where(_about(graph, facts, entities), graph.fact_weight[facts], np.float32(0))
    highest: NDArray[np.float32] = np.maximum.reduceat(weights, _starts(lengths))
    return passages[highest < 1], highest[highest < 1]


def _about(graph: CompiledGraph, facts: NDArray[np.integer], entities: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of these facts have one of the entities at an end."""
    return np.isin(graph.fact_subject[facts], entities) | np.isin(graph.fact_object[facts], entities)


def _stated(graph: CompiledGraph, passages: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Facts that passages state, laid end to end, and how many each one states."""
    at, lengths = slices(graph.stated_indptr, passages)
    return graph.stated_indices[at], lengths


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of positive length begins."""
    starts: NDArray[np.int64] = (np.cumsum(lengths) - lengths)[lengths > 0]
    return starts


def _pair_cosines(
    graph: CompiledGraph, vector: NDArray[np.float32], first: NDArray[np.int32], second: NDArray[np.int32]
) -> NDArray[np.float32]:
    """cos(question, f + g) of every pair, ``(len(first), len(second))``, each fact counting by its weight."""
    mine, others = graph.fact_vectors[first], graph.fact_vectors[second]
    said = (mine @ vector) * graph.fact_weight[first], (others @ vector) * graph.fact_weight[second]
    length = np.sqrt(np.maximum(2 + 2 * (mine @ others.T), _TINY))
    cosines: NDArray[np.float32] = (said[0][:, np.newaxis] + said[1][np.newaxis, :]) / length
    return cosines
