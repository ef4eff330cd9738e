"""A document as units: the smallest spans that chunks are made of, with their words.

Units are sentences of prose, lines of code, tables and lists, and headings. They lie in order, do not overlap, neither
begin nor end with white space, and cover everything else. None is longer than :data:`LONGEST`, so that chunks can be
kept within a size.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.blocks import CODE, LIST, PROSE, TABLE, Block, find_blocks, trim
from memory.segmentation import sentences
from memory.static import Reading, StaticVectors

HEADING = "heading"
"""The kind of a unit that is headings only; the others are kinds of blocks."""

LONGEST = 600
"""Characters of a unit; so no unit has more tokens."""

_SHORT = 12
"""A unit of fewer characters takes the next one of its block: alone it says nothing."""

_PARAGRAPH = 8_000
"""Characters of a paragraph that are split into sentences together."""
_ENDS = ("\n", "\u3002", "\u061f", ". ", " ")
"""Where a longer paragraph is cut, the best first."""

_CODE_LINE = re.compile(
    r"[;{}(\[,\\]\s*$|\):?\s*$"  # ends as a statement does
    r"|^(?:\t| {2,})\S|^\s*(?:#|//|/\*|\*/|@|--)"  # is indented, or a comment
    r"|^\s*[\w.\[\]]+\s*[-+*/|]?=[^=]"  # or assigns
)
_CODE_SHARE = 0.6
_CODE_LINES = 3


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one document; arrays have a row a unit."""

    text: str
    spans: NDArray[np.int64]
    """(units, 2) characters, start and end."""
    kinds: tuple[str, ...]
    blocks: NDArray[np.int64]
    """Number of the block that each is of."""
    sections: NDArray[np.int64]
    """Number of the section that each is of, counted by headings."""
    headings: tuple[tuple[str, ...], ...]
    """Headings above each, outermost first."""
    reading: Reading
    sums: NDArray[np.float32]
    """(units, dimensions) sums of the vectors of their words; they add up."""

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of each."""
        return self.reading.tokens


def read_units(
    text: str, media_type: str, vectors: StaticVectors, turn_starts: Sequence[int] = (), cuts: Sequence[int] = ()
) -> Units:
    """The units of ``text``, read once; ``cuts`` are places (characters) at which one must end and the next begin."""
    cuts = sorted(set(cuts))
    spans: list[tuple[int, int]] = []
    kinds: list[str] = []
    owners: list[int] = []
    blocks = find_blocks(text, media_type, turn_starts)
    plain = not turn_starts and all(not block.section for block in blocks)
    listing = plain and _looks_like_code(text)
    for number, block in enumerate(blocks):
        for start, end, kind in _parts(text, block, listing):
            for span in _cut(text, start, end, cuts):
                spans.append(span)
                kinds.append(kind)
                owners.append(number)
    reading = vectors.read([text[start:end] for start, end in spans])
    return Units(
        text=text,
        spans=np.array(spans, dtype=np.int64).reshape(-1, 2),
        kinds=tuple(kinds),
        blocks=np.array(owners, dtype=np.int64),
        sections=np.array([blocks[number].section for number in owners], dtype=np.int64),
        headings=tuple(blocks[number].headings for number in owners),
        reading=reading,
        sums=reading.sums(),
    )


def _parts(text: str, block: Block, listing: bool) -> Iterator[tuple[int, int, str]]:
    """The headings of a block, if there are any, then its sentences or lines; all is code in a listing."""
    above, body = trim(text, block.start, block.body)
    if above < body:
        yield from ((start, end, HEADING) for start, end in _sized(text, [(above, body)]))
    code = block.kind == PROSE and (listing or _looks_like_code(text[block.body : block.end]))
    kind = CODE if code else block.kind
    cut = _lines if kind in (CODE, TABLE, LIST) else _sentences
    for start, end in _sized(text, _joined(cut(text, block.body, block.end))):
        yield start, end, kind


def _looks_like_code(text: str) -> bool:
    """Whether a text that is not marked as code is a listing, by how its lines begin and end."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < _CODE_LINES:
        return False
    return sum(bool(_CODE_LINE.search(line)) for line in lines) >= _CODE_SHARE * len(lines)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in text[start:end].splitlines(keepends=True):
        first, last = trim(text, start, start + len(line))
        if first < last:
            yield first, last
        start += len(line)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Sentences, a long paragraph read in parts: the splitter takes the square of the time for some scripts."""
    while end - start > _PARAGRAPH:
        limit = start + _PARAGRAPH
        ends = (text.rfind(mark, start + _PARAGRAPH // 2, limit) + 1 for mark in _ENDS)
        place = next((found for found in ends if found), limit)
        yield from sentences(text, start, place)
        start = place
    yield from sentences(text, start, end)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """A span that is too short goes with the next one, at the end with the one before."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] - joined[-1][0] < _SHORT:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    if len(joined) > 1 and joined[-1][1] - joined[-1][0] < _SHORT:
        joined[-2:] = [(joined[-2][0], joined[-1][1])]
    return joined


def _sized(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Longer ones are cut at their last white space before the limit, or at the limit."""
    for start, end in spans:
        while end - start > LONGEST:
            space = max(text.rfind(" ", start + 1, start + LONGEST), text.rfind("\n", start + 1, start + LONGEST))
            place = space if space > 0 else start + LONGEST
            first, last = trim(text, start, place)
            if first < last:
                yield first, last
            start = place
        first, last = trim(text, start, end)
        if first < last:
            yield first, last


def _cut(text: str, start: int, end: int, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The span in pieces at the cuts within it."""
    places = [start]
    for place in cuts[bisect_right(cuts, start) :]:
        if place >= end:
            break
        places.append(place)
    for first, last in zip(places, [*places[1:], end], strict=True):
        piece = trim(text, first, last)
        if piece[0] < piece[1]:
            yield piece
