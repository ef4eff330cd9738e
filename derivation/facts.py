"""Supports to facts: one row a stated triple, with its most frequent wording, and the time for which facts hold.

Like the entities, aggregates that are recomputed in the database and merged, so that they are the same whatever order
the statements came in. A fact lives while one passage states it; where a functional attribute changes, the older fact
stays and gets an end and a pointer to what superseded it (``graph/validity.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from graph.validity import CODE_VERSION, attribute_of, validity
from warehouse.database import Connection, bump_generation, frame, replace_rows
from warehouse.delta import Step
from warehouse.faults import reach

FACTS_STEP = Step("facts", "1", {})
VALIDITY_STEP = Step("validity", CODE_VERSION, {})

_AGGREGATE = """
WITH worded AS (
    SELECT fact_id, predicate, min(subject_id) AS subject_id, min(object_id) AS object_id, count(*) AS n
    FROM supports WHERE space = $space GROUP BY fact_id, predicate
)
SELECT fact_id, $space AS space, min(subject_id) AS subject_id, arg_min(predicate, (-n, predicate)) AS predicate,
    min(object_id) AS object_id, CAST(sum(n) AS INTEGER) AS passages
FROM worded GROUP BY fact_id
"""

_STATED = """
SELECT s.fact_id, min(d.document_date) AS stated
FROM supports s JOIN passages p USING (passage_id) JOIN documents d USING (document_id)
WHERE s.space = $space AND d.document_date IS NOT NULL GROUP BY s.fact_id
"""
_PREDICATES = "SELECT DISTINCT predicate FROM supports WHERE space = $space"
_STATEMENTS = """
SELECT s.fact_id, coalesce(r.canonical_id, s.subject_id) AS subject_id, s.predicate,
    coalesce(o.canonical_id, s.object_id) AS object_id, d.document_date AS stated_on
FROM (SELECT unnest($predicates) AS predicate) JOIN supports s USING (predicate)
JOIN passages p USING (passage_id) JOIN documents d USING (document_id)
LEFT JOIN resolutions r ON r.entity_id = s.subject_id
LEFT JOIN resolutions o ON o.entity_id = s.object_id
WHERE s.space = $space AND d.document_date IS NOT NULL
"""


def aggregated_facts(connection: Connection, space: str) -> pl.DataFrame:
    """The rows of ``facts`` as the supports of a space give them now, in no order."""
    return frame(connection, _AGGREGATE, {"space": space})


def dated_facts(connection: Connection, space: str) -> pl.DataFrame:
    """The rows of ``validity`` as the statements of a space give them now, in no order."""
    of_space = {"space": space}
    predicates = [name for name in frame(connection, _PREDICATES, of_space)["predicate"] if attribute_of(name)]
    statements = frame(connection, _STATEMENTS, {**of_space, "predicates": predicates})
    dated = validity(frame(connection, _STATED, of_space), statements)
    return dated.select("fact_id", pl.lit(space).alias("space"), "valid_from", "valid_until", "superseded_by")


@exclusive("aggregating facts")
def refresh_facts(lake: Lake, space: str) -> StepReport:
    """Bring the facts of a space up to date with their supports."""
    return _refreshed(lake, space, FACTS_STEP, aggregated_facts)


@exclusive("dating facts")
def refresh_validity(lake: Lake, space: str) -> StepReport:
    """Bring the time for which facts hold up to date with their statements; call it when entities are resolved."""
    return _refreshed(lake, space, VALIDITY_STEP, dated_facts)


def _refreshed(lake: Lake, space: str, step: Step, computed: Callable[[Connection, str], pl.DataFrame]) -> StepReport:
    started = time.perf_counter()
    lake.progress.start(step.name, space, 1)
    with lake.warehouse.session(f"writing {step.name}") as connection:
        rows = computed(connection, space)
        changes = replace_rows(connection, step.name, ["fact_id"], rows, "space", [space])
        reach("facts.written")
        if changes.any:
            bump_generation(connection)
    return conclude_global(lake, step, rows.height, changes, started)
