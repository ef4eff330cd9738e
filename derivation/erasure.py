"""Erasing a document, a source or a space: from the rows, from every snapshot that shows it, and from the bytes.

An ordinary deletion leaves what kept snapshots pin, which is what makes a rollback work. An erasure takes that, too: it
publishes a snapshot without the documents whose tables are written anew, expires every snapshot that shows them or
whose files still carry them as deleted rows, rewrites the warehouse, blanks what clients noted about them, and then
searches every file of the lake for their text. What is left behind is a row that says when, what kind and how much,
with ids and no content.

Interrupted, it is marked as unfinished; running it again goes on.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from derivation.event_files import event_files
from derivation.event_removal import blank_events
from derivation.lake import Lake, exclusive
from derivation.retention import ERASURE, expire, sweep
from derivation.settling import refresh_served
from derivation.snapshot import publish_present
from errors import SettingsError, UnknownName
from warehouse.compaction import compact_database, named_data_files, table_path
from warehouse.database import Connection, bump_generation
from warehouse.faults import reach
from warehouse.files import append_line, size_of
from warehouse.ids import content_id, document_id
from warehouse.scanning import WORD, find_in_files
from warehouse.searched import KINDS
from warehouse.snapshots import Manifest, list_ids, read_manifest
from warehouse.vectors import in_list, open_version, quote

DOCUMENT, SOURCE, SPACE = "document", "source", "space"

_NEEDLE_CHARS = 120
"""Of each line of an erased text so much is searched for."""

_LEAST_CHARS = 12
"""A shorter line says nothing of its own."""


@dataclass(frozen=True, slots=True)
class ErasedDocument:
    """A document to be erased, as the warehouse or a kept snapshot knows it."""

    document_id: str
    space: str
    source: str
    path: str


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would take."""

    target: str
    name_hash: str
    space: str
    source: str
    documents: tuple[ErasedDocument, ...]
    passages: int
    """In the present state."""
    snapshots: tuple[str, ...]
    """Kept snapshots that show one of the documents; all but the published one are expired."""
    texts: tuple[str, ...]
    """What will be searched for; never written anywhere."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure took, and the scan that followed."""

    erasure_id: str
    documents: int
    passages: int
    snapshots: tuple[str, ...]
    published: str
    files_scanned: int
    bytes_scanned: int
    needles: int
    """Lines of the erased texts that were searched for, without those that other documents hold, too."""
    shared_lines: int
    """Lines that other documents hold, too, which stay there."""
    hits: tuple[str, ...]
    """Files and tables in which something was found; empty, or the erasure is not finished."""
    bytes_before: int
    bytes_after: int

    @property
    def clean(self) -> bool:
        return not self.hits


@exclusive("planning an erasure")
def plan_erasure(lake: Lake, target: str, name: str, source: str = "") -> ErasurePlan:
    """What erasing ``name`` would take.

    Args:
        target: ``document``, ``source`` or ``space``; ``name`` is then a path (of a document, or of a file that holds
            several), a source or a space.
        source: of a document, where several sources have the path.

    Raises:
        UnknownName: neither the present state nor a kept snapshot nor an unfinished erasure has it.
        SettingsError: the source or space is still configured, so the next build would read it again.
    """
    _refuse_configured(lake, target, name)
    with lake.warehouse.session("planning an erasure") as connection:
        present = _present(connection, target, name, source)
        unfinished = _unfinished(connection, _name_hash(target, name, source))
    kept = [read_manifest(lake.layout, item) for item in list_ids(lake.layout)]
    past = _past(lake, kept, target, name, source)
    documents = {item.document_id: item for item in (*unfinished, *past, *present)}
    if not documents:
        spaces = {space for manifest in kept for space in manifest.spaces}
        known = [path for (path,) in _paths(lake)] if target == DOCUMENT else sorted(spaces)
        raise UnknownName(
            f"Neither the lake nor a kept snapshot has the {target} '{name}'.",
            f"It has, for instance, '{known[0]}'." if known else "The lake is empty.",
        )
    spaces = {item.space for item in documents.values()}
    if target == DOCUMENT and len({item.source for item in documents.values()}) > 1:
        names = ", ".join(sorted({item.source for item in documents.values()}))
        raise SettingsError(f"Several sources have '{name}': {names}.", "Name one with --source.")
    ids = sorted(documents)
    with lake.warehouse.session("planning an erasure") as connection:
        passages, texts = _contents(connection, ids)
    shown = [item for item in kept if _rows(lake, item, ids, ["document_id"])]
    texts |= {row["text"] for item in shown for row in _rows(lake, item, ids, ["text"])}
    one = next(iter(documents.values()))
    return ErasurePlan(
        target=target,
        name_hash=_name_hash(target, name, source),
        space=name if target == SPACE else one.space if len(spaces) == 1 else "",
        source=name if target == SOURCE else one.source if target == DOCUMENT else "",
        documents=tuple(documents[key] for key in ids),
        passages=passages,
        snapshots=tuple(item.snapshot_id for item in shown),
        texts=tuple(sorted(texts)),
    )


@exclusive("erasing")
def erase(lake: Lake, plan: ErasurePlan) -> ErasureReport:
    """Take everything that only these documents supported out of every file of the lake, and prove it.

    Raises:
        CheckFailed: the state without them does not pass the blocking checks; nothing is expired yet.
        StorageFull: there is no room for the rewritten stores; run it again with more.
    """
    ids = [item.document_id for item in plan.documents]
    before = size_of(lake.layout.root)
    erasure = _begin(lake, plan, before)
    reach("erase.blocked")
    with lake.warehouse.session("erasing rows") as connection:
        _remove(connection, ids)
        shared, needles = _needles(connection, plan.texts)
    reach("erase.removed")
    refresh_served(lake, rewrite=True)
    published = publish_present(lake, accepted=f"erasure {erasure}").snapshot_id
    reach("erase.published")
    gone = [
        item
        for item in (read_manifest(lake.layout, name) for name in list_ids(lake.layout))
        if item.snapshot_id != published and _rows(lake, item, ids, ["document_id"])
    ]
    expire(lake, gone, ERASURE)
    sweep(lake)
    compact_database(lake.warehouse)
    carrying = _carriers(lake, needles, published)
    if carrying:
        expire(lake, carrying, ERASURE)
        sweep(lake)
    blank_events(lake.layout, ids, plan.space if plan.target == SPACE else "", unreadable=True)
    files = [path for path in sorted(lake.layout.root.rglob("*")) if path.is_file()]
    hits = [str(path.relative_to(lake.layout.root)) for path in find_in_files(files, needles)]
    hits += _decoded_hits(lake, needles)
    named = [key.encode() for key in ids]
    hits += [str(path.relative_to(lake.layout.root)) for path in find_in_files(event_files(lake.layout), named)]
    report = ErasureReport(
        erasure_id=erasure,
        documents=len(ids),
        passages=plan.passages,
        snapshots=tuple(item.snapshot_id for item in (*gone, *carrying)),
        published=published,
        files_scanned=len(files),
        bytes_scanned=sum(path.stat().st_size for path in files),
        needles=len(needles),
        shared_lines=shared,
        hits=tuple(sorted(set(hits))),
        bytes_before=before,
        bytes_after=size_of(lake.layout.root),
    )
    _finish(lake, report)
    return report


@exclusive("admitting a document again")
def readmit(lake: Lake, source: str, path: str) -> bool:
    """Let a document that was erased be read again; returns whether it was kept out."""
    setting = lake.settings.source(source)
    key = document_id(setting.space, source, path)
    with lake.warehouse.session("admitting a document") as connection:
        was = connection.execute("DELETE FROM blocked WHERE document_id = $id RETURNING 1", {"id": key}).fetchall()
        connection.execute(
            "DELETE FROM ledger WHERE step = 'documents' AND space = $space AND source = $source AND label = $item",
            {"space": setting.space, "source": source, "item": path.partition("#")[0]},
        )
    if was:
        append_line(lake.layout.erasures, json.dumps({"readmitted": key}))
    return bool(was)


def _refuse_configured(lake: Lake, target: str, name: str) -> None:
    using = [item.name for item in lake.settings.sources if name == (item.name if target == SOURCE else item.space)]
    if target in (SOURCE, SPACE) and using:
        what = f"The source '{name}'" if target == SOURCE else f"The space '{name}' (of {', '.join(using)})"
        raise SettingsError(
            f"{what} is still configured, so the next build would read it again.",
            "Remove it from memlake.toml first; to erase single documents, name their paths.",
        )


_PRESENT = {
    DOCUMENT: "(path = $name OR item_path = $name) AND ($source = '' OR source = $source)",
    SOURCE: "source = $name AND $source = ''",
    SPACE: "space = $name AND $source = ''",
}


def _present(connection: Connection, target: str, name: str, source: str) -> list[ErasedDocument]:
    rows = connection.execute(
        f"SELECT document_id, space, source, path FROM documents WHERE {_PRESENT[target]} ORDER BY source, path",
        {"name": name, "source": source},
    ).fetchall()
    return [ErasedDocument(*row) for row in rows]


def _name_hash(target: str, name: str, source: str) -> str:
    return content_id("erased", target, name, source)


def _unfinished(connection: Connection, name_hash: str) -> list[ErasedDocument]:
    """The documents of an erasure of this that was interrupted; their paths are not kept, their ids are."""
    rows = connection.execute(
        "SELECT unnest(document_ids), space, source FROM erasures WHERE finished_at IS NULL AND name_hash = $name",
        {"name": name_hash},
    ).fetchall()
    return [ErasedDocument(key, space, source, "(of an interrupted erasure)") for key, space, source in rows]


def _past(lake: Lake, kept: Iterable[Manifest], target: str, name: str, source: str) -> list[ErasedDocument]:
    found = {}
    for manifest in kept:
        for space, state in manifest.spaces.items():
            if target == SPACE and space != name:
                continue
            where = {
                DOCUMENT: f"(path = {quote(name)} OR starts_with(path, {quote(name + '#')}))"
                + (f" AND source = {quote(source)}" if source else ""),
                SOURCE: f"source = {quote(name)}",
                SPACE: "true",
            }[target]
            table = open_version(lake.layout, space, state.table, state.version)
            rows = table.search().where(where).select(["document_id", "source", "path"]).to_list()
            for row in rows:
                found[row["document_id"]] = ErasedDocument(row["document_id"], space, row["source"], row["path"])
    return list(found.values())


def _rows(lake: Lake, manifest: Manifest, ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, str]]:
    """What a snapshot shows of these documents."""
    rows: list[dict[str, str]] = []
    for space, state in manifest.spaces.items():
        for kind, pinned in zip(KINDS, state.tables, strict=False):
            if not kind.is_searched:  # codes show nothing
                continue
            table = open_version(lake.layout, space, *pinned)
            rows += table.search().where(in_list("document_id", ids)).select(list(columns)).to_list()
    return rows


def _paths(lake: Lake) -> list[tuple[str]]:
    with lake.warehouse.session("reading paths") as connection:
        return connection.execute("SELECT path FROM documents ORDER BY path LIMIT 1").fetchall()


def _contents(connection: Connection, ids: Sequence[str]) -> tuple[int, set[str]]:
    of = {"ids": list(ids)}
    count = connection.execute(
        "SELECT count(*) FROM passages WHERE document_id IN (SELECT unnest($ids))", of
    ).fetchone()
    texts = connection.execute(
        "SELECT text FROM revisions WHERE document_id IN (SELECT unnest($ids))"
        " UNION ALL SELECT text FROM memories WHERE document_id IN (SELECT unnest($ids))",  # may be in other words
        of,
    ).fetchall()
    return int(count[0]) if count else 0, {text for (text,) in texts}


def _begin(lake: Lake, plan: ErasurePlan, size: int) -> str:
    """Block the documents and note the erasure, before anything is removed."""
    now = datetime.now(UTC)
    erasure = content_id("erasure", plan.target, *(item.document_id for item in plan.documents), now.isoformat())[:12]
    if plan.target == DOCUMENT:
        for item in plan.documents:
            append_line(
                lake.layout.erasures,
                json.dumps({"blocked": item.document_id, "space": item.space, "source": item.source}),
            )
    with lake.warehouse.session("noting an erasure") as connection:
        connection.execute(
            "DELETE FROM erasures WHERE finished_at IS NULL AND name_hash = $name", {"name": plan.name_hash}
        )
        connection.execute(
            "INSERT INTO erasures VALUES ($id, $target, $name, $space, $source, $ids, $now, $by, NULL,"
            " $passages, [], 0, $bytes, 0)",
            {
                "id": erasure,
                "target": plan.target,
                "name": plan.name_hash,
                "space": plan.space,
                "source": plan.source,
                "ids": [item.document_id for item in plan.documents],
                "now": now.replace(tzinfo=None),
                "by": f"{getpass.getuser()}@{socket.gethostname()}",
                "passages": plan.passages,
                "bytes": size,
            },
        )
        if plan.target == DOCUMENT:
            for item in plan.documents:
                connection.execute(
                    "INSERT INTO blocked VALUES ($id, $space, $source) ON CONFLICT DO NOTHING",
                    {"id": item.document_id, "space": item.space, "source": item.source},
                )
    return erasure


def _remove(connection: Connection, ids: Sequence[str]) -> None:
    of = {"ids": list(ids)}
    passages = "SELECT passage_id FROM passages WHERE document_id IN (SELECT unnest($ids))"
    for table in ("mentions", "titles", "acronyms", "supports", "families"):
        connection.execute(f"DELETE FROM {table} WHERE passage_id IN ({passages})", of)
    connection.execute(f"DELETE FROM ledger WHERE step = 'mentions' AND input_id IN ({passages})", of)
    for table in ("memories", "memory_spans", "outline_candidates", "time_expressions"):
        connection.execute(f"DELETE FROM {table} WHERE document_id IN (SELECT unnest($ids))", of)
    connection.execute(
        "DELETE FROM ledger WHERE step IN ('passages', 'memories') AND input_id IN (SELECT unnest($ids))", of
    )
    connection.execute(
        "DELETE FROM ledger l WHERE step = 'documents' AND EXISTS (SELECT 1 FROM documents d WHERE d.space = l.space"
        " AND d.source = l.source AND d.item_path = l.label AND d.document_id IN (SELECT unnest($ids)))",
        of,
    )
    connection.execute("UPDATE evaluation_results SET answer = NULL WHERE list_has_any(documents, $ids)", of)
    for table in ("passages", "revisions", "documents", "events", "reinforcement", "cold"):
        connection.execute(f"DELETE FROM {table} WHERE document_id IN (SELECT unnest($ids))", of)
    bump_generation(connection)


def _needles(connection: Connection, texts: Iterable[str]) -> tuple[int, list[bytes]]:
    """Lines to search for, and how many were left out because a remaining document holds them, too."""
    whole = {line.strip()[:_NEEDLE_CHARS] for text in texts for line in text.splitlines()}
    lines = {line for line in whole if len(line) >= _LEAST_CHARS} or whole
    if not lines:
        return 0, []
    shared = {  # but for periods, which are still to be told without what is gone
        line
        for (line,) in connection.execute(
            "SELECT line FROM (SELECT unnest($lines) AS line) WHERE EXISTS ("
            "SELECT 1 FROM revisions WHERE contains(text, line)) OR EXISTS ("
            "SELECT 1 FROM documents WHERE contains(title, line) OR contains(path, line)) OR EXISTS ("
            "SELECT 1 FROM memories WHERE document_id <> '' AND contains(text, line))",
            {"lines": sorted(lines)},
        ).fetchall()
    }
    encoded = [line.encode("utf-8") for line in sorted(lines - shared)]
    return len(shared), [needle for needle in encoded if len(needle) >= WORD]


def _carriers(lake: Lake, needles: Sequence[bytes], published: str) -> list[Manifest]:
    """Kept snapshots that do not show the documents, but share a file in which they are still, as deleted rows."""
    carrying = []
    for name in list_ids(lake.layout):
        manifest = read_manifest(lake.layout, name)
        if name != published and any(_carries(lake, manifest, space, needles) for space in manifest.spaces):
            carrying.append(manifest)
    return carrying


def _carries(lake: Lake, manifest: Manifest, space: str, needles: Sequence[bytes]) -> bool:
    for table, version in manifest.spaces[space].tables:
        found = find_in_files(sorted(table_path(lake.layout, space, table).glob("data/*")), needles)
        if not named_data_files(lake.layout, space, table, version).isdisjoint(path.name for path in found):
            return True
    return False


_TEXT_COLUMNS = """
SELECT table_name, column_name FROM duckdb_columns()
WHERE NOT internal AND schema_name = 'main' AND data_type IN ('VARCHAR', 'VARCHAR[]', 'JSON')
    AND table_name IN (SELECT table_name FROM duckdb_tables())
"""


def _decoded_hits(lake: Lake, needles: Sequence[bytes]) -> list[str]:
    """Columns of the warehouse that hold a needle; its file is compressed, so its bytes alone would prove nothing."""
    if not needles:
        return []
    lines = [needle.decode("utf-8") for needle in needles]
    hits = []
    with lake.warehouse.session("searching the warehouse") as connection:
        for table, column in connection.execute(_TEXT_COLUMNS).fetchall():
            held = connection.execute(
                f'SELECT 1 FROM "{table}" WHERE EXISTS (SELECT 1 FROM (SELECT unnest($lines) AS line)'
                f' WHERE contains(CAST("{column}" AS VARCHAR), line)) LIMIT 1',
                {"lines": lines},
            ).fetchone()
            if held:
                hits.append(f"warehouse: {table}.{column}")
    return hits


def _finish(lake: Lake, report: ErasureReport) -> None:
    with lake.warehouse.session("noting an erasure") as connection:
        connection.execute(
            "UPDATE erasures SET finished_at = CASE WHEN $clean THEN CAST($now AS TIMESTAMP) END,"
            " snapshots = $snapshots, files_scanned = $files, bytes_after = $bytes WHERE erasure_id = $id",
            {
                "clean": report.clean,
                "now": datetime.now(UTC).replace(tzinfo=None),
                "snapshots": list(report.snapshots),
                "files": report.files_scanned,
                "bytes": report.bytes_after,
                "id": report.erasure_id,
            },
        )
