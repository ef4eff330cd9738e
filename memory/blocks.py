"""The structure of a text: blocks (paragraph, list, code, table, turn) with exact character spans and their headings.

Every character that is not white space lies in exactly one block, in order. Markdown is read by markdown-it, so what
is code or a table is what a renderer would show; plain text has paragraphs; a transcript has turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

PROSE, LIST, CODE, TABLE, DIALOGUE = "prose", "list", "code", "table", "dialogue"

MARKDOWN_TYPES = frozenset({"text/markdown", "text/html"})
_OFFICE_PREFIX = "application/vnd.openxmlformats-officedocument"

_LINE_END = re.compile(r"\r\n?|\n")  # as markdown-it counts lines

_KINDS = {
    "bullet_list_open": LIST,
    "ordered_list_open": LIST,
    "fence": CODE,
    "code_block": CODE,
    "table_open": TABLE,
}


@dataclass(frozen=True, slots=True)
class Block:
    """A span of one kind; ``headings`` are those above it, outermost first, and ``section`` counts them from 0."""

    start: int
    end: int
    kind: str
    headings: tuple[str, ...] = ()
    section: int = 0
    body: int = 0
    """Where the block itself begins, after the headings that stand directly above it."""


def find_blocks(text: str, media_type: str, turn_starts: Sequence[int] = ()) -> list[Block]:
    """The blocks of ``text`` in order; spans neither overlap nor begin or end with white space."""
    if turn_starts:
        spans = zip(turn_starts, [*turn_starts[1:], len(text)], strict=True)
        blocks = [Block(start, end, DIALOGUE) for start, end in spans]
    elif media_type in MARKDOWN_TYPES or media_type.startswith(_OFFICE_PREFIX):
        blocks = list(_markdown_blocks(text))
    else:
        blocks = list(_paragraphs(text))
    return [trimmed for block in blocks if (trimmed := _trim(text, block))]


def _paragraphs(text: str) -> Iterator[Block]:
    """Runs of lines between blank lines."""
    start = 0
    offset = 0
    for line in text.splitlines(keepends=True):
        if not line.strip():
            if start < offset:
                yield Block(start, offset, PROSE)
            start = offset + len(line)
        offset += len(line)
    if start < offset:
        yield Block(start, offset, PROSE)


def _markdown_blocks(text: str) -> Iterator[Block]:
    """Top-level Markdown blocks; a heading's line belongs to the block that follows it."""
    line_starts = [0, *(line_end.end() for line_end in _LINE_END.finditer(text)), len(text)]

    tokens = _parser().parse(text)
    outline: list[tuple[int, str]] = []
    section = 0
    start = 0
    kind = PROSE
    pending_heading = False
    depth = 0
    for index, token in enumerate(tokens):
        depth += token.nesting
        if token.map is None or depth - max(token.nesting, 0) != 0 or token.nesting < 0:
            continue
        begins = line_starts[token.map[0]]
        ends = line_starts[min(token.map[1], len(line_starts) - 1)]
        if token.type == "heading_open":
            level = int(token.tag[1:])
            while outline and outline[-1][0] >= level:
                outline.pop()
            outline.append((level, tokens[index + 1].content.strip()))
            if not pending_heading:
                section += 1
                start = begins
            pending_heading = True
            kind = PROSE
            continue
        kind = _KINDS.get(token.type, PROSE)
        if not pending_heading:
            start = begins
        yield Block(start, ends, kind, tuple(name for _, name in outline), section, begins)
        pending_heading = False
    if pending_heading:
        yield Block(start, len(text), PROSE, tuple(name for _, name in outline), section)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable(["code", "reference"])


def _trim(text: str, block: Block) -> Block | None:
    start, end = trim(text, block.start, block.end)
    return replace(block, start=start, end=end, body=max(start, block.body)) if start < end else None


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends; empty (``start == end``) where there is nothing else."""
    inner = text[start:end]
    lead = len(inner) - len(inner.lstrip())
    return (start, start) if lead == len(inner) else (start + lead, start + len(inner.rstrip()))
