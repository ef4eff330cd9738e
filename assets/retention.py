"""Retention: snapshots expire, and what nothing names any more goes from every store."""

from typing import Any

import dagster as dg

from assets.reporting import UPKEEP_POOL, compaction_metadata, raises_failures
from assets.snapshots import published_snapshot
from derivation.lake import Lake
from derivation.retention import enforce_retention
from derivation.upkeep import maintain_warehouse


@dg.asset(
    deps=[published_snapshot],
    group_name="upkeep",
    kinds={"lancedb", "duckdb"},
    pool=UPKEEP_POOL,
    code_version="1",
)
@raises_failures
def kept_snapshots(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Snapshots that the retention settings keep; versions, tables, graphs and vectors that only others needed go."""
    report = enforce_retention(lake)
    return dg.MaterializeResult(
        metadata={
            "kept": len(report.kept),
            "expired": len(report.expired),
            "expired_snapshots": dg.MetadataValue.json(list(report.expired)),
            "versions_removed": report.versions,
            "graphs_removed": report.graphs,
            "vectors_removed": report.vectors,
            "events_removed": report.events,
            "bytes_before": dg.MetadataValue.int(report.bytes_before),
            "bytes_after": dg.MetadataValue.int(report.bytes_after),
        }
    )


@dg.asset(deps=[kept_snapshots], group_name="upkeep", kinds={"duckdb"}, pool=UPKEEP_POOL, code_version="1")
@raises_failures
def compact_warehouse(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """The DuckDB file without what deleted rows left in it, rewritten when its bytes per row have grown."""
    return dg.MaterializeResult(metadata=compaction_metadata(maintain_warehouse(lake)))
