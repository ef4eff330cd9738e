"""Documents to their memories."""

from typing import Any

import dagster as dg

from assets.partitions import source_partitions
from assets.passages import passages
from assets.reporting import WAREHOUSE_POOL, layer_result, raises_failures, source_scope
from derivation.lake import Lake
from derivation.memories import CODE_VERSION, Memories
from derivation.runner import run


@dg.asset(
    deps=[passages],
    partitions_def=source_partitions,
    group_name="derive",
    kinds={"python", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=CODE_VERSION,
)
@raises_failures
def memories(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Outlines and cores of texts; turns, rounds, episodes, facts, summaries and keywords of conversations."""
    _, scope = source_scope(context, lake)
    return layer_result(lake, "memories", [scope], [run(lake, Memories(lake), scope)])
