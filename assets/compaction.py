"""Compaction: Lance tables that have passed a threshold are rewritten, before the next candidate pins them."""

from typing import Any

import dagster as dg

from assets.reporting import UPKEEP_POOL, compaction_metadata, raises_failures
from assets.vectors import vectors
from derivation.lake import Lake
from derivation.upkeep import maintain_table
from warehouse.settings import load_settings


def compact_vectors_name(space: str) -> str:
    """The asset that compacts a space's table; Dagster's names have no hyphens, and two spaces never share one."""
    return f"compact_vectors_{space.replace('_', '__').replace('-', '_d')}"


def _compact_vectors(space: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=compact_vectors_name(space),
        deps=[vectors],
        group_name="upkeep",
        kinds={"lancedb"},
        pool=UPKEEP_POOL,
        code_version="1",
        description=f"Small files of the Lance table of space {space} merged, deleted rows left behind, all indexed.",
    )
    @raises_failures
    def compact_vectors(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
        done = maintain_table(lake, space)
        measured: dict[str, Any] = {}
        for when, health in (("before", done.before), ("after", done.after)):
            if health:
                measured |= {
                    f"fragments_{when}": health.fragments,
                    f"deleted_rows_{when}": health.deleted_rows,
                    f"unindexed_rows_{when}": health.unindexed_rows,
                    f"prunable_versions_{when}": health.prunable,
                }
        version = dg.DataVersion(str(done.after.version) if done.after else "none")
        return dg.MaterializeResult(data_version=version, metadata={**compaction_metadata(done), **measured})

    return compact_vectors


compact_vectors_assets = [_compact_vectors(space) for space in load_settings().spaces]
