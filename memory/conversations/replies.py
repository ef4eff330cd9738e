"""The memories of a session from a model's replies: what it wrote, at turns that exist.

A model names turns by number and writes no offsets. What names a turn that it was not shown is left out and counted; a
topic that it forgot or gave twice is mended, so that episodes always cover the session. A span is always of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from memory.conversations.attributes import known_attribute
from memory.conversations.rules import add_structure
from memory.conversations.session import Session, rounds
from memory.conversations.statements import sentence_spans
from memory.conversations.summaries import KEYWORDS, content_words, disjoint, heading
from memory.conversations.times import TimeExpression, days_of, time_expressions
from memory.granularity import Granularity, Memory
from memory.stemming import stem

CODE_VERSION = "1"

PROMPT = "session_memories"
_LONGEST_STATEMENT = 600
"""Characters of a fact; whatever is longer is no single statement."""
_LONGEST_SUMMARY = 1_200
_LONGEST_SUBJECT = 80


class Topic(BaseModel):
    """An episode by the numbers of its first and its last turn."""

    model_config = ConfigDict(extra="ignore")

    first: int
    last: int


class ToldFact(BaseModel):
    """A fact with the number of the turn that states it."""

    model_config = ConfigDict(extra="ignore")

    turn: int
    subject: str
    attribute: str
    statement: str


class Reply(BaseModel):
    """What the prompt asks for, of a session or of a part of one."""

    model_config = ConfigDict(extra="ignore")

    summary: str
    episodes: list[Topic]
    facts: list[ToldFact]
    keywords: list[str]


@dataclass(frozen=True, slots=True)
class Told:
    """The memories that replies make, and what of the replies could not be used."""

    memories: list[Memory]
    invented_turns: int
    """Facts and topics that name a turn that was not shown."""
    unlocated_keywords: int
    """Keywords that are nowhere in the session."""
    unusable: int
    """Facts and summaries that are empty or too long for one."""


def from_reply(session: Session, reply: Reply) -> Told:
    """The memories of a session that was sent whole; see :func:`from_replies`."""
    return from_replies(session, [((0, len(session.turns)), reply)])


def from_replies(session: Session, replies: Sequence[tuple[tuple[int, int], Reply]]) -> Told:
    """The memories of a session of which each part got a reply.

    The spans are: of a fact the sentence of its turn that shares most words with it, else the turn's words; of the
    summary the parts that have one; of the keywords where each stands first. A keyword and a fact are kept once.

    Args:
        replies: each part, as :func:`memory.conversations.session.parts` gives it, with its reply; in order.
    """
    if not session.turns:
        return Told([], 0, 0, 0)
    times = time_expressions(session.text, session.day)
    summarised = [(part, " ".join(reply.summary.split())[:_LONGEST_SUMMARY].strip()) for part, reply in replies]
    told = [(part, words) for part, words in summarised if words]
    memories = [_summary(session, told)]
    terms, unlocated = _keywords(session, replies)
    if terms is not None:
        memories.append(terms)
    topics, invented = _topics(session, replies)
    turns = add_structure(session, memories, topics, times)
    facts, strange, unusable = _facts(session, replies, times)
    memories.extend(replace(fact, parent=turns[place]) for place, fact in facts)
    return Told(memories, invented + strange, unlocated, unusable + len(summarised) - len(told))


def _summary(session: Session, told: Sequence[tuple[tuple[int, int], str]]) -> Memory:
    """The parts' summaries, a line each below the day; the first turn's opening where no part has one."""
    turns = session.turns
    if told:
        spans = [(turns[first].start, turns[last - 1].end) for (first, last), _ in told]
        lines = [words for _, words in told]
    else:
        spans = [(turns[0].start, min(turns[0].end, turns[0].start + _LONGEST_STATEMENT))]
        lines = [session.text[slice(*spans[0])]]
    text = "\n".join([*heading(session.day), *lines])
    return Memory(Granularity.SUMMARY, text, tuple(spans), since=session.day, until=session.day)


def _keywords(session: Session, replies: Sequence[tuple[tuple[int, int], Reply]]) -> tuple[Memory | None, int]:
    """The terms that are in the text, the parts' in turns, and how many are not in it."""
    folded = session.text.lower()
    exact = folded if len(folded) == len(session.text) else session.text  # lower case may be longer
    lists = [[" ".join(term.split()) for term in reply.keywords] for _, reply in replies]
    longest = max((len(terms) for terms in lists), default=0)
    mixed = [terms[place] for place in range(longest) for terms in lists if place < len(terms)]
    spans: dict[str, tuple[int, int]] = {}
    unlocated = 0
    for term in mixed:
        at = exact.find(term.lower()) if term else -1
        if at < 0:
            unlocated += 1
        elif term.lower() not in (known.lower() for known in spans) and len(spans) < KEYWORDS:
            spans[term] = (at, at + len(term.lower()))
    if not spans:
        return None, unlocated
    return Memory(Granularity.KEYWORDS, ", ".join(spans), disjoint(list(spans.values())), 0), unlocated


def _topics(session: Session, replies: Sequence[tuple[tuple[int, int], Reply]]) -> tuple[list[tuple[int, int]], int]:
    """Places ``[first, last)`` of the rounds of each episode: a round belongs to the topic that its opening begins in.

    Only where a topic begins is taken from the model: so episodes neither overlap nor leave a gap. A new part begins an
    episode where the model begins one there.
    """
    exchanges = rounds(session.turns)
    round_of = [place for place, (first, last) in enumerate(exchanges) for _ in range(first, last)]
    begins = {0}
    invented = 0
    for (first, last), reply in replies:
        for topic in reply.episodes:
            if first < topic.first <= topic.last <= last:
                begins.add(round_of[topic.first - 1])
            else:
                invented += 1
    edges = [*sorted(begins), len(exchanges)]
    return list(pairwise(edges)), invented


def _facts(
    session: Session, replies: Sequence[tuple[tuple[int, int], Reply]], times: Sequence[TimeExpression]
) -> tuple[list[tuple[int, Memory]], int, int]:
    """The facts in the order of their turns, how many name a turn that was not shown, and how many are no facts."""
    spans = sentence_spans(session)
    found: list[tuple[int, Memory]] = []
    known: set[tuple[int, str]] = set()
    invented = unusable = 0
    for (first, last), reply in replies:
        for told in reply.facts:
            place = told.turn - 1
            statement = " ".join(told.statement.split())
            if not first <= place < last:
                invented += 1
            elif not statement or len(statement) > _LONGEST_STATEMENT:
                unusable += 1
            elif (place, statement.casefold()) not in known:
                known.add((place, statement.casefold()))
                turn = session.turns[place]
                span = _best_sentence(session.text, spans[place], statement) or (turn.words, turn.end)
                subject = " ".join(told.subject.casefold().replace("’", "'").split())[:_LONGEST_SUBJECT]
                attribute = known_attribute(told.attribute) if subject else ""
                since, until = days_of(times, *span)
                found.append(
                    (
                        place,
                        Memory(
                            Granularity.FACT, statement, (span,), None, turn.speaker, subject, attribute, since, until
                        ),
                    )
                )
    return sorted(found, key=lambda item: (item[0], item[1].spans)), invented, unusable


def _best_sentence(text: str, spans: Sequence[tuple[int, int]], statement: str) -> tuple[int, int] | None:
    """The sentence that shares most stems of content words with a statement, the first of equals; None if none does."""
    wanted = {stem(word) for word in content_words(statement)}
    shared = [len(wanted & {stem(word) for word in content_words(text[start:end])}) for start, end in spans]
    best = max(shared, default=0)
    return spans[shared.index(best)] if best else None
