"""The warehouse: a session is a transaction, the schema moves forward only, and writes touch only differences."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import WarehouseError
from warehouse.database import (
    Changes,
    Connection,
    Warehouse,
    bump_generation,
    generation,
    migrate,
    migrations,
    registered,
    replace_rows,
)
from warehouse.layout import LakeLayout


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(LakeLayout(tmp_path / "lake"))


def count(warehouse: Warehouse, sql: str) -> int:
    with warehouse.session() as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return int(row[0])


class TestSessions:
    def test_a_session_that_ends_is_kept(self, warehouse: Warehouse) -> None:
        with warehouse.session() as connection:
            connection.execute("INSERT INTO layers VALUES ('home', 'graph', '{}')")
        assert count(Warehouse(warehouse.layout), "SELECT count(*) FROM layers") == 1

    def test_a_session_that_raises_leaves_nothing(self, warehouse: Warehouse) -> None:
        def fail_midway() -> None:
            with warehouse.session() as connection:
                connection.execute("INSERT INTO layers VALUES ('home', 'graph', '{}')")
                bump_generation(connection)
                raise LookupError

        with pytest.raises(LookupError):
            fail_midway()
        assert count(warehouse, "SELECT count(*) FROM layers") == 0
        assert count(warehouse, "SELECT generation FROM generations") == 0

    def test_a_failing_statement_takes_the_whole_session_back(self, warehouse: Warehouse) -> None:
        def violate_a_key() -> None:
            with warehouse.session() as connection:
                connection.execute("INSERT INTO layers VALUES ('home', 'graph', '{}')")
                connection.execute("INSERT INTO layers VALUES ('home', 'graph', '{}')")

        with pytest.raises(duckdb.ConstraintException):
            violate_a_key()
        assert count(warehouse, "SELECT count(*) FROM layers") == 0

    def test_a_failing_write_of_a_frame_tells_its_own_error(self, warehouse: Warehouse) -> None:
        rows = pl.DataFrame({"space": ["home", "home"], "layer": ["graph", "graph"], "state": ["{}", "{}"]})
        with (
            pytest.raises(duckdb.ConstraintException, match="graph"),
            warehouse.session() as connection,
            registered(connection, "rows_frame", rows),
        ):
            connection.execute("INSERT INTO layers FROM rows_frame")

    def test_nothing_is_created_before_it_is_used(self, warehouse: Warehouse) -> None:
        assert not warehouse.exists
        assert not warehouse.layout.root.exists()
        with warehouse.session():
            pass
        assert warehouse.exists

    def test_threads_take_turns(self, warehouse: Warehouse) -> None:
        def work() -> None:
            for _ in range(5):
                with warehouse.session() as connection:
                    connection.execute(
                        "UPDATE generations SET generation = $next", {"next": generation(connection) + 1}
                    )

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count(warehouse, "SELECT generation FROM generations") == 20

    def test_the_generation_counts_changes(self, warehouse: Warehouse) -> None:
        with warehouse.session() as connection:
            assert generation(connection) == 0
            bump_generation(connection)
            bump_generation(connection)
        with warehouse.session() as connection:
            assert generation(connection) == 2


class TestMigrations:
    def test_each_is_applied_once(self, warehouse: Warehouse) -> None:
        for _ in range(2):
            with Warehouse(warehouse.layout).session() as connection:
                rows = connection.execute("SELECT version, name FROM schema_migrations ORDER BY version").fetchall()
            assert rows == [(version, name) for version, name, _ in migrations()]
        assert count(warehouse, "SELECT count(*) FROM generations") == 1

    def test_they_are_numbered_without_gaps(self) -> None:
        assert [version for version, _, _ in migrations()] == list(range(1, len(migrations()) + 1))

    def test_a_newer_schema_is_refused_and_left_alone(self, warehouse: Warehouse) -> None:
        with warehouse.session() as connection:
            connection.execute("INSERT INTO schema_migrations VALUES (999, 'future', now())")
        with (
            pytest.raises(WarehouseError, match=r"written by a newer memlake \(schema 999") as caught,
            warehouse_again(warehouse),
        ):
            pass
        assert "Upgrade memlake" in caught.value.remedy
        with duckdb.connect(str(warehouse.layout.warehouse)) as connection:
            assert connection.execute("SELECT max(version) FROM schema_migrations").fetchall() == [(999,)]

    def test_migrating_twice_is_migrating_once(self) -> None:
        with duckdb.connect() as connection:
            migrate(connection)
            connection.execute("UPDATE generations SET generation = 7")
            migrate(connection)
            assert generation(connection) == 7


def warehouse_again(warehouse: Warehouse) -> AbstractContextManager[Connection]:
    """A session of a process that has not opened the file yet."""
    return Warehouse(warehouse.layout).session()


class TestDamage:
    @pytest.mark.parametrize(
        "content", [b"this is not a database, it only looks like one " * 200, b"x", b"\0" * 20_000]
    )
    def test_a_file_that_is_no_database_is_named(self, warehouse: Warehouse, content: bytes) -> None:
        warehouse.layout.root.mkdir()
        warehouse.layout.warehouse.write_bytes(content)
        with pytest.raises(WarehouseError, match=r"warehouse\.duckdb cannot be opened") as caught, warehouse.session():
            pass
        assert "memlake repair" in caught.value.remedy
        assert warehouse.layout.warehouse.read_bytes() == content, "the evidence is left as it is"

    @pytest.mark.parametrize("place", ["cut off", "overwritten", "overwritten in part"])
    def test_a_damaged_database_is_named(self, warehouse: Warehouse, place: str) -> None:
        with warehouse.session() as connection:
            connection.execute("CREATE TABLE filler AS SELECT range AS i, md5(range::VARCHAR) AS t FROM range(200000)")
        data = bytearray(warehouse.layout.warehouse.read_bytes())
        if place == "cut off":
            data = data[: len(data) // 2]
        elif place == "overwritten in part":
            data[len(data) // 8 : len(data) // 2] = b"\xa5" * (len(data) // 2 - len(data) // 8)
        else:
            data[12_288:] = b"\xa5" * (len(data) - 12_288)
        warehouse.layout.warehouse.write_bytes(data)
        with pytest.raises(WarehouseError, match=r"warehouse\.duckdb"), warehouse_again(warehouse) as connection:
            connection.execute("SELECT count(DISTINCT t) FROM filler").fetchall()


Row = tuple[str, int, str | None]
row_keys = st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.integers(0, 3))
contents = st.one_of(st.none(), st.sampled_from(["x", "y"]))
tables = st.dictionaries(row_keys, contents, max_size=10)


@pytest.fixture
def scratch() -> Iterator[Connection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE things (owner VARCHAR, n INTEGER, text VARCHAR, PRIMARY KEY (owner, n))")
        yield connection


def held(connection: Connection) -> dict[tuple[str, int], str | None]:
    return {(owner, n): text for owner, n, text in connection.execute("FROM things").fetchall()}


class TestReplaceRows:
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(before=tables, wanted=tables, owners=st.sets(st.sampled_from(["ann", "bob", "eve", "nobody"])))
    def test_the_owners_rows_become_the_given_ones_and_the_others_stay(
        self,
        scratch: Connection,
        before: dict[tuple[str, int], str | None],
        wanted: dict[tuple[str, int], str | None],
        owners: set[str],
    ) -> None:
        wanted = {key: text for key, text in wanted.items() if key[0] in owners}
        scratch.execute("DELETE FROM things")
        for (owner, n), text in before.items():
            scratch.execute("INSERT INTO things VALUES (?, ?, ?)", [owner, n, text])

        rows = [(owner, n, text) for (owner, n), text in wanted.items()]
        given_rows = pl.DataFrame(rows, schema={"owner": pl.String, "n": pl.Int32, "text": pl.String}, orient="row")
        changes = replace_rows(scratch, "things", ["owner", "n"], given_rows, "owner", sorted(owners))

        mine = {key: text for key, text in before.items() if key[0] in owners}
        others = {key: text for key, text in before.items() if key[0] not in owners}
        assert held(scratch) == {**others, **wanted}
        assert changes == Changes(
            added=len(wanted.keys() - mine.keys()),
            updated=sum(mine[key] != wanted[key] for key in mine.keys() & wanted.keys()),
            removed=len(mine.keys() - wanted.keys()),
        )
        assert replace_rows(scratch, "things", ["owner", "n"], given_rows, "owner", sorted(owners)) == Changes()

    def test_a_table_of_keys_alone_can_be_replaced(self, scratch: Connection) -> None:
        scratch.execute("CREATE TABLE pairs (a VARCHAR, b VARCHAR, PRIMARY KEY (a, b))")
        scratch.execute("INSERT INTO pairs VALUES ('x', '1'), ('x', '2'), ('y', '1')")
        rows = pl.DataFrame({"a": ["x", "x"], "b": ["2", "3"]})
        assert replace_rows(scratch, "pairs", ["a", "b"], rows, "a", ["x"]) == Changes(added=1, removed=1)
        assert sorted(scratch.execute("FROM pairs").fetchall()) == [("x", "2"), ("x", "3"), ("y", "1")]

    def test_changes_add_up(self) -> None:
        assert Changes(1, 2, 3) + Changes(10, 20, 30) == Changes(11, 22, 33)
        assert not Changes().any
        assert Changes(removed=1).any
