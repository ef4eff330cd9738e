"""For how long the facts of conversations hold: a function of a space's facts and their sessions' dates."""

from __future__ import annotations

import time

import polars as pl

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from memory.conversations.validity import CODE_VERSION, FACTS, update_validity
from warehouse.database import Connection, bump_generation, frame, replace_rows
from warehouse.delta import Step

MEMORY_VALIDITY_STEP = Step("memory_validity", CODE_VERSION, {})

_FACTS = """
SELECT m.memory_id, m.document_id, CAST(m.ordinal AS BIGINT) AS ordinal, m.subject, m.attribute, m.text,
    d.document_date AS stated_on
FROM memories m JOIN documents d USING (document_id) WHERE m.space = $space AND m.granularity = 'fact'
"""


def dated_memories(connection: Connection, space: str) -> pl.DataFrame:
    """The rows of ``memory_validity`` as the facts of a space give them now, in no order."""
    facts = frame(connection, _FACTS, {"space": space}).cast(pl.Schema(FACTS))
    held = update_validity(facts)
    return held.select("memory_id", pl.lit(space).alias("space"), "valid_from", "valid_until", "superseded_by")


@exclusive("dating the facts of conversations")
def refresh_memory_validity(lake: Lake, space: str) -> StepReport:
    """Bring the time for which the facts of conversations hold up to date with what was said."""
    started = time.perf_counter()
    step = MEMORY_VALIDITY_STEP
    lake.progress.start(step.name, space, 1)
    with lake.warehouse.session(f"writing {step.name}") as connection:
        rows = dated_memories(connection, space)
        changes = replace_rows(connection, step.name, ["memory_id"], rows, "space", [space])
        if changes.any:
            bump_generation(connection)
    return conclude_global(lake, step, rows.height, changes, started)
