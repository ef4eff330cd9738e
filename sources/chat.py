"""Chat sessions as documents. A turn is one paragraph: empty lines inside a turn are closed up, so that paragraphs,
``turn_starts`` and ``speakers`` always agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from errors import DocumentRejected
from memory.parsing import parse_date, readable_stem
from sources.fields import as_name, as_text, first_of
from sources.model import RawDocument

MEDIA_TYPE = "text/x-chat"
UNKNOWN_SPEAKER = "Unknown"

SESSION_NAMES = ("session", "session_id", "sessionId", "conversation_id", "chat_id", "id")
_DATES = ("date", "timestamp", "session_date", "datetime", "created_at", "create_time", "started_at", "time")
_TURNS = ("turns", "messages", "conversation", "dialogue", "dialog", "transcript")
_SPEAKERS = ("speaker", "role", "name", "author", "sender", "from", "user")
_TEXTS = ("text", "content", "message", "value", "utterance")


def session_document(record: Mapping[str, Any], file: str, session: str) -> RawDocument:
    """The document of one session of ``file``; DocumentRejected when it has no turn with text."""
    turns = first_of(record, _TURNS)
    if not isinstance(turns, list):
        raise DocumentRejected("it has no list of turns.", f"Name the list one of: {', '.join(_TURNS)}.")
    starts, speakers, paragraphs, length = [], [], [], 0
    for speaker, words in filter(None, map(_turn, turns)):
        paragraph = f"{speaker}: {words}"
        starts.append(length)
        speakers.append(speaker)
        paragraphs.append(paragraph)
        length += len(paragraph) + 2
    if not paragraphs:
        raise DocumentRejected("none of its turns has text.", f"Name a turn's text one of: {', '.join(_TEXTS)}.")
    day = next((day for name in _DATES if (day := parse_date(record.get(name)))), None)
    return RawDocument(
        path=f"{file}#{session}",
        text="\n\n".join(paragraphs),
        title=f"{readable_stem(file.removesuffix('.gz'))}, {day.isoformat() if day else session}",
        date=day,
        media_type=MEDIA_TYPE,
        turn_starts=tuple(starts),
        speakers=tuple(speakers),
    )


def _turn(turn: object) -> tuple[str, str] | None:
    """Who spoke and what was said; None for a turn without words."""
    if not isinstance(turn, Mapping):
        return None
    words = re.sub(r"\n\s*\n", "\n", as_text(first_of(turn, _TEXTS))).strip()
    return (as_name(first_of(turn, _SPEAKERS)) or UNKNOWN_SPEAKER, words) if words else None
