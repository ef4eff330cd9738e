"""The units of a passage that can state something: sentences, list items, headings, table rows, labelled lines, code.

Units are spans of the text in order, without overlap and without white space at their ends, whatever the text is. The
structure is read line by line from the text alone, since a passage may be cut out of its document anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SENTENCE, ITEM, HEADING, ROW, LABELLED, CODE = "sentence", "item", "heading", "row", "labelled", "code"


@dataclass(frozen=True, slots=True)
class Unit:
    """Characters `start` to `end` of the text; what is said begins at `body`, after a list's or heading's mark."""

    kind: str
    start: int
    end: int
    body: int


_WORD = re.compile(r"\w")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+(?=\S)")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+(?=\S)")
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*$")
LABEL = re.compile(r"(?:\*\*|__|`)?([^\W\d_][\w '’/&()-]{0,39}?)(?:\*\*|__|`)?:(?:\*\*|__)?[ \t]+(?=\S)")
"""A label and its colon, as in `Owner: Ana` or `**Owner:** Ana`; group 1 is the label."""


def units(text: str) -> list[Unit]:
    """All units of the text. Lines of running text are joined up to a blank line or a line with a mark of its own."""
    found: list[Unit] = []
    kind, begin, body, end = "", 0, 0, 0  # the block that is being collected; an empty kind is none
    fenced = False
    at = 0
    for line in text.splitlines(keepends=True):
        start, at = at, at + len(line)
        stripped = line.rstrip()
        if _FENCE.match(line):
            found.extend(_close(text, kind, begin, body, end))
            kind, fenced = "", not fenced
            continue
        stop = start + len(stripped)
        lead = start + len(line) - len(line.lstrip())
        if not fenced and not _WORD.search(line) and not _ROW.match(line):
            found.extend(_close(text, kind, begin, body, end))
            kind = ""
        elif fenced:
            if stripped:
                found.append(Unit(CODE, lead, stop, lead))
        elif mark := _HEADING.match(line):
            found.extend(_close(text, kind, begin, body, end))
            kind = ""
            found.append(Unit(HEADING, lead, stop, start + mark.end()))
        elif _ROW.match(line):
            found.extend(_close(text, kind, begin, body, end))
            kind = ""
            found.append(Unit(ROW, lead, stop, lead))
        elif (mark := _ITEM.match(line)) and start + mark.end() < stop:
            found.extend(_close(text, kind, begin, body, end))
            kind, begin, body, end = ITEM, lead, start + mark.end(), stop
        elif LABEL.match(line, lead - start):
            found.extend(_close(text, kind, begin, body, end))
            kind, begin, body, end = LABELLED, lead, lead, stop
        elif kind:
            end = stop
        else:
            kind, begin, body, end = SENTENCE, lead, lead, stop
    found.extend(_close(text, kind, begin, body, end))
    return found


def _close(text: str, kind: str, begin: int, body: int, end: int) -> Iterator[Unit]:
    """The units of a finished block: a paragraph is cut into sentences, an item or a labelled line stays whole."""
    if kind == SENTENCE:
        for start, stop in sentences(text, begin, end):
            yield Unit(SENTENCE, start, stop, start)
    elif kind:
        yield Unit(kind, begin, end, body)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the sentences within `text[start:end]`, by sentencex, without white space at their ends."""
    import sentencex

    for boundary in sentencex.get_sentence_boundaries("en", text[start:end]):
        first, last = start + boundary["start_index"], start + boundary["end_index"]
        piece = text[first:last]
        first, last = last - len(piece.lstrip()), first + len(piece.rstrip())
        if first < last:
            yield first, last
