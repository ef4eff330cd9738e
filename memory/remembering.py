"""One document to its memories, whatever it is: a conversation where it has turns, else a text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from memory.conversations.rules import session_memories
from memory.conversations.session import Session
from memory.conversations.times import TimeExpression, time_expressions
from memory.documents.outline import Judged, outline_by_rules
from memory.embedding import TokenCounter
from memory.granularity import Memory
from memory.static import static_vectors


@dataclass(frozen=True, slots=True)
class RememberedDocument:
    """A document as it is remembered."""

    document_id: str
    content_hash: str
    text: str
    title: str
    media_type: str
    day: date | None
    turn_starts: tuple[int, ...]
    speakers: tuple[str, ...]

    @property
    def session(self) -> Session:
        """As a conversation."""
        return Session(self.text, self.turn_starts, self.speakers, self.day, self.title)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of a document."""

    memories: tuple[Memory, ...]
    candidates: tuple[Judged, ...] = ()
    """Of its outline, the kept one among them."""
    times: tuple[TimeExpression, ...] = ()
    unlocated: int = 0
    """Things that a model said and the document does not hold."""
    is_verbatim: bool = True
    """Whether cores and facts are said in the document's own words."""


def remember_by_rules(document: RememberedDocument, count_tokens: TokenCounter) -> Remembered:
    """The memories that rules find, a function of the document alone.

    Raises:
        ModelError: the bundled model, whose word vectors the rules take, is not installed.
    """
    if document.turn_starts:
        times = time_expressions(document.text, document.day)
        found = session_memories(document.session, static_vectors().encode, count_tokens, times)
        return Remembered(tuple(found), times=tuple(times))
    outlined = outline_by_rules(document.text, document.media_type, document.title)
    return Remembered(outlined.memories, outlined.candidates)
