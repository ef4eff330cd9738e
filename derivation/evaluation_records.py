"""Evaluations in the warehouse: a run is noted when it begins, its results as they come, its end last.

No text of a document is kept: passages by their ids, answers as long as no document that they quote is erased.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from errors import UnknownName
from evaluation.record import EvaluatedRun, RunRecord, StepCost
from evaluation.run import GivenAnswer, QuestionResult
from warehouse.database import Connection, Warehouse

_COLUMNS = (
    "run_id, dataset, format, unit, path, metric, root, snapshot_id, systems, settings, embedder, hashes, judge,"
    " version, questions, problems, step, cost, started_at, finished_at"
)
_JSON = ("settings", "embedder", "hashes", "cost")


def begin_run(warehouse: Warehouse, record: RunRecord) -> EvaluatedRun:
    """Note that a run has begun; where it was begun before, give what it has so far."""
    with warehouse.session("beginning an evaluation") as connection:
        known = _runs(connection, "run_id = $value", record.run_id)
        if known:
            return EvaluatedRun(known[0], _results(connection, record.run_id))
        values = asdict(record)
        values |= {name: json.dumps(values[name]) for name in _JSON}
        values |= {name: _naive(values[name]) for name in ("started_at", "finished_at")}
        names = ", ".join(f"${name}" for name in values)
        connection.execute(f"INSERT INTO evaluation_runs ({', '.join(values)}) VALUES ({names})", values)
    return EvaluatedRun(record, ())


def finished_run(warehouse: Warehouse, run_id: str) -> EvaluatedRun | None:
    """A run that was made before, if it came to its end."""
    with warehouse.session("looking for an evaluation") as connection:
        known = _runs(connection, "finished_at IS NOT NULL AND run_id = $value", run_id)
        return EvaluatedRun(known[0], _results(connection, run_id)) if known else None


def add_results(warehouse: Warehouse, run_id: str, rows: Sequence[QuestionResult]) -> None:
    """Note results; those that are there already stay."""
    with warehouse.session("noting evaluation results") as connection:
        connection.executemany(
            "INSERT INTO evaluation_results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                (
                    run_id,
                    row.system,
                    row.question_id,
                    row.kind,
                    row.answerable,
                    json.dumps(row.metrics),
                    list(row.passages),
                    list(row.documents),
                    list(row.gold_ranks),
                    row.answer.text if row.answer else None,
                    json.dumps({**asdict(row.answer), "text": ""}) if row.answer else None,
                    row.latency_ms,
                )
                for row in rows
            ],
        )
        # What was erased since the snapshot that is asked must not come back in an answer.
        connection.execute(
            "UPDATE evaluation_results SET answer = NULL WHERE run_id = $run AND answer IS NOT NULL"
            " AND list_has_any(documents, (SELECT coalesce(list(document_id), []) FROM blocked))",
            {"run": run_id},
        )


def finish_run(warehouse: Warehouse, run_id: str) -> EvaluatedRun:
    """Note that a run has ended; gives it whole."""
    with warehouse.session("ending an evaluation") as connection:
        connection.execute(
            "UPDATE evaluation_runs SET finished_at = $now WHERE run_id = $run",
            {"now": _naive(datetime.now(UTC)), "run": run_id},
        )
        return EvaluatedRun(_runs(connection, "run_id = $value", run_id)[0], _results(connection, run_id))


def forget_run(warehouse: Warehouse, run_id: str) -> None:
    """Remove a run, so that it is made anew."""
    with warehouse.session("forgetting an evaluation") as connection:
        for table in ("evaluation_results", "evaluation_runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_id = $run", {"run": run_id})


def list_runs(warehouse: Warehouse, dataset: str = "") -> list[RunRecord]:
    """The finished runs, of one dataset or all, oldest first."""
    if not warehouse.exists:
        return []
    with warehouse.session("listing evaluations") as connection:
        return _runs(connection, "finished_at IS NOT NULL AND ($value = '' OR dataset = $value)", dataset)


def read_run(warehouse: Warehouse, name: str) -> EvaluatedRun:
    """A finished run by its id, an unambiguous beginning of it, or a dataset's name for its latest run.

    Raises:
        UnknownName: there is none, or several begin so.
    """
    runs = list_runs(warehouse)
    matching = [record for record in runs if record.run_id.startswith(name)]
    named = [record for record in runs if record.dataset == name]
    if len(matching) > 1 and not named:
        raise UnknownName(f"'{name}' begins the names of {len(matching)} runs.", f"One is {matching[-1].run_id}.")
    if not matching and not named:
        raise UnknownName(f"There is no finished run '{name}'.", "memlake eval list names them.")
    record = (named or matching)[-1]
    with warehouse.session("reading an evaluation") as connection:
        return EvaluatedRun(record, _results(connection, record.run_id))


def _runs(connection: Connection, where: str, value: str) -> list[RunRecord]:
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM evaluation_runs WHERE {where} ORDER BY started_at, run_id", {"value": value}
    )
    names = [column[0] for column in found.description or ()]
    return [_record(dict(zip(names, row, strict=True))) for row in found.fetchall()]


def _record(row: dict[str, Any]) -> RunRecord:
    for name in _JSON:
        row[name] = json.loads(row[name]) if row[name] else None
    row["cost"] = StepCost(**row["cost"]) if row["cost"] else None
    row["systems"], row["problems"] = tuple(row["systems"]), tuple(row["problems"])
    for name in ("started_at", "finished_at"):
        row[name] = row[name].replace(tzinfo=UTC) if row[name] else None
    return RunRecord(**row)


def _results(connection: Connection, run_id: str) -> tuple[QuestionResult, ...]:
    rows = connection.execute(
        "SELECT system, question_id, kind, answerable, metrics, passages, documents, gold_ranks, answer, answering,"
        " latency_ms"
        " FROM evaluation_results JOIN evaluation_runs USING (run_id) WHERE run_id = $run"
        " ORDER BY list_position(systems, system), question_id",
        {"run": run_id},
    ).fetchall()
    return tuple(
        QuestionResult(
            system=system,
            question_id=question,
            kind=kind,
            answerable=answerable,
            metrics=json.loads(metrics),
            passages=tuple(passages),
            documents=tuple(documents),
            gold_ranks=tuple(ranks),
            answer=GivenAnswer(**{**json.loads(answering), "text": answer or ""}) if answering else None,
            latency_ms=latency,
        )
        for system, question, kind, answerable, metrics, passages, documents, ranks, answer, answering, latency in rows
    )


def _naive(moment: datetime | None) -> datetime | None:
    """As DuckDB keeps it: UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
