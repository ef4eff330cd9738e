"""Keeping the stores small: what a Lance table or the DuckDB file carries along, and rewriting it without that.

Which Lance versions may go is decided by which snapshots are kept, not by age. LanceDB's ``optimize`` prunes by age
alone, refuses where a kept tag is older than what is to go, and compacts on the way, which makes another version. So
pruning is done on the files: a version is its manifest, which names its data files by name and its indexes by UUID;
manifests that nobody pins go, and then the files that no remaining manifest names. Deletion files are named by numbers;
they are small, and the next compaction takes them along.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from errors import WarehouseError
from warehouse.database import Connection, Warehouse, is_disk_full, storage_full
from warehouse.faults import reach
from warehouse.files import flush_folder, size_of
from warehouse.layout import LakeLayout
from warehouse.vectors import fragments, index_text, merge_fragments, open_latest, unindexed

if TYPE_CHECKING:
    from lancedb.table import Table

_LAST_VERSION = 2**64 - 1
"""Lance names the file of version v by this minus v, so that the newest sorts first."""

_VERSION_FILE = re.compile(r"^(\d{20})\.manifest$")


@dataclass(frozen=True, slots=True)
class TableHealth:
    """What was measured on a Lance table."""

    space: str
    table: str
    version: int
    bytes: int
    rows: int
    deleted_rows: int
    """Rows that are only marked as deleted and still in a file."""
    fragments: int
    unindexed_rows: int
    """-1 where there is no full-text index."""
    versions: int
    prunable: int
    """Versions that no kept snapshot pins and that are not the newest."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What rewriting a store did."""

    store: str
    bytes_before: int
    bytes_after: int
    done: tuple[str, ...]
    """The thresholds that were passed, as measured; empty where the store was left alone."""
    before: TableHealth | None = None
    after: TableHealth | None = None
    """Of a Lance table: what was measured before and after."""


def table_path(layout: LakeLayout, space: str, name: str) -> Path:
    """The folder of a Lance table."""
    return layout.space_vectors(space) / f"{name}.lance"


def tables(layout: LakeLayout) -> list[tuple[str, str]]:
    """``(space, table)`` of every Lance table in the lake, whichever settings made it."""
    if not layout.vectors.is_dir():
        return []
    return sorted((path.parent.name, path.stem) for path in layout.vectors.glob("*/*.lance") if path.is_dir())


def measure(layout: LakeLayout, space: str, name: str, pinned: Collection[int]) -> TableHealth:
    """Measure a table; ``pinned`` are the versions that kept snapshots name."""
    table = open_latest(layout, space, name)
    versions = version_files(layout, space, name)
    rows = int(table.count_rows())
    return TableHealth(
        space=space,
        table=name,
        version=int(table.version),
        bytes=size_of(table_path(layout, space, name)),
        rows=rows,
        deleted_rows=_physical_rows(table) - rows,
        fragments=fragments(table),
        unindexed_rows=unindexed(table),
        versions=len(versions),
        prunable=len(set(versions) - set(pinned) - {int(table.version)}),
    )


def compact_table(layout: LakeLayout, space: str, name: str, is_searched: bool = True) -> None:
    """Merge small files, leave deleted rows behind, index the rows that are searched; the older versions stay."""
    table = open_latest(layout, space, name)
    try:
        merge_fragments(table)
        reach("compaction.merged")
        if is_searched:
            index_text(table, anew=True)
    except (RuntimeError, OSError) as error:
        if is_disk_full(error):
            raise storage_full(layout) from error
        raise


def prune_versions(layout: LakeLayout, space: str, name: str, pinned: Collection[int]) -> int:
    """Remove the versions that are neither pinned nor the newest, and every file that only they named."""
    table = open_latest(layout, space, name)
    newest = int(table.version)
    for tag, entry in table.tags.list().items():
        if entry["version"] not in pinned:
            table.tags.delete(tag)
    reach("retention.untagged")
    files = version_files(layout, space, name)
    kept = [path for version, path in files.items() if version == newest or version in pinned]
    folder = table_path(layout, space, name)
    _refuse_unreadable(table, folder, kept)
    gone = [path for path in files.values() if path not in kept]
    for path in gone:
        path.unlink(missing_ok=True)
    reach("retention.pruned")
    named = b"".join(path.read_bytes() for path in kept)
    for path in (*folder.glob("data/*"), *folder.glob("_transactions/*")):
        if path.name.encode() not in named:
            path.unlink(missing_ok=True)
    for path in folder.glob("_indices/*"):
        if UUID(path.name).bytes not in named:
            shutil.rmtree(path)
    reach("retention.cleaned")
    return len(gone)


def named_data_files(layout: LakeLayout, space: str, name: str, version: int) -> set[str]:
    """The data files that a version of a table names."""
    manifest = version_files(layout, space, name)[version].read_bytes()
    folder = table_path(layout, space, name)
    return {path.name for path in folder.glob("data/*") if path.name.encode() in manifest}


def _refuse_unreadable(table: Table, folder: Path, manifests: Collection[Path]) -> None:
    """Prune nothing unless the manifests are of the kind that is known: each index of the newest version is in one.

    Raises:
        WarehouseError: LanceDB writes its manifests otherwise than this memlake knows.
    """
    named = b"".join(path.read_bytes() for path in manifests)
    data = any(path.name.encode() in named for path in folder.glob("data/*"))
    index = any(UUID(path.name).bytes in named for path in folder.glob("_indices/*"))
    if (table.count_rows() and not data) or (table.list_indices() and not index):
        raise WarehouseError(
            f"The versions of {table.name} are written in an unknown way.", "Upgrade memlake; nothing was removed."
        )


def version_files(layout: LakeLayout, space: str, name: str) -> dict[int, Path]:
    """The file of every version of a table.

    Raises:
        WarehouseError: the table names its versions in a way that this memlake does not know.
    """
    found = {}
    for path in (table_path(layout, space, name) / "_versions").glob("*.manifest"):
        match = _VERSION_FILE.match(path.name)
        if not match:
            raise WarehouseError(
                f"The version file {path} is of an unknown kind.", "Upgrade memlake; nothing was removed."
            )
        found[_LAST_VERSION - int(match[1])] = path
    return found


def drop_table(layout: LakeLayout, space: str, name: str) -> None:
    """Remove a table with all its versions."""
    shutil.rmtree(table_path(layout, space, name), ignore_errors=True)


def compact_database(warehouse: Warehouse) -> tuple[int, int]:
    """Rewrite the DuckDB file with its live rows only; returns its bytes before and after.

    A deleted row stays in its file until the block is used again, so only a copy is free of it. The copy is made beside
    the file and swapped in by a rename: a crash leaves the one or the other, whole.

    Raises:
        StorageFull: there is no room for the copy; the warehouse is as it was.
    """
    path = warehouse.layout.warehouse
    copy = _copy_of(path)
    before = size_of(path)
    with warehouse.released(), warehouse.alone("compacting the warehouse") as connection:
        for leftover in interrupted_copies(warehouse.layout):
            leftover.unlink()
        name = _quoted(str(copy))
        connection.execute(f"ATTACH '{name}' AS compact")
        (source,) = connection.execute("SELECT current_database()").fetchone() or ("",)
        connection.execute(f'COPY FROM DATABASE "{source}" TO compact')
        connection.execute("CHECKPOINT compact")
        connection.execute("DETACH compact")
        connection.close()
        reach("compaction.copied")
        _flush(copy)
        copy.replace(path)
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        flush_folder(path.parent)
        reach("compaction.replaced")
    return before, size_of(path)


def interrupted_copies(layout: LakeLayout) -> list[Path]:
    """What a compaction of the warehouse that did not come to its end has left; call it under the work lock."""
    copy = _copy_of(layout.warehouse)
    return sorted(copy.parent.glob(f"{copy.name}*"))


def _copy_of(warehouse: Path) -> Path:
    return warehouse.with_name(f"{warehouse.name}.compact")


def database_rows(connection: Connection) -> int:
    """Rows of all tables, as DuckDB estimates them."""
    row = connection.execute("SELECT coalesce(sum(estimated_size), 0) FROM duckdb_tables()").fetchone()
    assert row is not None
    return int(row[0])


def _physical_rows(table: Table) -> int:
    """Rows in the table's files, deleted ones included."""
    stats: Any = table.stats()
    try:
        lengths = stats["fragment_stats"]["lengths"]
        return round(float(lengths["mean"]) * int(stats["fragment_stats"]["num_fragments"]))
    except (KeyError, TypeError):
        return int(table.count_rows())


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
