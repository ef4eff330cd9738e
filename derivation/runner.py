"""Running a step: take the plan in batches, compute with no store open, commit outputs and ledger together.

A crash loses at most the batch that was being computed, and the plan of the next run holds exactly what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import polars as pl

from derivation.lake import Lake
from derivation.progress import ModelUse, StepReport
from errors import MemlakeError, Transient
from warehouse.database import Changes, Connection, bump_generation
from warehouse.delta import Outcome, Plan, Scope, Status, Step, Task, forget, plan_step, record
from warehouse.faults import reach

_QUICK = 64
"""So many inputs are computed before the warehouse could be opened again."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """SQL that yields ``(input_id, input_hash, label)``, with its parameters."""

    sql: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of a batch."""

    outputs: Any
    outcomes: Sequence[Outcome]
    """One a task that was taken; a task without one stays planned."""
    stopped: MemlakeError | None = None
    """Why the step cannot go on; raised when what was computed is committed and what is gone is removed."""
    deferred: MemlakeError | None = None
    """Why some tasks wait for a later run; raised at the end of the step."""
    used: ModelUse = field(default_factory=ModelUse)


class Derivation(Protocol):
    """A step whose inputs and outputs are rows of the warehouse."""

    step: Step

    def inputs(self, scope: Scope) -> Inputs:
        """What there is to process in ``scope``."""

    def load(self, connection: Connection, tasks: Sequence[Task]) -> Any:
        """What ``compute`` needs of these inputs."""

    def compute(self, tasks: Sequence[Task], loaded: Any) -> Computed:
        """The outputs of a batch, with no store open."""

    def tables(self, outputs: Any) -> Mapping[str, pl.DataFrame]:
        """The rows of what was computed, by the table that they belong in."""

    def write(self, connection: Connection, owners: Sequence[str], outputs: Any) -> Changes:
        """Make the outputs of these inputs equal to what was computed."""

    def owned(self, table: str, owners: Sequence[str]) -> tuple[str, Sequence[str]]:
        """The column of a table that says whose a row is, and what it holds for these inputs."""

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        """Remove the outputs of inputs that are gone."""


def plan(lake: Lake, derivation: Derivation, scope: Scope) -> Plan:
    """What running the step would do."""
    inputs = derivation.inputs(scope)
    with lake.warehouse.session(f"planning {derivation.step.name}") as connection:
        return plan_step(connection, derivation.step, scope, inputs.sql, inputs.parameters, lake.retry_quarantined)


def run(lake: Lake, derivation: Derivation, scope: Scope) -> StepReport:
    """Bring the outputs of a step up to date."""
    with lake.working(f"{derivation.step.name} of {scope.source or scope.space}"):
        return _run(lake, derivation, scope)


def _run(lake: Lake, derivation: Derivation, scope: Scope) -> StepReport:
    started = time.perf_counter()
    step = derivation.step
    todo = plan(lake, derivation, scope)
    changes = Changes()
    taken: list[Task] = []
    failed = 0
    used = ModelUse()
    stopped: MemlakeError | None = None
    deferred: MemlakeError | None = None
    lake.progress.start(step.name, scope.source or scope.space, len(todo.tasks))
    for tasks in todo.batches(lake.settings.lake.batch_rows):
        with lake.warehouse.session(f"reading inputs of {step.name}") as connection:
            loaded = derivation.load(connection, tasks)
        with lake.warehouse.released() if len(tasks) > _QUICK else nullcontext():
            computed = derivation.compute(tasks, loaded)
        reach("step.computed")
        with lake.warehouse.session(f"writing {step.name}") as connection:
            owners = [outcome.task.input_id for outcome in computed.outcomes]
            changed = derivation.write(connection, owners, computed.outputs)
            reach("step.written")
            record(connection, step, scope, computed.outcomes)
            if changed.any:
                bump_generation(connection)
        reach("step.committed")
        changes += changed
        taken += [outcome.task for outcome in computed.outcomes]
        failed += sum(outcome.status is not Status.DONE for outcome in computed.outcomes)
        used += computed.used
        lake.progress.advance(len(tasks))
        stopped, deferred = computed.stopped, deferred or computed.deferred
        if stopped:
            break
    if todo.removed:
        with lake.warehouse.session(f"removing from {step.name}") as connection:
            changes += derivation.remove(connection, todo.removed)
            reach("step.removing")
            forget(connection, step, scope, todo.removed)
            bump_generation(connection)
    report = conclude(lake, step, scope, replace(todo, tasks=tuple(taken)), changes, failed, started, used)
    waits = stopped or deferred
    if waits:
        raise waits
    return report


def conclude(
    lake: Lake,
    step: Step,
    scope: Scope,
    todo: Plan,
    changes: Changes,
    failed: int,
    started: float,
    used: ModelUse | None = None,
) -> StepReport:
    """The report of a step that has taken its plan, logged."""
    used = used or ModelUse()
    lake.progress.finish()
    report = StepReport(
        step=step.name,
        source=scope.source,
        fingerprint=step.fingerprint,
        processed=len(todo.tasks),
        untouched=todo.untouched,
        removed=len(todo.removed),
        failed=failed,
        changes=changes,
        seconds=time.perf_counter() - started,
        model_seconds=used.seconds,
        tokens=used.tokens,
        cost=used.cost,
        unlocated=used.unlocated,
    )
    log_run(lake, report)
    return report


def conclude_global(lake: Lake, step: Step, rows: int, changes: Changes, started: float) -> StepReport:
    """The report of a step over a whole space that has made its table hold ``rows`` rows, logged."""
    lake.progress.finish()
    touched = changes.added + changes.updated
    report = StepReport(
        step=step.name,
        source="",
        fingerprint=step.fingerprint,
        processed=touched,
        untouched=rows - touched,
        removed=changes.removed,
        changes=changes,
        seconds=time.perf_counter() - started,
    )
    log_run(lake, report)
    return report


def failure(task: Task, error: MemlakeError) -> Outcome:
    """The outcome of a task that ended in ``error``: transient ones are planned again, the others quarantined."""
    status = Status.FAILED if isinstance(error, Transient) else Status.QUARANTINED
    return Outcome(task, status, error=error.message, remedy=error.remedy)


def log_run(lake: Lake, report: StepReport) -> None:
    """Keep what a step did and cost; the warehouse keeps it unless it did nothing."""
    lake.reports.append(report)
    if not (report.processed or report.removed or report.changes.any or report.tokens):
        return
    with lake.warehouse.session("logging a run") as connection:
        connection.execute(
            "INSERT INTO step_runs VALUES ($run, $step, $source, $fingerprint, $started, $seconds, $model_seconds,"
            " $processed, $untouched, $removed, $failed, $added, $updated, $gone, $tokens)",
            {
                "run": lake.run_id,
                "step": report.step,
                "source": report.source,
                "fingerprint": report.fingerprint,
                "started": lake.now.replace(tzinfo=None),
                "seconds": report.seconds,
                "model_seconds": report.model_seconds,
                "processed": report.processed,
                "untouched": report.untouched,
                "removed": report.removed,
                "failed": report.failed,
                "added": report.changes.added,
                "updated": report.changes.updated,
                "gone": report.changes.removed,
                "tokens": report.tokens,
            },
        )
