"""Passages to mentions and stated facts."""

from typing import Any

import dagster as dg

from assets.partitions import source_partitions
from assets.passages import passages
from assets.reporting import WAREHOUSE_POOL, layer_result, raises_failures, source_scope
from derivation.extraction import CODE_VERSION, ExtractionStep
from derivation.lake import Lake
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
def mentions(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """What each passage mentions and states, by rules or by a model, every mention and fact with its span."""
    _, scope = source_scope(context, lake)
    return layer_result(lake, "mentions", [scope], [run(lake, ExtractionStep(lake), scope)])
