"""The ranges of days that a question names: dates, what is between two, quarters, and what is before or after them.

Each range keeps the length of the time that was named, since an open one has none of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from memory.conversations.times import TimeExpression, time_expressions
from retrieval import time_grammar as grammar

_DAY = timedelta(1)
_SECOND_DAY, _LAST_DAY_BUT_ONE = date.min + _DAY, date.max - _DAY


@dataclass(frozen=True, slots=True)
class Named:
    """A stretch of a question that names a range of days."""

    start: int
    end: int
    since: date | None
    """First day; None where the range is open, as it is on one side at most."""
    until: date | None
    """Last day."""
    scale: int
    """Days of the time that was named, also where the range is open."""


def named_ranges(question: str, on: date) -> list[Named]:
    """The ranges of days that a question names, in order, without overlap."""
    spans = [*_between(question, on), *_quarters(question, on)]
    taken = [(one.start, one.end) for one in spans]
    spans += [
        _bounded(question, one, on)
        for one in time_expressions(question, on)
        if all(one.end <= start or end <= one.start for start, end in taken)
    ]
    return sorted(spans, key=lambda one: one.start)


def _between(question: str, on: date) -> list[Named]:
    """`Between March and June 2023`: the year of the second time is that of the first, too."""
    found = []
    for match in grammar.BETWEEN.finditer(question):
        start = match["from"] or match["from_b"]
        last = _whole(f"until {match['to']}", on, open_end=True)
        if last is None:
            continue
        year = re.search(r"\b(?:19|20)\d\d\b", last.words)
        dated = f"from {start}" if year is None or re.search(r"\d{4}", start) else f"from {start} {year[0]}"
        first = _whole(dated, on)
        if first is None:
            continue
        since = first.since
        if since > last.until and year is None:
            since = since - timedelta(7) if _is_weekday(start) else _year_before(since)
        if since <= last.until:
            end = match.start("to") + len(last.words)
            found.append(Named(match.start(), end, since, last.until, (last.until - since).days + 1))
    return found


def _whole(words: str, on: date, open_end: bool = False) -> TimeExpression | None:
    """The expression that stands behind the preposition which `words` begin with, if nothing else does."""
    place = words.index(" ") + 1
    for one in time_expressions(words, on):
        if one.start == place and (open_end or one.end == len(words)):
            return one
    return None


def _quarters(question: str, on: date) -> list[Named]:
    """`Q3 2023`; without a year the last one that has begun."""
    found = []
    for match in grammar.QUARTER.finditer(question):
        number = int(match["digit"] or grammar.QUARTERS[match["word"]])
        if not match["year"] and not match["digit"]:
            continue
        year = int(match["year"] or on.year - (date(on.year, 3 * number - 2, 1) > on))
        since = date(year, 3 * number - 2, 1)
        until = date(year + number // 4, 3 * number % 12 + 1, 1) - _DAY
        found.append(_open_ended(question, Named(*match.span(), since, until, (until - since).days + 1)))
    return found


def _bounded(question: str, one: TimeExpression, on: date) -> Named:
    """An expression with the word before it that opens its range: `before 2021`, `since June`."""
    if one.words.lower().startswith("since "):
        alone = _whole(f"from {one.words[6:].lstrip()}", on)
        length = (alone.until - alone.since).days + 1 if alone else 1
        return Named(one.start, one.end, one.since, None, length)
    return _open_ended(question, Named(one.start, one.end, one.since, one.until, (one.until - one.since).days + 1))


def _open_ended(question: str, named: Named) -> Named:
    assert named.since is not None and named.until is not None
    bound = grammar.BOUND.search(question[: named.start])
    word = " ".join(bound["word"].lower().split()) if bound else ""
    start = bound.start() if bound else named.start
    if word in ("before", "prior to", "earlier than"):
        return replace(named, start=start, since=None, until=max(named.since, _SECOND_DAY) - _DAY)
    if word in ("until", "till", "by", "no later than", "as of"):
        return replace(named, start=start, since=None)
    if word in ("after", "later than"):
        return replace(named, start=start, since=min(named.until, _LAST_DAY_BUT_ONE) + _DAY, until=None)
    onwards = grammar.ONWARDS.match(question, named.end)
    if word == "since" or onwards:
        return replace(named, start=start, end=onwards.end() if onwards else named.end, until=None)
    return named


def joined(named: Sequence[Named]) -> tuple[date | None, date | None]:
    """All that is named together: whole ranges are joined, then cut by open ones unless these leave nothing."""
    whole = [one for one in named if one.since is not None and one.until is not None]
    opened = [one for one in named if one.since is None or one.until is None]
    since = max([one.since for one in opened if one.since], default=None)
    until = min([one.until for one in opened if one.until], default=None)
    if whole:
        first = min(one.since for one in whole if one.since)
        last = max(one.until for one in whole if one.until)
        since, until = max(first, since or first), min(last, until or last)
        if since > until:
            return first, last
    return (since, until) if since is None or until is None or since <= until else (None, None)


def _is_weekday(words: str) -> bool:
    return words.lower().endswith("day") and not re.search(r"\d|\s", words)


def _year_before(day: date) -> date:
    return date(day.year - 1, day.month, min(day.day, 28) if day.month == 2 else day.day)
