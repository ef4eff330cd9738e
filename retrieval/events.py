"""Events: what clients did with memories, in append-only files under ``events/`` of the lake.

One JSON object a line, one file a client and day. A batch of lines is appended with a single write to a descriptor that
only appends, so lines of several writers never mix, and a writer that dies leaves at most one unfinished line, at the
end of its own file.

An event names memories, documents and snapshots by their ids and holds no text: what a lake erases must not survive
in a log of what was done with it. A query, too, may hold what somebody wants to be gone, so it is there as a hash,
which tells equal queries and no more.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from errors import EventsUnwritable, InvalidQuery
from memory.forgetting import EventKind
from warehouse.ids import content_id

SUFFIX = ".jsonl"

_BUFFERED_EVENTS = 256
_BUFFERED_SECONDS = 5.0

_HASH = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a client did with one passage or memory."""

    event_id: str
    """Unique; the same event may be written twice and counts once."""
    kind: EventKind
    space: str
    snapshot_id: str
    """What the client read."""
    target_id: str
    """The passage or memory."""
    document_id: str
    """Whose it is; empty for a memory of many documents."""
    at: datetime
    """UTC."""
    query_hash: str = ""
    """Of the query that it came from; empty where there was none or none is to be noted."""

    def to_line(self) -> bytes:
        """The event as a line of a file, with its end."""
        record = {
            "id": self.event_id,
            "kind": self.kind.value,
            "space": self.space,
            "snapshot": self.snapshot_id,
            "target": self.target_id,
            "document": self.document_id,
            "at": self.at.astimezone(UTC).isoformat(),
        }
        if self.query_hash:
            record["query"] = self.query_hash
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Event | None:
        """The event of a line; ``None`` where it is none: not JSON, a part missing, an id that could be text."""
        try:
            record = json.loads(line)
            event = cls(
                event_id=record["id"].replace("-", ""),
                kind=EventKind(record["kind"]),
                space=record["space"],
                snapshot_id=record["snapshot"],
                target_id=record["target"],
                document_id=record["document"],
                at=_moment(record["at"]),
                query_hash=record.get("query", ""),
            )
            hashes = [event.event_id, event.target_id]
            hashes += [key for key in (event.document_id, event.query_hash) if key != ""]
            names = [event.space, event.snapshot_id]
            known = all(_HASH.fullmatch(key) for key in hashes) and all(_NAME.fullmatch(name) for name in names)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None
        return event if known else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


def event_kind(name: str) -> EventKind:
    """The kind of that name.

    Raises:
        InvalidQuery: there is none.
    """
    try:
        return EventKind(name)
    except ValueError:
        known = ", ".join(kind.value for kind in EventKind)
        raise InvalidQuery(f"'{name}' is no kind of event.", f"Known: {known}.") from None


def events_of(
    kind: EventKind, space: str, snapshot_id: str, targets: Iterable[tuple[str, str]], query: str | None
) -> list[Event]:
    """New events of now, one for each ``(target_id, document_id)``; ``query`` is hashed without case and spacing."""
    now = datetime.now(UTC)
    hashed = "" if query is None else content_id("query", " ".join(query.casefold().split()))
    return [Event(uuid4().hex, kind, space, snapshot_id, target, document, now, hashed) for target, document in targets]


class EventWriter:
    """Appends the events of one client; may be used from several threads."""

    def __init__(self, folder: Path) -> None:
        """Nothing is created before there is an event."""
        self._folder = folder
        self._name = uuid4().hex[:12]
        self._lock = threading.Lock()
        self._waiting: list[Event] = []
        self._since = 0.0
        self._torn = False
        self._warned = False

    def write(self, events: Sequence[Event]) -> None:
        """Append events, on the disk before this returns.

        Raises:
            EventsUnwritable: they are not; written again later, those that are count once.
        """
        with self._lock:
            self._append(events, durable=True)

    def note(self, events: Sequence[Event]) -> None:
        """Append events soon: with others, when some hundred or some seconds have come together; never raises."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting += events
            full = len(self._waiting) >= _BUFFERED_EVENTS
            if full or time.monotonic() - self._since >= _BUFFERED_SECONDS:
                self._flush()

    def flush(self) -> None:
        """Append what waits; where that fails it is lost, and the first time a warning is logged."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        events, self._waiting = self._waiting, []
        try:
            self._append(events, durable=False)
        except EventsUnwritable as error:
            if not self._warned:
                _LOG.warning("%s Searching goes on; this is said once.", error)
            self._warned = True

    def _append(self, events: Sequence[Event], durable: bool) -> None:
        if not events:
            return
        lines = b"".join(event.to_line() for event in events)
        data = b"\n" + lines if self._torn else lines
        try:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{datetime.now(UTC):%Y-%m-%d}-{self._name}{SUFFIX}"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, data)
                self._torn = written < len(data)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error
        if self._torn:
            raise self._unwritable("only a part was written")

    def _unwritable(self, why: str) -> EventsUnwritable:
        return EventsUnwritable(
            f"Events cannot be written to {self._folder}: {why}.", "Make room there, or let this user write."
        )
