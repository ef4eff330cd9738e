"""Passages to families of those that say the same."""

from typing import Any

import dagster as dg

from assets.passages import passages
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, layer_result, raises_failures
from derivation.duplicates import refresh_duplicates
from derivation.lake import Lake
from memory.duplicates import CODE_VERSION
from warehouse.delta import Scope


@dg.asset(
    deps=[passages],
    group_name="derive",
    kinds={"python", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=CODE_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def duplicates(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Families of exact and near-duplicate passages, each with the one that is shown and the others' scores."""
    spaces = lake.settings.spaces
    reports = [refresh_duplicates(lake, space) for space in spaces]
    return layer_result(lake, "duplicates", [Scope(space) for space in spaces], reports)
