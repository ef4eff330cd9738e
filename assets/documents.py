"""Sources to documents."""

from typing import Any

import dagster as dg

from assets.partitions import source_partitions
from assets.reporting import RETRY, WAREHOUSE_POOL, layer_result, raises_failures, source_scope
from derivation.documents import refresh_documents
from derivation.lake import Lake


@dg.asset(
    partitions_def=source_partitions,
    group_name="ingest",
    kinds={"python", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    retry_policy=RETRY,
)
@raises_failures
def documents(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Every document of a source with its present revision; only what changed is read, what is bad is quarantined."""
    source, scope = source_scope(context, lake)
    report = refresh_documents(lake, source)
    return layer_result(lake, "documents", [scope], [report])
