"""Extraction: what a passage says of entities and facts, behind one protocol with two implementations.

Rules are here; a language model is asked in ``derivation/model_extraction.py``, and what it says is located in the
passage by the same code (``graph/locating.py``). Either way an extraction is a function of the passage's text and title
(and, with a model, of its recorded reply), so that an incremental lake equals a rebuilt one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from errors import MemlakeError
from graph.acronyms import extract_acronyms
from graph.mentions import Mention, extract_mentions, title_mentions
from graph.triples import Triple, extract_triples

TYPES = ("person", "organisation", "place", "event", "work", "product")
"""Kinds of mentions that are part of an entity's identity: a city and a person of one name are two entities."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Passage:
    """What is extracted from."""

    passage_id: str
    title: str
    text: str
    text_hash: str
    """Of title, heading and text."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found in one passage."""

    text: str
    mentions: Sequence[Mention]
    """In the text, each at its span."""
    titles: Sequence[Mention]
    """In the title."""
    acronyms: Sequence[tuple[Span, Span]]
    """Spans of short and long forms that the text defines."""
    triples: Sequence[Triple]
    unlocated: int = 0
    """Entities and triples that a model named and the passage does not hold; they are left out."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a batch of passages."""

    found: Sequence[Extraction | MemlakeError | None]
    """One a passage, in order; ``None`` where it was not taken, since something stopped the work."""
    stopped: MemlakeError | None = None
    """Why nothing more can be taken in this run."""
    deferred: MemlakeError | None = None
    """Why some wait for a later run; others may be taken."""
    seconds: float = 0.0
    """Spent in a model."""
    tokens: int = 0
    cost: float = 0.0


class Extractor(Protocol):
    """Finds entities and facts in passages."""

    def extract(self, passages: Sequence[Passage]) -> Extracted:
        """Extractions of the passages, every span exact; an error where a passage cannot be used."""


def entity_type(kind: str) -> str:
    """The part of a mention's kind that is of the entity's identity; empty for what rules call it."""
    return kind if kind in TYPES else ""


class RulesExtractor:
    """Entities and facts by rules: no model, no network, deterministic."""

    def extract(self, passages: Sequence[Passage]) -> Extracted:
        return Extracted([extract_by_rules(passage) for passage in passages])


def extract_by_rules(passage: Passage) -> Extraction:
    """What the rules find in a passage."""
    mentions = extract_mentions(passage.text, passage.title)
    return Extraction(
        text=passage.text,
        mentions=mentions,
        titles=title_mentions(passage.title),
        acronyms=extract_acronyms(passage.text),
        triples=extract_triples(passage.text, passage.title, mentions),
    )
