"""The derived stores of a space: its Lance table and its compiled graph, brought up to date as a whole.

What each of them held is noted in the ``layers`` table, for the snapshot that pins it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import log_run
from graph.compiled import CODE_VERSION, CompiledGraph, GraphParameters, compile_graph
from memory.segmentation import contextual_text
from warehouse.database import Changes, Connection, bump_generation, frame, generation
from warehouse.delta import Step
from warehouse.faults import reach
from warehouse.vectors import open_latest, sync_passages, table_name

VECTORS_STEP_NAME = "vectors"
GRAPH_STEP_NAME = "graph"


def vectors_step(lake: Lake) -> Step:
    """Warehouse rows to the searched table."""
    return Step(VECTORS_STEP_NAME, "2", {"embedder": lake.embedder_spec.identity})


def graph_step(lake: Lake) -> Step:
    """Mentions and entities to CSR arrays."""
    return Step(GRAPH_STEP_NAME, CODE_VERSION, {"max_share": lake.settings.graph.max_share})


@exclusive("writing vectors")
def refresh_vectors(lake: Lake, space: str, rewrite: bool = False) -> StepReport:
    """Make the Lance table of a space hold the warehouse's passages; ``rewrite`` leaves no row in its old file."""
    started = time.perf_counter()
    step = vectors_step(lake)
    with lake.warehouse.session("counting passages") as connection:
        row = connection.execute(
            "SELECT len(vector) FROM embeddings WHERE space = $space AND embedder = $embedder LIMIT 1",
            {"space": space, "embedder": lake.embedder_spec.identity},
        ).fetchone()
        of = generation(connection)
    dimensions = int(row[0]) if row else lake.embedder.dimensions
    lake.progress.start(step.name, space, 0)
    with lake.warehouse.released():  # Lance draws the rows in a thread of its own
        synced = sync_passages(
            lake.warehouse,
            space,
            lake.embedder_spec.identity,
            dimensions,
            contextual_text,
            lake.progress.advance,
            rewrite,
        )
    lake.progress.finish()
    state = {
        "table": synced.table,
        "version": synced.version,
        "digest": synced.digest,
        "rows": synced.rows,
        "generation": of,
        "fingerprint": step.fingerprint,
    }
    return _noted(lake, space, step, state, synced.rows, synced.changes, started)


@exclusive("compiling the graph")
def refresh_graph(lake: Lake, space: str) -> StepReport:
    """Compile the graph of a space; the same graph is the same folder."""
    started = time.perf_counter()
    step = graph_step(lake)
    lake.progress.start(step.name, space, 1)
    with lake.warehouse.session("reading the graph") as connection:
        arrays = _read(connection, space)
        of = generation(connection)
    compiled = compile_graph(**arrays, parameters=GraphParameters(lake.settings.graph.max_share))
    digest = compiled.digest()
    written = compiled.save(lake.layout.graph(digest), lambda: reach("graph.written"))
    reach("graph.renamed")
    lake.progress.finish()
    state = {
        "digest": digest,
        "entities": compiled.entities,
        "edges": compiled.edges,
        "generation": of,
        "fingerprint": step.fingerprint,
    }
    changes = Changes(added=compiled.passages if written else 0)
    return _noted(lake, space, step, state, compiled.passages, changes, started)


def note_version(lake: Lake, space: str) -> None:
    """Note that a space's table has a new version of the same rows, for the next snapshot to pin."""
    table = open_latest(lake.layout, space, table_name(lake.embedder_spec.identity))
    with lake.warehouse.session("noting a version") as connection:
        before = generation(connection)
        bump_generation(connection)
        states = connection.execute("SELECT space, layer, state FROM layers").fetchall()
        for of_space, layer, text in states:
            state = json.loads(text)
            if state.get("generation") == before:
                state["generation"] = before + 1  # no row has changed
            if (of_space, layer) == (space, VECTORS_STEP_NAME):
                state["version"] = int(table.version)
            _note(connection, of_space, layer, state)


def compiled_graph(connection: Connection, lake: Lake, space: str) -> CompiledGraph:
    """The graph of a space as its rows give it now."""
    return compile_graph(**_read(connection, space), parameters=GraphParameters(lake.settings.graph.max_share))


def open_graph(lake: Lake, digest: str) -> CompiledGraph:
    """A compiled graph, memory-mapped."""
    return CompiledGraph.load(lake.layout.graph(digest))


def layer_state(connection: Connection, space: str, layer: str) -> dict[str, Any] | None:
    """What a layer of a space last held, if it was ever brought up to date."""
    row = connection.execute(
        "SELECT state FROM layers WHERE space = $space AND layer = $layer", {"space": space, "layer": layer}
    ).fetchone()
    return None if row is None else json.loads(row[0])


_PASSAGES = "SELECT passage_id FROM searched WHERE space = $space ORDER BY passage_id"
_ENTITIES = "SELECT entity_id, entity_key, name, kind FROM entities WHERE space = $space ORDER BY entity_id"
_INCIDENCE = """
WITH ps AS (SELECT passage_id, row_number() OVER (ORDER BY passage_id) - 1 AS i FROM searched WHERE space = $space),
es AS (SELECT entity_id, row_number() OVER (ORDER BY entity_id) - 1 AS j FROM entities WHERE space = $space),
pairs AS (
    SELECT passage_id, entity_id, false AS titled FROM mentions WHERE space = $space
    UNION ALL
    SELECT passage_id, entity_id, kind = 'title' FROM titles WHERE space = $space
)
SELECT ps.i AS passage, es.j AS entity, bool_or(titled) AS titled
FROM pairs JOIN ps USING (passage_id) JOIN es USING (entity_id)
GROUP BY ps.i, es.j ORDER BY ps.i, es.j
"""
_SYNONYMS = """
WITH es AS (SELECT entity_id, row_number() OVER (ORDER BY entity_id) - 1 AS j FROM entities WHERE space = $space)
SELECT DISTINCT a.j AS short, b.j AS long FROM acronyms y
JOIN es a ON a.entity_id = y.short_id JOIN es b ON b.entity_id = y.long_id
WHERE y.space = $space ORDER BY a.j, b.j
"""


def _read(connection: Connection, space: str) -> dict[str, Any]:
    """The arguments of ``compile_graph``, in orders that depend on ids alone."""
    of_space = {"space": space}
    return {
        "passage_ids": frame(connection, _PASSAGES, of_space)["passage_id"],
        "entities": frame(connection, _ENTITIES, of_space),
        "incidence": frame(connection, _INCIDENCE, of_space),
        "synonyms": frame(connection, _SYNONYMS, of_space),
    }


def _noted(
    lake: Lake, space: str, step: Step, state: dict[str, Any], rows: int, changes: Changes, started: float
) -> StepReport:
    with lake.warehouse.session(f"noting {step.name}") as connection:
        _note(connection, space, step.name, state)
    reach("layers.noted")
    report = StepReport(
        step=step.name,
        source="",
        fingerprint=step.fingerprint,
        processed=changes.added + changes.updated,
        untouched=rows - changes.added - changes.updated,
        removed=changes.removed,
        changes=changes,
        seconds=time.perf_counter() - started,
    )
    log_run(lake, report)
    return report


def _note(connection: Connection, space: str, layer: str, state: dict[str, Any]) -> None:
    connection.execute(
        "INSERT INTO layers VALUES ($space, $layer, $state) ON CONFLICT DO UPDATE SET state = excluded.state",
        {"space": space, "layer": layer, "state": json.dumps(state, sort_keys=True)},
    )
