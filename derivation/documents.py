"""Sources to documents: list, read what changed, parse, keep one revision a document.

The inputs are the items (files, objects) of a source's listing, told apart by a fingerprint that is cheap to get. An
item that is read again and has the same content leaves everything downstream untouched. An item that can no longer be
parsed loses its documents, as if the lake had been built from what is there now; one that could not be read in
passing keeps them until the next run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from derivation.lake import Lake, exclusive, source_spec
from derivation.progress import StepReport
from derivation.runner import conclude
from sources import Item, RawDocument, Rejected, SourceReader, open_source, read_documents
from warehouse.database import Changes, Connection, bump_generation, registered, replace_rows
from warehouse.delta import Outcome, Plan, Scope, Status, Step, Task, Verdict, forget, plan_step, record
from warehouse.faults import reach
from warehouse.ids import content_id, document_id
from warehouse.sections import SourceSettings

_CODE_VERSION = "1"
_BATCH_CHARS = 16_000_000
"""A batch of documents is committed when it holds this much text, or ``lake.batch_rows`` documents."""

_RECORDS = "records"
"""Ledger step of the single records of an item that were rejected; their input_hash is the item's id."""

_INTERRUPTED = "Reading it was interrupted."

_LISTING_SCHEMA = {"input_id": pl.String, "input_hash": pl.String, "label": pl.String}


def documents_step(source: SourceSettings) -> Step:
    """The step that reads ``source``; its parameters are the settings that shape what a document is."""
    limits = [source.max_bytes, source.max_pages, source.max_chars]
    parameters = {"kind": source.kind, "fields": source.fields, "limits": limits}
    return Step("documents", _CODE_VERSION, parameters)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds now."""

    reader: SourceReader
    entries: dict[str, Item | Rejected]
    """By item id, in the order of the paths."""

    def frame(self) -> pl.DataFrame:
        """The step's inputs."""
        rows = [(key, _entry_hash(entry), entry.path) for key, entry in self.entries.items()]
        return pl.DataFrame(rows, schema=_LISTING_SCHEMA, orient="row")


def list_source(source: SourceSettings) -> Listing:
    """List a source.

    Raises:
        SourceUnavailable: it does not answer; what it held before is left alone.
    """
    reader = open_source(source_spec(source))
    return Listing(reader, {content_id("item", source.name, entry.path): entry for entry in reader.list()})


def plan_documents(
    connection: Connection, source: SourceSettings, listing: Listing, retry_quarantined: bool = False
) -> Plan:
    """What reading the source would do."""
    scope = Scope(source.space, source.name)
    with registered(connection, "listing_frame", listing.frame()):
        todo = plan_step(
            connection,
            documents_step(source),
            scope,
            "SELECT input_id, input_hash, label FROM listing_frame",
            retry_quarantined=retry_quarantined,
        )
        if not retry_quarantined:
            return todo
        again = connection.execute(_WITH_REJECTED, {"step": _RECORDS, "space": scope.space, "source": scope.source})
        planned = {task.input_id for task in todo.tasks}
        tasks = [
            Task(key, content, label, Verdict.FAILED) for key, content, label in again.fetchall() if key not in planned
        ]
    return Plan((*todo.tasks, *tasks), todo.removed, todo.untouched - len(tasks))


_WITH_REJECTED = """
SELECT input_id, input_hash, label FROM listing_frame
WHERE input_id IN (SELECT input_hash FROM ledger WHERE step = $step AND space = $space AND source = $source)
ORDER BY label
"""


@exclusive("reading documents")
def refresh_documents(lake: Lake, source: SourceSettings) -> StepReport:
    """Bring the documents of one source up to date.

    Raises:
        SourceUnavailable: the source does not answer; nothing was changed.
    """
    started = time.perf_counter()
    step, scope = documents_step(source), Scope(source.space, source.name)
    with lake.warehouse.released():
        listing = list_source(source)
    with lake.warehouse.session("planning documents") as connection:
        todo = plan_documents(connection, source, listing, lake.retry_quarantined)
        blocked = _blocked(connection, scope)
    changes = Changes()
    failed = 0
    lake.progress.start(step.name, source.name, len(todo.tasks))
    batches = _read_batches(listing, todo.tasks, source, lake.settings.lake.batch_rows, blocked)
    while batch := _next(lake, batches):
        with lake.warehouse.session("writing documents") as connection:
            changed = _write_batch(connection, lake, scope, batch)
            reach("documents.written")
            record(connection, step, scope, batch.outcomes())
            if changed.any:
                bump_generation(connection)
        reach("documents.committed")
        changes += changed
        failed += sum(read.failures for read in batch.finished)
        lake.progress.advance(len(batch.finished))
    if todo.removed:
        with lake.warehouse.session("removing documents") as connection:
            changes += _remove_items(connection, scope, todo.removed)
            reach("documents.removing")
            forget(connection, step, scope, todo.removed)
            bump_generation(connection)
    return conclude(lake, step, scope, todo, changes, failed, started)


@dataclass(slots=True)
class _ReadItem:
    """What became of one item."""

    task: Task
    documents: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def failures(self) -> int:
        whole = self.outcome is not None and self.outcome.status is not Status.DONE
        return len(self.rejected) + whole


@dataclass(slots=True)
class _Batch:
    """Documents to commit together, and the items that are complete with them."""

    documents: list[tuple[Task, RawDocument]] = field(default_factory=list)
    finished: list[_ReadItem] = field(default_factory=list)
    begun: Task | None = None
    """The item that goes on in the next batch."""
    chars: int = 0

    def outcomes(self) -> list[Outcome]:
        """For the ledger; an item that is only begun counts as failed in passing until it is finished."""
        ended = [read.outcome for read in self.finished if read.outcome]
        if self.begun:
            ended.append(Outcome(self.begun, Status.FAILED, error=_INTERRUPTED, remedy="Run the build again."))
        return ended


def _entry_hash(entry: Item | Rejected) -> str:
    return entry.fingerprint if isinstance(entry, Item) else content_id("rejected", entry.reason)


def _next(lake: Lake, batches: Iterator[_Batch]) -> _Batch | None:
    """Read the next batch, with the warehouse free for others: a source may be slow."""
    with lake.warehouse.released():
        return next(batches, None)


def _blocked(connection: Connection, scope: Scope) -> set[str]:
    """Documents that were erased: they are still in the source and are not read again."""
    rows = connection.execute(
        "SELECT document_id FROM blocked WHERE space = $space AND source = $source",
        {"space": scope.space, "source": scope.source},
    ).fetchall()
    return {key for (key,) in rows}


def _read_batches(
    listing: Listing, tasks: Sequence[Task], source: SourceSettings, batch_rows: int, blocked: set[str]
) -> Iterator[_Batch]:
    """Read and parse the planned items; a big item may span several batches."""
    batch = _Batch()
    for task in tasks:
        read = _ReadItem(task)
        for document in _documents_of(listing, task):
            if isinstance(document, Rejected):
                if document.path == task.label:
                    read.outcome = _rejection(task, document)
                else:
                    read.rejected.append(document)
                continue
            key = document_id(source.space, source.name, document.path)
            if key in blocked:
                continue
            read.documents.append(key)
            batch.documents.append((task, document))
            batch.chars += len(document.text)
            if len(batch.documents) >= batch_rows or batch.chars >= _BATCH_CHARS:
                batch.begun = task
                yield batch
                batch = _Batch()
        if read.outcome is None:
            read.outcome = Outcome(task, Status.DONE, outputs=len(read.documents))
        batch.finished.append(read)
        if len(batch.finished) >= batch_rows:
            yield batch
            batch = _Batch()
    if batch.documents or batch.finished:
        yield batch


def _documents_of(listing: Listing, task: Task) -> Iterator[RawDocument | Rejected]:
    """What one item holds; a rejection under the item's own path stands for the whole of it."""
    entry = listing.entries[task.input_id]
    if isinstance(entry, Rejected):
        return iter([entry])
    return read_documents(listing.reader, entry)


def _rejection(task: Task, rejected: Rejected) -> Outcome:
    status = Status.FAILED if rejected.transient else Status.QUARANTINED
    return Outcome(task, status, error=rejected.reason, remedy=rejected.remedy)


def _write_batch(connection: Connection, lake: Lake, scope: Scope, batch: _Batch) -> Changes:
    changes = Changes()
    if batch.documents:
        documents, revisions = _rows(connection, lake, scope, batch.documents)
        owners = documents["document_id"].to_list()
        changes += replace_rows(connection, "documents", ["document_id"], documents, "document_id", owners)
        changes += replace_rows(connection, "revisions", ["revision_id"], revisions, "document_id", owners)
    for read in batch.finished:
        assert read.outcome is not None
        if read.outcome.status is not Status.FAILED and read.task.verdict is not Verdict.NEW:
            changes += _remove_documents(connection, scope, [read.task.label], keep=read.documents)
        _record_rejected(connection, scope, read)
    return changes


def _rows(
    connection: Connection, lake: Lake, scope: Scope, documents: Sequence[tuple[Task, RawDocument]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of ``documents`` and ``revisions``; a revision that is known keeps the time it was first seen."""
    ids = [document_id(scope.space, scope.source, document.path) for _, document in documents]
    known = dict(
        connection.execute(
            "SELECT revision_id, seen_at FROM documents WHERE document_id IN (SELECT unnest($ids))", {"ids": ids}
        ).fetchall()
    )
    now = lake.now.replace(tzinfo=None)
    heads, contents = [], []
    for key, (task, document) in zip(ids, documents, strict=True):
        content_hash = document.content_hash
        revision = content_id("revision", key, content_hash)
        heads.append(
            {
                "document_id": key,
                "space": scope.space,
                "source": scope.source,
                "path": document.path,
                "item_path": task.label,
                "revision_id": revision,
                "title": document.title,
                "author": document.author,
                "document_date": document.date,
                "media_type": document.media_type,
                "seen_at": known.get(revision, now),
            }
        )
        contents.append(
            {
                "revision_id": revision,
                "document_id": key,
                "space": scope.space,
                "source": scope.source,
                "content_hash": content_hash,
                "text": document.text,
                "page_starts": list(document.page_starts),
                "turn_starts": list(document.turn_starts),
                "speakers": list(document.speakers),
            }
        )
    head_types: dict[str, pl.DataType | type[pl.DataType]] = {
        "author": pl.String,
        "document_date": pl.Date,
        "seen_at": pl.Datetime("us"),
    }
    list_types: dict[str, pl.DataType | type[pl.DataType]] = {
        "page_starts": pl.List(pl.Int32),
        "turn_starts": pl.List(pl.Int32),
        "speakers": pl.List(pl.String),
    }
    return pl.DataFrame(heads, schema_overrides=head_types), pl.DataFrame(contents, schema_overrides=list_types)


def _record_rejected(connection: Connection, scope: Scope, read: _ReadItem) -> None:
    """Quarantine the single records of an item that were rejected; those of an earlier reading go."""
    _forget_rejected(connection, scope, [read.task.input_id])
    step = Step(_RECORDS, _CODE_VERSION, {})
    outcomes = []
    for rejected in read.rejected:
        key = content_id("record", scope.source, rejected.path)
        task = Task(key, read.task.input_id, rejected.path, Verdict.NEW)
        outcomes.append(_rejection(task, rejected))
    record(connection, step, scope, outcomes)


def _forget_rejected(connection: Connection, scope: Scope, item_ids: Sequence[str]) -> None:
    connection.execute(
        "DELETE FROM ledger WHERE step = $step AND space = $space AND source = $source"
        " AND input_hash IN (SELECT unnest($items))",
        {"step": _RECORDS, "space": scope.space, "source": scope.source, "items": list(item_ids)},
    )


def _remove_items(connection: Connection, scope: Scope, item_ids: Sequence[str]) -> Changes:
    paths = connection.execute(
        "SELECT label FROM ledger WHERE step = 'documents' AND space = $space AND source = $source"
        " AND input_id IN (SELECT unnest($ids))",
        {"space": scope.space, "source": scope.source, "ids": list(item_ids)},
    ).fetchall()
    _forget_rejected(connection, scope, item_ids)
    return _remove_documents(connection, scope, [path for (path,) in paths], keep=[])


def _remove_documents(connection: Connection, scope: Scope, item_paths: Sequence[str], keep: Sequence[str]) -> Changes:
    """Remove the documents that came from these items, but for those to ``keep``."""
    gone = connection.execute(
        "DELETE FROM documents WHERE space = $space AND source = $source AND item_path IN (SELECT unnest($paths))"
        " AND document_id NOT IN (SELECT unnest($keep)) RETURNING document_id",
        {"space": scope.space, "source": scope.source, "paths": list(item_paths), "keep": list(keep)},
    ).fetchall()
    for table in ("revisions", "events", "reinforcement", "cold"):
        connection.execute(
            f"DELETE FROM {table} WHERE document_id IN (SELECT unnest($ids))", {"ids": [key for (key,) in gone]}
        )
    return Changes(removed=len(gone))
