"""``memlake repair``: find what is damaged, and build every derived store anew from what is not.

The warehouse is the truth: Lance tables, graphs, manifests and ``CURRENT`` are made from it, so losing them loses
nothing of the present state. Where the warehouse itself cannot be read it is set aside, and the sources are read again;
the vectors, which were paid for, are taken from the Lance tables. What cannot be brought back is a past state whose own
files are gone: its snapshot is expired, and says so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from derivation.extraction import ExtractionStep
from derivation.lake import Lake, exclusive
from derivation.retention import DAMAGE, expire, sweep
from derivation.settling import refresh_served
from derivation.snapshot import CANDIDATE, publish_present
from derivation.verification import computed_again, snapshot_problems
from errors import BankError, MemlakeError, SnapshotError, WarehouseError
from graph.compiled import CompiledGraph
from memory.bank.storage import load_codec
from warehouse.compaction import drop_table, tables
from warehouse.database import bump_generation, registered
from warehouse.faults import reach
from warehouse.ids import text_id
from warehouse.layout import LakeLayout
from warehouse.searched import KINDS, MEMORIES, PASSAGES
from warehouse.snapshots import (
    Manifest,
    current_id,
    current_manifest,
    list_ids,
    point_current,
    read_expired,
    read_manifest,
    write_manifest,
)
from warehouse.vectors import open_latest

WAREHOUSE, VECTORS, GRAPHS, BANKS, MANIFESTS, CURRENT, HISTORY = (
    "warehouse",
    "vectors",
    "graph",
    "bank",
    "manifest",
    "CURRENT",
    "history",
)

_READ = ("outline", "summary", "keywords", "period")
"""Granularities whose vectors are those of their texts, whoever remembers."""
_SALVAGED_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written."""

    store: str
    name: str
    """Which space, snapshot or file."""
    problem: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was found, and what was done about it."""

    found: tuple[Damage, ...]
    done: tuple[str, ...]
    expired: tuple[str, ...]
    """Snapshots whose own files are gone."""
    reads_sources: bool
    """Whether the warehouse was lost, so that a build must follow."""
    salvaged_vectors: int
    published: str | None


@exclusive("looking for damage")
def diagnose(lake: Lake) -> list[Damage]:
    """Everything that is damaged; nothing is changed.

    Raises:
        WarehouseError, SnapshotError: the lake was written by a newer memlake, which no repair can help.
    """
    found = list(_warehouse_damage(lake))
    found += _history_damage(lake)
    found += _table_damage(lake)
    for store, folder, problem_of in _FOLDERS:
        names = _named(folder(lake.layout))
        found += [Damage(store, name, problem) for name in names if (problem := problem_of(lake, name))]
    found += _snapshot_damage(lake)
    found += _current_damage(lake)
    return found


@exclusive("repairing the lake")
def repair(lake: Lake) -> RepairReport:
    """Build every derived store anew from the warehouse, or the warehouse from the sources.

    Raises:
        CheckFailed: the rows of the warehouse themselves do not pass the blocking checks.
        WarehouseError, SnapshotError: the lake was written by a newer memlake.
    """
    found = diagnose(lake)
    stores = {item.store for item in found}
    done: list[str] = []
    if HISTORY in stores:
        done.append(f"set {_set_aside(lake.layout.expired).name} aside")
    lost = WAREHOUSE in stores
    salvaged = 0
    if lost:
        if lake.layout.warehouse.exists():
            done.append(f"set the warehouse aside as {_set_aside(lake.layout.warehouse).name}")
        lake.layout.warehouse.with_name(f"{lake.layout.warehouse.name}.wal").unlink(missing_ok=True)
        salvaged = _salvage_vectors(lake)
        _restore_blocked(lake)
        done.append(f"took {salvaged:,} vectors over from the Lance tables")
    done += _restore_manifests(lake, found)
    dropped = _drop_broken_tables(lake)
    done += [f"removed the table {name} of space {space}" for space, name in dropped]
    done += [f"removed the {store} {name}" for store, name in _drop_broken_folders(lake)]
    reach("repair.dropped")
    gone = _expire_unreadable(lake, dropped)
    done += _mend_current(lake)
    if not lost and lake.warehouse.exists:
        _extract_again(lake)
        _forget_derived(lake)
        refresh_served(lake, rewrite=True)
        gone += _expire_unreadable(lake)
        done += _mend_current(lake)
        publish_present(lake)
        sweep(lake)
        done.append("built mentions, facts, vectors, index, graph and snapshot anew from the warehouse")
    return RepairReport(
        found=tuple(found),
        done=tuple(done),
        expired=tuple(gone),
        reads_sources=lost,
        salvaged_vectors=salvaged,
        published=current_id(lake.layout) if lake.layout.current.exists() else None,
    )


def _warehouse_damage(lake: Lake) -> Iterator[Damage]:
    path = lake.layout.warehouse
    if not path.exists():
        if lake.layout.current.exists() or tables(lake.layout):
            yield Damage(WAREHOUSE, path.name, f"{path} is gone")
        return
    try:
        with lake.warehouse.session("reading the warehouse") as connection:
            for (table,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"
            ).fetchall():
                connection.execute(f'SELECT count(*), max(hash(t)) FROM "{table}" t').fetchall()
    except WarehouseError as error:
        if "newer memlake" in error.message:
            raise
        yield Damage(WAREHOUSE, path.name, error.message)


def _history_damage(lake: Lake) -> Iterator[Damage]:
    try:
        read_expired(lake.layout)
    except SnapshotError as error:
        yield Damage(HISTORY, lake.layout.expired.name, error.message)


def _table_damage(lake: Lake) -> Iterator[Damage]:
    names = [kind.table(lake.embedder_spec.identity) for kind in KINDS]
    known = {*tables(lake.layout), *((space, name) for space in _built_spaces(lake) for name in names)}
    for space, table in sorted(known):
        if problem := _table_problem(lake, space, table):
            yield Damage(VECTORS, f"{space}/{table}", problem)


def _named(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _graph_problem(lake: Lake, name: str) -> str | None:
    try:
        if CompiledGraph.load(lake.layout.graph(name)).digest() == name:
            return None
    except SnapshotError as error:
        return error.message
    return f"The graph {lake.layout.graph(name)} is not what was written."


def _bank_problem(lake: Lake, name: str) -> str | None:
    try:
        if load_codec(lake.layout.bank(name)).digest == name:
            return None
    except BankError as error:
        return error.message
    return f"The codec {lake.layout.bank(name)} is not what was written."


_FOLDERS: tuple[tuple[str, Callable[[LakeLayout], Path], Callable[[Lake, str], str | None]], ...] = (
    (GRAPHS, lambda layout: layout.graphs, _graph_problem),
    (BANKS, lambda layout: layout.banks, _bank_problem),
)
"""Stores of folders that are named by their digest, and why one is damaged."""


def _built_spaces(lake: Lake) -> list[str]:
    """Spaces that have passages, and so a table."""
    try:
        if not lake.warehouse.exists:
            return []
        with lake.warehouse.session("reading the spaces") as connection:
            return [space for (space,) in connection.execute("SELECT DISTINCT space FROM passages").fetchall()]
    except WarehouseError:
        return []


def _table_problem(lake: Lake, space: str, name: str) -> str | None:
    try:
        open_latest(lake.layout, space, name).search().to_arrow()
    except (MemlakeError, RuntimeError, OSError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def _snapshot_damage(lake: Lake) -> Iterator[Damage]:
    for name in list_ids(lake.layout):
        for problem in snapshot_problems(lake.layout, name):
            if "newer memlake" in problem:
                raise SnapshotError(problem, "")
            words = problem.lower()
            store = next((item for item in (MANIFESTS, GRAPHS, BANKS) if item in words), VECTORS)
            yield Damage(store, name, problem)


def _current_damage(lake: Lake) -> Iterator[Damage]:
    if not lake.layout.current.exists():
        if list_ids(lake.layout):
            yield Damage(CURRENT, "CURRENT", f"{lake.layout.current} is gone")
        return
    try:
        current_manifest(lake.layout)
    except SnapshotError as error:
        if "manifest" not in error.message:
            yield Damage(CURRENT, "CURRENT", error.message)


def _set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing is lost that somebody could still read."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    path.replace(aside)
    return aside


def _salvage_vectors(lake: Lake) -> int:
    """Take the vectors of the present embedder, those of pieces among them, from the Lance tables into a new warehouse.

    Memories that are made of pieces are made again from them.
    """
    identity, total = lake.embedder_spec.identity, 0
    taken = {
        PASSAGES.table(identity): (PASSAGES, ["title", "heading", "text", "vector", "pieces"]),
        MEMORIES.table(identity): (MEMORIES, ["title", "text", "vector", "granularity"]),
    }
    for space, name in tables(lake.layout):
        if name not in taken or _table_problem(lake, space, name):
            continue
        kind, columns = taken[name]
        search = open_latest(lake.layout, space, name).search().select(columns)
        for batch in search.to_batches(batch_size=_SALVAGED_ROWS):
            rows = [row for row in batch.to_pylist() if kind is PASSAGES or row["granularity"] in _READ]
            frame = pl.DataFrame(
                {
                    "space": [space] * len(rows),
                    "text_hash": [text_id(row["title"], row.get("heading", ""), row["text"]) for row in rows],
                    "embedder": [identity] * len(rows),
                    "vector": pl.Series([row["vector"] for row in rows], dtype=pl.List(pl.Float32)),
                    "vectors": pl.Series([row.get("pieces") for row in rows], dtype=pl.Binary),
                }
            ).unique("text_hash")
            with lake.warehouse.session("taking vectors over") as connection:
                with registered(connection, "vectors_frame", frame):
                    connection.execute(
                        "INSERT INTO embeddings SELECT * EXCLUDE (vectors) FROM vectors_frame ON CONFLICT DO NOTHING"
                    )
                    connection.execute(
                        "INSERT INTO piece_vectors SELECT * EXCLUDE (vector) FROM vectors_frame"
                        " WHERE vectors IS NOT NULL ON CONFLICT DO NOTHING"
                    )
                bump_generation(connection)
            total += frame.height
    return total


def _restore_blocked(lake: Lake) -> None:
    """What was erased stays erased, also in a new warehouse."""
    if not lake.layout.erasures.exists():
        return
    blocked: dict[str, tuple[str, str]] = {}
    for line in lake.layout.erasures.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "blocked" in record:
            blocked[record["blocked"]] = (record["space"], record["source"])
        else:
            blocked.pop(record.get("readmitted", ""), None)
    with lake.warehouse.session("restoring erasures") as connection:
        for key, (space, source) in blocked.items():
            connection.execute(
                "INSERT INTO blocked VALUES ($id, $space, $source) ON CONFLICT DO NOTHING",
                {"id": key, "space": space, "source": source},
            )


def _restore_manifests(lake: Lake, found: list[Damage]) -> list[str]:
    """Write damaged and missing manifests again, from what the warehouse remembers of them."""
    remembered = {}
    if lake.warehouse.exists:
        with lake.warehouse.session("reading the snapshots") as connection:
            rows = connection.execute("SELECT snapshot_id, manifest FROM snapshots WHERE status <> $candidate",
                                      {"candidate": CANDIDATE}).fetchall()  # fmt: skip
            remembered = dict(rows)
    damaged = {item.name for item in found if item.store == MANIFESTS}
    missing = set(remembered) - set(list_ids(lake.layout)) - set(read_expired(lake.layout))
    done = []
    for name in sorted(damaged):
        _set_aside(lake.layout.manifest(name))
    for name in sorted((damaged | missing) & set(remembered)):
        write_manifest(lake.layout, Manifest.from_json(remembered[name]))
        done.append(f"wrote the manifest of {name} again")
    return done


def _drop_broken_tables(lake: Lake) -> list[tuple[str, str]]:
    """Remove the tables that cannot be read; returns them and those that are gone already."""
    there = tables(lake.layout)
    broken = [(space, name) for space, name in there if _table_problem(lake, space, name)]
    for space, name in broken:
        drop_table(lake.layout, space, name)
    kept = [read_manifest(lake.layout, name) for name in list_ids(lake.layout)]
    named = {pinned for manifest in kept for pinned in _named_tables(manifest)}
    return broken + sorted(named - set(there))


def _named_tables(manifest: Manifest) -> set[tuple[str, str]]:
    """Space and name of every table that a snapshot pins."""
    return {(space, table) for space, state in manifest.spaces.items() for table, _ in state.tables}


def _drop_broken_folders(lake: Lake) -> list[tuple[str, str]]:
    broken = []
    for store, folder, problem_of in _FOLDERS:
        for name in _named(folder(lake.layout)):
            if problem_of(lake, name):
                shutil.rmtree(folder(lake.layout) / name)
                broken.append((store, name))
    return broken


def _expire_unreadable(lake: Lake, dropped: Collection[tuple[str, str]] | None = None) -> list[str]:
    """Expire the snapshots that cannot be opened.

    With ``dropped``, only those whose table was: made anew, it counts its versions from 1 again, so a version number of
    before must not be looked up in it.
    """
    gone = []
    for manifest in [read_manifest(lake.layout, name) for name in list_ids(lake.layout)]:
        unreadable = dropped is None and snapshot_problems(lake.layout, manifest.snapshot_id)
        if unreadable or _named_tables(manifest) & set(dropped or ()):
            gone.append(manifest)
    expire(lake, gone, DAMAGE)
    return [item.snapshot_id for item in gone]


def _extract_again(lake: Lake) -> None:
    """Make mentions and supports what the passages give; no model is asked, only what one is recorded to have said."""
    step = ExtractionStep(lake, recorded_only=True)
    for owners, outputs, _ in computed_again(lake, step):
        with lake.warehouse.session("extracting again") as connection:
            step.write(connection, owners, outputs)


def _forget_derived(lake: Lake) -> None:
    """So that every layer is compared with the rows again, and every entity with every other one."""
    with lake.warehouse.session("forgetting what is derived") as connection:
        for table in ("layers", "compared", "neighbours"):
            connection.execute(f"DELETE FROM {table}")
        bump_generation(connection)


def _mend_current(lake: Lake) -> list[str]:
    """Point ``CURRENT`` at the newest snapshot that is whole, if what it names is not."""
    kept = [read_manifest(lake.layout, name) for name in list_ids(lake.layout)]
    try:
        name = current_id(lake.layout)
    except SnapshotError:
        name = ""
    if name is None and not kept:
        return []
    if name in {item.snapshot_id for item in kept}:
        return []
    lake.layout.current.unlink(missing_ok=True)
    if not kept:
        return ["removed CURRENT: no snapshot is whole"]
    newest = max(kept, key=lambda item: (item.created_at, item.snapshot_id))
    point_current(lake.layout, newest.snapshot_id)
    return [f"pointed CURRENT at {newest.snapshot_id}"]
