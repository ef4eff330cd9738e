"""Sentences in which a speaker states something of themselves or of others, as facts that stand alone.

The words stay the speaker's: a fact is `Speaker: sentence`, or in the third person where one exchange of words makes it
so, with the days that its time expressions mean behind them. Questions, greetings, praise, wishes and commands are no
facts. The rules are for English; of other languages they find answers to questions at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory.conversations.attributes import stated_attribute
from memory.conversations.background import telling
from memory.conversations.session import Session, Turn
from memory.conversations.statement_grammar import (
    ADDRESSED,
    COURTESY,
    ELIDED,
    EVENT,
    FIRST_PERSON,
    KIN,
    KIN_WITH,
    OPENING,
    OWN,
    OWNER,
    REMARK,
    THIRD_PERSON,
)
from memory.conversations.times import TimeExpression, days_in_words, days_of
from memory.granularity import Granularity, Memory
from memory.segmentation import sentences

MACHINES = frozenset("assistant system bot chatbot ai model tool function developer".split())
"""Speakers that state nothing of themselves; what they say is found by its turns."""
LONGEST = 400
"""Characters of a fact; a longer sentence is no single statement."""
_FEWEST_WORDS = 4
_LOOSE = 0.6
"""What a statement counts that names no one: an answer, or one about `them`."""
_UPDATING, _DATED, _HAPPENED = 2.0, 1.3, 1.5
"""How many times more a statement counts that a later one can update, that names a time, that tells what happened."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact, and how much it tells."""

    memory: Memory
    turn: int
    """Place of its turn."""
    score: float


def sentence_spans(session: Session) -> list[list[tuple[int, int]]]:
    """The sentences of each turn's words, as spans of the text."""
    return [list(sentences(session.text, turn.words, turn.end)) for turn in session.turns]


def statements(
    session: Session, spans: Sequence[Sequence[tuple[int, int]]], times: Sequence[TimeExpression]
) -> list[Statement]:
    """The facts of a session in the order of its text; ``parent`` is not set yet.

    Args:
        spans: :func:`sentence_spans` of it.
        times: the time expressions of its text.
    """
    found: list[Statement] = []
    asked = False
    for place, (turn, inside) in enumerate(zip(session.turns, spans, strict=True)):
        answers = asked and session.turns[place - 1].speaker != turn.speaker
        for start, end in inside if turn.speaker.casefold() not in MACHINES else ():
            score = _score(session.text[start:end], answers)
            if score > 0:
                fact = _fact(session, turn, (start, end), times)
                score *= (_UPDATING if fact.attribute else 1.0) * (_DATED if fact.since else 1.0)
                found.append(Statement(fact, place, score))
        asked = "?" in session.text[turn.words : turn.end]
    return found


def fact_text(session: Session, turn: Turn, span: tuple[int, int], times: Sequence[TimeExpression]) -> str:
    """A sentence that stands alone: who said it, and behind relative times the days that they mean."""
    start, end = span
    pieces, at = [], start
    for time in times:
        if time.relative and start <= time.start and time.end <= end:
            pieces += [session.text[at : time.end], f" ({days_in_words(time.since, time.until)})"]
            at = time.end
    sentence = " ".join("".join([*pieces, session.text[at:end]]).split())
    kin = KIN.match(sentence)
    if kin and not FIRST_PERSON.search(sentence, kin.end()):
        return f"{turn.speaker}'s {sentence[kin.start('whom') :]}"
    return f"{turn.speaker}: {sentence}"


def _fact(session: Session, turn: Turn, span: tuple[int, int], times: Sequence[TimeExpression]) -> Memory:
    subject, attribute = _about(OPENING.sub("", session.text[slice(*span)]).replace("’", "'"), turn.speaker.casefold())
    since, until = days_of(times, *span)
    text = fact_text(session, turn, span, times)
    return Memory(Granularity.FACT, text, (span,), None, turn.speaker, subject, attribute, since, until)


def _about(sentence: str, speaker: str) -> tuple[str, str]:
    """Whom a sentence is about, as far as that is sure, and what it tells of them that a later one can update."""
    stated = stated_attribute(sentence)
    kin = KIN_WITH.match(sentence) or KIN.match(sentence)
    if kin and stated and (stated.start <= kin.start("whom") or FIRST_PERSON.search(sentence, kin.end(), stated.start)):
        kin = None  # `my birthday is`, `my mother cried when I moved`: it is the speaker's own
    if kin:
        return f"{speaker}'s {kin['whom'].casefold()}", stated.attribute if stated else ""
    if not (FIRST_PERSON.search(sentence) or ELIDED.match(sentence)):
        return "", ""
    theirs = stated and (OWNER.search(sentence[: stated.start]) or OWN.match(sentence, stated.start))
    return speaker, stated.attribute if stated and theirs else ""


def _score(raw: str, answers: bool) -> float:
    """How good a fact a sentence makes, 0 for none: what it tells, more where it is about the speaker."""
    plain = raw.replace("’", "'").rstrip()
    if len(raw) > LONGEST or plain.endswith(("?", "?!", "？", "؟")):
        return 0.0
    sentence = OPENING.sub("", plain)
    if len(sentence.split()) < _FEWEST_WORDS or ADDRESSED.match(sentence) or COURTESY.search(sentence):
        return 0.0
    if REMARK.match(sentence) and not (answers or FIRST_PERSON.search(sentence)):
        return 0.0
    if EVENT.search(sentence) or ELIDED.match(sentence):
        weight = _HAPPENED
    elif FIRST_PERSON.search(sentence):
        weight = 1.0
    elif answers or THIRD_PERSON.search(sentence):
        weight = _LOOSE
    else:
        return 0.0
    return weight * telling(sentence)
