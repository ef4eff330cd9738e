"""What follows from the memories of all sources: periods, for how long facts hold, vectors, and associations."""

from typing import Any

import dagster as dg

from assets.embeddings import embeddings
from assets.memories import memories
from assets.reporting import ON_NEW_DATA, RETRY, WAREHOUSE_POOL, layer_result, raises_failures
from derivation.association import CODE_VERSION as ASSOCIATION_VERSION
from derivation.association import associating, refresh_association
from derivation.lake import Lake
from derivation.memory_facts import MEMORY_VALIDITY_STEP, refresh_memory_validity
from derivation.memory_vectors import CODE_VERSION as VECTORS_VERSION
from derivation.memory_vectors import refresh_memory_embeddings
from derivation.periods import refresh_periods
from derivation.retirement import retire_sources
from memory.conversations.periods import CODE_VERSION as PERIODS_VERSION
from warehouse.delta import Scope


@dg.asset(
    deps=[memories],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=PERIODS_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def periods(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Days, weeks, months and quarters of a source's sessions; a new session touches one path of this tree."""
    retire_sources(lake)
    scopes = [Scope(source.space, source.name) for source in lake.settings.sources]
    reports = [report for scope in scopes for report in refresh_periods(lake, scope)]
    return layer_result(lake, "periods", [Scope(space) for space in lake.settings.spaces], reports)


@dg.asset(
    deps=[memories],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=MEMORY_VALIDITY_STEP.code_version,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def memory_validity(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """From when to when a fact of a conversation holds, and which later one about the same superseded it."""
    retire_sources(lake)
    spaces = lake.settings.spaces
    reports = [refresh_memory_validity(lake, space) for space in spaces]
    return layer_result(lake, "memory_validity", [Scope(space) for space in spaces], reports)


@dg.asset(
    deps=[periods, embeddings],
    group_name="derive",
    kinds={"huggingface", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=VECTORS_VERSION,
    retry_policy=RETRY,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def memory_embeddings(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A unit vector for every memory: the mean of its passages' pieces where it is made of them, else embedded."""
    spaces = lake.settings.spaces
    reports = [refresh_memory_embeddings(lake, space) for space in spaces]
    return layer_result(lake, "memory_embeddings", [Scope(space) for space in spaces], reports)


@dg.asset(
    deps=[memory_embeddings],
    group_name="derive",
    kinds={"numpy", "duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=ASSOCIATION_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def associations(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """The earlier episodes and summaries nearest to each, and which of them it is linked to."""
    spaces = lake.settings.spaces
    reports = [refresh_association(lake, space, associating(lake, space)) for space in spaces]
    return layer_result(lake, "associations", [Scope(space) for space in spaces], reports)
