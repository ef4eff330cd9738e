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
from retrieval.explanation import Explained, FoundMemory, Understood, explained
from retrieval.families import NO_FAMILIES, Shown, collapse
from retrieval.fusion import NO_RESET, Reset, fuse, shared_out
from retrieval.layers import layered, piece_scores, timed, with_aspects
from retrieval.memories import Memories, MemoryScores
from retrieval.model import CHANNELS, PASSAGE, Filters, FurtherSource, Hit, Location, Span
from retrieval.recognition import Recogniser, RuleRecogniser
from retrieval.scoring import base_scores, covered
from retrieval.tables import Ranking, SearchedTable, Texts, where_clause
from retrieval.temporal import NO_TIME, TimeIntent, anchored, time_scores
from retrieval.units import best_units, rank_units
from warehouse.sections import FusionSettings
from warehouse.settings import unknown_name
from warehouse.snapshots import Manifest

_BY_RULE = RuleRecogniser()
_TOLD_SCORE = 0.3
"""A memory that was found less well than this explains nothing."""
_EVENT_HITS = 3
"""Passages whose days are those of an event that a question names."""
_NOTHING_LINKED = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One space of one snapshot, opened."""

    manifest: Manifest
    table: SearchedTable
    graph: CompiledGraph
    memories: Memories | None
    """``None`` in a snapshot of before there were any."""
    full: int
    """How many candidates fill a channel's list."""
    collapse_duplicates: bool
    fading_days: float = 30.0
    """In how many days what nobody recalls fades."""
    prior_weight: float = 0.0
    """How far a score changes at most by what clients did."""

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
class Asked:
    """A query as it is searched for."""

    text: str
    parts: tuple[str, ...] = ()
    """What of it is searched for by itself, too (``retrieval.aspects``)."""
    vectors: NDArray[np.float32] | None = None
    """Of the text and its parts, ``(1 + parts, dimensions)``; needed where the view uses vectors."""
    time: TimeIntent = NO_TIME
    """What it says of time."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The text, then its parts."""
        return (self.text, *self.parts)

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """Of the text."""
        return None if self.vectors is None else self.vectors[0]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What the channels found for one query."""

    found: tuple[tuple[Ranking, Ranking], ...]
    """Dense and lexical passages of the query, then of each of its parts."""
    memories: tuple[Mapping[str, float], ...]
    """Memory ids with their scores by full-text search, of the query and each part; empty without that channel."""
    linked: tuple[NDArray[np.int64], NDArray[np.float32]]
    """The query's entities in the graph, and their weights."""
    facts: QuestionFacts | None
    """The query among the graph's facts; ``None`` where there are none."""

    @property
    def dense(self) -> Ranking:
        return self.found[0][0]

    @property
    def lexical(self) -> Ranking:
        return self.found[0][1]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The passages of one query in their order, families collapsed."""

    shown: tuple[Shown, ...]
    ranks: Mapping[str, Mapping[str, int]]
    """Channel to passage id to rank, from 1."""
    reset: Reset = NO_RESET
    """Where the walk started; nowhere without the graph channel."""
    memories: MemoryScores | None = None
    """How the memories of the snapshot were found; ``None`` where they were not asked."""


class Search:
    """Queries on one view, found once."""

    def __init__(
        self,
        view: View,
        asked: Sequence[Asked],
        channels: Sequence[str],
        k: int,
        filters: Filters | None,
        recogniser: Recogniser = _BY_RULE,
    ) -> None:
        """Find the candidates.

        Args:
            channels: which of them may be ranked.
            k: how many passages a ranking may have at most.
            recogniser: which of the facts near a query are relevant.
        """
        self._view = view
        self._asked = asked
        self._limit = max(view.full, k)
        where = where_clause(filters)
        use_dense, use_lexical = "dense" in channels, "lexical" in channels
        texts: list[Texts] = [
            (query.vectors[at] if use_dense and query.vectors is not None else None, text if use_lexical else None)
            for query in asked
            for at, text in enumerate(query.texts)
        ]
        found = iter(view.table.search(texts, self._limit, where))
        memories = iter(self._memories([text for _, text in texts if text is not None]))
        use_graph = view.uses_graph(channels)
        self.candidates = [
            Candidates(
                tuple(next(found) for _ in query.texts),
                tuple(next(memories) for _ in query.texts) if use_lexical else (),
                link_question(query.text, view.graph) if use_graph else _NOTHING_LINKED,
                _facts(view.graph, query.text, query.vector, recogniser)
                if use_graph and query.vector is not None
                else None,
            )
            for query in asked
        ]
        self._families = view.table.families() if view.collapse_duplicates else NO_FAMILIES
        self._allowed = view.table.ids_where(where) if where else None
        self._priors = view.table.priors(view.manifest.as_of, view.fading_days, view.prior_weight)
        self._times = [self._dated(query.time) for query in asked]

    def _memories(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        if self._view.memories is None or not len(self._view.memories):
            return [{} for _ in texts]
        limit = self._view.full * len(self._view.memories.names)
        return list(self._view.memories.lexical(texts, limit))

    def _dated(self, intent: TimeIntent) -> TimeIntent:
        """The intent with the days of its event, which the best passages for its words tell."""
        if not intent.event:
            return intent
        ((_, lexical),) = self._view.table.search([(None, intent.event)], _EVENT_HITS, None)
        days = self._view.table.dates()
        return anchored(intent, [(days[key], days[key]) for key in lexical.ids if days.get(key)])

    def rank(self, number: int, k: int, channels: Sequence[str], fusion: FusionSettings) -> Ranked:
        """The best ``k`` passages of one of the queries."""
        found = self.candidates[number]
        rankings = {"dense": found.dense, "lexical": found.lexical}
        searched = {name: rankings[name] for name in channels if name in rankings}
        use_graph = self._view.uses_graph(channels)
        wanted = k
        fusion = shared_out(fusion, len(self._asked[number].texts))
        base, memories = self._base(number, channels, fusion)
        while True:
            fused = fuse(
                searched=searched,
                graph=self._view.graph if use_graph else None,
                linked=found.linked,
                settings=fusion,
                full=self._view.full,
                k=wanted,
                allowed=self._allowed if use_graph else None,
                facts=found.facts,
                base=base,
                priors=self._priors,
            )
            shown = collapse(fused.ids, fused.scores, self._families, self._allowed)[:k]
            if len(shown) >= k or len(fused.ids) < wanted:
                return Ranked(tuple(shown), fused.ranks, fused.reset, memories)
            wanted *= 2  # the families of some were among them

    def _base(
        self, number: int, channels: Sequence[str], fusion: FusionSettings
    ) -> tuple[dict[str, float], MemoryScores | None]:
        """The base score of each passage that was found, and how the memories were; see ``retrieval.layers``."""
        query, found = self._asked[number], self.candidates[number]
        chosen = [name for name in ("dense", "lexical") if name in channels]
        reads = "lexical" in chosen and len(chosen) + self._view.uses_graph(channels) > 1
        of_texts = []
        for text, pair in zip(query.texts, found.found, strict=True):
            rankings = {
                name: ranking for name, ranking in zip(("dense", "lexical"), pair, strict=True) if name in chosen
            }
            scores = base_scores(rankings, fusion, self._view.full)
            of_texts.append(covered(scores, partial(self._coverage, text), fusion) if reads else scores)
        if len(channels) < 2 or not chosen:  # a channel that is asked alone is measured alone
            return dict(of_texts[0]), None
        base = with_aspects(of_texts[0], of_texts[1:], fusion)
        memories, leading = self._remembered(number, chosen, fusion)
        pieces = self._pieces(number, base, fusion) if "dense" in chosen else {}
        score = layered(base, pieces, leading, fusion)
        intent = self._times[number]
        if intent.empty or not fusion.time_weight:
            return score, memories
        return timed(score, self._suiting(list(score), intent), fusion), memories

    def _remembered(
        self, number: int, channels: Sequence[str], fusion: FusionSettings
    ) -> tuple[MemoryScores | None, dict[str, float]]:
        """How the memories were found, and the passages that they lead to, as far as a filter lets them through."""
        memories = self._view.memories
        if memories is None or not len(memories) or not fusion.memory_weight:
            return None, {}
        wanted = [name for name in memories.names if name not in fusion.left_out]
        vectors = self._asked[number].vectors if "dense" in channels else None
        words = self.candidates[number].memories if "lexical" in channels else ()
        found = memories.found(vectors, words, wanted, fusion, self._view.full)
        leading = memories.passages_of(found)
        if self._allowed is not None:
            leading = {key: score for key, score in leading.items() if key in self._allowed}
        return found, leading

    def _pieces(self, number: int, base: Mapping[str, float], fusion: FusionSettings) -> dict[str, float]:
        vectors = self._asked[number].vectors
        if vectors is None or not fusion.piece_weight:
            return {}
        best = sorted(base, key=lambda key: (-base[key], key))[: fusion.covered]
        scores = piece_scores(vectors, self._view.table.pieces(best, vectors.shape[1]))
        return dict(zip(best, scores.tolist(), strict=True)) if scores.any() else {}

    def _suiting(self, ids: Sequence[str], intent: TimeIntent) -> dict[str, float]:
        """How well the days of passages suit an intent: their document's, or those that they speak of, if better."""
        dates = self._view.table.dates()
        own = np.array([dates.get(key) for key in ids], dtype="datetime64[D]")
        suits = time_scores(own, own, intent)
        told = self._view.memories.days_of(ids) if self._view.memories is not None else {}
        nothing = (np.datetime64("NaT"), np.datetime64("NaT"))
        days = np.array([told.get(key, nothing) for key in ids], dtype="datetime64[D]").reshape(len(ids), 2)
        if intent.ranged:
            said = ~np.isnat(days[:, 0])
            suits[said] = np.maximum(suits[said], time_scores(days[said, 0], days[said, 1], intent))
        return dict(zip(ids, suits.tolist(), strict=True))

    def _coverage(self, text: str, ids: Sequence[str]) -> NDArray[np.float32]:
        return coverage(stems(text), self._view.table.sentences(ids))

    def explain(self, number: int, ranked: Ranked, fusion: FusionSettings) -> Explained:
        """A ranking of one of the queries with its reasons."""
        found = self.candidates[number]
        hits = self.hits([ranked])[0]
        told = ranked.memories
        understood = Understood(self._asked[number].parts, {} if told is None else told.weights, self._times[number])
        leading = {} if told is None else self._leading(told, [hit.passage_id for hit in hits])
        return explained(
            self._view.graph,
            hits,
            found.linked[0],
            found.facts,
            fusion.fact_cut,
            ranked.reset,
            understood,
            leading,
        )

    def _leading(self, told: MemoryScores, passages: Sequence[str]) -> dict[str, list[FoundMemory]]:
        """The best memories that lead to each of these passages."""
        memories = self._view.memories
        assert memories is not None
        best = best_units(memories, told, passages, _TOLD_SCORE)
        rows = sorted({row for found in best.values() for row, _ in found})
        shown = dict(zip(rows, memories.shown(rows), strict=True))
        return {
            key: [
                FoundMemory(
                    shown[row]["memory_id"],
                    shown[row]["granularity"],
                    shown[row]["text"],
                    score,
                    shown[row]["superseded_by"] is not None,
                )
                for row, score in found
            ]
            for key, found in best.items()
        }

    def rank_units(
        self, number: int, granularity: str, k: int, channels: Sequence[str], fusion: FusionSettings
    ) -> list[Hit]:
        """The best ``k`` memories of a granularity for one of the queries (``retrieval.units``).

        Raises:
            UnknownName: the snapshot has no memories of that granularity.
        """
        memories = self._view.memories
        names = memories.names if memories is not None else []
        if memories is None or granularity not in names:
            raise unknown_name("granularity", granularity, [PASSAGE, *names])
        if len(channels) > 1:
            ranked = self.rank(number, self._view.full, channels, fusion)
            passages = {key: item.score for item in ranked.shown for key in (item.key, *item.others)}
        else:
            passages = {}
        found, _ = self._remembered(number, channels, fusion.model_copy(update={"left_out": (), "memory_weight": 1.0}))
        assert found is not None
        permitted = self._allowed
        wanted = k if permitted is None else len(memories)
        rows = rank_units(memories, found, granularity, passages, wanted)
        if permitted is not None:
            rows = [item for item in rows if any(key in permitted for key in memories.led_to(item[0]))][:k]
        shown = memories.shown([row for row, _ in rows])
        return [
            memory_hit(place, score, row) for place, ((_, score), row) in enumerate(zip(rows, shown, strict=True), 1)
        ]

    def expand(self, number: int, hit: Hit, k: int, fusion: FusionSettings) -> list[Hit]:
        """The parts of a memory that best match one of the queries, or its passages where it has no finer parts."""
        memories = self._view.memories
        row = memories.row(hit.memory_id) if memories is not None and hit.memory_id else None
        if memories is None or row is None:
            return []
        parts = np.flatnonzero(memories.parents == row).tolist()
        if not parts:
            led = set(memories.led_to(row))
            ranked = self.rank(number, self._view.full, CHANNELS, fusion)
            kept = [item for item in ranked.shown if item.key in led][:k]
            return self.hits([Ranked(tuple(kept), ranked.ranks)])[0]
        found, _ = self._remembered(number, CHANNELS, fusion.model_copy(update={"left_out": (), "memory_weight": 1.0}))
        assert found is not None
        best = sorted(parts, key=lambda at: (-float(found.scores[at]), at))[:k]
        shown = memories.shown(best)
        return [
            memory_hit(place, float(found.scores[at]), one)
            for place, (at, one) in enumerate(zip(best, shown, strict=True), 1)
        ]

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


def memory_hit(rank: int, score: float, row: Mapping[str, Any]) -> Hit:
    """A memory as it is shown."""
    places = zip(row["documents"], row["revisions"], row["starts"], row["ends"], strict=True)
    spans = tuple(Span(*place) for place in places)
    first = [span for span in spans if span.document_id == spans[0].document_id]
    return Hit(
        rank=rank,
        score=score,
        passage_id=row["passage_ids"][0],
        text=row["text"],
        title=row["title"],
        location=Location(row["source"], row["path"], row["title"], "", None, row["author"], row["document_date"]),
        span=Span(spans[0].document_id, spans[0].revision_id, first[0].start, max(span.end for span in first)),
        kind=row["granularity"],
        granularity=row["granularity"],
        memory_id=row["memory_id"],
        parent_id=row["parent_id"] or "",
        spans=spans,
        since=row["since"],
        until=row["until"],
        superseded=row["superseded_by"] is not None,
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
