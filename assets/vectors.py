"""Passages and embeddings to the tables that are searched."""

from typing import Any

import dagster as dg

from assets.duplicates import duplicates
from assets.embeddings import embeddings
from assets.entities import entities
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, raises_failures, report_metadata
from derivation.embeddings import remove_unused
from derivation.lake import Lake
from derivation.layers import VECTORS_STEP_NAME, refresh_table
from derivation.snapshot import layer_versions
from warehouse.files import size_of


@dg.asset(
    deps=[embeddings, duplicates, entities],
    group_name="serve",
    kinds={"lancedb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def vectors(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A Lance table a space: text, vector, full-text index and every field that a retriever filters on or shows."""
    reports = []
    for space in lake.settings.spaces:
        remove_unused(lake, space)
        reports.append(refresh_table(lake, space))
    rows, version = layer_versions(lake, VECTORS_STEP_NAME, "rows")
    metadata: dict[str, Any] = {"dagster/row_count": rows, "bytes": dg.MetadataValue.int(size_of(lake.layout.vectors))}
    return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata={**report_metadata(reports), **metadata})
