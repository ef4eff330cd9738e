"""Segmentation: a revision's text to passages on structural and sentence boundaries.

Blocks of one section are packed up to a target size in tokens of the embedder. A list, a code block or a table stays
whole unless it alone is larger than the maximum; a long paragraph is cut between sentences. Passages are spans of the
text, in order, without overlap, and together they cover everything but white space, so a citation is always exact.
Packing starts anew at every heading: an edit moves boundaries only until the end of its section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from memory.blocks import CODE, LIST, PROSE, TABLE, Block, find_blocks, trim
from memory.embedding import TokenCounter

CODE_VERSION = "1"

_SPACE = re.compile(r"\s+")

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
    """What is embedded and searched for a passage: its title, its headings and its text, a line each."""
    return "\n".join(part for part in (title, headings, text) if part)


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
        for piece, size in _split(text, block, count_tokens, target_tokens, max_tokens):
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
    text: str, block: Block, count_tokens: TokenCounter, target: int, maximum: int
) -> Iterator[tuple[Block, int]]:
    """Pieces of an oversized block: its headings and itself where that is enough, else sentences of prose and lines of
    anything else, then words, then characters."""
    if block.start < block.body:
        parts = _counted(text, block, [(block.start, block.body), (block.body, block.end)], count_tokens)
        if all(size <= maximum for _, size in parts):
            yield from parts
            return
    cut = _lines if block.kind in (CODE, LIST, TABLE) else sentences
    for piece, size in _counted(text, block, cut(text, block.start, block.end), count_tokens):
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
    quarter = max((block.end - block.start) // 4, 1)
    spaces = [match.end() for match in _SPACE.finditer(text, middle - quarter, middle + quarter)]
    cut = min(spaces, key=lambda place: abs(place - middle), default=middle)
    for piece, size in _counted(text, block, [(block.start, cut), (cut, block.end)], count_tokens):
        yield from _halves(text, piece, size, count_tokens, target)


def _counted(
    text: str, block: Block, spans: Iterable[tuple[int, int]], count_tokens: TokenCounter
) -> list[tuple[Block, int]]:
    """Parts of a block without the white space around them, each with its tokens; empty ones are left out."""
    kept = [(start, end) for start, end in (trim(text, *span) for span in spans) if start < end]
    sizes = count_tokens([text[start:end] for start, end in kept])
    parts = [replace(block, start=start, end=end, body=start) for start, end in kept]
    return list(zip(parts, sizes, strict=True))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in text[start:end].splitlines(keepends=True):
        yield start, start + len(line)
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
