"""The time tree: days, weeks, months and quarters, each of which tells what its parts tell (after MemForest).

A day lies in its month and a month in its quarter; weeks may lie in two months, so that a week is a second parent of
its days and has none itself. The text of a node is a function of its children's texts alone, and a new session touches
one day, one week, one month and one quarter.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from memory.conversations.background import telling
from memory.conversations.time_grammar import MONTHS
from memory.conversations.times import days_in_words
from memory.embedding import TokenCounter
from memory.segmentation import sentences

CODE_VERSION = "1"

DAY, WEEK, MONTH, QUARTER = "day", "week", "month", "quarter"
LEVELS = (DAY, WEEK, MONTH, QUARTER)
"""Every level comes after the one of its children."""

CHILDREN = {WEEK: DAY, MONTH: DAY, QUARTER: MONTH}
"""What a node is made of; a day is made of the summaries of its sessions."""

PARENT = {DAY: MONTH, MONTH: QUARTER}
"""The tree; weeks stand beside it."""

PERIOD_TOKENS = 120


@dataclass(frozen=True, slots=True)
class Period:
    """A node of the tree; ``key`` is ISO 8601 where that has one: `2023-05-08`, `2023-W19`, `2023-05`, `2023-Q2`."""

    level: str
    key: str
    since: date
    until: date


def periods_of(day: date) -> list[Period]:
    """The nodes that hold a day, in the order of :data:`LEVELS`: what a session of that day touches."""
    return [period_of(level, day) for level in LEVELS]


def period_of(level: str, day: date) -> Period:
    """The node of a level that holds a day."""
    if level == DAY:
        return Period(level, day.isoformat(), day, day)
    if level == WEEK:
        year, week, weekday = day.isocalendar()
        monday = day.toordinal() - weekday + 1
        last = min(monday + 6, date.max.toordinal())
        return Period(level, f"{year:04d}-W{week:02d}", date.fromordinal(max(monday, 1)), date.fromordinal(last))
    first = day.month if level == MONTH else (day.month - 1) // 3 * 3 + 1
    last = first if level == MONTH else first + 2
    key = f"{day.year:04d}-{first:02d}" if level == MONTH else f"{day.year:04d}-Q{last // 3}"
    return Period(level, key, date(day.year, first, 1), date(day.year, last, monthrange(day.year, last)[1]))


def period_text(period: Period, children: Sequence[str], count_tokens: TokenCounter) -> str:
    """What a period's children tell: a line with its name, then their most telling lines, within 120 tokens.

    Lines are taken from the children in turns, so that none is left out before another has said two things. In what is
    longer than a day each line begins with its day.

    Args:
        children: the texts of the sessions' summaries of a day, or of the child periods, in the order of their time.
            The first line of a text with several lines is its heading. One without words counts for nothing.
    """
    queues = [_lines(child, dated=period.level in (WEEK, MONTH)) for child in children]
    ranked = [sorted(range(len(lines)), key=[-_worth(line) for line in lines].__getitem__) for lines in queues]
    sizes = [count_tokens(lines) if lines else [] for lines in queues]
    used = sum(count_tokens([title(period)]))
    chosen: list[tuple[int, int]] = []
    for turn in range(max((len(order) for order in ranked), default=0)):
        for child, order in enumerate(ranked):
            if turn < len(order) and used + sizes[child][order[turn]] <= PERIOD_TOKENS:
                chosen.append((child, order[turn]))
                used += sizes[child][order[turn]]
    lines = [queues[child][at] for child, at in sorted(chosen)]
    return "\n".join([title(period), *dict.fromkeys(lines)])


def title(period: Period) -> str:
    """A period's name: `8 May 2023`, `Week of 8 to 14 May 2023`, `May 2023`, `April to June 2023`."""
    if period.level == WEEK:
        return f"Week of {days_in_words(period.since, period.until)}"
    if period.level == QUARTER:
        return f"{MONTHS[period.since.month - 1]} to {days_in_words(period.until.replace(day=1), period.until)}"
    return days_in_words(period.since, period.until)


def days_between(period: Period) -> list[date]:
    """All days of a period, to look up which of them have sessions."""
    return [period.since + timedelta(days) for days in range((period.until - period.since).days + 1)]


def _lines(text: str, dated: bool) -> list[str]:
    """The statements of a child, each `Speaker: sentence` where a speaker is named, after its day where asked."""
    rows = [row for row in text.split("\n") if row.strip()]
    if not rows:
        return []
    head, body = (rows[0], rows[1:]) if len(rows) > 1 else ("", rows)
    found: list[str] = []
    for row in body:
        speaker, colon, _ = row.partition(": ")
        named = colon and len(speaker) <= 60
        start = len(speaker) + 2 if named else 0
        for first, last in sentences(row, start, len(row)):
            line = f"{speaker}: {row[first:last]}" if named else row[first:last]
            found.append(f"{head.rsplit(' ', 1)[0]}, {line}" if dated and head else line)
    return found


def _worth(line: str) -> float:
    return telling(line) / math.sqrt(8 + len(line) / 4)
