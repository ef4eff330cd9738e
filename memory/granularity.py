"""What a memory is: a text of one granularity with the spans that it came from.

Passages are the unit of citation and are no memories in this sense: they are cut first, and every memory leads back to
the passages that its spans lie in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Granularity(StrEnum):
    """How much of a source a memory stands for."""

    OUTLINE = "outline"
    """An item of a document's logical outline: what one part of it is about."""
    CORE = "core"
    """The core content of one chunk of a document."""
    TURN = "turn"
    """What one speaker said at once."""
    ROUND = "round"
    """A turn and the replies to it."""
    EPISODE = "episode"
    """Neighbouring rounds on one topic."""
    SUMMARY = "summary"
    """A session, whole."""
    FACT = "fact"
    """What a speaker said of themselves or of others, standing alone."""
    KEYWORDS = "keywords"
    """The terms that tell a session from the others."""
    PERIOD = "period"
    """A day, a week, a month or a quarter of a source's sessions."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of one document."""

    granularity: Granularity
    text: str
    """What is embedded and searched."""
    spans: tuple[tuple[int, int], ...]
    """Characters of the revision that it came from, in order, without overlap; at least one."""
    parent: int | None = None
    """Place, in the list of the document's memories, of the next coarser one that it is a part of."""
    speaker: str = ""
    """Who said it, of a turn or a fact."""
    subject: str = ""
    """Of a fact: whom it is about; with ``attribute`` what a later fact can update."""
    attribute: str = ""
    """Of a fact: what it tells of the subject; empty where it cannot be outdated by another one."""
    since: date | None = None
    """First day that the text speaks of, where it says one."""
    until: date | None = None
    """Last day that the text speaks of."""
