"""What an operator asks of a lake: what it holds, what was set aside and why, what the last run cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from derivation.lake import Lake
from derivation.overrides import read_overrides
from errors import SnapshotError
from memory.granularity import Granularity
from warehouse.database import Connection
from warehouse.files import size_of
from warehouse.snapshots import current_id, current_manifest, list_ids


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Counts of one source."""

    source: str
    space: str
    documents: int = 0
    passages: int = 0
    mentions: int = 0
    quarantined: int = 0
    memories: dict[str, int] = field(default_factory=dict)
    """By granularity."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An input that failed, with the reason and the remedy."""

    step: str
    source: str
    label: str
    status: str
    error: str
    remedy: str
    attempts: int


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one step of the last run did."""

    step: str
    source: str
    processed: int
    removed: int
    failed: int
    seconds: float
    model_seconds: float


@dataclass(frozen=True, slots=True)
class LakeStatus:
    """Everything that ``memlake status`` shows."""

    root: str
    snapshot: str | None
    as_of: datetime | None
    held_back: str | None
    """A candidate whose checks failed, if the last one did."""
    failed_checks: tuple[str, ...]
    sources: tuple[SourceStatus, ...]
    quarantine: tuple[Quarantined, ...]
    last_run: tuple[StepCost, ...]
    bytes: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0
    """How many are kept."""
    unfinished_erasures: tuple[str, ...] = ()
    """What was to be erased and is not gone from everywhere yet."""
    corrections: int = 0
    """Pairs of entities that a person has merged or split."""


_COUNTS = """
SELECT
    (SELECT count(*) FROM documents WHERE space = $space AND source = $source),
    (SELECT count(*) FROM passages WHERE space = $space AND source = $source),
    (SELECT count(*) FROM mentions WHERE space = $space AND source = $source),
    (SELECT count(*) FROM ledger WHERE space = $space AND source = $source AND status <> 'done')
"""
_QUARANTINE = """
SELECT step, source, label, status, coalesce(error, ''), coalesce(remedy, ''), attempts
FROM ledger WHERE status <> 'done' ORDER BY source, label, step
"""
_LAST_RUN = """
SELECT step, source, processed, removed, failed, seconds, model_seconds FROM step_runs
WHERE run_id = (SELECT run_id FROM step_runs ORDER BY started_at DESC, rowid DESC LIMIT 1) ORDER BY rowid
"""


def read_status(lake: Lake) -> LakeStatus:
    """The state of a lake; one that was never built is empty.

    Raises:
        SnapshotError: ``CURRENT`` or its manifest is damaged.
    """
    layout = lake.layout
    if not lake.warehouse.exists:
        if current_id(layout):
            raise SnapshotError(
                f"The warehouse {layout.warehouse} is gone; the published snapshot can still be searched.",
                "Restore it from a backup, or build the lake anew.",
            )
        sources = tuple(SourceStatus(source.name, source.space) for source in lake.settings.sources)
        return LakeStatus(str(layout.root), None, None, None, (), sources, (), ())
    manifest = current_manifest(layout) if current_id(layout) else None
    with lake.warehouse.session("reading the status") as connection:
        counted = tuple(_source(connection, source.space, source.name) for source in lake.settings.sources)
        quarantine = tuple(Quarantined(*row) for row in connection.execute(_QUARANTINE).fetchall())
        costs = tuple(StepCost(*row) for row in connection.execute(_LAST_RUN).fetchall())
        unfinished = connection.execute(
            "SELECT target || ' of ' || coalesce(nullif(source, ''), space) || ', asked for at '"
            " || strftime(requested_at, '%Y-%m-%d %H:%M') FROM erasures WHERE finished_at IS NULL ORDER BY requested_at"
        ).fetchall()
        last = connection.execute(
            "SELECT snapshot_id, failures FROM snapshots ORDER BY created_at DESC LIMIT 1"
        ).fetchone()
    held_back, failures = last if last and last[1] else (None, [])
    return LakeStatus(
        root=str(layout.root),
        snapshot=manifest.snapshot_id if manifest else None,
        as_of=manifest.as_of if manifest else None,
        held_back=held_back,
        failed_checks=tuple(sorted(failures)),
        sources=counted,
        quarantine=quarantine,
        last_run=costs,
        bytes={
            "warehouse": size_of(layout.warehouse),
            "vectors": size_of(layout.vectors),
            "graphs": size_of(layout.graphs),
        },
        snapshots=len(list_ids(layout)),
        unfinished_erasures=tuple(text for (text,) in unfinished),
        corrections=sum(read_overrides(layout, space).height for space in lake.settings.spaces),
    )


def _source(connection: Connection, space: str, source: str) -> SourceStatus:
    [(documents, passages, mentions, quarantined)] = connection.execute(
        _COUNTS, {"space": space, "source": source}
    ).fetchall()
    memories = _memories(connection, space, source)
    return SourceStatus(source, space, documents, passages, mentions, quarantined, memories)


def _memories(connection: Connection, space: str, source: str) -> dict[str, int]:
    """Memories of a source by granularity."""
    counts = dict(
        connection.execute(
            "SELECT granularity, count(*) FROM memories WHERE space = $space AND source = $source GROUP BY granularity",
            {"space": space, "source": source},
        ).fetchall()
    )
    return {name.value: counts[name.value] for name in Granularity if name.value in counts}
