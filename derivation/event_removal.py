"""Taking lines out of the files that clients write into ``events/``: what is gone leaves no trace there, either.

A line is overwritten with spaces where it stands. No byte moves, so clients go on appending meanwhile, and what was
read of the file keeps its place.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from derivation.event_files import event_files, file_states
from derivation.lake import Lake, exclusive
from retrieval.events import Event
from warehouse.layout import LakeLayout
from warehouse.snapshots import list_ids, read_manifest
from warehouse.vectors import in_list, open_version

_ASKED_IDS = 1000


def blank_events(
    layout: LakeLayout, documents: Collection[str], space: str = "", unreadable: bool = False
) -> dict[str, int]:
    """Overwrite every line about one of ``documents``, or of ``space``, with spaces.

    No byte moves, so clients may go on appending.

    Args:
        unreadable: also every line that is no event, as nobody can tell what it was about; a line that a client is just
            writing is lost then.

    Returns:
        How many lines went of each file that had some.
    """
    gone: dict[str, int] = {}
    ids = frozenset(documents)
    for path in event_files(layout):
        spans = [
            (position, len(line.rstrip(b"\n")))
            for position, line in _lines(path)
            if line.strip() and _names(line, ids, space, unreadable)
        ]
        if spans:
            _overwrite(path, spans)
            gone[path.name] = len(spans)
    return gone


def _names(line: bytes, ids: frozenset[str], space: str, unreadable: bool) -> bool:
    event = Event.from_line(line)
    if event is not None:
        return event.document_id in ids or (space != "" and event.space == space)
    return unreadable


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    position = 0
    with path.open("rb") as handle:
        for line in handle:
            yield position, line
            position += len(line)


def _overwrite(path: Path, spans: Collection[tuple[int, int]]) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for position, length in spans:
            os.pwrite(descriptor, b" " * length, position)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@exclusive("sweeping events")
def sweep_events(lake: Lake) -> int:
    """Take out the lines about documents that neither the lake nor a kept snapshot holds; how many went.

    Only files that were read since a document went are looked through.
    """
    with lake.warehouse.session("looking for events of nothing") as connection:
        states = file_states(connection)
        present = {key for (key,) in connection.execute("SELECT document_id FROM documents").fetchall()}
    unknown = {
        event.document_id
        for path in event_files(lake.layout)
        if path.name in states and states[path.name].events > states[path.name].kept
        for _, line in _lines(path)
        if (event := Event.from_line(line)) is not None
    } - {*present, ""}
    unknown -= _shown(lake, sorted(unknown))
    if not unknown:
        return 0
    gone = blank_events(lake.layout, unknown)
    with lake.warehouse.session("forgetting events of nothing") as connection:
        connection.execute(
            "UPDATE event_files SET tail_hash = '' WHERE file IN (SELECT unnest($files))", {"files": sorted(gone)}
        )  # so that they are read again
    return sum(gone.values())


def _shown(lake: Lake, documents: list[str]) -> set[str]:
    """Those of the documents that some kept snapshot shows."""
    shown: set[str] = set()
    if not documents:
        return shown
    for name in list_ids(lake.layout):
        for space, state in read_manifest(lake.layout, name).spaces.items():
            table = open_version(lake.layout, space, state.table, state.version)
            for start in range(0, len(documents), _ASKED_IDS):
                where = in_list("document_id", documents[start : start + _ASKED_IDS])
                shown.update(table.search().where(where).select(["document_id"]).to_arrow()["document_id"].to_pylist())
    return shown
