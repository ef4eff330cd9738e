"""The Lance tables that are searched: one database a space, one table of passages an embedder.

A table is derived: ``sync_passages`` compares it, row by row, with what the warehouse says, and commits the difference
at once. It asks the table itself what it holds and keeps no notes of its own, so that a crash between Lance and DuckDB,
or a table that somebody changed by hand, mends itself in the next run.

The full-text index is built anew after every change. Lance's incremental index keeps counting deleted rows, so its BM25
scores drift from those of a fresh table (measured: up to 12 per cent); built anew they are equal, and it costs a tenth
of a second per two thousand passages.

Text columns are stored without compression, so that the bytes of a file say what it holds: an erasure proves itself by
searching them, which compressed text would let it do in vain. It costs a tenth of a table's size.
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

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

FTS_COLUMN = "search_text"

_NEVER = timedelta(days=36_500)

_MAX_FRAGMENTS = 8
"""Small files of a table before it is compacted; every commit adds one."""

_CHUNK_ROWS = 4096
"""Rows that are in memory at once on their way from the warehouse to Lance."""


def passages_schema(dimensions: int) -> pa.Schema:
    """Everything that a retriever filters on or shows, and the vector."""
    plain = {"lance-encoding:compression": "none"}
    return pa.schema(
        [
            pa.field("passage_id", pa.string(), nullable=False),
            pa.field("row_hash", pa.string(), nullable=False),
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("revision_id", pa.string(), nullable=False),
            pa.field("content_hash", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False, metadata=plain),
            pa.field("title", pa.string(), nullable=False, metadata=plain),
            pa.field("author", pa.string()),
            pa.field("document_date", pa.date32()),
            pa.field("media_type", pa.string(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("char_start", pa.int32(), nullable=False),
            pa.field("char_end", pa.int32(), nullable=False),
            pa.field("page", pa.int32()),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("heading", pa.string(), nullable=False, metadata=plain),
            pa.field("text", pa.string(), nullable=False, metadata=plain),
            pa.field(FTS_COLUMN, pa.string(), nullable=False, metadata=plain),
            pa.field("representative", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
        ]
    )


def table_name(embedder: str) -> str:
    """The table of passages as one embedder sees them."""
    return f"passages-{embedder}"


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


_WANTED = """
SELECT p.passage_id, md5(concat_ws(chr(31), p.revision_id, p.text_hash, p.ordinal, p.char_start, p.char_end,
    coalesce(p.page, 0), p.kind, r.content_hash, d.path, d.title, coalesce(d.author, ''),
    coalesce(CAST(d.document_date AS VARCHAR), ''), d.media_type, coalesce(f.representative, ''))) AS row_hash
FROM searched p
JOIN documents d ON d.document_id = p.document_id
JOIN revisions r ON r.revision_id = p.revision_id
JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder
LEFT JOIN families f ON f.passage_id = p.passage_id
WHERE p.space = $space
"""

_ROWS = """
SELECT p.passage_id, w.row_hash, p.document_id, p.revision_id, r.content_hash, p.source, d.path, d.title, d.author,
    d.document_date, d.media_type, p.ordinal, p.char_start, p.char_end, p.page, p.kind, p.heading, p.text,
    f.representative, e.vector
FROM wanted_frame w
JOIN passages p ON p.passage_id = w.passage_id
JOIN documents d ON d.document_id = p.document_id
JOIN revisions r ON r.revision_id = p.revision_id
JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder
LEFT JOIN families f ON f.passage_id = p.passage_id
ORDER BY p.passage_id
"""


def sync_passages(
    warehouse: Warehouse,
    space: str,
    embedder: str,
    dimensions: int,
    searched_text: Callable[[str, str, str], str],
    on_progress: Callable[[int], None] = lambda rows: None,
    rewrite: bool = False,
) -> SyncReport:
    """Make a space's table hold exactly the warehouse's passages, in one commit, and index them.

    Args:
        searched_text: title, heading and text of a passage to what its full-text index holds.
        rewrite: write every row anew, so that no file of the new version holds a deleted one.

    Raises:
        StorageFull: the disk is full; the table stays at its last version.
    """
    with warehouse.session("comparing vectors") as connection:
        wanted = wanted_rows(connection, space, embedder)
    name = table_name(embedder)
    schema = passages_schema(dimensions)
    try:
        table = _open_or_create(connect(warehouse.layout, space), name, schema)
        rewrite = rewrite or set(table.schema.names) != set(schema.names)
        held = pl.from_arrow(table.search().select(["passage_id", "row_hash"]).to_arrow())
        assert isinstance(held, pl.DataFrame)
        doubled = held.filter(held["passage_id"].is_duplicated())["passage_id"].unique().sort().to_list()
        if doubled:  # by hand or by another program; a merge would not know which row to replace
            table.delete(in_list("passage_id", doubled))
            held = held.filter(~held["passage_id"].is_in(doubled))
        if rewrite:
            held = held.clear()
        upserts = wanted.join(held, on=["passage_id", "row_hash"], how="anti").sort("passage_id")
        removed = held.join(wanted, on="passage_id", how="anti")["passage_id"].sort().to_list()
        updated = upserts.join(held, on="passage_id", how="semi").height
        changed = bool(upserts.height or removed or rewrite)
        if changed:
            rows = _stream(warehouse, embedder, upserts, schema, searched_text, on_progress)
            reader = pa.RecordBatchReader.from_batches(schema, rows)
            if rewrite:
                table = _overwrite(connect(warehouse.layout, space), name, reader)
            elif held.height == 0:
                table.add(reader)
            else:
                merge = table.merge_insert("passage_id").when_matched_update_all().when_not_matched_insert_all()
                if removed:
                    merge = merge.when_not_matched_by_source_delete(in_list("passage_id", removed))
                merge.execute(reader)
            reach("vectors.merged")
        if changed and fragments(table) > _MAX_FRAGMENTS:
            merge_fragments(table)
            reach("vectors.compacted")
        index_text(table, anew=changed)
        reach("vectors.indexed")
    except (RuntimeError, OSError) as error:
        if is_disk_full(error):
            raise storage_full(warehouse.layout) from error
        raise
    digest = hashlib.blake2b(digest_size=16)
    for row in wanted.sort("passage_id").iter_rows():
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
    embedder: str,
    wanted: pl.DataFrame,
    schema: pa.Schema,
    searched_text: Callable[[str, str, str], str],
    on_progress: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """The rows to write, a chunk at a time; the warehouse is open only while a chunk is read."""
    for chunk in wanted.iter_slices(_CHUNK_ROWS):
        rows = _read_chunk(warehouse, embedder, chunk)
        texts = zip(*(rows[name].to_pylist() for name in ("title", "heading", "text")), strict=True)
        rows = rows.append_column(FTS_COLUMN, pa.array([searched_text(*parts) for parts in texts]))
        yield from rows.select(schema.names).cast(schema).combine_chunks().to_batches()
        on_progress(chunk.height)


def wanted_rows(connection: Connection, space: str, embedder: str) -> pl.DataFrame:
    """``passage_id`` and ``row_hash`` of what a space's table should hold."""
    rows: pl.DataFrame = connection.sql(_WANTED, params={"space": space, "embedder": embedder}).pl()
    return rows


def _read_chunk(warehouse: Warehouse, embedder: str, wanted: pl.DataFrame) -> pa.Table:
    with warehouse.session("reading vectors") as connection, registered(connection, "wanted_frame", wanted):
        return connection.sql(_ROWS, params={"embedder": embedder}).to_arrow_table()


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


def vector_problems(layout: LakeLayout, space: str, name: str, version: int) -> list[str]:
    """Passages of a version whose vector is missing, not finite or not of unit length, as sentences."""
    import numpy as np

    table = open_version(layout, space, name, version)
    problems: list[str] = []
    for batch in table.search().select(["passage_id", "path", "vector"]).to_batches(batch_size=_CHUNK_ROWS):
        column = batch["vector"]
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        norms = np.linalg.norm(values, axis=1)
        bad = np.flatnonzero(~np.isfinite(norms) | (np.abs(norms - 1) > 1e-3)).tolist()
        problems.extend(
            f"passage {batch['passage_id'][row]} of {batch['path'][row]} has no usable vector" for row in bad
        )
    return problems


def in_list(column: str, values: Sequence[str]) -> str:
    """A SQL condition for Lance; quotes in the values are doubled."""
    quoted = ", ".join(quote(value) for value in values)
    return f"{column} IN ({quoted})"


def quote(value: Any) -> str:
    """A SQL string literal for Lance."""
    return "'" + str(value).replace("'", "''") + "'"
