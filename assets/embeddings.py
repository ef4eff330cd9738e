"""Passages to vectors."""

from typing import Any

import dagster as dg

from assets.partitions import source_partitions
from assets.passages import passages
from assets.reporting import RETRY, WAREHOUSE_POOL, layer_result, raises_failures, source_scope
from derivation.embeddings import refresh_embeddings
from derivation.lake import Lake


@dg.asset(
    deps=[passages],
    partitions_def=source_partitions,
    group_name="derive",
    kinds={"huggingface", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    retry_policy=RETRY,
)
@raises_failures
def embeddings(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A unit vector for every distinct text of a source's passages; a text that has one is never embedded again."""
    _, scope = source_scope(context, lake)
    return layer_result(lake, "embeddings", [scope], [refresh_embeddings(lake, scope)])
