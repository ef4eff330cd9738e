"""Documents to their memories: outlines and cores of texts; turns, episodes, facts and summaries of conversations.

Each document is read alone, by rules or by a model, so that its memories depend on nothing else in the lake. What is a
function of many documents follows in steps of its own: periods (``derivation/periods.py``), for how long facts hold,
and associations.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from derivation.embeddings import keeps_pieces
from derivation.lake import Lake
from derivation.model_calls import Question
from derivation.model_memories import ModelMemories, model_parameters
from derivation.progress import ModelUse
from derivation.runner import Computed, Inputs, failure
from errors import MemlakeError
from memory import pieces as late
from memory.conversations.rules import CODE_VERSION as CONVERSATIONS_VERSION
from memory.conversations.times import TimeExpression
from memory.documents.outline import CODE_VERSION as DOCUMENTS_VERSION
from memory.documents.outline import Judged
from memory.granularity import Granularity, Memory
from memory.remembering import Remembered, RememberedDocument, remember_by_rules
from warehouse.database import Changes, Connection, replace_rows
from warehouse.delta import Outcome, Scope, Status, Step, Task, Verdict
from warehouse.ids import memory_id, pooled_id, text_id

MEMORIES_STEP_NAME = "memories"
CODE_VERSION = f"{DOCUMENTS_VERSION}.{CONVERSATIONS_VERSION}"

_OWNED = {"space": pl.String, "source": pl.String}
SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "memories": {
        "memory_id": pl.String,
        **_OWNED,
        "document_id": pl.String,
        "granularity": pl.String,
        "ordinal": pl.Int32,
        "parent_id": pl.String,
        "text": pl.String,
        "text_hash": pl.String,
        "pooled": pl.Boolean,
        "tokens": pl.Int32,
        "speaker": pl.String,
        "subject": pl.String,
        "attribute": pl.String,
        "since": pl.Date,
        "until": pl.Date,
    },
    "memory_spans": {
        "memory_id": pl.String,
        **_OWNED,
        "owner_id": pl.String,
        "document_id": pl.String,
        "revision_id": pl.String,
        "char_start": pl.Int32,
        "char_end": pl.Int32,
    },
    "outline_candidates": {
        "document_id": pl.String,
        **_OWNED,
        "candidate": pl.String,
        "chunks": pl.Int32,
        "clarity": pl.Float64,
        "completeness": pl.Float64,
        "fused": pl.Float64,
        "kept": pl.Boolean,
    },
    "time_expressions": {
        "document_id": pl.String,
        **_OWNED,
        "revision_id": pl.String,
        "char_start": pl.Int32,
        "char_end": pl.Int32,
        "words": pl.String,
        "since": pl.Date,
        "until": pl.Date,
    },
}
_KEYS = {
    "memories": ["memory_id"],
    "memory_spans": ["memory_id", "document_id", "char_start"],
    "outline_candidates": ["document_id", "candidate"],
    "time_expressions": ["document_id", "char_start"],
}
_OWNERS = {"memory_spans": "owner_id"}
"""The column that names whose rows they are, where it is not ``document_id``."""

_SPANNING = frozenset({Granularity.TURN, Granularity.ROUND, Granularity.EPISODE, Granularity.CORE, Granularity.FACT})
"""Granularities whose text is that of their spans, so that it needs no reading of its own to be embedded."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A document, and what its rows need besides its memories."""

    document: RememberedDocument
    space: str
    source: str
    revision_id: str
    cuts: tuple[late.Cut, ...]


@dataclass
class _Rows:
    """Rows of a batch, by table."""

    of: dict[str, list[tuple[object, ...]]] = field(default_factory=lambda: {name: [] for name in SCHEMAS})


class Memories:
    """Remembers each document; a memory whose text an edit leaves alone keeps its id, and its vector."""

    def __init__(self, lake: Lake, recorded_only: bool = False) -> None:
        """``recorded_only`` takes only documents whose replies are recorded, so that no model is asked."""
        self._lake = lake
        self._recorded_only = recorded_only
        self.step = memories_step(lake)

    def inputs(self, scope: Scope) -> Inputs:
        return Inputs(
            "SELECT r.document_id AS input_id, md5(concat_ws(chr(31), r.content_hash, d.title, d.media_type,"
            " coalesce(CAST(d.document_date AS VARCHAR), ''), array_to_string(r.speakers, chr(30)),"
            " coalesce(p.cut, ''))) AS input_hash, d.path AS label"
            " FROM revisions r JOIN documents d USING (document_id) LEFT JOIN ("
            "SELECT document_id, string_agg(text_hash || ':' || char_start, ',' ORDER BY ordinal) AS cut FROM passages"
            " WHERE space = $of_space AND source = $of_source GROUP BY document_id) p USING (document_id)"
            " WHERE r.space = $of_space AND r.source = $of_source",
            {"of_space": scope.space, "of_source": scope.source},
        )

    def load(self, connection: Connection, tasks: Sequence[Task]) -> list[_Loaded]:
        of = {"ids": [task.input_id for task in tasks]}
        cuts: dict[str, list[late.Cut]] = {}
        for key, text_hash, start, text, kind in connection.execute(
            "SELECT document_id, text_hash, char_start, text, kind FROM passages"
            " WHERE document_id IN (SELECT unnest($ids)) ORDER BY document_id, ordinal",
            of,
        ).fetchall():
            cuts.setdefault(key, []).append(late.Cut(text_hash, start, late.pieces(text, kind)))
        rows = connection.execute(
            "SELECT d.document_id, d.space, d.source, d.title, d.media_type, d.document_date, r.revision_id,"
            " r.content_hash, r.text, r.turn_starts, r.speakers FROM documents d JOIN revisions r USING (document_id)"
            " WHERE d.document_id IN (SELECT unnest($ids)) ORDER BY d.document_id",
            of,
        ).fetchall()
        return [
            _Loaded(
                RememberedDocument(key, content, text, title, media_type, day, tuple(turns), tuple(speakers)),
                space,
                source,
                revision,
                tuple(cuts.get(key, ())),
            )
            for key, space, source, title, media_type, day, revision, content, text, turns, speakers in rows
        ]

    def compute(self, tasks: Sequence[Task], loaded: list[_Loaded]) -> Computed:
        by_id = {task.input_id: task for task in tasks}
        documents = [item.document for item in loaded]
        model = self._model(loaded, self._again(tasks))
        if model is None:
            found: Sequence[Remembered | MemlakeError | None] = [
                remember_by_rules(document, self._lake.token_counter) for document in documents
            ]
            stopped, deferred, used = None, None, ModelUse()
        else:
            read = model.remember(documents)
            found, stopped, deferred = read.found, read.stopped, read.deferred
            unlocated = sum(item.unlocated for item in found if isinstance(item, Remembered))
            used = ModelUse(model.seconds, model.tokens, model.cost, unlocated)
        rows, outcomes = _Rows(), []
        for item, remembered in zip(loaded, found, strict=True):
            task = by_id[item.document.document_id]
            if isinstance(remembered, MemlakeError):
                outcomes.append(failure(task, remembered))
            elif remembered is not None:
                outcomes.append(Outcome(task, Status.DONE, outputs=self._add(rows, item, remembered)))
        outputs = {name: pl.DataFrame(rows.of[name], schema=schema, orient="row") for name, schema in SCHEMAS.items()}
        return Computed(outputs, outcomes, stopped, deferred, used)

    def tables(self, outputs: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
        return outputs

    def write(self, connection: Connection, owners: Sequence[str], outputs: Mapping[str, pl.DataFrame]) -> Changes:
        changes = [
            replace_rows(connection, name, _KEYS[name], rows, *self.owned(name, owners))
            for name, rows in outputs.items()
        ]
        return sum(changes, Changes())

    def owned(self, table: str, owners: Sequence[str]) -> tuple[str, Sequence[str]]:
        return _OWNERS.get(table, "document_id"), owners

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        removed = 0
        for table in SCHEMAS:
            gone = connection.execute(
                f"DELETE FROM {table} WHERE {_OWNERS.get(table, 'document_id')} IN (SELECT unnest($ids)) RETURNING 1",
                {"ids": list(input_ids)},
            ).fetchall()
            removed += len(gone)
        return Changes(removed=removed)

    def missing(self, tasks: Sequence[Task], loaded: list[_Loaded]) -> list[Question]:
        """What a model is to be asked about these documents, each request once; nothing where rules remember."""
        model = self._model(loaded, frozenset())
        return [] if model is None else model.missing([item.document for item in loaded])

    def _again(self, tasks: Sequence[Task]) -> frozenset[str]:
        """Documents about which the model is asked anew where its reply was of no use."""
        retried = tasks if self._lake.retry_quarantined else ()
        return frozenset(task.input_id for task in retried if task.verdict is Verdict.FAILED)

    def _model(self, loaded: Sequence[_Loaded], again: Collection[str]) -> ModelMemories | None:
        if self._lake.settings.memory.provider == "rules" or not loaded:
            return None
        hashes = [item.document.content_hash for item in loaded if item.document.document_id in again]
        return ModelMemories(self._lake, Scope(loaded[0].space, loaded[0].source), self._recorded_only, hashes)

    def _add(self, rows: _Rows, item: _Loaded, remembered: Remembered) -> int:
        """Append the rows of one document; returns how many memories it has."""
        document, owner = item.document, (item.space, item.source)
        kept = _wanted(remembered.memories, self._lake.settings.memory.of_space(item.space))
        keys = _keys(document.document_id, [memory for memory, _ in kept])
        counts = self._lake.token_counter([memory.text for memory, _ in kept]) if kept else []
        ordinals: dict[str, int] = {}
        for key, (memory, parent), tokens in zip(keys, kept, counts, strict=True):
            ordinal = ordinals.get(memory.granularity, 0)
            ordinals[memory.granularity] = ordinal + 1
            pooled = self._pooled(item, memory, remembered.is_verbatim)
            rows.of["memories"].append(
                (
                    key,
                    *owner,
                    document.document_id,
                    str(memory.granularity),
                    ordinal,
                    None if parent is None else keys[parent],
                    memory.text,
                    pooled or text_id(document.title, "", memory.text),
                    pooled is not None,
                    tokens,
                    memory.speaker,
                    memory.subject,
                    memory.attribute,
                    memory.since,
                    memory.until,
                )
            )
            rows.of["memory_spans"] += [
                (key, *owner, document.document_id, document.document_id, item.revision_id, start, end)
                for start, end in memory.spans
            ]
        rows.of["outline_candidates"] += [_candidate(document, owner, judged) for judged in remembered.candidates]
        rows.of["time_expressions"] += [_time(item, expression) for expression in remembered.times]
        return len(kept)

    def _pooled(self, item: _Loaded, memory: Memory, is_verbatim: bool) -> str | None:
        """What a memory's vector is the mean of, where it is that of what stands in the document."""
        spans_say_it = memory.granularity in _SPANNING and (
            is_verbatim or memory.granularity not in (Granularity.CORE, Granularity.FACT)
        )
        parts = late.parts_of(memory.spans, item.cuts) if spans_say_it and keeps_pieces(self._lake) else []
        return pooled_id(parts) if parts else None


def memories_step(lake: Lake) -> Step:
    """The step; what a model is asked, and what is made of its reply, are part of its fingerprint."""
    setting = lake.settings.memory
    parameters: dict[str, object] = {
        "by": setting.provider,
        "granularities": sorted(setting.granularities),
        "spaces": {space: sorted(names) for space, names in sorted(setting.spaces.items())},
        "tokenizer": lake.embedder_spec.model if lake.embedder_spec.provider == "sentence-transformers" else "bundled",
        "pieces": late.CODE_VERSION if keeps_pieces(lake) else None,
    }
    if setting.provider == "openai":
        parameters |= model_parameters(lake)
    return Step(MEMORIES_STEP_NAME, CODE_VERSION, parameters)


def _wanted(memories: Sequence[Memory], granularities: Sequence[str]) -> list[tuple[Memory, int | None]]:
    """The memories of these granularities, each with the place of the nearest kept one that it is a part of."""
    places: dict[int, int] = {}
    for at, memory in enumerate(memories):
        if memory.granularity in granularities:
            places[at] = len(places)
    kept = []
    for at in places:
        above = memories[at].parent
        while above is not None and above not in places:
            above = memories[above].parent
        kept.append((memories[at], None if above is None else places[above]))
    return kept


def _keys(document: str, memories: Sequence[Memory]) -> list[str]:
    occurrences: dict[tuple[str, str], int] = {}
    keys = []
    for memory in memories:
        said = (str(memory.granularity), memory.text)
        occurrences[said] = occurrences.get(said, -1) + 1
        keys.append(memory_id(document, *said, occurrences[said]))
    return keys


def _candidate(document: RememberedDocument, owner: tuple[str, str], judged: Judged) -> tuple[object, ...]:
    scores = (judged.chunks, judged.clarity, judged.completeness, judged.fused, judged.kept)
    return (document.document_id, *owner, judged.name, *scores)


def _time(item: _Loaded, found: TimeExpression) -> tuple[object, ...]:
    where = (item.document.document_id, item.space, item.source, item.revision_id)
    days: tuple[date, date] = (found.since, found.until)
    return (*where, found.start, found.end, found.words, *days)
