"""Mentions and entities to the compiled graph."""

from typing import Any

import dagster as dg

from assets.duplicates import duplicates
from assets.facts import validity
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, raises_failures, report_metadata
from derivation.graphs import GRAPH_STEP_NAME, refresh_graph
from derivation.lake import Lake
from derivation.snapshot import layer_versions
from graph.compiled import CODE_VERSION
from warehouse.files import size_of


@dg.asset(
    deps=[validity, duplicates],
    group_name="serve",
    kinds={"numpy"},
    pool=WAREHOUSE_POOL,
    code_version=CODE_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def knowledge_graph(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Passages and entities as CSR arrays that memory-map, weighted by inverse document frequency, one a space."""
    reports = [refresh_graph(lake, space) for space in lake.settings.spaces]
    edges, version = layer_versions(lake, GRAPH_STEP_NAME, "edges")
    metadata: dict[str, Any] = {"dagster/row_count": edges, "bytes": dg.MetadataValue.int(size_of(lake.layout.graphs))}
    return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata={**report_metadata(reports), **metadata})
