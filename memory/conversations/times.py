"""The days that a text speaks of: its time expressions, found by a grammar, each with the days that it means.

The words are kept as they stand. `Last week` is a week and `in May` a month, never one day. Without the day on which a
text was said only what is absolute has a meaning, and what is vague (`recently`) or ambiguous (`03/04/2021`) has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from memory.conversations.time_grammar import MONTHS, NUMERIC, REACH, TRIGGERS, WORDED
from memory.conversations.time_meaning import Days, days_beside, month_days, shifted, worded_days, year_days

CODE_VERSION = "1"

_DIGITS = re.compile(r"\d[-/.]\d|\d\s?[年년]")
"""In every date that is written in digits; most texts have none."""
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class TimeExpression:
    """Words for a time, and the first and the last day that they mean."""

    start: int
    end: int
    words: str
    since: date
    until: date

    @property
    def relative(self) -> bool:
        """Whether the words alone, without the day on which they were said, mean nothing."""
        return not re.search(r"\d{4}", self.words)


def time_expressions(text: str, on: date | None) -> list[TimeExpression]:
    """The time expressions of a text, in order, without overlap.

    Args:
        on: the day on which it was said; without it relative expressions are left out.
    """
    found = list(_in_digits(text)) if _DIGITS.search(text) else []
    named: TimeExpression | None = None
    waiting: re.Match[str] | None = None  # `the week before`, whose date stands behind it
    for match in _candidates(text):
        start = (
            match.start() if (match["prep"] or "").lower() == "since" or match["ahead"] else _after_preposition(match)
        )
        if match["beside_unit"]:
            if not match["turned"] and not _closed(text, match.end()):
                waiting = match
                continue
            near = named is not None and "\n" not in text[named.end : match.start()]
            days = days_beside(match, named.since if near and named is not None else None, on)
        else:
            days = worded_days(match, text, on)
            if days is not None and waiting is not None and match.start() - waiting.end() <= 1:
                days = shifted(waiting, days[0])
                start = _after_preposition(waiting)
        waiting = None
        if days is not None:
            named = _expression(text, start, match.end(), days)
            found.append(named)
    kept: list[TimeExpression] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def days_in_words(since: date, until: date) -> str:
    """A range of days as people write it: a day, a month, a year, or from one day to another."""
    if since == until:
        return f"{since.day} {MONTHS[since.month - 1]} {since.year}"
    if (since, until) == month_days(since.year, since.month):
        return f"{MONTHS[since.month - 1]} {since.year}"
    if (since, until) == year_days(since.year):
        return str(since.year)
    if (since.year, since.month) == (until.year, until.month):
        return f"{since.day} to {days_in_words(until, until)}"
    return f"{days_in_words(since, since)} to {days_in_words(until, until)}"


def _in_digits(text: str) -> Iterator[TimeExpression]:
    for match in NUMERIC.finditer(text):
        if (days := _numeric(match)) is not None:
            yield _expression(text, *match.span(), days)


def _expression(text: str, start: int, end: int, days: Days) -> TimeExpression:
    return TimeExpression(start, end, text[start:end], *days)


def _candidates(text: str) -> Iterator[re.Match[str]]:
    """The matches of :data:`WORDED`, looked for around the words alone that every match holds."""
    windows: list[list[int]] = []
    for word in _WORD.finditer(text):
        if word[0].lower() in TRIGGERS or word[0][:4].isdigit():
            start, end = max(word.start() - REACH, 0), word.end() + REACH
            if windows and start <= windows[-1][1]:
                windows[-1][1] = end
            else:
                windows.append([start, end])
    for start, end in windows:
        while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
            start += 1
        yield from WORDED.finditer(text, start, end)


def _after_preposition(match: re.Match[str]) -> int:
    place = match.end("prep") if match["prep"] else match.start()
    while match.string[place].isspace():
        place += 1
    return place


def _closed(text: str, end: int) -> bool:
    """Whether nothing but a mark or the end follows: `the week before` stands for itself."""
    rest = text[end : end + 2].lstrip()
    return not rest or not (rest[0].isalnum())


def _numeric(match: re.Match[str]) -> Days | None:
    """Digits of any script; a day that no calendar has, or that could be two days, is none."""
    if match["year"]:
        return _calendar(int(match["year"]), int(match["month"]), int(match["day"]))
    if match["dotted_year"]:
        return _calendar(int(match["dotted_year"]), int(match["dotted_month"]), int(match["dotted_day"]))
    if match["slashed_year"]:
        one, other, year = int(match["one"]), int(match["other"]), int(match["slashed_year"])
        if one == other or max(one, other) > 12:
            return _calendar(year, min(one, other), max(one, other))
        return None
    year, month = int(match["written_year"]), int(match["written_month"])
    if match["written_day"]:
        return _calendar(year, month, int(match["written_day"]))
    return month_days(year, month) if 1 <= month <= 12 and year else None


def _calendar(year: int, month: int, day: int) -> Days | None:
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found, found


def days_of(expressions: Sequence[TimeExpression], start: int, end: int) -> tuple[date | None, date | None]:
    """First and last day that ``text[start:end]`` speaks of; both None where it names no time."""
    inside = [one for one in expressions if start <= one.start and one.end <= end]
    if not inside:
        return None, None
    return min(one.since for one in inside), max(one.until for one in inside)
