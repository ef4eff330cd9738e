"""What clients noted, read from their files: which memories last, and which have faded."""

from typing import Any

import dagster as dg

from assets.memories import memories
from assets.passages import passages
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, layer_result, raises_failures
from derivation.event_files import read_events
from derivation.event_status import read_event_status
from derivation.lake import Lake
from derivation.reinforcement import refresh_reinforcement
from memory.forgetting import CODE_VERSION
from warehouse.delta import Scope


@dg.asset(
    deps=[passages, memories],
    group_name="derive",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
    code_version=CODE_VERSION,
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def reinforcement(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """One row a passage or memory that clients returned, cited, confirmed or rejected; and which ones are cold."""
    spaces = lake.settings.spaces
    noted = read_events(lake)
    reports = [refresh_reinforcement(lake, space) for space in spaces]
    result = layer_result(lake, "reinforcement", [Scope(space) for space in spaces], reports)
    status = read_event_status(lake)
    return dg.MaterializeResult(
        data_version=result.data_version,
        metadata={
            **(result.metadata or {}),
            "events_read": noted.added,
            "events_removed": noted.removed,
            "events_unknown": status.unknown,
            "events_elsewhere": status.elsewhere,
            "lines_unreadable": status.unreadable,
            "cold": sum(standing.cold for standing in status.spaces),
        },
    )
