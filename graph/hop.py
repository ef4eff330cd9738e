"""One hop along shared entities: for each passage the single best reason to follow.

PageRank spreads by degree and sums over paths; a hop takes a maximum. It finds the second passage of a two-step
question, whose only tie to the first may be one rare name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph

Relevance = Callable[[NDArray[np.integer], NDArray[np.integer]], NDArray[np.float32]]
"""Passages that are hopped from and those they lead to, pair by pair, to a factor on each hop, not negative."""


def hop(
    graph: CompiledGraph,
    scores: NDArray[np.float32],
    asked: NDArray[np.int64],
    seeds: int,
    cap: int,
    relevance: Relevance | None = None,
) -> NDArray[np.float32]:
    """max over the best passages p and the entities e shared with p of ``scores[p] · specificity[e]``, per passage.

    With ``relevance`` each of these is times the relevance of p and the passage that is reached.

    Entities that the question itself names are left out (they are no news), and so are passages whose titles name the
    same entity (they are parts of one document).

    Args:
        scores: ``(passages,)``, not negative.
        asked: entity rows that the question names.
        seeds: how many best passages to hop from.
        cap: an entity of more passages carries no hop, which bounds the cost.
    """
    reach = np.zeros(graph.passages, dtype=np.float32)
    sources = best(scores, seeds)
    at, lengths = slices(graph.incidence_indptr, sources)
    entity = graph.incidence_indices[at]
    source = np.repeat(sources, lengths)
    titled = graph.incidence_titled[at]
    keep = (graph.frequency[entity] > 1) & (graph.frequency[entity] <= cap) & ~np.isin(entity, asked)
    entity, source, titled = entity[keep], source[keep], titled[keep]

    at, lengths = slices(graph.postings_indptr, entity)
    target = graph.postings_indices[at]
    value = np.repeat(scores[source] * graph.specificity[entity], lengths)
    same_document = graph.postings_titled[at] & np.repeat(titled, lengths)
    keep = (target != np.repeat(source, lengths)) & ~same_document
    target, value = target[keep], value[keep].astype(np.float32)
    if relevance is not None:
        value = value * relevance(np.repeat(source, lengths)[keep], target)
    np.maximum.at(reach, target, value)
    return reach


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The ``k`` positions with the highest positive scores, best first; ties go to the lower position."""
    some = np.flatnonzero(scores > 0)
    if len(some) > k:
        edge = np.partition(scores[some], len(some) - k)[len(some) - k]
        some = some[scores[some] >= edge]
    return some[np.argsort(-scores[some], kind="stable")][:k]


def slices(indptr: NDArray[np.int64], rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the entries of CSR ``rows``, laid end to end, and how many each row has."""
    starts = np.asarray(indptr[rows], dtype=np.int64)
    lengths = np.asarray(indptr[rows + 1], dtype=np.int64) - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total), lengths
