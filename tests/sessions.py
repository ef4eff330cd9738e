"""Sessions for tests, and what holds of the memories of any session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from memory.conversations.session import Session
from memory.conversations.summaries import disjoint
from memory.granularity import Granularity, Memory
from sources.chat import session_document

DAY = date(2023, 5, 25)
"""A Thursday."""

TALK = [
    ("Ann", "Hey Ben! Good to see you! How have you been?"),
    ("Ben", "Hi Ann! I'm fine, thanks. I moved to Lisbon last month, and my sister lives in Porto now. And you?"),
    ("Ann", "Wow, that's great! I adopted a greyhound called Pixel two weeks ago. He sleeps all day."),
    ("Ben", "Aww, congrats! I'm so happy for you. Keep it up!"),
    ("Ann", "Thanks! Do you still play the cello?"),
    ("Ben", "Yes, I joined the Lisbon Chamber Orchestra in April. We rehearse on Tuesdays."),
]


def session(*turns: tuple[str, str], day: date | None = DAY) -> Session:
    record = {"turns": [{"speaker": speaker, "text": words} for speaker, words in turns]}
    document = session_document(record, "talk.json", "1")
    return Session(document.text, document.turn_starts, document.speakers, day, document.title)


def of(found: Sequence[Memory], granularity: Granularity) -> list[Memory]:
    return [memory for memory in found if memory.granularity is granularity]


def check(made: Session, found: Sequence[Memory]) -> None:
    """What holds of the memories of any session."""
    coarser = {
        Granularity.TURN: Granularity.ROUND,
        Granularity.ROUND: Granularity.EPISODE,
        Granularity.EPISODE: Granularity.SUMMARY,
        Granularity.FACT: Granularity.TURN,
        Granularity.KEYWORDS: Granularity.SUMMARY,
    }
    for place, memory in enumerate(found):
        assert memory.text.strip()
        assert memory.spans == disjoint(memory.spans) != ()
        assert all(0 <= start < end <= len(made.text) for start, end in memory.spans)
        if memory.granularity is Granularity.SUMMARY:
            assert memory.parent is None
            continue
        assert memory.parent is not None and memory.parent < place
        parent = found[memory.parent]
        assert parent.granularity is coarser[memory.granularity]
        if memory.granularity in (Granularity.TURN, Granularity.ROUND, Granularity.EPISODE):
            assert memory.text == made.text[slice(*memory.spans[0])]
        if memory.granularity not in (Granularity.EPISODE, Granularity.KEYWORDS):
            assert parent.spans[0][0] <= memory.spans[0][0] and memory.spans[0][1] <= parent.spans[0][1]
    turns = of(found, Granularity.TURN)
    assert [(turn.start, turn.end) for turn in made.turns] == [memory.spans[0] for memory in turns]
    for granularity in (Granularity.ROUND, Granularity.EPISODE):
        joined = "\n\n".join(memory.text for memory in of(found, granularity))
        assert joined.split() == made.text.split()
