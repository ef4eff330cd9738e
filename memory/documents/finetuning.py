"""Pairs of a document and its memories, for training a model to write them (as MoM trains its MemReader).

A record asks what :mod:`memory.documents.model_reply` asks and answers in the shape that it reads, so that a model
trained on the records can stand in for the one that made them. Every chunk of an answer is found where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from memory.documents.locating import Ends, locate_parts
from memory.documents.model_reply import PROMPT, DocumentOutline, OutlinedPart, outline_message, outline_sections
from memory.documents.outline import DocumentMemories
from memory.granularity import Granularity
from memory.static import WORD
from models.prompts import load_prompt

LEAST_CLARITY = 0.3
LEAST_COMPLETENESS = 0.12
"""Of the kept candidate, by the proxies; documents below teach little."""

_WORDS = 8
"""Words by which an end of a chunk is named; more where they stand in the text more than once."""
_MOST_WORDS = 32


def finetuning_records(
    text: str,
    memories: DocumentMemories,
    media_type: str = "text/plain",
    title: str = "",
    least_clarity: float = LEAST_CLARITY,
    least_completeness: float = LEAST_COMPLETENESS,
) -> list[dict[str, Any]]:
    """Records for JSON lines, one a section of the document; none where a measure is below its threshold.

    Each has ``messages`` (system, user, assistant, as chat fine-tuning takes them) and what tells its quality. A
    section whose chunks cannot be told apart by their ends has no record.
    """
    kept = next((candidate for candidate in memories.candidates if candidate.kept), None)
    if kept is None or kept.clarity < least_clarity or kept.completeness < least_completeness:
        return []
    system = load_prompt(PROMPT).system
    records = []
    for start, end in outline_sections(text, media_type):
        parts = _parts(text, memories, start, end)
        if parts is None:
            continue
        reply = json.dumps(DocumentOutline(parts=parts).model_dump(), ensure_ascii=False)
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": outline_message(text, (start, end), title)},
            {"role": "assistant", "content": reply},
        ]
        records.append(
            {
                "messages": messages,
                "candidate": kept.name,
                "clarity": kept.clarity,
                "completeness": kept.completeness,
                "chunks": len(parts),
            }
        )
    return records


def _parts(text: str, memories: DocumentMemories, start: int, end: int) -> list[OutlinedPart] | None:
    """The parts of a section, the chunks that its edges cut left out; nothing where they cannot be found again."""
    spans, parts = [], []
    for (first, last), item, core in _chunks(memories):
        if start <= first and last <= end:
            for words in (_WORDS, 2 * _WORDS, _MOST_WORDS):
                head, tail = _ends(text, first, last, words)
                if text.count(head, start, end) == 1 and text.count(tail, start, end) == 1:
                    break
            spans.append((first - start, last - start))
            parts.append(OutlinedPart(item=item, first_words=head, last_words=tail, core=core))
    found = locate_parts(text[start:end], [Ends(part.first_words, part.last_words) for part in parts])
    return parts if parts and [(part.start, part.end) for part in found] == spans else None


def _chunks(memories: DocumentMemories) -> Iterator[tuple[tuple[int, int], str, str]]:
    for memory in memories.memories:
        if memory.granularity is Granularity.CORE and memory.parent is not None:
            outline = memories.memories[memory.parent]
            yield outline.spans[0], outline.text, memory.text


def _ends(text: str, start: int, end: int, words: int) -> tuple[str, str]:
    """The first and the last words of a span as they stand in the text; all of it where there are no more."""
    found = [match.span() for match in WORD.finditer(text, start, end)]
    if len(found) <= words:
        return text[start:end], text[start:end]
    return text[start : found[words - 1][1]], text[found[-words][0] : end]
