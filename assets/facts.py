"""Stated facts, the vectors of the graph's phrases, resolved entities, and for how long facts hold."""

from typing import Any

import dagster as dg

from assets.entities import entities
from assets.reporting import ON_NEW_DATA, RETRY, WAREHOUSE_POOL, layer_result, raises_failures
from derivation.facts import FACTS_STEP, VALIDITY_STEP, refresh_facts, refresh_validity
from derivation.lake import Lake
from derivation.phrases import refresh_phrases
from derivation.resolution import refresh_resolution
from graph.resolution import CODE_VERSION as RESOLUTION_VERSION
from warehouse.delta import Scope


@dg.asset(
    deps=[entities],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=FACTS_STEP.code_version,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def facts(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """One row a subject, predicate and object that some passage states; it lives while one does."""
    spaces = lake.settings.spaces
    return layer_result(lake, "facts", [Scope(space) for space in spaces], [refresh_facts(lake, s) for s in spaces])


@dg.asset(
    deps=[facts],
    group_name="derive",
    kinds={"huggingface", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    retry_policy=RETRY,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def phrases(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A unit vector for every distinct entity and fact, where the settings ask for them."""
    spaces = lake.settings.spaces
    reports = [refresh_phrases(lake, space) for space in spaces]
    return layer_result(lake, "phrases", [Scope(space) for space in spaces], reports)


@dg.asset(
    deps=[entities, phrases],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=RESOLUTION_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def resolutions(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Which entities are the same, similar or different, each with method and score, and who stands for whom."""
    spaces = lake.settings.spaces
    reports = [refresh_resolution(lake, space) for space in spaces]
    return layer_result(lake, "resolutions", [Scope(space) for space in spaces], reports)


@dg.asset(
    deps=[facts, resolutions],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=VALIDITY_STEP.code_version,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def validity(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """From when to when a fact about an attribute that changes holds, and which one superseded it."""
    spaces = lake.settings.spaces
    reports = [refresh_validity(lake, space) for space in spaces]
    return layer_result(lake, "validity", [Scope(space) for space in spaces], reports)
