"""What English words for a time mean on a day: dateparser finds the day, and it is widened to what the words stand for.

The library knows `last Friday`, `two weeks ago`, `next month`, `June 3`; ranges, seasons, weekends, vague numbers and
the tense that tells last June from next are worked out here. Weeks begin on Monday.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from memory.conversations.time_grammar import AHEAD, NUMBERS, SEASONS, STANDING, VAGUE

if TYPE_CHECKING:
    from dateparser.date import DateDataParser

Days = tuple[date, date]
"""The first and the last day of a time."""
_Match = re.Match[str]

_NEAR = 160
"""Characters around an expression in which the tense of its sentence is looked for."""
_ANY_DAY = date(2000, 1, 1)
"""Stands for the day of a text without one where the words are absolute."""
_MONDAY = date(2024, 1, 1)
_THIRDS = {"early": 0, "mid": 1, "late": 2}
_WEEKDAYS = {name[:3]: name for name in "monday tuesday wednesday thursday friday saturday sunday".split()}
_BACK, _FORTH = ("last", "past", "this past"), ("next", "coming", "this coming")
_SENTENCE_END = re.compile(r"[.!?\n](?:\s|$)")


def worded_days(match: _Match, text: str, on: date | None) -> Days | None:
    """The days of English words; None where they mean none, or none without ``on``."""
    try:
        days = _meant(match, text, on)
    except (OverflowError, ValueError):  # before the first or after the last year of the calendar
        return None
    if days is not None and (match["prep"] or "").lower() == "since" and on is not None and days[0] <= on:
        return days[0], on
    return days


def _meant(match: _Match, text: str, on: date | None) -> Days | None:
    preposition = (match["prep"] or "").lower()
    if match["month"] or match["month_b"]:
        suffix = "" if match["month"] else "_b"
        year = match[f"year{suffix}"]
        first, last = match[f"day{suffix}"], match[f"last_day{suffix}"]
        return _of_month(match, text, on, match[f"month{suffix}"], year, (first, last or first), preposition)
    if match["only_month"]:
        return _whole_month(match, text, on, preposition)
    if match["only_year"]:
        if not (preposition not in ("", "of", "on") or match["year_part"] or match["decade"]):
            return None
        year = int(match["only_year"])
        if match["decade"]:
            return (date(year, 1, 1), date(year + 9, 12, 31)) if year % 10 == 0 else None
        part = _THIRDS.get((match["year_part"] or "").lower())
        return year_days(year) if part is None else (date(year, 4 * part + 1, 1), month_days(year, 4 * part + 4)[1])
    if match["season"]:
        return _of_season(match, on)
    return None if on is None else _relative(match, text, on, preposition)


def _of_month(
    match: _Match, text: str, on: date | None, month: str, year: str | None, days: tuple[str, str], preposition: str
) -> Days | None:
    """`7 May 2023`, `May 7th`, `May 3-5`."""
    if year is None and on is None:
        return None
    prefer = "past" if preposition == "since" or not _is_ahead(text, match) else "future"
    name = month.rstrip(".")
    ends = [
        _resolved(f"{re.sub(r'[a-z]', '', day)} {name} {year or ''}".strip(), on or _ANY_DAY, prefer) for day in days
    ]
    first, last = ends
    return (first, last) if first is not None and last is not None and first <= last else None


def _whole_month(match: _Match, text: str, on: date | None, preposition: str) -> Days | None:
    """`in May`, `May 2023`, `last May`, `late May`; a month's name alone may be a person's."""
    which = (match["which"] or "").lower().strip(" -").removesuffix(" in")
    year, name = match["month_year"], match["only_month"].rstrip(".")
    if year is None and (on is None or not (which or preposition not in ("", "on"))):
        return None
    prefer = (
        "future" if which == "next" or (not which and preposition != "since" and _is_ahead(text, match)) else "past"
    )
    day = _resolved(f"{name} {year or ''}".strip(), on or _ANY_DAY, prefer)
    if day is None:
        return None
    months = 12 * day.year + day.month
    if year is None and on is not None and which in (*_BACK, "next") and (day.year, day.month) == (on.year, on.month):
        months += 12 if which == "next" else -12
    first, last = month_days((months - 1) // 12, (months - 1) % 12 + 1)
    third = _THIRDS.get(which)
    if third is None:
        return first, last
    return first + timedelta(10 * third), last if third == 2 else first + timedelta(10 * third + 9)


def _of_season(match: _Match, on: date | None) -> Days | None:
    """Three months; a winter is named after the year in which it begins."""
    which, month = (match["season_which"] or "").lower(), SEASONS[match["season"].lower()]
    if match["season_year"]:
        return _season(int(match["season_year"]), month)
    if on is None or not which:
        return None
    this = on.year - (month == 12 and on.month < 3)
    if which in _BACK:
        return _season(this if _season(this, month)[1] < on else this - 1, month)
    return _season(this if which == "this" or _season(this, month)[0] > on else this + 1, month)


def _season(year: int, month: int) -> Days:
    last = month + 2
    return date(year, month, 1), month_days(year + (last > 12), (last - 1) % 12 + 1)[1]


def _relative(match: _Match, text: str, on: date, preposition: str) -> Days | None:
    if match["deictic"]:
        words = " ".join(match["deictic"].lower().removeprefix("the ").split())
        words = "yesterday" if words == "last night" else "today" if words.startswith(("this", "tonight")) else words
        return _widened(_moved(words, on, "day"), "day")
    if match["turn"]:
        which, unit = " ".join(match["turn"].lower().split()), match["turn_unit"].lower()
        if which == "past" and unit in ("week", "month", "year"):
            return _run(on, "past", (1, 1), unit)
        direction = "last" if which in _BACK else "next" if which in _FORTH else "this"
        return _widened(_moved(f"{direction} {_known(unit)}", on, unit), unit)
    if match["ago"]:
        return _counted(on, match["ago"], match["ago_unit"], "{} {}s ago")
    if match["run"]:
        return _run(on, match["run"].lower(), _number(match["run_count"]), match["run_unit"].lower())
    if match["ahead"]:
        if not match["ahead_end"] and not (preposition == "in" and _is_ahead(text, match)):
            return None
        return _counted(on, match["ahead"], match["ahead_unit"], "in {} {}s")
    if match["weekday"]:
        if preposition not in ("on", "since", "until", "till", "by", "before", "after", "from"):
            return None
        ahead = preposition != "since" and _is_ahead(text, match)
        return _widened(_moved(f"{'next' if ahead else 'last'} {_known(match['weekday'].lower())}", on, "day"), "day")
    return None


def _counted(on: date, count: str, unit: str, phrase: str) -> Days | None:
    """`Two weeks ago` is a week, `a few days ago` the days that a few may mean."""
    unit = unit.lower()
    ends = [_widened(_moved(phrase.format(n, _known(unit)), on, unit), unit) for n in _number(count)]
    known = [end for end in ends if end is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None


def _run(on: date, which: str, count: tuple[int, int], unit: str) -> Days | None:
    """`The past two weeks`: from as long ago until the day itself; `the next few months` likewise."""
    back = which in _BACK
    other = _resolved(f"{count[1]} {_known(unit)}s ago" if back else f"in {count[1]} {_known(unit)}s", on, "past")
    return None if other is None else (min(on, other), max(on, other))


def days_beside(match: _Match, named: date | None, on: date | None) -> Days | None:
    """`The week before`: before the day that was named last, else before the day of the text; the week after what
    nobody named is none."""
    after = match["beside"].lower() == "after"
    if match["turned"]:
        doubled = (match["turned"].lower() == "next") == after
        return shifted(match, on, "2") if on is not None and doubled and not match["beside_count"] else None
    if named is not None:
        return shifted(match, named)
    return None if on is None or after else shifted(match, on)


def shifted(match: _Match, day: date, count: str = "1") -> Days | None:
    """`The week before` or `two days after` a day, `the Friday before` it; None where no calendar goes."""
    unit, after = match["beside_unit"].lower(), match["beside"].lower() == "after"
    try:
        if unit[:3] in _WEEKDAYS and unit != "month":
            return _widened(_moved(f"{'next' if after else 'last'} {_known(unit)}", day, "day"), "day")
        return _counted(day, match["beside_count"] or count, unit, "in {} {}s" if after else "{} {}s ago")
    except (OverflowError, ValueError):
        return None


def _number(count: str) -> tuple[int, int]:
    words = count.lower().removesuffix(" of").split()
    if words[-1] in VAGUE:
        return VAGUE[words[-1]]
    number = NUMBERS.get(words[-1]) or int(words[-1])
    return number, number


def _known(unit: str) -> str:
    """The word that dateparser knows: a weekend moves as its week does, a weekday has its whole name."""
    if unit == "weekend":
        return "week"
    return unit if unit in ("day", "week", "month", "year") else _WEEKDAYS[unit[:3]]


def _widened(day: date | None, unit: str) -> Days | None:
    """What a unit that holds ``day`` is: weeks begin on Monday, a weekend is the end of its week."""
    if day is None:
        return None
    monday = day - timedelta(day.weekday())
    if unit == "week":
        return monday, monday + timedelta(6)
    if unit == "weekend":
        return monday + timedelta(5), monday + timedelta(6)
    return month_days(day.year, day.month) if unit == "month" else year_days(day.year) if unit == "year" else (day, day)


def month_days(year: int, month: int) -> Days:
    """The first and the last day of a month."""
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def year_days(year: int) -> Days:
    """The first and the last day of a year."""
    return date(year, 1, 1), date(year, 12, 31)


def _is_ahead(text: str, match: _Match) -> bool:
    """Whether the sentence around an expression speaks of what is to come."""
    before = text[max(match.start() - _NEAR, 0) : match.start()]
    after = text[match.end() : match.end() + _NEAR]
    ends = [end.end() for end in _SENTENCE_END.finditer(before)]
    close = _SENTENCE_END.search(after)
    before, after = before[ends[-1] if ends else 0 :], after[: close.start() if close else None]
    sentence = f"{before}  {after}".replace("’", "'")
    return AHEAD.search(sentence) is not None or STANDING.search(before.replace("’", "'")) is not None


def _moved(words: str, on: date, unit: str) -> date | None:
    """A day of the unit that words name which move with the day on which they are said.

    They are resolved for a day that stands for all like it, so that hardly any session asks the library anything new:
    days and weeks move with the day of the week, months with the month, years with the year.
    """
    if unit in ("month", "year"):
        return _resolved(words, on.replace(day=1) if unit == "month" else date(on.year, 1, 1), "past")
    like = _MONDAY + timedelta(on.weekday())
    found = _resolved(words, like, "past")
    return None if found is None else on + (found - like)


@lru_cache(maxsize=4096)
def _resolved(words: str, on: date, prefer: str) -> date | None:
    """The day that dateparser gives for English words said on a day, at noon and without a time zone."""
    found = _parser(on, prefer).get_date_data(words).date_obj
    return None if found is None else found.date()


@lru_cache(maxsize=64)
def _parser(on: date, prefer: str) -> DateDataParser:
    from dateparser.date import DateDataParser

    return DateDataParser(
        languages=["en"],
        settings={
            "RELATIVE_BASE": datetime.combine(on, time(12)),
            "PREFER_DATES_FROM": prefer,
            "TIMEZONE": "UTC",
            "PARSERS": ["relative-time", "absolute-time"],
            "RETURN_TIME_AS_PERIOD": False,
        },
    )
