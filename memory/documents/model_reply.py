"""Document memories as a model writes them: what it is asked, the shape of its reply, and the reply as a candidate.

A long document is asked about in sections, one call each. A model gives chunks by their first and last words only;
what the text does not hold is dropped and counted, and what lies between located chunks goes to the chunk before it,
or is a chunk by rules where there is more of it. So a candidate covers the document whatever the model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from pydantic import BaseModel

from memory.blocks import find_blocks, trim
from memory.documents.chunking import SPLITTING_SCALE, depths, without_large
from memory.documents.cores import extract_cores, similar_pairs
from memory.documents.locating import Ends, locate_parts
from memory.documents.outline import Candidate, Chunk, DocumentMemories, judge, rule_candidates
from memory.documents.units import Units, read_units
from memory.static import StaticVectors, static_vectors
from models.fencing import fence

PROMPT = "document_outline"
"""Name of the prompt, and of the reply's schema."""

LARGEST_SECTION = 24_000
"""Characters of a document that one call is about: some 6,000 tokens, whose reply has some 1,500."""

_SMALL_GAP = 400
"""Characters between two located chunks up to which they go with the chunk before."""


class OutlinedPart(BaseModel):
    """One part of a document as a model gives it."""

    item: str
    first_words: str
    last_words: str
    core: str


class DocumentOutline(BaseModel):
    """The reply to ``document_outline``."""

    parts: list[OutlinedPart]


@dataclass(frozen=True, slots=True)
class OutlinedSection:
    """What one sample says of one section of the document."""

    start: int
    end: int
    parts: tuple[OutlinedPart, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    end: int
    said: OutlinedPart | None
    """Nothing for what lies between located chunks."""


def outline_sections(
    text: str, media_type: str = "text/plain", turn_starts: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Spans of the document to ask about, one call each: whole sections by headings as far as they fit, then blocks.

    In order, without overlap, covering everything but white space; none above :data:`LARGEST_SECTION` characters.
    """
    packed: list[tuple[int, int]] = []
    for _, group in groupby(find_blocks(text, media_type, turn_starts), key=lambda block: block.section):
        blocks = list(group)
        if blocks[-1].end - blocks[0].start <= LARGEST_SECTION:
            _pack(packed, blocks[0].start, blocks[-1].end)
            continue
        for block in blocks:
            for piece in _pieces(text, block.start, block.end):
                _pack(packed, *piece)
    return packed


def outline_message(text: str, section: tuple[int, int], title: str, sample: int = 0) -> str:
    """What the model is shown of one section; samples differ by their number only, so each is a request of its own."""
    document = fence(text[section[0] : section[1]], title)
    return f"{document}\n\nOutline number {sample + 1}." if sample else document


def outline_by_model(
    text: str,
    samples: Sequence[Sequence[OutlinedSection]],
    media_type: str = "text/plain",
    title: str = "",
    turn_starts: Sequence[int] = (),
    vectors: StaticVectors | None = None,
) -> DocumentMemories:
    """The document's memories from a model's replies: every sample is a candidate, measured as those by rules are.

    A sample of which nothing is in the text is no candidate; where there is none left, the rules' are.

    Args:
        samples: for each sample its sections, in order (:func:`outline_sections`).
    """
    vectors = vectors or static_vectors()
    located = [_locate(text, sample) for sample in samples]
    unlocated = sum(
        sum(len(section.parts) for section in sample) - sum(part.said is not None for part in parts)
        for sample, parts in zip(samples, located, strict=True)
    )
    cuts = [part.start for parts in located for part in parts]
    units = read_units(text, media_type, vectors, turn_starts, cuts)
    candidates = [
        _candidate(units, f"model-{number + 1}", parts)
        for number, parts in enumerate(located)
        if any(part.said is not None for part in parts)
    ]
    return judge(units, candidates or rule_candidates(units), vectors, title, unlocated)


def _locate(text: str, sample: Sequence[OutlinedSection]) -> list[_Part]:
    """Parts that cover the document, in order: located ones, each with the small gap behind it, and larger gaps."""
    found: list[_Part] = []
    for section in sample:
        said = [part for part in section.parts if part.item.strip() and part.core.strip()]
        ends = [Ends(part.first_words, part.last_words) for part in said]
        found += [
            _Part(section.start + part.start, section.start + part.end, said[part.place])
            for part in locate_parts(text[section.start : section.end], ends)
        ]
    covered: list[_Part] = []
    for here, behind in pairwise([None, *found, None]):
        if here is not None:
            covered.append(here)
        start, end = trim(text, here.end if here else 0, behind.start if behind else len(text))
        if start == end:
            continue
        if here is not None and end - start <= _SMALL_GAP:
            covered[-1] = replace(here, end=end)
        else:
            covered.append(_Part(start, end, None))
    if len(covered) > 1 and covered[0].said is None and covered[0].end - covered[0].start <= _SMALL_GAP:
        covered[:2] = [replace(covered[1], start=covered[0].start)]
    return covered


def _candidate(units: Units, name: str, parts: Sequence[_Part]) -> Candidate:
    """Located parts as the model has them; the others cut where they are too large, with cores and items by rules."""
    begins = [int(start) for start in units.spans[:, 0].searchsorted([part.start for part in parts])]
    said = dict(zip(begins, (part.said for part in parts), strict=True))
    starts = without_large(
        begins, depths(units, SPLITTING_SCALE), units.tokens, keep=[at for at in begins if said[at] is not None]
    )
    extracted = extract_cores(units, starts, similar_pairs(units))
    chunks = []
    for core, first, last in zip(extracted, starts, [*starts[1:], len(units)], strict=True):
        start, end = int(units.spans[first, 0]), int(units.spans[last - 1, 1])
        part = said.get(first)
        if part is None:
            chunks.append(Chunk(start, end, core, " ".join(units.text[a:b] for a, b in core)))
        else:
            chunks.append(Chunk(start, end, ((start, end),), part.core.strip(), " ".join(part.item.split())))
    return Candidate(name, starts, tuple(chunks))


def _pack(packed: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a span to the last one, if both fit together, or as one of its own."""
    if packed and end - packed[-1][0] <= LARGEST_SECTION:
        packed[-1] = packed[-1][0], end
    else:
        packed.append((start, end))


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A block in pieces of at most the largest size, cut at line ends, else at spaces, else anywhere."""
    found = []
    while end - start > LARGEST_SECTION:
        limit = start + LARGEST_SECTION
        place = max(text.rfind("\n", start + LARGEST_SECTION // 2, limit), -1)
        if place < 0:
            place = text.rfind(" ", start + LARGEST_SECTION // 2, limit)
        place = place if place > 0 else limit
        found.append(trim(text, start, place))
        start = trim(text, place, end)[0]
    return [*found, (start, end)]
