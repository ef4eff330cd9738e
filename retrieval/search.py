"""Searching one opened snapshot, for one query or many: find candidates once, then rank them.

Finding runs in LanceDB, ranking in this process; so many queries are found side by side, and what was found may be
ranked under any channels and settings. One query is a batch of one: there is no second way that could answer otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.facts import QuestionFacts, link_facts
from graph.linking import link_question
from memory.embedding import EmbedderSpec
from retrieval.coverage import coverage, stems
from retrieval.explanation import Explained, explained
from retrieval.families import NO_FAMILIES, Shown, collapse
from retrieval.fusion import NO_RESET, Reset, fuse
from retrieval.model import Filters, FurtherSource, Hit, Location, Span
from retrieval.recognition import Recogniser, RuleRecogniser
from retrieval.tables import Ranking, SearchedTable, where_clause
from warehouse.sections import FusionSettings
from warehouse.snapshots import Manifest

_BY_RULE = RuleRecogniser()
_NOTHING_LINKED = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One space of one snapshot, opened."""

    manifest: Manifest
    table: SearchedTable
    graph: CompiledGraph
    full: int
    """How many candidates fill a channel's list."""
    collapse_duplicates: bool

    @property
    def embedder(self) -> EmbedderSpec:
        """What queries must be embedded with."""
        return EmbedderSpec(**self.manifest.embedder)

    def uses_graph(self, channels: Sequence[str]) -> bool:
        """Whether the graph channel has anything to walk on."""
        return "graph" in channels and self.graph.passages > 0

    def uses_vectors(self, channels: Sequence[str]) -> bool:
        """Whether queries must be embedded: for the dense channel, or to be compared with the graph's facts."""
        return "dense" in channels or (self.uses_graph(channels) and len(self.graph.fact_vectors) > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What the channels found for one query."""

    dense: Ranking
    lexical: Ranking
    linked: tuple[NDArray[np.int64], NDArray[np.float32]]
    """The query's entities in the graph, and their weights."""
    facts: QuestionFacts | None
    """The query among the graph's facts; ``None`` where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The passages of one query in their order, families collapsed."""

    shown: tuple[Shown, ...]
    ranks: Mapping[str, Mapping[str, int]]
    """Channel to passage id to rank, from 1."""
    reset: Reset = NO_RESET
    """Where the walk started; nowhere without the graph channel."""


class Search:
    """Queries on one view, found once."""

    def __init__(
        self,
        view: View,
        queries: Sequence[str],
        vectors: NDArray[np.float32] | None,
        channels: Sequence[str],
        k: int,
        filters: Filters | None,
        recogniser: Recogniser = _BY_RULE,
    ) -> None:
        """Find the candidates.

        Args:
            vectors: of the queries, ``(len(queries), dimensions)``; needed where the view uses vectors.
            channels: which of them may be ranked.
            k: how many passages a ranking may have at most.
            recogniser: which of the facts near a query are relevant.
        """
        self._view = view
        self._queries = queries
        self._limit = max(view.full, k)
        where = where_clause(filters)
        dense = vectors if "dense" in channels and vectors is not None else [None] * len(queries)
        lexical = queries if "lexical" in channels else [None] * len(queries)
        found = view.table.search(list(zip(dense, lexical, strict=True)), self._limit, where)
        use_graph = view.uses_graph(channels)
        asked: Sequence[NDArray[np.float32] | None] = list(vectors) if vectors is not None else [None] * len(queries)
        self.candidates = [
            Candidates(
                dense,
                lexical,
                link_question(query, view.graph) if use_graph else _NOTHING_LINKED,
                _facts(view.graph, query, vector, recogniser) if use_graph and vector is not None else None,
            )
            for query, vector, (dense, lexical) in zip(queries, asked, found, strict=True)
        ]
        self._families = view.table.families() if view.collapse_duplicates else NO_FAMILIES
        self._allowed = view.table.ids_where(where) if where and (use_graph or self._families.members) else None

    def rank(self, number: int, k: int, channels: Sequence[str], fusion: FusionSettings) -> Ranked:
        """The best ``k`` passages of one of the queries."""
        found = self.candidates[number]
        rankings = {"dense": found.dense, "lexical": found.lexical}
        searched = {name: rankings[name] for name in channels if name in rankings}
        use_graph = self._view.uses_graph(channels)
        reads = "lexical" in searched and len(searched) + use_graph > 1
        wanted = k
        while True:
            fused = fuse(
                searched=searched,
                graph=self._view.graph if use_graph else None,
                linked=found.linked,
                settings=fusion,
                full=self._view.full,
                k=wanted,
                allowed=self._allowed if use_graph else None,
                cover=partial(self._coverage, number) if reads else None,
                facts=found.facts,
            )
            shown = collapse(fused.ids, fused.scores, self._families, self._allowed)[:k]
            if len(shown) >= k or len(fused.ids) < wanted:
                return Ranked(tuple(shown), fused.ranks, fused.reset)
            wanted *= 2  # the families of some were among them

    def _coverage(self, number: int, ids: Sequence[str]) -> NDArray[np.float32]:
        return coverage(stems(self._queries[number]), self._view.table.sentences(ids))

    def explain(self, number: int, ranked: Ranked, fusion: FusionSettings) -> Explained:
        """A ranking of one of the queries with its reasons."""
        found = self.candidates[number]
        hits = self.hits([ranked])[0]
        return explained(self._view.graph, hits, found.linked[0], found.facts, fusion.fact_cut, ranked.reset)

    def hits(self, ranked: Sequence[Ranked]) -> list[list[Hit]]:
        """What is shown of rankings; the rows of all are read at once."""
        keys = {key for one in ranked for item in one.shown for key in (item.key, *item.others)}
        rows = self._view.table.rows(sorted(keys))
        return [[_hit(place, item, rows, one.ranks) for place, item in enumerate(one.shown, 1)] for one in ranked]


def _facts(
    graph: CompiledGraph, query: str, vector: NDArray[np.float32], recogniser: Recogniser
) -> QuestionFacts | None:
    found = link_facts(graph, vector)
    return None if found is None else recogniser.choose(query, graph, found)


def _hit(rank: int, shown: Shown, rows: Mapping[str, dict[str, Any]], ranks: Mapping[str, Mapping[str, int]]) -> Hit:
    row = rows[shown.key]
    return Hit(
        rank=rank,
        score=shown.score,
        passage_id=row["passage_id"],
        text=row["text"],
        title=row["title"],
        location=_location(row),
        span=_span(row),
        kind=row["kind"],
        channel_ranks={
            name: min(places[key] for key in shown.found if key in places)
            for name, places in ranks.items()
            if any(key in places for key in shown.found)
        },
        further=tuple(FurtherSource(key, _location(rows[key]), _span(rows[key])) for key in shown.others),
    )


def _location(row: Mapping[str, Any]) -> Location:
    return Location(
        source=row["source"],
        path=row["path"],
        title=row["title"],
        heading=row["heading"],
        page=row["page"],
        author=row["author"],
        document_date=row["document_date"],
    )


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["document_id"], row["revision_id"], row["char_start"], row["char_end"])
