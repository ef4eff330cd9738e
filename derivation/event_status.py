"""What clients have noted, how much of it is read, and what of it could not be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from derivation.event_files import event_files, file_states
from derivation.lake import Lake
from memory.forgetting import EventKind
from warehouse.database import Connection


@dataclass(frozen=True, slots=True)
class SpaceStanding:
    """What came of the events of a space."""

    space: str
    reinforced: int
    """Passages and memories that have events."""
    cold: int
    until: datetime | None
    """Until when events are summed up (UTC)."""
    future: int
    """Events that are later than that; they wait until their time comes."""


@dataclass(frozen=True, slots=True)
class EventStatus:
    """Everything that ``memlake events`` shows."""

    files: int
    unread_bytes: int
    """What was written since the files were last read, lines that were begun among it."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Events about what the lake holds, by kind."""
    last: datetime | None = None
    """Of those (UTC)."""
    repeated: int = 0
    """Events whose id is there more than once; each id counts once."""
    unknown: int = 0
    """Events on documents that the lake does not hold."""
    elsewhere: int = 0
    """Events whose document is in another space; they never count."""
    unreadable: int = 0
    """Lines that are no event."""
    spaces: tuple[SpaceStanding, ...] = ()


_STANDING = """
SELECT s.space, (SELECT count(*) FROM reinforcement r WHERE r.space = s.space),
    (SELECT count(*) FROM cold c WHERE c.space = s.space), any_value(u.until),
    (SELECT count(*) FROM events e WHERE e.space = s.space AND e.happened_at > any_value(u.until))
FROM (SELECT unnest($spaces) AS space) s LEFT JOIN reinforced u USING (space) GROUP BY s.space ORDER BY s.space
"""


def read_event_status(lake: Lake) -> EventStatus:
    """The events of a lake; nothing is changed."""
    sizes = {path.name: path.stat().st_size for path in event_files(lake.layout)}
    if not lake.warehouse.exists:
        return EventStatus(files=len(sizes), unread_bytes=sum(sizes.values()))
    with lake.warehouse.session("reading the state of events") as connection:
        states = file_states(connection)
        kinds = dict(connection.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())
        [(last, repeated)] = connection.execute(
            "SELECT max(happened_at), count(*) - count(DISTINCT event_id) FROM events"
        ).fetchall()
        spaces = _standings(connection, lake.settings.spaces)
    read = {name: states[name].bytes_read if name in states else 0 for name in sizes}
    return EventStatus(
        files=len(sizes),
        unread_bytes=sum(size - read[name] if size >= read[name] else size for name, size in sizes.items()),
        kinds={kind.value: kinds[kind.value] for kind in EventKind if kind.value in kinds},
        last=last,
        repeated=repeated,
        unknown=sum(state.events - state.kept - state.elsewhere for state in states.values()),
        elsewhere=sum(state.elsewhere for state in states.values()),
        unreadable=sum(state.unreadable for state in states.values()),
        spaces=spaces,
    )


def _standings(connection: Connection, spaces: list[str]) -> tuple[SpaceStanding, ...]:
    rows = connection.execute(_STANDING, {"spaces": spaces}).fetchall()
    return tuple(
        SpaceStanding(space, reinforced, cold, until, future) for space, reinforced, cold, until, future in rows
    )
