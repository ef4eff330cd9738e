"""Why each passage of a ranking came: the facts near the question, and the strongest paths of the walk to it.

It is computed from what the ranking was computed from, for the hits only: the walk's start, its edges, and the facts
that stand beside it. What the paths add up to is a part of a passage's PageRank; the rest is spread over paths too weak
to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.facts import QuestionFacts, best_pair, near_facts
from graph.paths import EdgeKind, PathEdge, strongest_paths
from retrieval.model import Hit
from retrieval.recognition import sentence
from retrieval.temporal import NO_TIME, TimeIntent

PATHS = 3
"""Paths told of a passage."""
FACTS = 5
"""Facts told of a passage that were not compared with the question."""


@dataclass(frozen=True, slots=True)
class LinkedFact:
    """A fact near the question that the walk started from."""

    subject: str
    predicate: str
    object: str
    score: float
    """Its cosine to the question, times its weight; 0 where it was not compared."""
    passage_ids: tuple[str, ...]
    """That state it."""
    superseded: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """A node on a path."""

    name: str
    """An entity's name, or a passage's id."""
    is_passage: bool


@dataclass(frozen=True, slots=True)
class Step:
    """An edge of a path."""

    kind: str
    """``mention``, ``synonym`` or ``fact``."""
    to: Stop
    probability: float
    """Of going there from the stop before."""


@dataclass(frozen=True, slots=True)
class Path:
    """A way on which the walk came."""

    start: Stop
    """A passage that dense or lexical search found, or an entity of the question or of a fact near it."""
    steps: tuple[Step, ...]
    """None where the walk started from the passage itself."""
    share: float
    """Of the passage's PageRank, as far as the told paths tell it."""


@dataclass(frozen=True, slots=True)
class FoundMemory:
    """A memory that leads to a passage."""

    memory_id: str
    granularity: str
    text: str
    score: float
    """How it was found among those of its granularity, the best near 1."""
    superseded: bool
    """Whether another fact holds in its place by now."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a question was taken to say."""

    parts: tuple[str, ...] = ()
    """What of it was searched for by itself, too."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """How far each granularity was trusted, by how sharply its similarities fall; they sum to 1."""
    time: TimeIntent = NO_TIME
    """What it says of time, its event's days included."""

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        time: dict[str, Any] = asdict(self.time)
        for name in ("since", "until"):
            time[name] = time[name].isoformat() if time[name] else None
        time["words"] = list(self.time.words)
        return {"parts": list(self.parts), "weights": dict(self.weights), "time": time}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one passage came."""

    hit: Hit
    facts: tuple[LinkedFact, ...]
    """Facts that this passage states: those near the question, then others on what the question names."""
    paths: tuple[Path, ...]
    """Strongest first."""
    with_best: tuple[str, str] | None
    """A fact of the best passage and one of this, as sentences, that together come nearest to the question."""
    memories: tuple[FoundMemory, ...] = ()
    """The best memory of each granularity that leads to it, best first."""

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "hit": self.hit.as_record()}


NOTHING_UNDERSTOOD = Understood()
"""Of a question that is one part and says nothing of time, where there are no memories."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A ranking with its reasons."""

    entities: tuple[str, ...]
    """Entities of the graph that the question names."""
    facts: tuple[LinkedFact, ...]
    """Facts near the question, nearest first."""
    hits: tuple[Explanation, ...]
    understood: Understood = NOTHING_UNDERSTOOD

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "understood": self.understood.as_record(),
            "entities": list(self.entities),
            "facts": [asdict(fact) for fact in self.facts],
            "hits": [item.as_record() for item in self.hits],
        }


def explained(
    graph: CompiledGraph,
    hits: Sequence[Hit],
    linked: NDArray[np.int64],
    found: QuestionFacts | None,
    cut: float,
    reset: tuple[NDArray[np.int64], NDArray[np.float32]],
    understood: Understood = NOTHING_UNDERSTOOD,
    memories: Mapping[str, Sequence[FoundMemory]] | None = None,
) -> Explained:
    """The reasons of a ranking.

    Args:
        linked: entity rows that the question names.
        found: the question among the graph's facts.
        cut: facts below this share of the best one's score are not told.
        reset: nodes that the walk started from, and their shares.
        memories: those that lead to each hit, by passage id.
    """
    facts: dict[int, LinkedFact] = {}
    if found is not None:
        near = near_facts(found, cut)
        rows, scores = found.rows[near].tolist(), found.scores[near].tolist()
        facts = {row: _linked(graph, row, score) for row, score in zip(rows, scores, strict=True)}
    start = np.zeros(graph.passages + graph.entities, dtype=np.float32)
    np.add.at(start, reset[0], reset[1])
    nodes = graph.passage_nodes([hit.passage_id for hit in hits]).tolist()
    reasons = []
    for hit, node in zip(hits, nodes, strict=True):
        stated = [fact for fact in facts.values() if hit.passage_id in fact.passage_ids]
        stated += [_linked(graph, row, 0.0) for row in _on(graph, node, linked) if row not in facts][:FACTS]
        paths = _paths(graph, start, node) if node >= 0 and start.any() else ()
        pair = None
        if found is not None and node >= 0 and node != nodes[0] >= 0:
            best = best_pair(graph, found.vector, nodes[0], node)
            pair = (sentence(graph, best[0]), sentence(graph, best[1])) if best else None
        told = tuple((memories or {}).get(hit.passage_id, ()))
        reasons.append(Explanation(hit, tuple(stated), paths, pair, told))
    names = graph.entity_table["name"]
    asked = tuple(names[row] for row in linked.tolist())
    return Explained(asked, tuple(facts.values()), tuple(reasons), understood)


def _on(graph: CompiledGraph, node: int, linked: NDArray[np.int64]) -> list[int]:
    """Facts that a passage states of one of these entities."""
    if node < 0:
        return []
    rows = np.asarray(graph.stated_indices[graph.stated_indptr[node] : graph.stated_indptr[node + 1]])
    about = np.isin(graph.fact_subject[rows], linked) | np.isin(graph.fact_object[rows], linked)
    return [int(row) for row in rows[about]]


def _linked(graph: CompiledGraph, row: int, score: float) -> LinkedFact:
    names, ids = graph.entity_table["name"], graph.passage_keys
    span = slice(int(graph.support_indptr[row]), int(graph.support_indptr[row + 1]))
    return LinkedFact(
        subject=names[int(graph.fact_subject[row])],
        predicate=graph.fact_table["predicate"][row],
        object=names[int(graph.fact_object[row])],
        score=score,
        passage_ids=tuple(ids[node].decode() for node in graph.support_indices[span].tolist()),
        superseded=graph.fact_table["superseded_by"][row] is not None,
    )


def _paths(graph: CompiledGraph, start: NDArray[np.float32], node: int) -> tuple[Path, ...]:
    found = strongest_paths(graph, start, node, PATHS)
    total = sum(path.strength for path in found)
    return tuple(
        Path(
            start=_stop(graph, path.start),
            steps=tuple(_step(graph, edge) for edge in path.edges),
            share=path.strength / total,
        )
        for path in found
    )


def _step(graph: CompiledGraph, edge: PathEdge) -> Step:
    kind = graph.fact_table["predicate"][edge.fact] if edge.kind is EdgeKind.FACT else str(edge.kind)
    return Step(kind, _stop(graph, edge.end), edge.probability)


def _stop(graph: CompiledGraph, node: int) -> Stop:
    if node < graph.passages:
        return Stop(graph.passage_keys[node].decode(), True)
    return Stop(graph.entity_table["name"][node - graph.passages], False)
