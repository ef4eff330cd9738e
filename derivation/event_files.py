"""Reading the files that clients write into ``events/``.

The rows of ``events`` are a function of the files and of the documents that the lake holds: a row for each line about
such a document. A file is read from where its last reading ended. It is read from its start where it is not the file
that was read, where rows of it went with their documents, or where lines have no row and the lake holds other documents
than it did then. Rows, offsets and counts are committed together, so a crash repeats a portion or nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from derivation.lake import Lake, exclusive
from retrieval.events import SUFFIX, Event
from warehouse.database import Changes, Connection, frame, registered
from warehouse.faults import reach
from warehouse.ids import content_id
from warehouse.layout import LakeLayout

_PORTION_BYTES = 16_000_000
"""Read between two commits; no line is that long."""

_QUICK_BYTES = 100_000
"""So many are parsed before the warehouse could be opened again."""

_TAIL_BYTES = 4096

_FILE_NAME = re.compile(rf"[0-9A-Za-z_-][0-9A-Za-z._-]*{re.escape(SUFFIX)}")

_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "position": pl.Int64,
    "event_id": pl.String,
    "kind": pl.String,
    "space": pl.String,
    "document_id": pl.String,
    "target_id": pl.String,
    "snapshot_id": pl.String,
    "query_hash": pl.String,
    "happened_at": pl.Datetime("us"),
}

_KNOWN = """
SELECT document_id, '' AS target_id, space, source FROM documents
UNION ALL SELECT '', memory_id, space, source FROM memories WHERE document_id = ''
"""
"""What events may be about: documents, and memories of many documents."""

_LOCATED = f"""
SELECT e.*, k.space AS known_space, k.source FROM events_frame e
LEFT JOIN ({_KNOWN}) k ON k.document_id = e.document_id
    AND k.target_id = CASE WHEN e.document_id = '' THEN e.target_id ELSE '' END
ORDER BY e.position
"""
_HASH_OF_KNOWN = f"""
SELECT count(*) || '-' || coalesce(bit_xor(md5_number_lower(space || document_id || target_id)), 0) FROM ({_KNOWN})
"""


@dataclass(frozen=True, slots=True)
class FileState:
    """How far a file was read, and what was found; a row of ``event_files``."""

    file: str
    bytes_read: int = 0
    tail_hash: str = ""
    documents_hash: str = ""
    events: int = 0
    """Lines that are events, whatever they are about."""
    kept: int = 0
    """Lines that became rows, as they are about what the lake holds."""
    elsewhere: int = 0
    unreadable: int = 0


@exclusive("reading events")
def read_events(lake: Lake) -> Changes:
    """Bring the rows of ``events`` up to date with the files; how many came and went."""
    changes = Changes()
    paths = event_files(lake.layout)
    with lake.warehouse.session("looking for events") as connection:
        states, rows, known = file_states(connection), _row_counts(connection), _known_hash(connection)
        gone = sorted(states.keys() - {path.name for path in paths})
        changes += Changes(removed=_forget_files(connection, gone) + _forget_memories(connection))
    for path in paths:
        state = states.get(path.name, FileState(path.name))
        if state.bytes_read and not _stands(path, state, rows.get(path.name, 0), known):
            state = FileState(path.name)
        changes += _read_file(lake, path, state, known, replaces=path.name in states and not state.bytes_read)
    return changes


def read_again(lake: Lake) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name and rows of each file as far as it was read, without those that the next run would read from the start."""
    with lake.warehouse.session("reading the state of events") as connection:
        states, rows, known = file_states(connection), _row_counts(connection), _known_hash(connection)
    for path in event_files(lake.layout):
        state = states.get(path.name)
        if state is None or not _stands(path, state, rows.get(path.name, 0), known):
            continue
        found, position = [_parse(b"", 0)[0]], 0
        while data := _whole_lines(path, position, state.bytes_read):
            found.append(_parse(data, position)[0])
            position += len(data)
        with lake.warehouse.session("reading events again") as connection:
            again, _ = _located(connection, path.name, pl.concat(found))
        yield path.name, again


def event_files(layout: LakeLayout) -> list[Path]:
    """The files of events that may be read, in order; other names are not looked at."""
    if not layout.events.is_dir():
        return []
    named = (path for path in layout.events.iterdir() if _FILE_NAME.fullmatch(path.name))
    return sorted(path for path in named if path.is_file() and os.access(path, os.R_OK))


def file_states(connection: Connection) -> dict[str, FileState]:
    """How far each file was read, by name."""
    rows = connection.execute(
        "SELECT file, bytes_read, tail_hash, documents_hash, events, kept, elsewhere, unreadable"
        " FROM event_files ORDER BY file"
    ).fetchall()
    return {row[0]: FileState(*row) for row in rows}


def _known_hash(connection: Connection) -> str:
    """Of everything that events may be about."""
    return str(frame(connection, _HASH_OF_KNOWN).item())


def _stands(path: Path, state: FileState, rows: int, known: str) -> bool:
    """Whether what was read of a file still stands: it ended so, has its rows, and no line can have gained one."""
    return (
        rows == state.kept
        and (state.kept == state.events or state.documents_hash == known)
        and _tail_hash(path, state.bytes_read) == state.tail_hash
    )


def _parse(data: bytes, position: int) -> tuple[pl.DataFrame, int]:
    """The events of whole lines, of which the first begins at ``position``, and how many lines are none."""
    found: list[tuple[object, ...]] = []
    unreadable = 0
    for line in data.split(b"\n"):
        event = Event.from_line(line)
        if event is not None:
            key = (event.event_id, event.kind.value, event.space, event.document_id, event.target_id)
            found.append((position, *key, event.snapshot_id, event.query_hash, event.at.replace(tzinfo=None)))
        elif line.strip():
            unreadable += 1
        position += len(line) + 1
    return pl.DataFrame(found, schema=_SCHEMA, orient="row"), unreadable


def _located(connection: Connection, file: str, parsed: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The rows of ``events`` that lines of a file give now, and how many name a document of another space."""
    with registered(connection, "events_frame", parsed):
        rows = frame(connection, _LOCATED)
    own = rows.filter(pl.col("known_space") == pl.col("space"))
    elsewhere = rows["known_space"].is_not_null().sum() - own.height
    columns = ["position", "event_id", "kind", "space", "source", "document_id", "target_id", "snapshot_id"]
    return own.select(pl.lit(file).alias("file"), *columns, "query_hash", "happened_at"), int(elsewhere)


def _whole_lines(path: Path, start: int, end: int | None = None) -> bytes:
    """The next portion of a file, up to the end of a line: what a writer has begun is left for later."""
    with path.open("rb") as handle:
        handle.seek(start)
        data = handle.read(_PORTION_BYTES if end is None else max(0, min(end - start, _PORTION_BYTES)))
    if len(data) == _PORTION_BYTES and b"\n" not in data:
        return data
    return data[: data.rfind(b"\n") + 1]


def _read_file(lake: Lake, path: Path, state: FileState, known: str, replaces: bool) -> Changes:
    """Read a file from where ``state`` says; ``replaces`` forgets what was read of it before."""
    changes = Changes()
    while (data := _whole_lines(path, state.bytes_read)) or replaces:
        with lake.warehouse.released() if len(data) > _QUICK_BYTES else nullcontext():
            parsed, unreadable = _parse(data, state.bytes_read)
        reach("events.read")
        with lake.warehouse.session("writing events") as connection:
            gone = _forget_files(connection, [path.name]) if replaces else 0
            rows, elsewhere = _located(connection, path.name, parsed)
            end = state.bytes_read + len(data)
            state = replace(
                state,
                bytes_read=end,
                tail_hash=_tail_hash(path, end),
                documents_hash=known,
                events=state.events + parsed.height,
                kept=state.kept + rows.height,
                elsewhere=state.elsewhere + elsewhere,
                unreadable=state.unreadable + unreadable,
            )
            _insert(connection, state, rows)
            reach("events.written")
        reach("events.committed")
        changes += Changes(added=rows.height, removed=gone)
        replaces = False
    return changes


def _insert(connection: Connection, state: FileState, rows: pl.DataFrame) -> None:
    with registered(connection, "rows_frame", rows):
        connection.execute("INSERT INTO events BY NAME SELECT * FROM rows_frame")
    connection.execute(
        "INSERT OR REPLACE INTO event_files VALUES ($file, $read, $tail, $known, $events, $kept, $elsewhere,"
        " $unreadable)",
        {
            "file": state.file,
            "read": state.bytes_read,
            "tail": state.tail_hash,
            "known": state.documents_hash,
            "events": state.events,
            "kept": state.kept,
            "elsewhere": state.elsewhere,
            "unreadable": state.unreadable,
        },
    )


def _row_counts(connection: Connection) -> dict[str, int]:
    """How many rows of ``events`` each file has."""
    return dict(connection.execute("SELECT file, count(*) FROM events GROUP BY file").fetchall())


def _forget_files(connection: Connection, names: Collection[str]) -> int:
    of = {"names": list(names)}
    connection.execute("DELETE FROM event_files WHERE file IN (SELECT unnest($names))", of)
    return len(
        connection.execute("DELETE FROM events WHERE file IN (SELECT unnest($names)) RETURNING 1", of).fetchall()
    )


def _forget_memories(connection: Connection) -> int:
    """Remove events on memories of many documents that are gone; those of documents go with their document."""
    return len(
        connection.execute(
            "DELETE FROM events WHERE document_id = '' AND target_id NOT IN"
            " (SELECT memory_id FROM memories WHERE document_id = '') RETURNING 1"
        ).fetchall()
    )


def _tail_hash(path: Path, end: int) -> str:
    with path.open("rb") as handle:
        handle.seek(max(0, end - _TAIL_BYTES))
        return content_id("tail", handle.read(min(end, _TAIL_BYTES)))
