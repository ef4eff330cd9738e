"""Fusion: from what the channels found to one order of passages.

For the candidates of every channel, with settings in `code`:

1. to 4. each passage's ``base`` score in [0, 1], from dense and lexical search alone (``retrieval.scoring``), and with
   the question's parts, the passages' pieces and the memories (``retrieval.layers``), where there are any.
5. the graph channel: personalized PageRank from a reset with `entity_share` on the question's entities and the rest on
   the `seed_passages` best of ``base``, in proportion to ``base ** 2``; its best passage is 1. Asked alone, it starts
   from the entities only, and finds nothing where there are none. Where the graph has facts, `fact_share` of the
   entities' part is on the ends of the facts nearest to the question (``graph.facts``), all where it names no entity.
6. ``mixed = (1 − g) · base + g · graph``, ``g = `graph_weight` · trust(graph)``. A question in `n` texts, itself and
   its parts, has `graph_weight` and `hop_weight` over `n`: what it names in its parts needs no way to be found.
7. ``score = mixed + hop_weight · hop``: one hop along shared entities (``graph.hop``) from the best of ``mixed``, times
   the relevance of where it leads, which is its cosine to the question over the best; its best passage is 1. Where
   the graph has facts, the relevance is the mean of that and of the cosine of the best pair of facts, one of each end
   of the hop, over the best too; a passage without facts keeps its own.
8. a passage all of whose facts about the question's entities are superseded counts by the weight of such facts
   (``graph.compiled.SUPERSEDED_WEIGHT``): it stays findable, behind what holds now.
9. what clients did with a passage counts last, by a factor near 1 (``memory.forgetting.prior``).

After HippoRAG 2 (arXiv 2502.14802), which resets on every passage with a weight of 0.05; with entities found by rules
that drowns either the question's entities or the order of the passages, so ours resets on the best passages only.
A graph without facts, or a question without a vector, is ranked as if facts did not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.facts import QuestionFacts, fact_ends, pair_relevance, standing
from graph.hop import best, hop
from graph.pagerank import personalized_pagerank
from retrieval.scoring import Scores, base_scores, trust
from retrieval.tables import Ranking
from warehouse.sections import FusionSettings

Entities = tuple[NDArray[np.int64], Scores]
"""Entity rows, ascending, and their weights."""
Reset = tuple[NDArray[np.int64], Scores]
"""Nodes of the graph, each once, and the shares of the walk's start on them."""
NO_RESET: Reset = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))

STABLE_PASSAGES = 50
"""PageRank is computed until the order of so many passages no longer hangs on what is left out."""
_HOP_CAP = 100
_NONE = np.float32(0)
_SEED_POWER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """Passages in fused order, and where each channel had them."""

    ids: tuple[str, ...]
    scores: Scores
    ranks: Mapping[str, Mapping[str, int]]
    """Channel to passage id to rank, from 1."""
    reset: Reset = NO_RESET
    """Where the walk started; nowhere without the graph channel."""


def fuse(
    searched: Mapping[str, Ranking],
    graph: CompiledGraph | None,
    linked: Entities,
    settings: FusionSettings,
    full: int,
    k: int,
    allowed: set[str] | None = None,
    facts: QuestionFacts | None = None,
    base: Mapping[str, float] | None = None,
    priors: Mapping[str, float] | None = None,
) -> Fused:
    """Fuse the searched channels and, unless ``graph`` is ``None``, the graph channel.

    Args:
        searched: ``dense`` and ``lexical``, or one of them, or none where the graph alone is asked.
        linked: entity rows of the question and their weights.
        full: how many candidates a channel was asked for.
        k: how many passages to return.
        allowed: ids that a filter lets through; ``None`` for all.
        facts: the question among the graph's facts; ``None`` leaves them out.
        base: passage id to base score; by default that of the searched channels alone.
        priors: passage id to the factor on its score, where it is not 1 (``memory.forgetting``).
    """
    ranks = {name: {key: rank for rank, key in enumerate(ranking.ids, 1)} for name, ranking in searched.items()}
    base = base_scores(searched, settings, full) if base is None else base
    if graph is None:
        base = {key: score * (priors or {}).get(key, 1.0) for key, score in base.items()}
        keys = sorted(base, key=lambda key: (-base[key], key))[:k]
        return Fused(tuple(keys), np.array([base[key] for key in keys], dtype=np.float32), ranks)

    begun = _on_nodes(graph, base)
    reset = walk_reset(graph, begun, starting_entities(graph, linked, facts, settings), settings)
    walked = walk_scores(graph, reset)
    ranks["graph"] = _ranks_of(graph, walked, full, allowed)
    weight = np.float32(settings.graph_weight * trust(walked[walked > 0], settings.judged) if searched else 1.0)
    mixed = (1 - weight) * begun + weight * walked
    hopped = _hopped(graph, mixed, linked[0], searched.get("dense"), facts, settings, full)
    score = mixed + np.float32(settings.hop_weight) * hopped
    outdated, weights = standing(graph, linked[0])
    score[outdated] *= weights
    if priors:
        score *= _on_nodes(graph, priors, np.float32(1))
    if allowed is not None:
        inside = np.zeros(graph.passages, dtype=bool)
        permitted = graph.passage_nodes(sorted(allowed))
        inside[permitted[permitted >= 0]] = True
        score = np.where(inside, score, np.float32(0))
    order = best(score, k)
    return Fused(tuple(graph.passage_keys[node].decode() for node in order), score[order], ranks, reset)


def shared_out(settings: FusionSettings, texts: int) -> FusionSettings:
    """The settings for a question that is searched for in so many texts: step 6; with no weight on parts it is one."""
    if texts == 1 or not settings.aspect_weight:
        return settings
    shares = {"graph_weight": settings.graph_weight / texts, "hop_weight": settings.hop_weight / texts}
    return settings.model_copy(update=shares)


def starting_entities(
    graph: CompiledGraph, linked: Entities, facts: QuestionFacts | None, settings: FusionSettings
) -> Entities:
    """What the walk starts from besides passages: the question's entities, and the ends of the facts nearest to it."""
    if facts is None or not settings.fact_share:
        return linked
    ends, shares = fact_ends(graph, facts, settings.fact_cut)
    if not len(ends) or not len(linked[0]):
        return (ends, shares) if len(ends) else linked
    weights = np.zeros(graph.entities, dtype=np.float32)
    weights[linked[0]] = (1 - settings.fact_share) * linked[1] / linked[1].sum()
    weights[ends] += np.float32(settings.fact_share) * shares
    entities = np.flatnonzero(weights)
    return entities, weights[entities]


def walk_reset(graph: CompiledGraph, base: Scores, starting: Entities, settings: FusionSettings) -> Reset:
    """Nodes that the walk starts from, each once, and their shares, which sum to 1; none where nothing was found."""
    entities, weights = starting
    seeds = best(base, settings.seed_passages)
    share = settings.entity_share if len(entities) and len(seeds) else float(len(entities) > 0)
    if not len(seeds) and not len(entities):
        return NO_RESET
    mass = base[seeds] ** np.float32(_SEED_POWER)
    nodes = np.concatenate([seeds, graph.passages + entities])
    return nodes, np.concatenate([(1 - share) * mass / mass.sum(), share * weights / weights.sum()]).astype(np.float32)


def walk_scores(graph: CompiledGraph, reset: Reset) -> Scores:
    """The graph channel: PageRank of every passage, its best 1; all zero where there is nothing to start from."""
    if not len(reset[0]):
        return np.zeros(graph.passages, dtype=np.float32)
    ranked = personalized_pagerank(graph.walk(), reset, top=STABLE_PASSAGES, among=graph.passages)
    walked = ranked.dense(graph.passages)
    peak = float(walked.max(initial=0.0))
    return walked / np.float32(peak) if peak > 0 else walked


def _hopped(
    graph: CompiledGraph,
    mixed: Scores,
    asked: NDArray[np.int64],
    dense: Ranking | None,
    facts: QuestionFacts | None,
    settings: FusionSettings,
    full: int,
) -> Scores:
    """The hop of step 7; without the dense channel all that it reaches is as relevant."""
    relevance = None
    if dense is not None and dense.ids:
        own, top = _relevance(graph, dense, full), dense.scores.max()

        def relevance(sources: NDArray[np.integer], targets: NDArray[np.integer]) -> Scores:
            alone: Scores = own[targets]
            if facts is None or top <= 0:
                return alone
            paired = pair_relevance(graph, facts.vector, sources, targets, alone * top) / top
            both: Scores = (alone + np.maximum(paired, 0)) / 2
            return both

    reached = hop(graph, mixed, asked, settings.hop_passages, _HOP_CAP, relevance)
    peak = reached.max(initial=0.0)
    return reached / peak if peak > 0 else reached


def _relevance(graph: CompiledGraph, dense: Ranking, full: int) -> Scores:
    """Cosine to the question over the best, per passage; beyond a full list it is that of the last.

    All 1 where no passage has a positive cosine.
    """
    top = dense.scores.max()
    if top <= 0:
        return np.ones(graph.passages, dtype=np.float32)
    last = max(dense.scores.min(), np.float32(0)) if len(dense.ids) >= full else np.float32(0)
    laid = _on_nodes(graph, dict(zip(dense.ids, dense.scores.tolist(), strict=True)))
    relevance: Scores = np.maximum(laid, last) / top
    return relevance


def _on_nodes(graph: CompiledGraph, scores: Mapping[str, float], others: np.float32 = _NONE) -> Scores:
    """Scores by id as an array over the graph's passages; an id that the graph does not have is left out."""
    laid = np.full(graph.passages, others, dtype=np.float32)
    nodes = graph.passage_nodes(list(scores))
    known = nodes >= 0
    laid[nodes[known]] = np.fromiter(scores.values(), dtype=np.float32, count=len(scores))[known]
    return laid


def _ranks_of(graph: CompiledGraph, walked: Scores, full: int, allowed: set[str] | None) -> dict[str, int]:
    """Ranks in the graph channel of its best candidates."""
    ids = (graph.passage_keys[node].decode() for node in best(walked, full if allowed is None else graph.passages))
    kept = (key for key in ids if allowed is None or key in allowed)
    return {key: rank for rank, key in enumerate(kept, 1) if rank <= full}
