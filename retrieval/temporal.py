"""What a question says of time: a range of days, an order, or an event that stands for a day; and how memories suit it.

The filter is soft: a memory outside the range, or without a date, only counts less. A question that tells no time
gives an intent that changes nothing. Relative words are resolved against the day of the question, and to the past
where they may mean either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from retrieval import time_grammar as grammar
from retrieval.time_ranges import Named, joined, named_ranges

Days = NDArray[np.datetime64]
"""Days, NaT where there is none."""

NEUTRAL = 0.5
"""The score of a memory without a date, which nothing speaks for or against."""
EVENT_DAYS = 30
"""The least scale around an event, whose day is that of a text which tells of it, not its own."""


class Order(StrEnum):
    """Which of several a question wants."""

    LATEST = "latest"
    EARLIEST = "earliest"


class Relation(StrEnum):
    """How what is asked for stands to the event that the question names."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class TimeIntent:
    """What a question says of time; empty where it says nothing."""

    since: date | None = None
    """First day that is asked about; None where the range is open."""
    until: date | None = None
    """Last day."""
    scale: int = 1
    """Days beyond the range at which a memory counts half: the length of the time that was named."""
    order: Order | None = None
    relation: Relation | None = None
    event: str = ""
    """Words of an event, to be searched for: its best hits' days make the range (:func:`anchored`)."""
    asks_when: bool = False
    """Whether a time is what is asked for."""
    words: tuple[str, ...] = ()
    """The words that all this was told from, as they stand in the question."""

    @property
    def ranged(self) -> bool:
        return self.since is not None or self.until is not None

    @property
    def empty(self) -> bool:
        """Whether it changes nothing, even if a time is asked for."""
        return not (self.ranged or self.order or self.event)


NO_TIME = TimeIntent()
"""Of a question that says nothing of time."""


def understand_time(question: str, on: date) -> TimeIntent:
    """What a question asked on a day says of time."""
    named = named_ranges(question, on)
    since, until = joined(named)
    order, order_words = _order(question)
    intent = TimeIntent(
        since=since,
        until=until,
        scale=max((one.scale for one in named), default=1),
        order=order,
        asks_when=grammar.ASKS_WHEN.search(question) is not None,
        words=(*(question[one.start : one.end] for one in named), *order_words),
    )
    return _with_event(question, intent, named)


def anchored(intent: TimeIntent, days: Sequence[tuple[date | None, date | None]]) -> TimeIntent:
    """The intent with its event's range, from the first and last days of the best hits for its words.

    All of them count, so that the range leaves none out: what comes after an event comes after the first day that a
    hit speaks of. A range that the question names is cut by it, unless nothing would be left. Without a dated hit the
    event says nothing.
    """
    known = [one for pair in days for one in pair if one is not None]
    if not intent.event or not known:
        return intent
    first, last = min(known), max(known)
    since = max(intent.since or first, first) if intent.relation is not Relation.BEFORE else intent.since
    until = min(intent.until or last, last) if intent.relation is not Relation.AFTER else intent.until
    if since is not None and until is not None and since > until:
        return intent
    return replace(intent, since=since, until=until, scale=max(intent.scale, EVENT_DAYS, (last - first).days + 1))


def time_scores(since: Days, until: Days, intent: TimeIntent) -> NDArray[np.float32]:
    """How well memories suit an intent, in [0, 1].

    Range: 1 where a memory's days touch it, else ``2 ** (−d / scale)`` at `d` days from it, so ½ at its own length.
    Order: the place of a memory's day among those of all others, the wanted end 1 and the other 0; equal days are
    equal. A question with both gets the mean. Without a date, or with all dates equal under an order,
    :data:`NEUTRAL`; of an empty intent all are.

    Args:
        since, until: ``(n,)`` each, the first and last day of each memory; one of both is enough.
    """
    first = np.where(np.isnat(since), until, since).astype("datetime64[D]")
    last = np.where(np.isnat(until), since, until).astype("datetime64[D]")
    dated = ~np.isnat(first)
    scores = []
    if intent.ranged:
        scores.append(_range_scores(first[dated], last[dated], intent))
    if intent.order is not None:
        scores.append(_order_scores(last[dated] if intent.order is Order.LATEST else first[dated], intent.order))
    result = np.full(len(first), NEUTRAL, np.float32)
    if scores:
        result[dated] = np.mean(scores, axis=0)
    return result


def _range_scores(first: Days, last: Days, intent: TimeIntent) -> NDArray[np.float64]:
    before = np.zeros(len(first)) if intent.since is None else (np.datetime64(intent.since, "D") - last).astype(float)
    after = np.zeros(len(first)) if intent.until is None else (first - np.datetime64(intent.until, "D")).astype(float)
    away = np.maximum(np.maximum(before, after), 0.0)
    scores: NDArray[np.float64] = 2.0 ** (-away / intent.scale)
    return scores


def _order_scores(days: Days, order: Order) -> NDArray[np.float64]:
    distinct, place = np.unique(days, return_inverse=True)
    if len(distinct) < 2:
        return np.full(len(days), NEUTRAL)
    recency: NDArray[np.float64] = place / (len(distinct) - 1)
    return recency if order is Order.LATEST else 1.0 - recency


def _order(question: str) -> tuple[Order | None, list[str]]:
    """The one order that a question wants, with its words; two contradict each other."""
    latest, earliest = _outside_names(grammar.LATEST, question), _outside_names(grammar.EARLIEST, question)
    if latest and not earliest:
        return Order.LATEST, [latest[0]]
    if earliest and not latest:
        return Order.EARLIEST, [earliest[0]]
    return None, []


def _outside_names(pattern: re.Pattern[str], question: str) -> re.Match[str] | None:
    """The first match that no capital makes a part of a name, as in `Latest News`."""
    found = pattern.finditer(question)
    return next((match for match in found if not match.start() or not match[0].split()[-1][0].isupper()), None)


def _with_event(question: str, intent: TimeIntent, named: Sequence[Named]) -> TimeIntent:
    """The intent with the first event that the question names as a time."""
    place = 0
    while match := grammar.ANCHOR.search(question, place):
        place = match.end("word")
        word = " ".join(match["word"].lower().split())
        relation = _relation(word)
        event = _event(question, match, word)
        if not event or any(one.start < match.start("event") + 8 and match.start() < one.end for one in named):
            continue
        inside = [one for one in named if match.start() <= one.start < match.start("event") + len(event)]
        words = (*intent.words, f"{match['word']} {event}")
        event = grammar.HAPPENED.sub("", event)
        intent = replace(intent, relation=relation, event=event, words=words)
        if inside and relation is Relation.AFTER:
            return replace(intent, until=None)
        return replace(intent, since=None) if inside and relation is Relation.BEFORE else intent
    return intent


def _relation(word: str) -> Relation:
    if word.endswith("before") or word in ("prior to", "until", "till", "by the time"):
        return Relation.BEFORE
    if word in ("when", "while", "during", "at the time of"):
        return Relation.DURING
    return Relation.AFTER


def _event(question: str, match: re.Match[str], word: str) -> str:
    """The words of the event behind a word of time; empty where they name none."""
    before = question[: match.start()]
    event = grammar.EVENT_END.split(match["event"])[0].strip(" .\"'”’")
    event = " ".join(event.split()[: grammar.EVENT_WORDS])
    if (
        not event
        or grammar.NO_EVENT.fullmatch(event)
        or (word.endswith("after") and grammar.NO_AFTER.search(before))
        or (word == "following" and grammar.NO_FOLLOWING.search(before))
        or (word == "since" and not before.strip(" \"'"))  # more often a reason
        or (word == "when" and _asks(question, match))
    ):
        return ""
    named, past = grammar.NAMED.match(event) is not None, grammar.PAST.search(event) is not None
    if word in grammar.CLAUSE_WORDS:
        gerund = word == "while" and event.split(" ")[0].endswith("ing")
        return event if gerund or (past and (named or grammar.SUBJECT.match(event))) else ""
    if " " not in event:
        return event if named else ""
    if grammar.SUBJECT.match(event):
        return event if past else ""
    habit = re.match(r"an?\s", event, re.IGNORECASE) and not (past or grammar.PAST.search(before))
    return event if named and not habit else ""


def _asks(question: str, match: re.Match[str]) -> bool:
    """Whether the `when` of a match asks for a time."""
    asked = grammar.ASKS_WHEN.finditer(question)
    return any(one.start() <= match.start() and match.end("word") <= one.end() for one in asked)
