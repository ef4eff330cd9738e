"""What goes into and comes out of the client; all frozen, and JSON-ready through ``as_record``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

CHANNELS = ("dense", "lexical", "graph")
"""Every way of finding candidates, in the order in which they are shown."""


PASSAGE = "passage"
"""The granularity of what is cited."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a passage is: enough to open the document there."""

    source: str
    path: str
    title: str
    heading: str
    page: int | None
    author: str | None
    document_date: date | None


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end`` (exclusive) of one revision of a document."""

    document_id: str
    revision_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FurtherSource:
    """Another passage that says what a hit says."""

    passage_id: str
    location: Location
    span: Span


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that was found."""

    rank: int
    """From 1."""
    score: float
    """Fused over the channels; comparable within one result only."""
    passage_id: str
    text: str
    title: str
    location: Location
    span: Span
    kind: str
    channel_ranks: dict[str, int] = field(default_factory=dict)
    """The passage's rank, from 1, in each channel that found it (or one that says the same)."""
    further: tuple[FurtherSource, ...] = ()
    """The other passages of its family of near-duplicates."""
    granularity: str = PASSAGE
    """What it is: a passage, or a memory of a granularity."""
    memory_id: str = ""
    """Of a memory; ``passage_id`` is then the first passage that it leads to."""
    parent_id: str = ""
    """The memory that it is a part of, if there is one."""
    spans: tuple[Span, ...] = ()
    """Of a memory: everything that it came from; ``span`` reaches over those in its first document."""
    since: date | None = None
    """First day that a memory speaks of, where it says one."""
    until: date | None = None
    superseded: bool = False
    """Whether another fact holds in place of this one by now."""

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        record = asdict(self)
        for name in ("since", "until"):
            day = record[name]
            record[name] = day.isoformat() if day else None
        for place in (record["location"], *(item["location"] for item in record["further"])):
            day = place["document_date"]
            place["document_date"] = day.isoformat() if day else None
        return record


@dataclass(frozen=True, slots=True)
class Filters:
    """Which passages may be returned; empty fields allow everything, the others must all hold."""

    sources: tuple[str, ...] = ()
    path_prefix: str | None = None
    authors: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    since: date | None = None
    """On or after this date of the document; a document without a date is left out."""
    until: date | None = None
    """On or before this date of the document; a document without a date is left out."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls of a language model took, as the endpoint reports it."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


NO_USAGE = Usage()
"""Where no model was asked."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote that supports an answer, with its exact span."""

    number: int
    """As cited in the answer's text, from 1."""
    quote: str
    span: Span
    hit: Hit

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "number": self.number,
            "quote": self.quote,
            "span": asdict(self.span),
            "source": self.hit.location.source,
            "path": self.hit.location.path,
            "title": self.hit.title,
            "page": self.hit.location.page,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it rests on."""

    question: str
    text: str
    citations: tuple[Citation, ...]
    refused: bool
    """True where the passages do not answer the question; ``text`` then says so."""
    answered_by: str
    """``extractive`` or the model's name."""
    snapshot_id: str
    as_of: datetime
    usage: Usage = NO_USAGE
    """What asking a model took; nothing without one."""

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "question": self.question,
            "answer": self.text,
            "refused": self.refused,
            "citations": [citation.as_record() for citation in self.citations],
            "answered_by": self.answered_by,
            "snapshot": self.snapshot_id,
            "as_of": self.as_of.isoformat(),
        }
