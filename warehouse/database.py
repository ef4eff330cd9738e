"""The DuckDB warehouse: short transactions under the lock, and a schema that migrates forward.

Nothing but ``Warehouse`` opens the file. A session is one transaction: it commits when its block
ends and rolls back when the block raises, so whoever comes next sees all of a batch or nothing of it. No heavy work
belongs inside a session. Sessions of one step may share an opened file (``kept``); it is let go of for what is heavy
between them (``released``).
"""

from __future__ import annotations

import errno
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from threading import get_ident
from typing import TYPE_CHECKING

import duckdb

from errors import LockTimeout, StorageFull, WarehouseError
from warehouse.faults import reach
from warehouse.layout import LakeLayout
from warehouse.lock import warehouse_lock

if TYPE_CHECKING:
    import polars as pl

Connection = duckdb.DuckDBPyConnection

_DAMAGED = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)

_FOREIGN_LOCK = re.compile(r"Conflicting lock is held in (.*?\(PID \d+\))")
"""DuckDB's words for a file that a program other than memlake has open; memlake's own take turns by the lock."""

_DISK_FULL = re.compile(r"no space left|disk full|not enough space|\d+ requested and \d+ written", re.IGNORECASE)
"""The last are NumPy's words for an array of which only a part was written."""

_FOREIGN_POLL_SECONDS = 0.1

_MIGRATION_NAME = re.compile(r"^(\d{4})_(\w+)\.sql$")


class Warehouse:
    """The truth of one lake, opened for a transaction, or for those of a step."""

    def __init__(
        self,
        layout: LakeLayout,
        lock_timeout_seconds: float = 600.0,
        on_wait: Callable[[str], None] = lambda message: None,
    ) -> None:
        """``on_wait`` is told for whom a transaction waits, if it waits for long."""
        self.layout = layout
        self._timeout = lock_timeout_seconds
        self._on_wait = on_wait
        self._lock = warehouse_lock(layout, lock_timeout_seconds, on_wait)
        self._migrated = False
        self._keeper: int | None = None
        self._kept: Connection | None = None
        self._opened = ExitStack()

    @property
    def exists(self) -> bool:
        return self.layout.warehouse.exists()

    @contextmanager
    def session(self, purpose: str = "reading or writing the warehouse") -> Iterator[Connection]:
        """One transaction on the warehouse, created and migrated as needed.

        Raises:
            LockTimeout: another process holds the warehouse.
            WarehouseError: the file is damaged or was written by a newer memlake.
            StorageFull: the disk is full; nothing of this transaction was kept.
        """
        with self.alone(purpose) as connection:
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def alone(self, purpose: str) -> Iterator[Connection]:
        """The warehouse, opened and migrated, outside any transaction; for what rewrites the file as a whole."""
        try:
            if self._keeper == get_ident():
                yield self._kept_connection(purpose)
                return
            with self._lock.held(purpose):
                connection = self._open()
                try:
                    yield connection
                finally:
                    connection.close()
        except (duckdb.Error, OSError) as error:
            self._let_go()
            if is_disk_full(error):
                raise storage_full(self.layout) from error
            if isinstance(error, _DAMAGED) or "checksum" in str(error):
                raise self._damaged(error) from error
            raise

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Open the file once for all sessions of this thread in the block, with the first of them.

        Opening costs tens of milliseconds, many times what a short transaction does. For a step that works on the lake
        alone anyway; what is heavy in it belongs in :meth:`released`.
        """
        if self._keeper is not None:  # by this thread, further out; other threads open it for themselves
            yield
            return
        self._keeper = get_ident()
        try:
            yield
        finally:
            self._let_go()
            self._keeper = None

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let others have the warehouse while something heavy runs; what comes after opens it again."""
        keeper = self._keeper
        if keeper != get_ident():
            yield
            return
        self._let_go()
        self._keeper = None
        try:
            yield
        finally:
            self._keeper = keeper

    def _kept_connection(self, purpose: str) -> Connection:
        if self._kept is None:
            with ExitStack() as opened:
                opened.enter_context(self._lock.held(purpose))
                connection = self._open()
                opened.callback(connection.close)
                self._kept, self._opened = connection, opened.pop_all()
        assert self._kept is not None
        return self._kept

    def _let_go(self) -> None:
        """Close what this thread keeps open."""
        if self._kept is not None and self._keeper == get_ident():
            self._kept = None
            self._opened.close()

    def _open(self) -> Connection:
        connection = self._connect()
        try:
            if not self._migrated:
                migrate(connection)
                self._migrated = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        if not self.exists:
            self._migrated = False
        deadline = time.monotonic() + self._timeout
        told = False
        while True:
            try:
                connection = duckdb.connect(str(self.layout.warehouse))
            except duckdb.Error as error:
                if is_disk_full(error):
                    raise
                holder = _FOREIGN_LOCK.search(str(error))
                if not holder:
                    raise self._damaged(error) from error
                if time.monotonic() > deadline:
                    raise self._held_by_another_program(holder[1]) from error
                if not told:
                    self._on_wait(f"Waiting for {holder[1]}, which has {self.layout.warehouse} open.")
                    told = True
                time.sleep(_FOREIGN_POLL_SECONDS)
            else:
                connection.execute("SET preserve_insertion_order = false")
                return connection

    def _held_by_another_program(self, holder: str) -> LockTimeout:
        return LockTimeout(
            f"The warehouse {self.layout.warehouse} is open in another program ({holder}); waited {self._timeout:g} s.",
            "Close it there: DuckDB lets one process in at a time.",
        )

    def _damaged(self, error: BaseException) -> WarehouseError:
        return WarehouseError(
            f"The warehouse {self.layout.warehouse} cannot be opened: {str(error).splitlines()[0]}",
            "Build it anew with: memlake repair. The published snapshot stays readable meanwhile.",
        )


def migrate(connection: Connection) -> None:
    """Apply the migrations that the file has not seen yet, each in its own transaction.

    Raises:
        WarehouseError: the file has migrations that this memlake does not know.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    applied = {row[0] for row in connection.execute("SELECT version FROM schema_migrations").fetchall()}
    known = migrations()
    unknown = applied - {version for version, _, _ in known}
    if unknown:
        raise WarehouseError(
            f"The warehouse was written by a newer memlake (schema {max(unknown)}, known up to {known[-1][0]}).",
            "Upgrade memlake to open it.",
        )
    for version, name, sql in known:
        if version in applied:
            continue
        connection.begin()
        try:
            connection.execute(sql)
            connection.execute("INSERT INTO schema_migrations VALUES (?, ?, now() AT TIME ZONE 'UTC')", [version, name])
            reach("migrate.applied")
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
        reach("migrate.committed")


def migrations() -> list[tuple[int, str, str]]:
    """``(version, name, sql)`` of every migration, in order."""
    found = []
    for item in (resources.files("warehouse") / "migrations").iterdir():
        match = _MIGRATION_NAME.match(item.name)
        if match:
            found.append((int(match[1]), match[2], item.read_text(encoding="utf-8")))
    return sorted(found)


def frame(connection: Connection, sql: str, parameters: Mapping[str, object] | None = None) -> pl.DataFrame:
    """The rows of a query as a Polars frame."""
    rows: pl.DataFrame = connection.sql(sql, params=dict(parameters or {})).pl()
    return rows


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of DuckDB, Lance or the operating system says that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return bool(_DISK_FULL.search(str(error)))


def storage_full(layout: LakeLayout) -> StorageFull:
    """The error for a full disk, naming the lake."""
    return StorageFull(
        f"The disk under {layout.root} is full; what was committed before is intact.",
        "Free some space and run the build again: it goes on where it stopped.",
    )


@contextmanager
def registered(connection: Connection, name: str, rows: pl.DataFrame) -> Iterator[None]:
    """Let SQL read ``rows`` as a table called ``name`` while the block runs."""
    connection.register(name, rows)
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # in an aborted transaction this fails, too, and must not hide the reason
            connection.unregister(name)
        raise
    connection.unregister(name)


@dataclass(frozen=True, slots=True)
class Changes:
    """How many rows of a table a write touched."""

    added: int = 0
    updated: int = 0
    removed: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.added + other.added, self.updated + other.updated, self.removed + other.removed)

    @property
    def any(self) -> bool:
        return bool(self.added or self.updated or self.removed)


def replace_rows(
    connection: Connection, table: str, keys: Sequence[str], rows: pl.DataFrame, owner: str, owners: Sequence[str]
) -> Changes:
    """Make the rows of ``table`` whose ``owner`` column is one of ``owners`` equal to ``rows``; touch only differences.

    Args:
        keys: the unique key of the table.
        rows: every column of the table; each row's ``owner`` is among ``owners``.
    """
    if rows.is_empty():  # planning a merge takes longer than the rest of a small batch
        gone = connection.execute(
            f"DELETE FROM {table} WHERE {owner} IN (SELECT unnest($owners)) RETURNING 1", {"owners": list(owners)}
        ).fetchall()
        return Changes(removed=len(gone))
    others = [name for name in rows.columns if name not in keys]
    matched = " AND ".join(f"t.{key} = s.{key}" for key in keys)
    update = ""
    if others:
        differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in others)
        assigned = ", ".join(f"{name} = s.{name}" for name in others)
        update = f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {assigned}"
    columns = ", ".join(rows.columns)
    values = ", ".join(f"s.{name}" for name in rows.columns)
    with registered(connection, "rows_frame", rows):
        actions = connection.execute(
            f"MERGE INTO {table} t USING rows_frame s ON {matched} {update} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values}) "
            f"WHEN NOT MATCHED BY SOURCE AND t.{owner} IN (SELECT unnest($owners)) THEN DELETE "
            "RETURNING merge_action",
            {"owners": list(owners)},
        ).fetchall()
    counted = Counter(action for (action,) in actions)
    return Changes(counted["INSERT"], counted["UPDATE"], counted["DELETE"])


def bump_generation(connection: Connection) -> None:
    """Note that what a snapshot is made of has changed."""
    connection.execute("UPDATE generations SET generation = generation + 1")


def generation(connection: Connection) -> int:
    """How often what a snapshot is made of has changed."""
    row = connection.execute("SELECT generation FROM generations").fetchone()
    assert row is not None
    return int(row[0])
