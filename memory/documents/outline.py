"""Document memories (MoM, arXiv 2510.14252): an outline, chunks, and the core content of each, the best of several.

The chunks of a candidate are exact spans, in order, without overlap, that cover everything but white space. Every
outline item has the span of its chunk, every core the spans of its sentences. Which candidate is kept follows from
their measures alone; all are returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from memory.documents.chunking import chunkings
from memory.documents.cores import Core, extract_cores, similar_pairs
from memory.documents.labels import outline_items
from memory.documents.measures import clarity_proxy, completeness_proxy, rank_fusion
from memory.documents.units import Units, read_units
from memory.granularity import Granularity, Memory
from memory.static import StaticVectors, static_vectors

CODE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a candidate; as rules leave it, its item is made only if the candidate is kept."""

    start: int
    end: int
    core: Core
    core_text: str
    item: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to outline a document."""

    name: str
    starts: tuple[int, ...]
    """The units that its chunks begin with."""
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A row of the table ``outline_candidates``."""

    name: str
    chunks: int
    clarity: float
    completeness: float
    fused: float
    kept: bool


@dataclass(frozen=True, slots=True)
class DocumentMemories:
    """What is remembered of one document; nothing of one that is empty."""

    candidates: tuple[Judged, ...] = ()
    """In the order in which they were made; one is kept."""
    memories: tuple[Memory, ...] = ()
    """Of the kept one: each outline item, then the core of its chunk, whose parent it is."""
    unlocated: int = 0
    """Chunks that a model gave and the text does not hold, over all candidates."""


def outline_by_rules(
    text: str,
    media_type: str = "text/plain",
    title: str = "",
    turn_starts: Sequence[int] = (),
    vectors: StaticVectors | None = None,
) -> DocumentMemories:
    """The document's memories by rules: cut at headings or at changes of subject, cores of central sentences.

    Linear in the text. The title is in no memory's text: whoever embeds them adds it.

    Args:
        turn_starts: where the turns of a transcript begin.
        vectors: of words; by default the bundled model's.

    Raises:
        ModelError: the bundled model is not installed.
    """
    vectors = vectors or static_vectors()
    units = read_units(text, media_type, vectors, turn_starts)
    return judge(units, rule_candidates(units), vectors, title)


def rule_candidates(units: Units) -> list[Candidate]:
    """A candidate for each chunking that the document offers; none for an empty one."""
    found = []
    graph = similar_pairs(units)
    for name, starts in chunkings(units).items():
        ends = [*starts[1:], len(units)]
        chunks = []
        for core, first, last in zip(extract_cores(units, starts, graph), starts, ends, strict=True):
            said = " ".join(units.text[start:end] for start, end in core)
            chunks.append(Chunk(int(units.spans[first, 0]), int(units.spans[last - 1, 1]), core, said))
        found.append(Candidate(name, starts, tuple(chunks)))
    return found


def judge(
    units: Units, candidates: Sequence[Candidate], vectors: StaticVectors, title: str = "", unlocated: int = 0
) -> DocumentMemories:
    """Rank candidates by both measures, fuse the ranks, and keep the first of the best."""
    if not candidates:
        return DocumentMemories(unlocated=unlocated)
    clarity = [clarity_proxy(units, candidate.starts) for candidate in candidates]
    cores = vectors.read([chunk.core_text for candidate in candidates for chunk in candidate.chunks])
    ends = list(accumulate(len(candidate.chunks) for candidate in candidates))
    completeness = [
        completeness_proxy(units, candidate.starts, cores.part(end - len(candidate.chunks), end))
        for candidate, end in zip(candidates, ends, strict=True)
    ]
    fused = rank_fusion([clarity, completeness])
    best = max(range(len(candidates)), key=lambda at: (fused[at], -at))
    rows = [
        Judged(candidate.name, len(candidate.chunks), clarity[at], completeness[at], fused[at], at == best)
        for at, candidate in enumerate(candidates)
    ]
    return DocumentMemories(tuple(rows), _memories(units, candidates[best], title), unlocated)


def _memories(units: Units, candidate: Candidate, title: str) -> tuple[Memory, ...]:
    """Outline items and cores, in the order of the chunks."""
    by_rules: list[str] = []
    if any(chunk.item is None for chunk in candidate.chunks):
        by_rules = outline_items(units, candidate.starts, title)
    memories: list[Memory] = []
    for at, chunk in enumerate(candidate.chunks):
        item = by_rules[at] if chunk.item is None else chunk.item
        parent = len(memories)
        memories.append(Memory(Granularity.OUTLINE, item, ((chunk.start, chunk.end),)))
        memories.append(Memory(Granularity.CORE, chunk.core_text, chunk.core, parent))
    return tuple(memories)
