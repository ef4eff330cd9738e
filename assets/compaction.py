"""Compaction: Lance tables that have passed a threshold are rewritten, before the next candidate pins them."""

from typing import Any

import dagster as dg

from assets.bank import bank
from assets.reporting import UPKEEP_POOL, compaction_metadata, raises_failures
from assets.vectors import memory_vectors, vectors
from derivation.lake import Lake
from derivation.layers import TABLE_LAYERS
from derivation.upkeep import maintain_table
from warehouse.settings import load_settings

_WRITTEN_BY = {asset.key.to_user_string(): asset for asset in (vectors, memory_vectors, bank)}
"""The assets that write the tables, by their layer."""


def compaction_name(layer: str, space: str) -> str:
    """The asset that compacts a space's table; Dagster's names have no hyphens, and two spaces never share one."""
    return f"compact_{layer}_{space.replace('_', '__').replace('-', '_d')}"


def _compaction(layer: str, space: str) -> dg.AssetsDefinition:
    rows = TABLE_LAYERS[layer].name

    @dg.asset(
        name=compaction_name(layer, space),
        deps=[_WRITTEN_BY[layer]],
        group_name="upkeep",
        kinds={"lancedb"},
        pool=UPKEEP_POOL,
        code_version="1",
        description=f"Small files of the table of {rows} of space {space} merged, deleted rows left behind, all"
        " indexed.",
    )
    @raises_failures
    def compact(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
        done = maintain_table(lake, space, layer)
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

    return compact


compaction_assets = [_compaction(layer, space) for space in load_settings().spaces for layer in TABLE_LAYERS]
