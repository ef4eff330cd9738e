"""A session of a conversation: its turns, its rounds, and the parts that fit one prompt.

A turn is a span of the text that holds its speaker's name and words, and nothing else. Rounds are runs of whole turns,
parts are runs of whole rounds, and both cover every turn once, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from memory.blocks import trim
from models.fencing import fence

LONGEST_ROUND = 8
"""Turns of a round at most: where one speaker goes on and on, a round is no exchange any more."""

TAG = "session"
_INDENT = "\n  "
"""So that no line within a turn can pose as the number of another one."""
_WEEKDAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said at once; ``text[start:end]`` is `Speaker: words`, ``text[words:end]`` the words."""

    number: int
    """From 1, as the model sees it."""
    speaker: str
    start: int
    words: int
    end: int


@dataclass(frozen=True)
class Session:
    """A revision's text as a conversation; not slotted, since its turns are found once."""

    text: str
    turn_starts: tuple[int, ...]
    speakers: tuple[str, ...]
    """Who speaks at each of ``turn_starts``."""
    day: date | None = None
    title: str = ""

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that have words, in the order of the text, numbered from 1."""
        found: list[Turn] = []
        ends = (*self.turn_starts, len(self.text))[1:]
        for start, end, speaker in zip(self.turn_starts, ends, self.speakers, strict=True):
            first, last = trim(self.text, start, end)
            opening = f"{speaker}:"
            labelled = self.text.startswith(opening, first, last)
            words, _ = trim(self.text, first + len(opening) * labelled, last)
            if first < last and words < last:
                found.append(Turn(len(found) + 1, speaker, first, words, last))
        return tuple(found)


def rounds(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    """Places ``[first, last)`` of the turns of each round: an opening and the replies to it.

    A round ends where somebody who has spoken in it speaks again after somebody else, or at its longest. Of a session
    with one speaker each turn is a round.
    """
    alone = len({turn.speaker for turn in turns}) == 1
    found: list[tuple[int, int]] = []
    first = 0
    heard: set[str] = set()
    for place, turn in enumerate(turns):
        again = turn.speaker in heard and turns[place - 1].speaker != turn.speaker
        if place > first and (alone or again or place - first >= LONGEST_ROUND):
            found.append((first, place))
            first, heard = place, set()
        heard.add(turn.speaker)
    return [*found, (first, len(turns))] if turns else []


def parts(session: Session, limit: int) -> list[tuple[int, int]]:
    """Places ``[first, last)`` of the turns of each part: as many whole rounds as ``limit`` characters hold.

    A round that alone is longer is a part of its own.
    """
    found: list[tuple[int, int]] = []
    size = 0
    for first, last in rounds(session.turns):
        length = session.turns[last - 1].end - session.turns[first].start
        if found and size + length <= limit:
            found[-1] = (found[-1][0], last)
            size += length
        else:
            found.append((first, last))
            size = length
    return found


def numbered(session: Session, part: tuple[int, int] | None = None) -> str:
    """What a model is shown of a session, or of a part: its day, and its turns with their numbers, behind a fence."""
    first, last = part or (0, len(session.turns))
    lines = [
        f"[{turn.number}] {session.text[turn.start : turn.end]}".replace("\n", _INDENT)
        for turn in session.turns[first:last]
    ]
    day = session.day
    said = f"Said on {_WEEKDAYS[day.weekday()]}, {day.isoformat()}." if day else "The day is not known."
    return fence("\n\n".join([said, *lines]), session.title, TAG)
