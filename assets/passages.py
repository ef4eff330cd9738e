"""Documents to passages."""

from typing import Any

import dagster as dg

from assets.documents import documents
from assets.partitions import source_partitions
from assets.reporting import WAREHOUSE_POOL, layer_result, raises_failures, source_scope
from derivation.lake import Lake
from derivation.passages import Passages
from derivation.runner import run
from memory.segmentation import CODE_VERSION


@dg.asset(
    deps=[documents],
    partitions_def=source_partitions,
    group_name="ingest",
    kinds={"python", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=CODE_VERSION,
)
@raises_failures
def passages(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Revisions cut on structural and sentence boundaries, each with its exact span; the unit of citation."""
    _, scope = source_scope(context, lake)
    return layer_result(lake, "passages", [scope], [run(lake, Passages(lake), scope)])
