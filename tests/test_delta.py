"""The delta algebra: each input has exactly one verdict, told from the inputs and the ledger alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse.database import Connection, migrate, registered
from warehouse.delta import Outcome, Plan, Scope, Status, Step, Task, Verdict, forget, plan_step, record

SCOPE = Scope("home", "notes")
STEP = Step("cut", "1", {"size": 3})
OTHER_VERSION = Step("cut", "2", {"size": 3})
SQL = "SELECT input_id, input_hash, label FROM inputs_frame"


@dataclass(frozen=True)
class Known:
    """A row of the ledger."""

    input_hash: str
    step: Step
    status: Status


@pytest.fixture
def connection() -> Iterator[Connection]:
    with duckdb.connect() as opened:
        migrate(opened)
        yield opened


def plan(
    connection: Connection,
    inputs: dict[str, str],
    step: Step = STEP,
    scope: Scope = SCOPE,
    retry_quarantined: bool = False,
) -> Plan:
    rows = [(key, value, f"label {key}") for key, value in inputs.items()]
    schema = {"input_id": pl.String, "input_hash": pl.String, "label": pl.String}
    with registered(connection, "inputs_frame", pl.DataFrame(rows, schema=schema, orient="row")):
        return plan_step(connection, step, scope, SQL, retry_quarantined=retry_quarantined)


def outcome(key: str, value: str = "h", status: Status = Status.DONE, error: str | None = None) -> Outcome:
    return Outcome(Task(key, value, f"label {key}", Verdict.NEW), status, outputs=2, error=error)


def finish(connection: Connection, tasks: Sequence[Task]) -> None:
    record(connection, STEP, SCOPE, [Outcome(task, Status.DONE) for task in tasks])


def naive(inputs: dict[str, str], ledger: dict[str, Known], retry: bool) -> tuple[dict[str, Verdict], int]:
    """The verdicts by the table of the module's docstring, an id at a time."""
    verdicts = {}
    for key in inputs.keys() | ledger.keys():
        known = ledger.get(key)
        if known is None:
            verdicts[key] = Verdict.NEW
        elif key not in inputs:
            verdicts[key] = Verdict.REMOVED
        elif known.input_hash != inputs[key]:
            verdicts[key] = Verdict.CHANGED
        elif known.step is not STEP:
            verdicts[key] = Verdict.STALE
        elif known.status is Status.FAILED or (known.status is Status.QUARANTINED and retry):
            verdicts[key] = Verdict.FAILED
    return verdicts, len(inputs.keys() | ledger.keys()) - len(verdicts)


ids = st.sampled_from("abcdefgh")
hashes = st.sampled_from(["h1", "h2"])
knowns = st.builds(Known, hashes, st.sampled_from([STEP, OTHER_VERSION]), st.sampled_from(list(Status)))


class TestPlanning:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(inputs=st.dictionaries(ids, hashes), ledger=st.dictionaries(ids, knowns), retry=st.booleans())
    def test_every_input_has_the_verdict_of_the_table(
        self, connection: Connection, inputs: dict[str, str], ledger: dict[str, Known], retry: bool
    ) -> None:
        connection.execute("DELETE FROM ledger")
        for key, known in ledger.items():
            record(connection, known.step, SCOPE, [outcome(key, known.input_hash, known.status)])
        for elsewhere in (Scope("home", "mail"), Scope("work", "notes")):
            record(connection, STEP, elsewhere, [outcome(f"{elsewhere.space} {elsewhere.source}", "h9")])
        record(connection, Step("embed", "1", {}), SCOPE, [outcome("a", "h9"), outcome("z", "h9")])

        found = plan(connection, inputs, retry_quarantined=retry)

        verdicts = [(task.input_id, task.verdict) for task in found.tasks]
        verdicts += [(key, Verdict.REMOVED) for key in found.removed]
        expected, untouched = naive(inputs, ledger, retry)
        assert sorted(verdicts) == sorted(expected.items()), "each id once, with its verdict"
        assert found.untouched == untouched
        assert all(task.input_hash == inputs[task.input_id] for task in found.tasks)
        assert [task.input_id for task in found.tasks] == sorted(task.input_id for task in found.tasks)
        assert list(found.removed) == sorted(found.removed)
        assert found.empty == (not expected)
        for verdict in Verdict:
            assert found.count(verdict) == list(expected.values()).count(verdict)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        before=st.dictionaries(ids, hashes),
        after=st.dictionaries(ids, hashes),
        size=st.integers(1, 4),
        stop_after=st.integers(0, 4),
    )
    def test_a_run_that_stops_anywhere_leaves_exactly_the_rest(
        self, connection: Connection, before: dict[str, str], after: dict[str, str], size: int, stop_after: int
    ) -> None:
        connection.execute("DELETE FROM ledger")
        finish(connection, plan(connection, before).tasks)
        first = plan(connection, after)
        done = list(first.batches(size))[:stop_after]
        for batch in done:
            finish(connection, batch)
        second = plan(connection, after)
        assert second.tasks == first.tasks[size * len(done) :]
        assert second.removed == first.removed
        finish(connection, second.tasks)
        forget(connection, STEP, SCOPE, second.removed)
        assert plan(connection, after).empty

    def test_batches_are_whole_and_in_order(self, connection: Connection) -> None:
        found = plan(connection, dict.fromkeys("abcdefg", "h"))
        assert [[task.input_id for task in batch] for batch in found.batches(3)] == [
            ["a", "b", "c"],
            ["d", "e", "f"],
            ["g"],
        ]
        assert list(plan(connection, {}).batches(3)) == []

    def test_parameters_are_bound_into_the_inputs(self, connection: Connection) -> None:
        found = plan_step(
            connection, STEP, SCOPE, "SELECT $it AS input_id, 'h' AS input_hash, 'l' AS label", {"it": "it's"}
        )
        assert [task.input_id for task in found.tasks] == ["it's"]


class TestFingerprints:
    def test_name_version_and_parameters_all_count(self) -> None:
        steps = [
            STEP,
            OTHER_VERSION,
            Step("join", "1", {"size": 3}),
            Step("cut", "1", {"size": 4}),
            Step("cut", "1", {"length": 3}),
            Step("cut1", "", {"size": 3}),
        ]
        assert len({step.fingerprint for step in steps}) == len(steps)

    def test_the_order_of_parameters_does_not_count(self) -> None:
        assert Step("a", "1", {"x": 1, "y": 2}).fingerprint == Step("a", "1", {"y": 2, "x": 1}).fingerprint


class TestTheLedger:
    def test_it_keeps_what_was_recorded(self, connection: Connection) -> None:
        record(connection, STEP, SCOPE, [outcome("a"), outcome("b", status=Status.QUARANTINED, error="it is empty")])
        rows = connection.execute(
            "SELECT step, space, source, input_id, input_hash, fingerprint, status, label, error, outputs FROM ledger"
            " ORDER BY input_id"
        ).fetchall()
        place = ("cut", "home", "notes")
        assert rows == [
            (*place, "a", "h", STEP.fingerprint, "done", "label a", None, 2),
            (*place, "b", "h", STEP.fingerprint, "quarantined", "label b", "it is empty", 2),
        ]

    def test_attempts_count_failures_in_a_row_at_the_same_content_and_step(self, connection: Connection) -> None:
        def attempts(step: Step, value: str, status: Status) -> int:
            record(connection, step, SCOPE, [outcome("a", value, status)])
            row = connection.execute("SELECT attempts FROM ledger").fetchall()
            assert len(row) == 1
            return int(row[0][0])

        assert attempts(STEP, "h1", Status.FAILED) == 1
        assert attempts(STEP, "h1", Status.FAILED) == 2
        assert attempts(STEP, "h1", Status.QUARANTINED) == 3
        assert attempts(STEP, "h2", Status.FAILED) == 1, "another content starts anew"
        assert attempts(STEP, "h2", Status.FAILED) == 2
        assert attempts(OTHER_VERSION, "h2", Status.FAILED) == 1, "another version starts anew"
        assert attempts(OTHER_VERSION, "h2", Status.DONE) == 1
        assert attempts(OTHER_VERSION, "h2", Status.FAILED) == 1, "a success starts anew"

    def test_a_success_clears_the_error(self, connection: Connection) -> None:
        record(connection, STEP, SCOPE, [outcome("a", status=Status.FAILED, error="no answer")])
        record(connection, STEP, SCOPE, [outcome("a")])
        assert connection.execute("SELECT status, error FROM ledger").fetchall() == [("done", None)]

    def test_forgetting_takes_only_the_named_inputs_of_the_scope(self, connection: Connection) -> None:
        elsewhere = Scope("work", "notes")
        record(connection, STEP, SCOPE, [outcome("a"), outcome("b")])
        record(connection, STEP, elsewhere, [outcome("a")])
        record(connection, Step("embed", "1", {}), SCOPE, [outcome("a")])
        forget(connection, STEP, SCOPE, ["a", "nothing"])
        forget(connection, STEP, SCOPE, [])
        rows = connection.execute("SELECT step, space, input_id FROM ledger ORDER BY ALL").fetchall()
        assert rows == [("cut", "home", "b"), ("cut", "work", "a"), ("embed", "home", "a")]

    def test_recording_nothing_is_nothing(self, connection: Connection) -> None:
        record(connection, STEP, SCOPE, [])
        assert connection.execute("SELECT count(*) FROM ledger").fetchall() == [(0,)]

    def test_it_survives_in_the_file(self, tmp_path: Path) -> None:
        file = str(tmp_path / "lake.duckdb")
        with duckdb.connect(file) as first:
            migrate(first)
            record(first, STEP, SCOPE, [outcome("a")])
        with duckdb.connect(file) as second:
            assert plan(second, {"a": "h", "b": "h"}).tasks == (Task("b", "h", "label b", Verdict.NEW),)
