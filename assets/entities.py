"""Mentions to entities."""

from typing import Any

import dagster as dg

from assets.mentions import mentions
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, layer_result, raises_failures
from derivation.entities import ENTITIES_STEP, refresh_entities
from derivation.lake import Lake
from derivation.retirement import retire_sources
from warehouse.delta import Scope


@dg.asset(
    deps=[mentions],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=ENTITIES_STEP.code_version,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def entities(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """One row a normalised name of a space, with its most frequent surface; sources no longer configured go first."""
    retire_sources(lake)
    spaces = lake.settings.spaces
    reports = [refresh_entities(lake, space) for space in spaces]
    return layer_result(lake, "entities", [Scope(space) for space in spaces], reports)
