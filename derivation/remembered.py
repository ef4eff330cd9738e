"""What a lake remembers of one document, for a person to read; and pairs of documents and memories, to train on.

Everything is read from the warehouse as it is now; nothing is derived, and nothing is written into the lake.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from derivation.lake import Lake
from errors import InvalidQuery, SnapshotError
from memory.documents.finetuning import LEAST_CLARITY, LEAST_COMPLETENESS, finetuning_records
from memory.documents.outline import DocumentMemories, Judged
from memory.granularity import Granularity, Memory
from warehouse.database import Connection
from warehouse.settings import unknown_name

_DOCUMENTS_AT_ONCE = 64

_MEMORIES = """
SELECT m.memory_id, m.granularity, m.ordinal, m.parent_id, m.text, m.tokens, m.pooled, m.speaker, m.subject,
    m.attribute, m.since, m.until, v.valid_from, v.valid_until, v.superseded_by,
    list((s.char_start, s.char_end) ORDER BY s.char_start) AS spans
FROM memories m JOIN memory_spans s USING (memory_id) LEFT JOIN memory_validity v USING (memory_id)
WHERE m.document_id = $id GROUP BY ALL ORDER BY m.granularity, m.ordinal
"""
_CANDIDATES = """
SELECT candidate, chunks, clarity, completeness, fused, kept FROM outline_candidates
WHERE document_id = $id ORDER BY fused DESC, candidate
"""
_OUTLINED = """
SELECT d.document_id FROM documents d
WHERE ($source = '' OR d.source = $source)
    AND EXISTS (SELECT 1 FROM outline_candidates c WHERE c.document_id = d.document_id)
ORDER BY d.space, d.source, d.path
"""
_PARTS = """
SELECT m.document_id, m.memory_id, m.parent_id, m.granularity, m.text,
    list((s.char_start, s.char_end) ORDER BY s.char_start) AS spans
FROM memories m JOIN memory_spans s USING (memory_id)
WHERE m.granularity IN ('outline', 'core') AND m.document_id IN (SELECT unnest($ids))
GROUP BY ALL ORDER BY m.document_id, m.granularity DESC, min(m.ordinal)
"""


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of the lake."""

    document_id: str
    space: str
    source: str
    path: str
    title: str
    document_date: date | None


@dataclass(frozen=True, slots=True)
class KnownMemory:
    """A row of ``memories`` with its spans and, of a fact, for how long it holds."""

    memory_id: str
    granularity: str
    ordinal: int
    parent_id: str | None
    text: str
    tokens: int
    pooled: bool
    speaker: str
    subject: str
    attribute: str
    since: date | None
    until: date | None
    valid_from: date | None
    valid_until: date | None
    superseded_by: str | None
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TimeSaid:
    """Words for a time, and the days that they mean on the document's date."""

    char_start: int
    char_end: int
    words: str
    since: date
    until: date


@dataclass(frozen=True, slots=True)
class RememberedOf:
    """What the lake remembers of a document."""

    document: KnownDocument
    memories: tuple[KnownMemory, ...]
    times: tuple[TimeSaid, ...]

    def of(self, granularity: Granularity) -> list[KnownMemory]:
        """The memories of one granularity, in order."""
        return [memory for memory in self.memories if memory.granularity == granularity]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written for training."""

    documents: int
    """That have an outline."""
    used: int
    """Of those: the ones with records."""
    records: int


def read_memories(lake: Lake, name: str, source: str = "") -> RememberedOf:
    """What is remembered of the document with this path or id.

    Raises:
        UnknownName: there is none, or no such source.
        InvalidQuery: several sources have the path.
        SnapshotError: the lake was never built.
    """
    with _reading(lake, source) as connection:
        document = _find(connection, name, source)
        of = {"id": document.document_id}
        rows = connection.execute(_MEMORIES, of).fetchall()
        times = connection.execute(
            "SELECT char_start, char_end, words, since, until FROM time_expressions WHERE document_id = $id"
            " ORDER BY char_start",
            of,
        ).fetchall()
    memories = tuple(_memory(*row) for row in rows)
    return RememberedOf(document, memories, tuple(TimeSaid(*row) for row in times))


def read_candidates(lake: Lake, name: str, source: str = "") -> tuple[KnownDocument, list[Judged]]:
    """The outlines that were considered for a document, the best first; none for a conversation.

    Raises:
        UnknownName: there is no such document, or no such source.
        InvalidQuery: several sources have the path.
        SnapshotError: the lake was never built.
    """
    with _reading(lake, source) as connection:
        document = _find(connection, name, source)
        rows = connection.execute(_CANDIDATES, {"id": document.document_id}).fetchall()
    return document, [Judged(*row) for row in rows]


def export_finetuning(
    lake: Lake,
    file: Path,
    source: str = "",
    least_clarity: float = LEAST_CLARITY,
    least_completeness: float = LEAST_COMPLETENESS,
) -> Exported:
    """Write a JSON line for each section of each outlined document whose outline is good enough.

    Each line has the ``messages`` of a chat, the path, and what tells its quality.

    Raises:
        UnknownName: there is no such source.
        SnapshotError: the lake was never built.
    """
    documents = used = records = 0
    with _reading(lake, source) as connection:
        ids = [row[0] for row in connection.execute(_OUTLINED, {"source": source}).fetchall()]
    with file.open("w", encoding="utf-8") as out:
        for path, found in _outlined(lake, ids, least_clarity, least_completeness):
            documents += 1
            used += bool(found)
            records += len(found)
            for record in found:
                out.write(json.dumps({**record, "path": path}, ensure_ascii=False) + "\n")
    return Exported(documents, used, records)


def _memory(*row: Any) -> KnownMemory:
    values = [*row[:-1], tuple((start, end) for start, end in row[-1])]
    return KnownMemory(*values)


@contextmanager
def _reading(lake: Lake, source: str) -> Iterator[Connection]:
    """The warehouse of a lake that was built, where the settings have the source or none is named."""
    if source:
        lake.settings.source(source)
    if not lake.warehouse.exists:
        raise SnapshotError("Nothing is remembered yet: the lake was never built.", "Run: memlake build")
    with lake.warehouse.session("reading memories") as connection:
        yield connection


def _find(connection: Connection, name: str, source: str) -> KnownDocument:
    rows = connection.execute(
        "SELECT document_id, space, source, path, title, document_date FROM documents"
        " WHERE (path = $name OR document_id = $name) AND ($source = '' OR source = $source) ORDER BY source",
        {"name": name, "source": source},
    ).fetchall()
    if not rows:
        paths = connection.execute(
            "SELECT path FROM documents WHERE $source = '' OR source = $source"
            " ORDER BY levenshtein(path, $name), path LIMIT 3",
            {"name": name, "source": source},
        ).fetchall()
        raise unknown_name("document", name, [path for (path,) in paths])
    if len(rows) > 1:
        sources = ", ".join(f"'{row[2]}'" for row in rows)
        raise InvalidQuery(f"Several sources have a document '{name}': {sources}.", "Choose one with --source.")
    return KnownDocument(*rows[0])


def _outlined(
    lake: Lake, ids: Sequence[str], least_clarity: float, least_completeness: float
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Path and records of each of these documents."""
    for start in range(0, len(ids), _DOCUMENTS_AT_ONCE):
        some = ids[start : start + _DOCUMENTS_AT_ONCE]
        with lake.warehouse.session("reading outlined documents") as connection:
            documents = connection.execute(
                "SELECT d.document_id, d.path, d.title, d.media_type, r.text FROM documents d"
                " JOIN revisions r USING (document_id) WHERE d.document_id IN (SELECT unnest($ids))"
                " ORDER BY list_position($ids, d.document_id)",
                {"ids": some},
            ).fetchall()
            remembered = _document_memories(connection, some)
        for key, path, title, media_type, text in documents:
            yield (
                path,
                finetuning_records(text, remembered[key], media_type, title, least_clarity, least_completeness),
            )


def _document_memories(connection: Connection, ids: Sequence[str]) -> dict[str, DocumentMemories]:
    """Candidates, outlines and cores of documents, as remembering made them."""
    of = {"ids": list(ids)}
    judged: dict[str, list[Judged]] = {key: [] for key in ids}
    for key, *row in connection.execute(
        "SELECT document_id, candidate, chunks, clarity, completeness, fused, kept FROM outline_candidates"
        " WHERE document_id IN (SELECT unnest($ids)) ORDER BY document_id, candidate",
        of,
    ).fetchall():
        judged[key].append(Judged(*row))
    memories: dict[str, tuple[Memory, ...]] = {}
    for document, rows in groupby(connection.execute(_PARTS, of).fetchall(), key=lambda row: row[0]):
        places: dict[str, int] = {}
        made = []
        for _, key, parent, granularity, text, spans in rows:
            places[key] = len(places)
            at = places.get(parent) if parent else None
            made.append(Memory(Granularity(granularity), text, tuple(map(tuple, spans)), at))
        memories[document] = tuple(made)
    return {key: DocumentMemories(tuple(judged[key]), memories.get(key, ())) for key in ids}
