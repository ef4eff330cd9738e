"""Segmentation: a revision's text to passages on structural and sentence boundaries.

Blocks of one section are packed up to a target size in tokens of the embedder. A list, a code block or a table stays
whole unless it alone is larger than the maximum; a long paragraph is cut between sentences. Passages are spans of the
text, in order, without overlap, and together they cover everything but white space, so a citation is always exact.
Packing starts anew at every heading: an edit moves boundaries only until the end of its section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memory.blocks import CODE, LIST, PROSE, TABLE, Block, find_blocks, trim
from memory.embedding import TokenCounter

CODE_VERSION = "1"

_TAIL_SHARE = 0.25
"""A passage smaller than this share of the target takes the next block even beyond the target."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end`` (exclusive) of a revision's text."""

    start: int
    end: int
    tokens: int
    kind: str
    headings: tuple[str, ...]


def contextual_text(title: str, headings: str, text: str) -> str:
    """What is embedded and searched for a passage: its title and headings, then its text."""
    context = " > ".join(part for part in (title, headings) if part)
    return f"{context}\n{text}" if context else text


def segment(
    text: str,
    media_type: str,
    count_tokens: TokenCounter,
    target_tokens: int,
    max_tokens: int,
    turn_starts: Sequence[int] = (),
) -> list[Span]:
    """Cut ``text`` into passages of about ``target_tokens``, none above ``max_tokens``.

    The sizes are sums over blocks or sentences counted alone, which differ from the whole's by a token or two a joint.
    """
    blocks = find_blocks(text, media_type, turn_starts)
    sizes = count_tokens([text[block.start : block.end] for block in blocks])
    passages: list[Span] = []
    packer = _Packer(text, target_tokens, max_tokens)
    section = -1
    for block, tokens in zip(blocks, sizes, strict=True):
        if block.section != section:
            passages.extend(packer.flush())
            section = block.section
        if tokens <= max_tokens:
            passages.extend(packer.add(block, tokens))
            continue
        pieces = list(_split(text, block, tokens, count_tokens, target_tokens, max_tokens))
        for piece, size in pieces:
            passages.extend(packer.add(piece, size))
    passages.extend(packer.flush())
    return passages


class _Packer:
    """Collects neighbouring blocks until the next one would exceed the target."""

    def __init__(self, text: str, target: int, maximum: int) -> None:
        self._text = text
        self._target = target
        self._maximum = maximum
        self._blocks: list[tuple[Block, int]] = []

    @property
    def _tokens(self) -> int:
        return sum(size for _, size in self._blocks)

    def add(self, block: Block, tokens: int) -> Iterator[Span]:
        together = self._tokens + tokens
        small = self._tokens < self._target * _TAIL_SHARE or tokens < self._target * _TAIL_SHARE
        if self._blocks and together > self._target and not (small and together <= self._maximum):
            yield from self.flush()
        self._blocks.append((block, tokens))

    def flush(self) -> Iterator[Span]:
        if not self._blocks:
            return
        first, last = self._blocks[0][0], self._blocks[-1][0]
        sizes: dict[str, int] = {}
        for block, tokens in self._blocks:
            sizes[block.kind] = sizes.get(block.kind, 0) + tokens
        kind = max(sizes, key=lambda name: (sizes[name], name == PROSE))
        yield Span(first.start, last.end, self._tokens, kind, first.headings)
        self._blocks = []


def _split(
    text: str, block: Block, tokens: int, count_tokens: TokenCounter, target: int, maximum: int
) -> Iterator[tuple[Block, int]]:
    """Pieces of an oversized block: sentences of prose, lines of anything else, then words, then characters."""
    pieces = _lines(text, block) if block.kind in (CODE, LIST, TABLE) else sentences(text, block.start, block.end)
    spans = [(start, end) for start, end in pieces if start < end]
    sizes = count_tokens([text[start:end] for start, end in spans])
    for (start, end), size in zip(spans, sizes, strict=True):
        piece = Block(start, end, block.kind, block.headings, block.section)
        if size <= maximum:
            yield piece, size
        else:
            yield from _halves(text, piece, size, count_tokens, target)


def _halves(
    text: str, block: Block, tokens: int, count_tokens: TokenCounter, target: int
) -> Iterator[tuple[Block, int]]:
    """Cut near the middle, at white space where there is some nearby, until every piece is within the target."""
    if tokens <= target or block.end - block.start < 2:
        yield block, tokens
        return
    middle = (block.start + block.end) // 2
    quarter = (block.end - block.start) // 4
    space = max(text.rfind(" ", middle - quarter, middle), text.rfind("\n", middle - quarter, middle))
    cut = space + 1 if space >= block.start else middle
    spans = [trim(text, block.start, cut), trim(text, cut, block.end)]
    kept = [(start, end) for start, end in spans if start < end]
    sizes = count_tokens([text[start:end] for start, end in kept])
    for (start, end), size in zip(kept, sizes, strict=True):
        piece = Block(start, end, block.kind, block.headings, block.section)
        yield from _halves(text, piece, min(size, tokens - 1), count_tokens, target)


def _lines(text: str, block: Block) -> Iterator[tuple[int, int]]:
    start = block.start
    for line in text[block.start : block.end].splitlines(keepends=True):
        yield trim(text, start, start + len(line))
        start += len(line)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the sentences within ``text[start:end]``, without white space at their ends.

    Boundaries are sentencex's (Wikimedia), which knows abbreviations and the terminators of other scripts.
    """
    import sentencex

    for boundary in sentencex.get_sentence_boundaries("en", text[start:end]):
        first, last = trim(text, start + boundary["start_index"], start + boundary["end_index"])
        if first < last:
            yield first, last
