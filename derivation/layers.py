"""The searched tables of a space, brought up to date as a whole, and what each derived store holds.

That is noted in the ``layers`` table, for the snapshot that pins it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import log_run
from warehouse.database import Changes, Connection, bump_generation, generation
from warehouse.delta import Step
from warehouse.faults import reach
from warehouse.searched import BANK, MEMORIES, PASSAGES, TableKind
from warehouse.vectors import open_latest, sync_table

VECTORS_STEP_NAME = "vectors"
MEMORY_VECTORS_STEP_NAME = "memory_vectors"

BANK_STEP_NAME = "bank"

TABLE_LAYERS: dict[str, TableKind] = {
    VECTORS_STEP_NAME: PASSAGES,
    MEMORY_VECTORS_STEP_NAME: MEMORIES,
    BANK_STEP_NAME: BANK,
}
"""Step to the kind of table that it brings up to date."""

_CODE_VERSIONS = {VECTORS_STEP_NAME: "2", MEMORY_VECTORS_STEP_NAME: "1", BANK_STEP_NAME: "1"}


def table_step(lake: Lake, layer: str) -> Step:
    """Warehouse rows to a searched table."""
    parameters: dict[str, Any] = {"embedder": lake.embedder_spec.identity}
    if layer == BANK_STEP_NAME:
        parameters |= lake.settings.bank.model_dump()
    return Step(layer, _CODE_VERSIONS[layer], parameters)


def refresh_tables(lake: Lake, space: str, rewrite: bool = False) -> list[StepReport]:
    """Every searched table of a space, as :func:`refresh_table`."""
    return [refresh_table(lake, space, layer, rewrite) for layer in TABLE_LAYERS]


@exclusive("writing vectors")
def refresh_table(lake: Lake, space: str, layer: str = VECTORS_STEP_NAME, rewrite: bool = False) -> StepReport:
    """Make a Lance table of a space hold the warehouse's rows; ``rewrite`` leaves no row in its old file."""
    started = time.perf_counter()
    step = table_step(lake, layer)
    with lake.warehouse.session("counting rows") as connection:
        row = connection.execute(
            "SELECT len(vector) FROM embeddings WHERE space = $space AND embedder = $embedder LIMIT 1",
            {"space": space, "embedder": lake.embedder_spec.identity},
        ).fetchone()
        of = generation(connection)
    dimensions = int(row[0]) if row else lake.embedder.dimensions
    lake.progress.start(step.name, space, 0)
    with lake.warehouse.released():  # Lance draws the rows in a thread of its own
        synced = sync_table(
            lake.warehouse,
            TABLE_LAYERS[layer],
            space,
            lake.embedder_spec.identity,
            dimensions,
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
    return note_layer(lake, space, step, state, synced.rows, synced.changes, started)


def note_version(lake: Lake, space: str, layer: str) -> None:
    """Note that a space's table has a new version of the same rows, for the next snapshot to pin."""
    table = open_latest(lake.layout, space, TABLE_LAYERS[layer].table(lake.embedder_spec.identity))
    with lake.warehouse.session("noting a version") as connection:
        before = generation(connection)
        bump_generation(connection)
        states = connection.execute("SELECT space, layer, state FROM layers").fetchall()
        for of_space, of_layer, text in states:
            state = json.loads(text)
            if state.get("generation") == before:
                state["generation"] = before + 1  # no row has changed
            if (of_space, of_layer) == (space, layer):
                state["version"] = int(table.version)
            _note(connection, of_space, of_layer, state)


def layer_state(connection: Connection, space: str, layer: str) -> dict[str, Any] | None:
    """What a layer of a space last held, if it was ever brought up to date."""
    row = connection.execute(
        "SELECT state FROM layers WHERE space = $space AND layer = $layer", {"space": space, "layer": layer}
    ).fetchone()
    return None if row is None else json.loads(row[0])


def note_layer(
    lake: Lake, space: str, step: Step, state: dict[str, Any], rows: int, changes: Changes, started: float
) -> StepReport:
    """Note what a layer of a space holds now; the report of the step that brought it there, logged."""
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
