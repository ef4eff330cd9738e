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
    SELECT entity_id, entity_key, space, passage_id, surface, kind FROM mentions WHERE space = $space
    UNION ALL
    SELECT entity_id, entity_key, space, passage_id, surface, kind FROM titles WHERE space = $space
),
surfaces AS (SELECT entity_id, surface, count(*) AS n FROM named GROUP BY ALL),
kinds AS (SELECT entity_id, kind, count(*) AS n FROM named GROUP BY ALL),
best_surface AS (
    SELECT entity_id, surface FROM surfaces
    QUALIFY row_number() OVER (PARTITION BY entity_id ORDER BY n DESC, surface) = 1
),
best_kind AS (
    SELECT entity_id, kind FROM kinds
    QUALIFY row_number() OVER (PARTITION BY entity_id ORDER BY n DESC, kind) = 1
)
SELECT n.entity_id, n.space, min(n.entity_key) AS entity_key, min(s.surface) AS name, min(k.kind) AS kind,
    CAST(count(DISTINCT n.passage_id) AS INTEGER) AS passages
FROM named n JOIN best_surface s USING (entity_id) JOIN best_kind k USING (entity_id)
GROUP BY n.entity_id, n.space
ORDER BY n.entity_id
"""


def aggregated(connection: Connection, space: str) -> pl.DataFrame:
    """The rows of ``entities`` as the mentions and titles of a space give them now."""
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
