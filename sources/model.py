"""The values that pass between a source and the lake. All are frozen; a document's ``content_hash`` covers all that
the lake derives from, so equal hashes mean equal memories."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from errors import MemlakeError, SettingsError, Transient
from memory.parsing import ParseLimits

SourceKind = Literal["files", "jsonl", "chat"]
KINDS: tuple[SourceKind, ...] = ("files", "jsonl", "chat")
RECORD_FIELDS = ("id", "title", "text", "author", "date")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where one source's documents are and how they are read.

    ``include`` and ``exclude`` are gitignore-style patterns relative to the root. ``fields`` maps ``id``, ``title``,
    ``text``, ``author`` and ``date`` to the fields of a JSONL record: dots go into nested objects, ``+`` joins several
    texts. ``storage_options`` go to fsspec; they may hold secrets, so neither they nor ``url`` are in the ``repr``.
    """

    name: str
    space: str
    url: str = field(repr=False)
    kind: SourceKind = "files"
    include: tuple[str, ...] = ("**/*",)
    exclude: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 50_000_000
    max_pages: int = 5_000
    max_chars: int = 10_000_000
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            remedy = f"Use one of: {', '.join(KINDS)}."
            raise SettingsError(f"Source {self.name!r} has the unknown kind {self.kind!r}.", remedy)
        if unknown := sorted(set(self.fields) - set(RECORD_FIELDS)):
            remedy = f"Use some of: {', '.join(RECORD_FIELDS)}."
            raise SettingsError(f"Source {self.name!r} maps the unknown field {unknown[0]!r}.", remedy)

    @property
    def limits(self) -> ParseLimits:
        """The bounds of one document."""
        return ParseLimits(self.max_bytes, self.max_pages, self.max_chars)


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a source; its ``fingerprint`` changes whenever its content may have changed."""

    path: str
    size: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something in a source that gave no document, and why. It is still there: what came of it earlier must not be
    taken for deleted. ``transient`` says that the same read may succeed later."""

    path: str
    reason: str
    remedy: str
    transient: bool

    @classmethod
    def of(cls, path: str, error: MemlakeError) -> Rejected:
        """The rejection that stands for an error raised while ``path`` was read."""
        return cls(path, error.message, error.remedy, isinstance(error, Transient))


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One document as its source has it. ``turn_starts`` and ``speakers`` go together and are empty but for chats."""

    path: str
    text: str
    title: str
    author: str | None = None
    date: date | None = None
    media_type: str = "text/plain"
    page_starts: tuple[int, ...] = ()
    turn_starts: tuple[int, ...] = ()
    speakers: tuple[str, ...] = ()

    @property
    def content_hash(self) -> str:
        """128 bits of SHA-256, in hex, over every field but ``path``, each with its type and length before it."""
        digest = hashlib.sha256()
        day = self.date.isoformat() if self.date else None
        for value in (self.text, self.title, self.author, day, self.media_type):
            _feed(digest, value)
        for values in (self.page_starts, self.turn_starts, self.speakers):
            _feed_all(digest, values)
        return digest.hexdigest()[:32]


def _feed(digest: hashlib._Hash, value: str | None) -> None:
    if value is None:
        digest.update(b"-")
        return
    encoded = value.encode("utf-8")
    digest.update(b"s%d:" % len(encoded))
    digest.update(encoded)


def _feed_all(digest: hashlib._Hash, values: Iterable[int | str]) -> None:
    items = tuple(values)
    digest.update(b"t%d:" % len(items))
    for item in items:
        _feed(digest, str(item))
