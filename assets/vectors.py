"""Passages, memories and their vectors to the tables that are searched."""

from typing import Any

import dagster as dg

from assets.duplicates import duplicates
from assets.embeddings import embeddings
from assets.entities import entities
from assets.reinforcement import reinforcement
from assets.remembered import memory_embeddings, memory_validity
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, raises_failures, report_metadata
from derivation.embeddings import remove_unused
from derivation.lake import Lake
from derivation.layers import MEMORY_VECTORS_STEP_NAME, VECTORS_STEP_NAME, refresh_table
from derivation.snapshot import layer_versions
from warehouse.files import size_of


@dg.asset(
    deps=[embeddings, duplicates, entities, reinforcement, memory_embeddings],
    group_name="serve",
    kinds={"lancedb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def vectors(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A Lance table a space: text, vector, full-text index and every field that a retriever filters on or shows."""
    for space in lake.settings.spaces:
        remove_unused(lake, space)
    return _table_result(lake, VECTORS_STEP_NAME)


@dg.asset(
    deps=[memory_embeddings, memory_validity, duplicates],
    group_name="serve",
    kinds={"lancedb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def memory_vectors(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A Lance table a space: the memories of every granularity, each with the passages that it leads to."""
    return _table_result(lake, MEMORY_VECTORS_STEP_NAME)


def _table_result(lake: Lake, layer: str) -> dg.MaterializeResult[Any]:
    """Bring one kind of table up to date in every space; what that did."""
    reports = [refresh_table(lake, space, layer) for space in lake.settings.spaces]
    rows, version = layer_versions(lake, layer, "rows")
    metadata: dict[str, Any] = {"dagster/row_count": rows, "bytes": dg.MetadataValue.int(size_of(lake.layout.vectors))}
    return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata={**report_metadata(reports), **metadata})
