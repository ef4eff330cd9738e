"""The Lance tables: one database a space, one table of each kind an embedder.

A table is derived: ``sync_table`` compares it, row by row, with what the warehouse says (``warehouse.searched``), and
commits the difference at once. It asks the table itself what it holds and keeps no notes of its own, so that a crash
between Lance and DuckDB, or a table that somebody changed by hand, mends itself in the next run.

The full-text index is built anew after every change. Lance's incremental index keeps counting deleted rows, so its BM25
scores drift from those of a fresh table (measured: up to 12 per cent); built anew they are equal, and it costs a tenth
of a second per two thousand passages.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from errors import SnapshotError
from warehouse.database import Changes, Connection, Warehouse, is_disk_full, registered, storage_full
from warehouse.faults import reach
from warehouse.layout import LakeLayout
from warehouse.searched import FTS_COLUMN, TableKind

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

_NEVER = timedelta(days=36_500)

_MAX_FRAGMENTS = 8
"""Small files of a table before it is compacted; every commit adds one."""

_CHUNK_ROWS = 4096
"""Rows that are in memory at once on their way from the warehouse to Lance."""


def connect(layout: LakeLayout, space: str) -> DBConnection:
    """The Lance database of a space."""
    os.environ.setdefault("LANCEDB_LOG", "error")
    import lancedb

    return lancedb.connect(str(layout.space_vectors(space)))


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What bringing a table up to date did."""

    table: str
    version: int
    digest: str
    rows: int
    changes: Changes


def sync_table(
    warehouse: Warehouse,
    kind: TableKind,
    space: str,
    embedder: str,
    dimensions: int,
    on_progress: Callable[[int], None] = lambda rows: None,
    rewrite: bool = False,
) -> SyncReport:
    """Make a space's table hold exactly what the warehouse says, in one commit, and index its texts if it has any.

    Args:
        rewrite: write every row anew, so that no file of the new version holds a deleted one.

    Raises:
        StorageFull: the disk is full; the table stays at its last version.
    """
    with warehouse.session(f"comparing {kind.name}") as connection:
        wanted = wanted_rows(connection, kind, space, embedder)
    name, key = kind.table(embedder), kind.key
    schema = kind.schema(dimensions)
    try:
        table = _open_or_create(connect(warehouse.layout, space), name, schema)
        rewrite = rewrite or set(table.schema.names) != set(schema.names)
        held = pl.from_arrow(table.search().select([key, "row_hash"]).to_arrow())
        assert isinstance(held, pl.DataFrame)
        doubled = held.filter(held[key].is_duplicated())[key].unique().sort().to_list()
        if doubled:  # by hand or by another program; a merge would not know which row to replace
            table.delete(in_list(key, doubled))
            held = held.filter(~held[key].is_in(doubled))
        if rewrite:
            held = held.clear()
        upserts = wanted.join(held, on=[key, "row_hash"], how="anti").sort(key)
        removed = held.join(wanted, on=key, how="anti")[key].sort().to_list()
        updated = upserts.join(held, on=key, how="semi").height
        changed = bool(upserts.height or removed or rewrite)
        if changed:
            rows = _stream(warehouse, kind, space, embedder, upserts, schema, on_progress)
            reader = pa.RecordBatchReader.from_batches(schema, rows)
            if rewrite:
                table = _overwrite(connect(warehouse.layout, space), name, reader)
            elif held.height == 0:
                table.add(reader)
            else:
                merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
                if removed:
                    merge = merge.when_not_matched_by_source_delete(in_list(key, removed))
                merge.execute(reader)
            reach("vectors.merged")
        if changed and fragments(table) > _MAX_FRAGMENTS:
            merge_fragments(table)
            reach("vectors.compacted")
        if kind.is_searched:
            index_text(table, anew=changed)
        reach("vectors.indexed")
    except (RuntimeError, OSError) as error:
        if is_disk_full(error):
            raise storage_full(warehouse.layout) from error
        raise
    digest = hashlib.blake2b(digest_size=16)
    for row in wanted.sort(key).iter_rows():
        digest.update("\x1f".join(row).encode())
    return SyncReport(
        table=name,
        version=int(table.version),
        digest=digest.hexdigest(),
        rows=wanted.height,
        changes=Changes(upserts.height - updated, updated, len(removed)),
    )


def _open_or_create(database: DBConnection, name: str, schema: pa.Schema) -> Table:
    try:
        return database.open_table(name)
    except ValueError:
        pass
    try:
        table = database.create_table(name, schema=schema)
    except ValueError:  # the folder of a table whose creation was interrupted
        table = database.create_table(name, schema=schema, mode="overwrite")
    reach("vectors.created")
    return table


def _overwrite(database: DBConnection, name: str, rows: pa.RecordBatchReader) -> Table:
    """A new version of the table with these rows only; the versions before keep theirs."""
    table = database.open_table(name)
    table.add(rows, mode="overwrite")
    return database.open_table(name)


def _stream(
    warehouse: Warehouse,
    kind: TableKind,
    space: str,
    embedder: str,
    wanted: pl.DataFrame,
    schema: pa.Schema,
    on_progress: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """The rows to write, a chunk at a time; the warehouse is open only while a chunk is read."""
    for chunk in wanted.iter_slices(_CHUNK_ROWS):
        with warehouse.session("reading vectors") as connection:
            rows = stored_rows(connection, kind, space, embedder, chunk)
        yield from rows.select(schema.names).cast(schema).combine_chunks().to_batches()
        on_progress(chunk.height)


def wanted_rows(connection: Connection, kind: TableKind, space: str, embedder: str) -> pl.DataFrame:
    """The key and ``row_hash`` of what a space's table should hold."""
    rows: pl.DataFrame = connection.sql(kind.wanted, params=_asked(kind.wanted, space, embedder)).pl()
    return rows


def stored_rows(connection: Connection, kind: TableKind, space: str, embedder: str, wanted: pl.DataFrame) -> pa.Table:
    """The rows of these keys as a table holds them, in the order of the keys."""
    with registered(connection, "wanted_frame", wanted):
        return connection.sql(kind.rows, params=_asked(kind.rows, space, embedder)).to_arrow_table()


def _asked(sql: str, space: str, embedder: str) -> dict[str, str]:
    """Those of the parameters that a statement names; DuckDB refuses others."""
    given = {"space": space, "embedder": embedder}
    return {name: value for name, value in given.items() if f"${name}" in sql}


def index_text(table: Table, anew: bool) -> None:
    """Build the full-text index where rows changed (``anew``) or the index does not cover every row."""
    from lancedb.index import FTS

    if anew or unindexed(table) != 0:
        table.create_index(FTS_COLUMN, config=FTS(language="English", stem=True, remove_stop_words=True), replace=True)


def merge_fragments(table: Table) -> None:
    """Merge small files, as a new version; none is pruned: which may go is decided by which snapshots are kept."""
    table.optimize(cleanup_older_than=_NEVER, delete_unverified=True)


def fragments(table: Table) -> int:
    """How many files the table's rows are in."""
    stats: Any = table.stats()
    return int(stats["fragment_stats"]["num_fragments"])


def unindexed(table: Table) -> int:
    """Rows that the full-text index does not cover; -1 where there is no index."""
    index = next((item for item in table.list_indices() if list(item.columns) == [FTS_COLUMN]), None)
    stats = table.index_stats(index.name) if index else None
    return -1 if stats is None else int(stats.num_unindexed_rows)


def open_version(layout: LakeLayout, space: str, name: str, version: int) -> Table:
    """A table as one snapshot pins it, for reading.

    Raises:
        SnapshotError: the table or that version of it is gone.
    """
    try:
        return connect(layout, space).open_table(name, version=version)
    except (ValueError, RuntimeError) as error:
        raise SnapshotError(
            f"The vectors of space '{space}' are damaged or gone: {error}.", "Build them anew with: memlake repair"
        ) from error


def open_latest(layout: LakeLayout, space: str, name: str) -> Table:
    """A table as it is now.

    Raises:
        SnapshotError: there is no such table, or it is damaged.
    """
    try:
        return connect(layout, space).open_table(name)
    except (ValueError, RuntimeError) as error:
        raise SnapshotError(
            f"The vectors of space '{space}' are damaged or gone: {error}.", "Build them anew with: memlake repair"
        ) from error


def tag_version(layout: LakeLayout, space: str, name: str, version: int, tag: str) -> None:
    """Protect a version from pruning for as long as a snapshot pins it; tagging twice is tagging once."""
    table = connect(layout, space).open_table(name)
    if tag in table.tags.list():
        table.tags.update(tag, version)
    else:
        table.tags.create(tag, version)


def vector_problems(layout: LakeLayout, kind: TableKind, space: str, name: str, version: int) -> list[str]:
    """Rows of a version whose vector is missing, not finite or not of unit length, as sentences."""
    import numpy as np

    table = open_version(layout, space, name, version)
    problems: list[str] = []
    for batch in table.search().select([kind.key, "path", "vector"]).to_batches(batch_size=_CHUNK_ROWS):
        column = batch["vector"]
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        norms = np.linalg.norm(values, axis=1)
        bad = np.flatnonzero(~np.isfinite(norms) | (np.abs(norms - 1) > 1e-3)).tolist()
        problems.extend(
            f"{kind.row} {batch[kind.key][row]} of {batch['path'][row]} has no usable vector" for row in bad
        )
    return problems


def in_list(column: str, values: Sequence[str]) -> str:
    """A SQL condition for Lance; quotes in the values are doubled."""
    quoted = ", ".join(quote(value) for value in values)
    return f"{column} IN ({quoted})"


def quote(value: Any) -> str:
    """A SQL string literal for Lance."""
    return "'" + str(value).replace("'", "''") + "'"
