"""Which snapshots are kept, and what goes with those that are not.

A snapshot expires in an order that a crash may cut anywhere: its place in the history is noted, its manifest goes (from
then on nobody opens it), then its tags, then the Lance versions and graphs that no kept snapshot names. What a crash
leaves behind, the next run removes, since it looks at what is there and not at what it meant to do.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from derivation.bank import used_codecs
from derivation.event_removal import sweep_events
from derivation.graphs import GRAPH_STEP_NAME
from derivation.lake import Lake, exclusive
from derivation.layers import TABLE_LAYERS, layer_state
from memory.embedding import EmbedderSpec
from warehouse.compaction import drop_table, interrupted_copies, prune_versions, tables
from warehouse.faults import reach
from warehouse.files import size_of
from warehouse.searched import KINDS
from warehouse.snapshots import (
    Expired,
    Manifest,
    current_id,
    list_ids,
    note_expired,
    pinned,
    read_expired,
    read_manifest,
)

RETENTION, ERASURE, DAMAGE = "retention", "erasure", "damage"
"""Why a snapshot is no longer kept."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What enforcing the retention settings did."""

    kept: tuple[str, ...]
    expired: tuple[str, ...]
    versions: int
    """Lance versions removed."""
    tables: tuple[str, ...]
    """Lance tables of former embedders and spaces, removed whole."""
    graphs: int
    """Compiled graphs, and codecs of the bank."""
    vectors: int
    """Vectors of embedders that nothing uses any more."""
    events: int
    """Lines in which clients noted something about documents that nothing holds any more."""
    bytes_before: int
    bytes_after: int
    seconds: float


def expiring(lake: Lake) -> list[Manifest]:
    """The snapshots that the retention settings do not keep, oldest first."""
    layout, settings = lake.layout, lake.settings.retention
    manifests = [read_manifest(layout, name) for name in list_ids(layout)]
    newest = sorted(manifests, key=lambda item: (item.created_at, item.snapshot_id), reverse=True)
    kept = {item.snapshot_id for item in newest[: settings.keep_last]}
    young = datetime.now(UTC) - timedelta(days=settings.keep_days)
    kept |= {item.snapshot_id for item in manifests if item.created_at > young}
    kept |= {*pinned(layout), current_id(layout) or ""}
    return [item for item in manifests if item.snapshot_id not in kept]


@exclusive("expiring snapshots")
def enforce_retention(lake: Lake) -> RetentionReport:
    """Expire what the settings do not keep, and remove whatever no kept snapshot needs."""
    started = time.perf_counter()
    before = size_of(lake.layout.root)
    gone = expiring(lake)
    expire(lake, gone, RETENTION)
    versions, dropped, graphs, vectors = sweep(lake)
    events = sweep_events(lake)
    return RetentionReport(
        kept=tuple(list_ids(lake.layout)),
        expired=tuple(item.snapshot_id for item in gone),
        versions=versions,
        tables=tuple(dropped),
        graphs=graphs,
        vectors=vectors,
        events=events,
        bytes_before=before,
        bytes_after=size_of(lake.layout.root),
        seconds=time.perf_counter() - started,
    )


def expire(lake: Lake, gone: Iterable[Manifest], reason: str) -> None:
    """Take snapshots off the shelf; ``sweep`` then removes what only they needed."""
    leaving = list(gone)
    if not leaving:
        return
    note_expired(lake.layout, [Expired(item.snapshot_id, item.as_of, item.parent, reason) for item in leaving])
    reach("retention.listed")
    for item in leaving:
        lake.layout.manifest(item.snapshot_id).unlink(missing_ok=True)
        lake.layout.pin(item.snapshot_id).unlink(missing_ok=True)
    reach("retention.unlisted")
    with lake.warehouse.session("forgetting snapshots") as connection:
        connection.execute(
            "DELETE FROM snapshots WHERE snapshot_id IN (SELECT unnest($ids))",
            {"ids": [item.snapshot_id for item in leaving]},
        )


def sweep(lake: Lake) -> tuple[int, list[str], int, int]:
    """Remove what no kept snapshot and no present layer needs.

    Returns:
        How many Lance versions, which Lance tables, how many graphs and codecs, and how many vectors went.
    """
    layout = lake.layout
    kept = [read_manifest(layout, name) for name in list_ids(layout)]
    for name in set(read_expired(layout)) - {item.snapshot_id for item in kept}:
        layout.pin(name).unlink(missing_ok=True)
    versions, dropped = _sweep_tables(lake, kept)
    graphs = _sweep_folders(lake, kept)
    vectors = _sweep_vectors(lake, kept)
    temporary = (*layout.root.glob(".*.tmp"), *layout.snapshots.glob(".*.tmp"), *interrupted_copies(layout))
    for leftover in temporary:
        leftover.unlink(missing_ok=True)
    return versions, dropped, graphs, vectors


def pinned_versions(manifests: Iterable[Manifest], space: str, table: str) -> set[int]:
    """The versions of a table that these snapshots name."""
    states = (item.spaces[space] for item in manifests if space in item.spaces)
    return {version for state in states for name, version in state.tables if name == table}


def _sweep_tables(lake: Lake, kept: Collection[Manifest]) -> tuple[int, list[str]]:
    removed, dropped = 0, []
    noted = _noted_versions(lake)
    present = {kind.table(lake.embedder_spec.identity) for kind in KINDS}
    for space, table in tables(lake.layout):
        pins = pinned_versions(kept, space, table)
        if not pins and (space not in lake.settings.spaces or table not in present):
            drop_table(lake.layout, space, table)
            dropped.append(f"{space}/{table}")
        else:
            removed += prune_versions(lake.layout, space, table, pins | noted.get((space, table), set()))
    return removed, dropped


def _noted_versions(lake: Lake) -> dict[tuple[str, str], set[int]]:
    """The version of each table that the next candidate would pin; a crash may have left a newer one behind it."""
    with lake.warehouse.session("reading the layers") as connection:
        states = [
            (space, layer_state(connection, space, layer)) for space in lake.settings.spaces for layer in TABLE_LAYERS
        ]
    return {(space, state["table"]): {int(state["version"])} for space, state in states if state}


def _sweep_folders(lake: Lake, kept: Collection[Manifest]) -> int:
    """Remove graphs and codecs; digests of the ones and the others differ in length."""
    needed = {digest for item in kept for state in item.spaces.values() for digest in (state.graph, state.bank)}
    with lake.warehouse.session("reading the layers") as connection:
        for space in lake.settings.spaces:
            needed.add((layer_state(connection, space, GRAPH_STEP_NAME) or {}).get("digest", ""))
        needed |= used_codecs(connection)
    folders = [*_folders(lake.layout.graphs), *_folders(lake.layout.banks)]
    gone = [path for path in folders if path.name not in needed]
    for path in gone:
        shutil.rmtree(path)
    return len(gone)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _sweep_vectors(lake: Lake, kept: Collection[Manifest]) -> int:
    """Vectors of embedders that neither the settings nor a kept snapshot names; going back to one would need them."""
    used = {EmbedderSpec(**item.embedder).identity for item in kept} | {lake.embedder_spec.identity}
    with lake.warehouse.session("removing vectors of former embedders") as connection:
        gone = connection.execute(
            "DELETE FROM embeddings WHERE embedder NOT IN (SELECT unnest($used)) RETURNING 1", {"used": sorted(used)}
        ).fetchall()
        connection.execute(
            "DELETE FROM piece_vectors WHERE embedder NOT IN (SELECT unnest($used))", {"used": sorted(used)}
        )
        connection.execute(
            "DELETE FROM layers WHERE layer IN (SELECT unnest($tables)) AND space NOT IN (SELECT unnest($spaces))",
            {"tables": list(TABLE_LAYERS), "spaces": lake.settings.spaces},
        )
    return len(gone)
