"""Where the gold of questions lies in a snapshot, and which hits find it.

Gold names a document and, where the authors quote it, a text in it. The text is looked up in the documents as the
snapshot holds them, so gold and hits are compared by characters: no file of the authors needs to know how a document
is cut. White space and the form of quotation marks do not matter; every other character does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.dataset import Evidence, GoldUnit
from retrieval import FurtherSource, Hit

MOST = 0.5
"""Share of an evidence's characters (or of a shorter passage's) that a passage must hold to count as finding it."""

_MARKS = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class Located:
    """One piece of gold, in a snapshot."""

    documents: frozenset[tuple[str, str]]
    """Source and path of the documents that it may be found in; more than one where the dataset names no source."""
    start: int = 0
    end: int = 0
    """Characters in the document; ``end`` is 0 for the document as a whole."""

    def is_in(self, shown: Shown) -> bool:
        """Whether a passage finds it: any of the document's, or one that holds most of the text."""
        if shown.document not in self.documents:
            return False
        if not self.end:
            return True
        held = min(self.end, shown.end) - max(self.start, shown.start)
        return held >= MOST * min(self.end - self.start, shown.end - shown.start)

    def is_inside(self, shown: Shown) -> bool:
        """Whether a passage holds all of it."""
        return shown.document in self.documents and shown.start <= self.start and self.end <= shown.end


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage at its rank: a hit, or the near-duplicate that a hit names as a further source."""

    passage_id: str
    document: tuple[str, str]
    start: int
    end: int


def shown_passages(hits: Sequence[Hit]) -> Iterator[Shown]:
    """Passages in the order in which a reader is shown them: a near-duplicate takes the rank after its family's."""
    for hit in hits:
        items: tuple[Hit | FurtherSource, ...] = (hit, *hit.further)
        for item in items:
            yield Shown(item.passage_id, (item.location.source, item.location.path), item.span.start, item.span.end)


class GoldFinder:
    """Finds evidence in the documents of one space of a snapshot."""

    def __init__(self, passages: Iterable[Mapping[str, Any]]) -> None:
        """``passages`` are rows with source, path, char_start and text."""
        self._passages: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._by_path: dict[str, list[tuple[str, str]]] = {}
        for row in passages:
            document = (row["source"], row["path"])
            if document not in self._passages:
                self._passages[document] = []
                self._by_path.setdefault(row["path"], []).append(document)
            self._passages[document].append((row["char_start"], row["text"]))

    def locate(self, evidence: Evidence) -> Located | None:
        """Where it lies; ``None`` where the snapshot has no such document, or the document not that text."""
        documents = [
            document
            for document in self._by_path.get(evidence.path, ())
            if not evidence.source or document[0] == evidence.source
        ]
        if not evidence.text.strip():
            return Located(frozenset(documents)) if documents else None
        pattern = re.compile(r"\s+".join(re.escape(word) for word in evidence.text.translate(_MARKS).split()))
        for document in documents:
            found = pattern.search(self._text(document))
            if found:
                return Located(frozenset({document}), found.start(), found.end())
        return None

    def _text(self, document: tuple[str, str]) -> str:
        """The document, put together from its passages; what is in none of them is white space."""
        pieces, at = [], 0
        for start, text in sorted(self._passages[document]):
            pieces.append(" " * (start - at) + text[max(0, at - start) :])
            at = max(at, start + len(text))
        return "".join(pieces).translate(_MARKS)


def gold_ranks(gold: Sequence[Located], shown: Sequence[Shown], unit: GoldUnit) -> list[int]:
    """For each piece of gold the rank, from 1, at which it is found; 0 where it is not.

    Ranks count distinct documents where gold is whole documents, else passages.
    """
    ranks = [0] * len(gold)
    seen: dict[tuple[str, str], int] = {}
    for place, item in enumerate(shown, 1):
        rank = seen.setdefault(item.document, len(seen) + 1) if unit.is_whole else place
        for number, located in enumerate(gold):
            if not ranks[number] and located.is_in(item):
                ranks[number] = rank
    return ranks


def fact_ranks(facts: Sequence[Located], shown: Sequence[Shown]) -> list[int]:
    """For each fact the rank of the first passage that holds it whole; 0 where none does."""
    return [next((rank for rank, item in enumerate(shown, 1) if fact.is_inside(item)), 0) for fact in facts]
