"""From a file of a source to its documents. One bad record never costs another: it becomes a ``Rejected``.

A ``Rejected`` whose path is the file's own says that the file was not read to its end, so records that did not
come out of it this time are not known to be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from errors import DocumentRejected, DocumentUnreadable
from memory.parsing import normalise, one_line, parse, parse_date
from sources.chat import SESSION_NAMES, session_document
from sources.fields import as_name, as_text, first_of, value_at
from sources.model import RECORD_FIELDS, Item, RawDocument, Rejected, SourceSpec
from sources.reader import SourceReader, oversized
from sources.records import Record, read_records

Build = Callable[[Mapping[str, Any], str, str], RawDocument]
"""A record, its file and its id to its document; raises DocumentRejected with a message that begins in mid-sentence."""


def read_documents(reader: SourceReader, item: Item) -> Iterator[RawDocument | Rejected]:
    """The documents of one listed file, in its order. SourceUnavailable is the only error that is raised."""
    try:
        if reader.spec.kind == "files":
            yield _file_document(reader, item)
        else:
            yield from _record_documents(reader, item)
    except (DocumentRejected, DocumentUnreadable) as error:
        yield Rejected.of(item.path, error)


def _file_document(reader: SourceReader, item: Item) -> RawDocument:
    if item.size > reader.spec.max_bytes:
        raise oversized(item.path, reader.spec.max_bytes)
    found = parse(reader.read(item.path), item.path, reader.spec.limits)
    return RawDocument(
        path=item.path,
        text=found.text,
        title=found.title,
        author=found.author,
        date=found.date,
        media_type=found.media_type,
        page_starts=found.page_starts,
    )


def _record_documents(reader: SourceReader, item: Item) -> Iterator[RawDocument | Rejected]:
    spec = reader.spec
    seen: set[str] = set()
    with reader.open(item.path) as stream:
        for record in read_records(stream, item.path, spec.max_bytes):
            yield _document(record, item.path, spec, seen)


def _document(record: Record, file: str, spec: SourceSpec, seen: set[str]) -> RawDocument | Rejected:
    """One record's document, or why there is none, under the record's id where that is known and its own."""
    path = f"{file}#{record.place}"
    try:
        if record.problem or not isinstance(record.value, Mapping):
            problem = record.problem or "it is not a JSON object"
            raise DocumentRejected(f"{problem}.", "Correct or remove it.")
        identity = _identity(record.value, spec) or record.place
        if identity in seen:
            raise DocumentRejected(f"its id {identity!r} was there before.", "Give each record its own id.")
        seen.add(identity)
        path = f"{file}#{identity}"
        document = _builder(spec)(record.value, file, identity)
        if len(document.text) > spec.max_chars:
            problem = f"its text is longer than {spec.max_chars:,} characters."
            raise DocumentRejected(problem, "Split it, or raise max_chars of the source.")
    except DocumentRejected as error:
        place = "" if path.endswith(record.place) else f" ({record.place})"
        return Rejected(path, f"{path}{place}: {error.message}", error.remedy, transient=False)
    return document


def _identity(value: Mapping[str, Any], spec: SourceSpec) -> str | None:
    if spec.kind == "jsonl":
        return one_line(value_at(value, spec.fields.get("id", "id")))
    return one_line(first_of(value, SESSION_NAMES))


def _builder(spec: SourceSpec) -> Build:
    if spec.kind == "chat":
        return session_document
    names = {field: spec.fields.get(field, field) for field in RECORD_FIELDS}
    return lambda value, file, identity: _record_document(value, file, identity, names)


def _record_document(value: Mapping[str, Any], file: str, identity: str, names: Mapping[str, str]) -> RawDocument:
    parts = (as_text(value_at(value, name.strip())).strip("\n") for name in names["text"].split("+"))
    text = normalise("\n\n".join(part for part in parts if part.strip()))
    if not text.strip():
        problem = f"it has no text in {names['text']!r}."
        raise DocumentRejected(problem, "Fill it in, or map fields.text of the source to the right field.")
    return RawDocument(
        path=f"{file}#{identity}",
        text=text,
        title=as_name(value_at(value, names["title"])) or identity,
        author=as_name(value_at(value, names["author"])),
        date=parse_date(value_at(value, names["date"])),
    )
