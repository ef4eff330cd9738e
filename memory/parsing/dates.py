"""Dates as people write them. A date is returned only when year, month and day are all there; nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on count milliseconds; as seconds they would lie after the year 5138."""

EPOCH_FROM = 100_000_000
"""Smaller numbers (before 1973 as seconds) are years, counters or versions rather than times."""

MAX_DATE_CHARS = 100

_ISO = re.compile(r"\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_COMPACT = re.compile(r"\s*(\d{4})(\d{2})(\d{2})(?:\d{6})?(?!\d)")
_PDF = re.compile(r"\s*D:(\d{4})(\d{2})(\d{2})")
_EPOCH = re.compile(r"\s*\d{9,13}(?:\.\d+)?\s*")


def parse_date(value: object) -> date | None:
    """The calendar day that ``value`` (text, epoch seconds or milliseconds, date) states, as written; else None.

    A time zone is not applied: the day is the one that the author wrote. Epoch numbers are read as UTC. Of an
    ambiguous ``03/04/2021`` the month comes first, as ``dateutil`` has it.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_DATE_CHARS:
        return None
    match = _ISO.match(value) or _COMPACT.match(value) or _PDF.match(value)
    if match and (found := _calendar_day(*(int(part) for part in match.groups()))):
        return found
    if _EPOCH.fullmatch(value):
        return _from_epoch(float(value))
    return _from_words(value)


def _calendar_day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _from_epoch(number: float) -> date | None:
    if not EPOCH_FROM <= number < MILLISECONDS_FROM * 1000:
        return None
    seconds = number / 1000 if number >= MILLISECONDS_FROM else number
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date()


def _from_words(text: str) -> date | None:
    """Parse twice with different defaults: what differs was not in the text."""
    from dateutil import parser

    bare = re.sub(r"\([^)]*\)", " ", text)
    days = set()
    for default in (datetime(2000, 1, 1), datetime(2003, 2, 2)):  # noqa: DTZ001 - only their dates are used
        try:
            days.add(parser.parse(bare, default=default, ignoretz=True).date())
        except (ValueError, OverflowError, ArithmeticError, TypeError, AttributeError, IndexError):
            return None
    return days.pop() if len(days) == 1 else None
