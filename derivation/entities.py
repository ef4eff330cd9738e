"""Mentions to entities: one row a normalised name, with its most frequent surface and kind.

The table is an aggregate, recomputed in the database and merged, so that it is the same whatever order the mentions
came in, and only rows that differ are touched.
"""

from __future__ import annotations

import time

import polars as pl

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from warehouse.database import Connection, bump_generation, frame, replace_rows
from warehouse.delta import Step
from warehouse.faults import reach

ENTITIES_STEP = Step("entities", "1", {})

_AGGREGATE = """
WITH named AS (
    SELECT entity_id, entity_key, passage_id, surface, kind FROM mentions WHERE space = $space
    UNION ALL
    SELECT entity_id, entity_key, passage_id, surface, kind FROM titles WHERE space = $space
),
spread AS (
    SELECT entity_id, min(entity_key) AS entity_key, CAST(count(DISTINCT passage_id) AS INTEGER) AS passages
    FROM named GROUP BY entity_id
),
surfaces AS (SELECT entity_id, surface, count(*) AS n FROM named GROUP BY ALL),
kinds AS (SELECT entity_id, kind, count(*) AS n FROM named GROUP BY ALL),
best_surface AS (SELECT entity_id, arg_min(surface, (-n, surface)) AS name FROM surfaces GROUP BY entity_id),
best_kind AS (SELECT entity_id, arg_min(kind, (-n, kind)) AS kind FROM kinds GROUP BY entity_id)
SELECT entity_id, $space AS space, entity_key, name, kind, passages
FROM spread JOIN best_surface USING (entity_id) JOIN best_kind USING (entity_id)
"""


def aggregated(connection: Connection, space: str) -> pl.DataFrame:
    """The rows of ``entities`` as the mentions and titles of a space give them now, in no order."""
    return frame(connection, _AGGREGATE, {"space": space})


@exclusive("aggregating entities")
def refresh_entities(lake: Lake, space: str) -> StepReport:
    """Bring the entities of a space up to date with its mentions."""
    started = time.perf_counter()
    lake.progress.start(ENTITIES_STEP.name, space, 1)
    with lake.warehouse.session("aggregating entities") as connection:
        rows = aggregated(connection, space)
        changes = replace_rows(connection, "entities", ["entity_id"], rows, "space", [space])
        reach("entities.written")
        if changes.any:
            bump_generation(connection)
    return conclude_global(lake, ENTITIES_STEP, rows.height, changes, started)
