"""Snapshots: immutable manifests that pin one version of everything a retriever reads, and one pointer.

A manifest is written once, under its own name, and never changed. ``CURRENT`` names the published one and is swapped
atomically as the last act of publishing; rolling back is the same swap. Each manifest names its parent, the snapshot
that was current when it was made, so the published history is the chain that starts at ``CURRENT``: what was rolled
back is not on it. A snapshot that is no longer kept leaves its id, its time and its parent in ``expired.json``: the
chain goes on behind it, and a read as of its time says that it is gone, in place of answering from an older one.
Reading needs these files, Lance and the graph folder, never the DuckDB file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from errors import SnapshotError, UnknownName
from warehouse.files import write_atomically
from warehouse.layout import LakeLayout
from warehouse.settings import unknown_name

MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SpaceState:
    """What one space of a snapshot is made of."""

    table: str
    """Name of the Lance table of passages, in the space's own Lance database."""
    version: int
    graph: str
    """Digest of the compiled graph, the name of its folder."""
    digest: str
    """Of every row of the searched tables and the graph: equal digests answer alike.

    The bank is no part of it: it tells which originals are compared with a question, and these decide.
    """
    documents: int
    passages: int
    entities: int
    edges: int
    memories_table: str = ""
    """Name of the Lance table of memories; empty in a snapshot of before there were any."""
    memories_version: int = 0
    memories: int = 0
    bank_table: str = ""
    """Name of the Lance table of codes; empty in a snapshot of before there were any."""
    bank_version: int = 0
    bank: str = ""
    """Digest of the codec that wrote the codes, the name of its folder; empty where no memory is coded."""

    @property
    def tables(self) -> tuple[tuple[str, int], ...]:
        """Every Lance table that it pins, with its version."""
        memories = ((self.memories_table, self.memories_version),) if self.memories_table else ()
        bank = ((self.bank_table, self.bank_version),) if self.bank_table else ()
        return ((self.table, self.version), *memories, *bank)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One snapshot, whole."""

    snapshot_id: str
    as_of: datetime
    """The state of the sources that it holds: when they were seen (UTC)."""
    created_at: datetime
    parent: str | None
    embedder: Mapping[str, Any]
    """The fields of ``memory.embedding.EmbedderSpec``: a query must be embedded alike."""
    steps: Mapping[str, str]
    """The fingerprint of each step that made it."""
    spaces: Mapping[str, SpaceState]

    def space(self, name: str) -> SpaceState:
        """The state of one space.

        Raises:
            UnknownName: the snapshot has no such space.
        """
        if name not in self.spaces:
            raise unknown_name("space", name, sorted(self.spaces))
        return self.spaces[name]

    def to_json(self) -> str:
        """The manifest's file; keys in a fixed order."""
        record = {"format": MANIFEST_FORMAT, **asdict(self)}
        record["as_of"] = self.as_of.isoformat()
        record["created_at"] = self.created_at.isoformat()
        return json.dumps(record, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: the text is not a manifest.
            SnapshotError: it is one of a newer memlake.
        """
        record = json.loads(text)
        if record.pop("format") > MANIFEST_FORMAT:
            raise SnapshotError("The manifest was written by a newer memlake.", "Upgrade memlake to open it.")
        record["as_of"] = datetime.fromisoformat(record["as_of"])
        record["created_at"] = datetime.fromisoformat(record["created_at"])
        record["spaces"] = {name: SpaceState(**state) for name, state in record["spaces"].items()}
        return cls(**record)


def snapshot_id(as_of: datetime, digest: str) -> str:
    """Readable, ordered by time, and equal for equal content that was seen at the same time after the same parent."""
    return f"{as_of:%Y%m%dT%H%M%S}-{digest[:8]}"


def read_manifest(layout: LakeLayout, name: str) -> Manifest:
    """The manifest of a snapshot, by id or by an unambiguous beginning of it.

    Raises:
        UnknownName: no such snapshot.
        SnapshotError: its manifest does not parse.
    """
    known = list_ids(layout)
    matching = [item for item in known if item.startswith(name)] if name else []
    if name in known:
        matching = [name]
    if len(matching) > 1:
        raise UnknownName(f"'{name}' begins the names of {len(matching)} snapshots.", f"One is {matching[-1]}.")
    if not matching:
        raise unknown_name("snapshot", name, known)
    return _parsed(layout.manifest(matching[0]))


def _parsed(path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(
            f"The manifest {path} cannot be read: {error}.", "Restore it with: memlake repair"
        ) from error


def list_ids(layout: LakeLayout) -> list[str]:
    """Every snapshot that has a manifest, oldest first."""
    if not layout.snapshots.is_dir():
        return []
    return sorted(path.stem for path in layout.snapshots.glob("*.json") if not path.name.startswith("."))


def current_id(layout: LakeLayout) -> str | None:
    """The published snapshot, or ``None`` before the first is published."""
    try:
        return layout.current.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except ValueError:
        raise SnapshotError(
            f"{layout.current} is damaged.", "Point it at the newest kept snapshot with: memlake repair"
        ) from None


def current_manifest(layout: LakeLayout) -> Manifest:
    """The manifest of the published snapshot.

    Raises:
        SnapshotError: nothing is published, or ``CURRENT`` names nothing.
    """
    name = current_id(layout)
    if name is None:
        raise SnapshotError(f"Nothing is published in {layout.root} yet.", "Build and publish with: memlake build")
    if not layout.manifest(name).is_file():
        raise SnapshotError(
            f"{layout.current} names the snapshot '{name}', which does not exist.",
            "Point it at the newest kept one with: memlake repair, or at another with: memlake snapshots rollback",
        )
    return _parsed(layout.manifest(name))


@dataclass(frozen=True, slots=True)
class Expired:
    """What is left of a snapshot that is no longer kept."""

    snapshot_id: str
    as_of: datetime
    parent: str | None
    reason: str
    """``retention``, ``erasure`` or ``damage``."""


def ancestry(layout: LakeLayout) -> Iterator[Manifest | Expired]:
    """The published snapshot, its parent, and so on to the first, kept or expired."""
    expired = read_expired(layout)
    link: Manifest | Expired | None = current_manifest(layout)
    while link is not None:
        yield link
        name = link.parent
        kept = name and layout.manifest(name).is_file()
        link = read_manifest(layout, name) if name and kept else expired.get(name or "")


def manifest_as_of(layout: LakeLayout, moment: datetime) -> Manifest:
    """The latest published snapshot that holds no more than was known at ``moment``.

    Raises:
        SnapshotError: the history begins later, or the snapshot of that time is no longer kept.
    """
    oldest: Manifest | Expired | None = None
    for link in ancestry(layout):
        if link.as_of <= moment:
            if isinstance(link, Manifest):
                return link
            raise SnapshotError(
                f"The snapshot as of {moment:%Y-%m-%d %H:%M}, {link.snapshot_id}, is no longer kept ({link.reason}).",
                "See those that are with: memlake snapshots list",
            )
        oldest = link
    first = f"; the history begins at {oldest.as_of:%Y-%m-%d %H:%M}" if oldest else ""
    raise SnapshotError(
        f"There is no snapshot as of {moment:%Y-%m-%d %H:%M}{first}.", "See them with: memlake snapshots list"
    )


def read_expired(layout: LakeLayout) -> dict[str, Expired]:
    """The snapshots that are no longer kept, by id.

    Raises:
        SnapshotError: the file is damaged.
    """
    try:
        records = json.loads(layout.expired.read_text(encoding="utf-8"))
        return {
            name: Expired(name, datetime.fromisoformat(item["as_of"]), item["parent"], item["reason"])
            for name, item in records.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(f"{layout.expired} is damaged: {error}.", "Set it aside with: memlake repair") from error


def last_expired(layout: LakeLayout) -> str | None:
    """The newest snapshot that is no longer kept: where the chain goes on if nothing is kept at all."""
    gone = sorted(read_expired(layout).values(), key=lambda item: (item.as_of, item.snapshot_id))
    return gone[-1].snapshot_id if gone else None


def note_expired(layout: LakeLayout, gone: Sequence[Expired]) -> None:
    """Keep what is left of these snapshots; the first act of expiring them."""
    records = {**read_expired(layout), **{item.snapshot_id: item for item in gone}}
    text = {
        name: {"as_of": item.as_of.isoformat(), "parent": item.parent, "reason": item.reason}
        for name, item in sorted(records.items())
    }
    write_atomically(layout.expired, json.dumps(text, indent=2) + "\n")


def pin(layout: LakeLayout, name: str, note: str) -> None:
    """Keep a snapshot whatever the retention settings say, until it is unpinned."""
    write_atomically(layout.pin(name), note + "\n")


def unpin(layout: LakeLayout, name: str) -> bool:
    """Let retention have a snapshot again; returns whether it was pinned."""
    was = layout.pin(name).exists()
    layout.pin(name).unlink(missing_ok=True)
    return was


def pinned(layout: LakeLayout) -> dict[str, str]:
    """Pinned snapshots, each with the note that was left with its pin."""
    if not layout.snapshots.is_dir():
        return {}
    return {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(layout.snapshots.glob("*.pinned"))}


def write_manifest(layout: LakeLayout, manifest: Manifest) -> None:
    """Make a snapshot openable by id; it is not published by that. One that is there already is never changed."""
    if not layout.manifest(manifest.snapshot_id).exists():
        write_atomically(layout.manifest(manifest.snapshot_id), manifest.to_json())


def point_current(layout: LakeLayout, name: str) -> None:
    """Publish: the one atomic swap. Readers see the old snapshot before it and the new one after it."""
    write_atomically(layout.current, name + "\n")


def parse_moment(text: str | date | datetime) -> datetime:
    """A point in time (UTC): a date means its end, so that ``as of`` a day includes that day.

    Raises:
        SnapshotError: the text is no date or time in ISO 8601.
    """
    moment = _parsed_moment(text) if isinstance(text, str) else text
    if isinstance(moment, datetime):
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(moment, time.max, tzinfo=UTC)


def _parsed_moment(text: str) -> date:
    """A date, or a date and time (which is a date, too)."""
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    raise SnapshotError(f"'{text}' is no date.", "Write it as 2026-01-31 or 2026-01-31T12:00:00.")
