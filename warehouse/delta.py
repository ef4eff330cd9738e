"""The delta algebra: what a step has to do, told from its inputs and its ledger.

A step is a pure function from one input row to output rows. With ``inputs`` the rows ``(input_id, input_hash)`` that
exist now and the ledger the rows that the step has processed, every id has exactly one verdict:

===========  =========================================================================================
new          an input that the ledger does not know
changed      known, with another content hash
stale        same content, processed under another fingerprint
failed       same content and fingerprint, but the last attempt failed in passing: try again
removed      in the ledger, no longer an input: its outputs go
untouched    everything else, among it quarantined inputs, which fail again until they change
===========  =========================================================================================

The verdicts depend on nothing but these two sets, so a run may stop anywhere, and the next one does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import polars as pl

from warehouse.database import Connection, registered
from warehouse.ids import fingerprint


class Verdict(StrEnum):
    """What the ledger says about one input."""

    NEW = "new"
    CHANGED = "changed"
    STALE = "stale"
    FAILED = "failed"
    REMOVED = "removed"


class Status(StrEnum):
    """How the last attempt at an input ended."""

    DONE = "done"
    FAILED = "failed"
    """In passing; planned again in the next run."""
    QUARANTINED = "quarantined"
    """For good, until the input or the step changes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One derivation: a name, a version of its code and the parameters that shape its outputs."""

    name: str
    code_version: str
    parameters: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.name, self.code_version, self.parameters)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of a lake a step works on: one source of a space, or (``source=''``) a whole space."""

    space: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One input that a step has to process."""

    input_id: str
    input_hash: str
    label: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step has to do; ``tasks`` and ``removed`` are ordered by label and id."""

    tasks: tuple[Task, ...]
    removed: tuple[str, ...]
    untouched: int

    @property
    def empty(self) -> bool:
        return not self.tasks and not self.removed

    def count(self, verdict: Verdict) -> int:
        """How many inputs have this verdict."""
        if verdict is Verdict.REMOVED:
            return len(self.removed)
        return sum(task.verdict is verdict for task in self.tasks)

    def batches(self, size: int) -> Iterator[tuple[Task, ...]]:
        """The tasks in order, at most ``size`` at a time."""
        for start in range(0, len(self.tasks), size):
            yield self.tasks[start : start + size]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task ended, for the ledger."""

    task: Task
    status: Status
    outputs: int = 0
    error: str | None = None
    remedy: str | None = None


_PLAN = """
WITH inputs AS ({inputs}),
known AS (
    SELECT input_id, input_hash, fingerprint, status, label FROM ledger
    WHERE step = $step AND space = $space AND source = $source
),
judged AS (
    SELECT
        coalesce(inputs.input_id, known.input_id) AS input_id,
        inputs.input_hash AS input_hash,
        coalesce(inputs.label, known.label) AS label,
        CASE
            WHEN known.input_id IS NULL THEN 'new'
            WHEN inputs.input_id IS NULL THEN 'removed'
            WHEN inputs.input_hash <> known.input_hash THEN 'changed'
            WHEN known.fingerprint <> $fingerprint THEN 'stale'
            WHEN known.status = 'failed' OR (known.status = 'quarantined' AND $retry) THEN 'failed'
            ELSE 'untouched'
        END AS verdict
    FROM inputs FULL OUTER JOIN known ON inputs.input_id = known.input_id
)
SELECT input_id, input_hash, label, verdict FROM judged WHERE verdict <> 'untouched'
UNION ALL
SELECT NULL, NULL, CAST(count(*) AS VARCHAR), 'untouched' FROM judged WHERE verdict = 'untouched'
ORDER BY label, input_id
"""


def plan_step(
    connection: Connection,
    step: Step,
    scope: Scope,
    inputs: str,
    parameters: Mapping[str, Any] | None = None,
    retry_quarantined: bool = False,
) -> Plan:
    """Judge every input of ``step`` in ``scope``.

    Args:
        inputs: SQL that yields ``(input_id, input_hash, label)``, each id once.
        parameters: bound to the ``$names`` in ``inputs``.
        retry_quarantined: plan inputs again that failed for good.
    """
    rows = connection.execute(
        _PLAN.format(inputs=inputs),
        {
            "step": step.name,
            "space": scope.space,
            "source": scope.source,
            "fingerprint": step.fingerprint,
            "retry": retry_quarantined,
            **(parameters or {}),
        },
    ).fetchall()
    untouched = 0
    tasks: list[Task] = []
    removed: list[str] = []
    for input_id, input_hash, label, verdict in rows:
        if verdict == "untouched":
            untouched = int(label)
        elif verdict == Verdict.REMOVED:
            removed.append(input_id)
        else:
            tasks.append(Task(input_id, input_hash, label, Verdict(verdict)))
    return Plan(tuple(tasks), tuple(removed), untouched)


_RECORD = """
INSERT INTO ledger
SELECT $step, $space, $source, r.input_id, r.input_hash, $fingerprint, r.status, r.label, r.error, r.remedy,
    CASE WHEN r.status = 'done' THEN 1 ELSE 1 + coalesce(
        (SELECT l.attempts FROM ledger l WHERE l.step = $step AND l.space = $space AND l.input_id = r.input_id
            AND l.input_hash = r.input_hash AND l.fingerprint = $fingerprint AND l.status <> 'done'), 0) END,
    r.outputs, $now
FROM outcomes_frame r
ON CONFLICT DO UPDATE SET
    source = excluded.source, input_hash = excluded.input_hash, fingerprint = excluded.fingerprint,
    status = excluded.status, label = excluded.label, error = excluded.error, remedy = excluded.remedy,
    attempts = excluded.attempts, outputs = excluded.outputs, processed_at = excluded.processed_at
"""


def record(connection: Connection, step: Step, scope: Scope, outcomes: Sequence[Outcome]) -> None:
    """Write how tasks ended; call it in the transaction that writes their outputs."""
    if not outcomes:
        return
    rows = pl.DataFrame(
        {
            "input_id": [outcome.task.input_id for outcome in outcomes],
            "input_hash": [outcome.task.input_hash for outcome in outcomes],
            "status": [outcome.status.value for outcome in outcomes],
            "label": [outcome.task.label for outcome in outcomes],
            "error": [outcome.error for outcome in outcomes],
            "remedy": [outcome.remedy for outcome in outcomes],
            "outputs": [outcome.outputs for outcome in outcomes],
        },
        schema_overrides={"error": pl.String, "remedy": pl.String, "outputs": pl.Int32},
    )
    with registered(connection, "outcomes_frame", rows):
        connection.execute(
            _RECORD,
            {
                "step": step.name,
                "space": scope.space,
                "source": scope.source,
                "fingerprint": step.fingerprint,
                "now": datetime.now(UTC).replace(tzinfo=None),
            },
        )


def forget(connection: Connection, step: Step, scope: Scope, input_ids: Sequence[str]) -> None:
    """Take removed inputs out of the ledger; call it in the transaction that removes their outputs."""
    connection.execute(
        "DELETE FROM ledger WHERE step = $step AND space = $space AND source = $source"
        " AND input_id IN (SELECT unnest($ids))",
        {"step": step.name, "space": scope.space, "source": scope.source, "ids": list(input_ids)},
    )
