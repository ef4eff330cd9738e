"""Keeping the stores in shape: measure, and rewrite what has passed a threshold of ``[upkeep]``."""

from __future__ import annotations

from datetime import UTC, datetime

from derivation.lake import Lake, exclusive
from derivation.layers import TABLE_LAYERS, VECTORS_STEP_NAME, note_version
from derivation.retention import pinned_versions
from warehouse.compaction import (
    Compaction,
    TableHealth,
    compact_database,
    compact_table,
    database_rows,
    measure,
    tables,
)
from warehouse.files import size_of
from warehouse.snapshots import list_ids, read_manifest


def measure_table(lake: Lake, space: str, layer: str = VECTORS_STEP_NAME) -> TableHealth | None:
    """The state of a space's present table; ``None`` before its first build."""
    name = TABLE_LAYERS[layer].table(lake.embedder_spec.identity)
    if (space, name) not in tables(lake.layout):
        return None
    kept = [read_manifest(lake.layout, item) for item in list_ids(lake.layout)]
    return measure(lake.layout, space, name, pinned_versions(kept, space, name))


@exclusive("compacting vectors")
def maintain_table(lake: Lake, space: str, layer: str = VECTORS_STEP_NAME) -> Compaction:
    """Compact one of a space's Lance tables if a threshold is passed.

    The compact version is a new one: the next candidate pins it, and the versions before go with the snapshots that pin
    them.
    """
    settings = lake.settings.upkeep
    store = f"{space}/{TABLE_LAYERS[layer].name}"
    health = measure_table(lake, space, layer)
    if health is None:
        return Compaction(store, 0, 0, ())
    reasons = []
    if health.fragments > settings.small_fragments:
        reasons.append(f"{health.fragments} fragments")
    if health.deleted_rows > settings.deleted_share * (health.rows + health.deleted_rows):
        reasons.append(f"{health.deleted_rows} deleted rows")
    kind = TABLE_LAYERS[layer]
    if health.unindexed_rows != 0 and kind.is_searched:
        reasons.append(f"{max(health.unindexed_rows, 0) or 'all'} rows unindexed")
    after = health
    if reasons:
        compact_table(lake.layout, space, health.table, kind.is_searched)
        note_version(lake, space, layer)
        after = measure_table(lake, space, layer) or health
    return _noted(lake, Compaction(store, health.bytes, after.bytes, tuple(reasons), health, after), health.rows)


@exclusive("compacting the warehouse")
def maintain_warehouse(lake: Lake) -> Compaction:
    """Rewrite the DuckDB file if its bytes per row have grown since that was last done, or it was never done."""
    path = lake.layout.warehouse
    if not path.exists():
        return Compaction("warehouse", 0, 0, ())
    before = size_of(path)
    with lake.warehouse.session("measuring the warehouse") as connection:
        rows = database_rows(connection)
        last = connection.execute(
            "SELECT bytes_after / greatest(live_rows, 1) FROM compactions WHERE store = 'warehouse'"
            " ORDER BY compacted_at DESC LIMIT 1"
        ).fetchone()
    now = before / max(rows, 1)
    if last and now <= float(last[0]) * lake.settings.upkeep.growth:
        return Compaction("warehouse", before, before, ())
    reason = f"{now:,.0f} bytes a row, {float(last[0]):,.0f} when last compacted" if last else "never compacted before"
    before, after = compact_database(lake.warehouse)
    return _noted(lake, Compaction("warehouse", before, after, (reason,)), rows)


def _noted(lake: Lake, done: Compaction, rows: int) -> Compaction:
    if done.done:
        with lake.warehouse.session("noting a compaction") as connection:
            connection.execute(
                "INSERT INTO compactions VALUES ($store, $now, $before, $after, $rows)",
                {
                    "store": done.store,
                    "now": datetime.now(UTC).replace(tzinfo=None),
                    "before": done.bytes_before,
                    "after": done.bytes_after,
                    "rows": rows,
                },
            )
    return done
