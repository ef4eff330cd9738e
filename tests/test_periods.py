"""Days, weeks, months and quarters tell what their children tell; a new session touches one path."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.conversations.periods import (
    CHILDREN,
    LEVELS,
    PARENT,
    PERIOD_TOKENS,
    Period,
    days_between,
    period_of,
    period_text,
    periods_of,
    title,
)
from memory.embedding import BUNDLED_MODEL, EmbedderSpec, token_counter

count_tokens = token_counter(EmbedderSpec("sentence-transformers", BUNDLED_MODEL))


def test_a_day_lies_in_a_week_a_month_and_a_quarter() -> None:
    found = {period.level: period for period in periods_of(date(2023, 5, 8))}
    assert {level: period.key for level, period in found.items()} == {
        "day": "2023-05-08",
        "week": "2023-W19",
        "month": "2023-05",
        "quarter": "2023-Q2",
    }
    assert (found["quarter"].since, found["quarter"].until) == (date(2023, 4, 1), date(2023, 6, 30))
    assert [title(period) for period in found.values()] == [
        "8 May 2023",
        "Week of 8 to 14 May 2023",
        "May 2023",
        "April to June 2023",
    ]


def test_a_week_at_the_turn_of_a_year_has_the_iso_key() -> None:
    assert period_of("week", date(2023, 1, 1)).key == "2022-W52"
    assert period_of("week", date(2024, 12, 31)).key == "2025-W01"


@given(day=st.dates())
def test_a_period_holds_its_day_and_has_the_key_of_each_of_its_days(day: date) -> None:
    for period in periods_of(day):
        assert period.since <= day <= period.until
        ends = {period_of(period.level, end) for end in (period.since, period.until)}
        assert ends == {period}
    for child, parent in PARENT.items():
        inner, outer = period_of(child, day), period_of(parent, day)
        assert outer.since <= inner.since <= inner.until <= outer.until


def test_the_lines_of_all_children_have_their_say() -> None:
    days = [f"{number} May 2023\nAnn: I saw the Zanzibar Museum {number}.\nAnn: I had tea." for number in (8, 9, 10)]
    told = period_text(period_of("week", date(2023, 5, 8)), days, count_tokens).split("\n")
    assert told[0] == "Week of 8 to 14 May 2023"
    assert [line for line in told if "Zanzibar" in line] == [
        f"{number} May, Ann: I saw the Zanzibar Museum {number}." for number in (8, 9, 10)
    ]


def test_days_stay_named_up_to_the_quarter() -> None:
    day, month, quarter = (period_of(level, date(2023, 5, 8)) for level in ("day", "month", "quarter"))
    told = period_text(day, ["8 May 2023\nAnn: I sold the boat. It was red."], count_tokens)
    assert told == "8 May 2023\nAnn: I sold the boat.\nAnn: It was red."
    told = period_text(month, [told], count_tokens)
    assert told == "May 2023\n8 May, Ann: I sold the boat.\n8 May, Ann: It was red."
    assert period_text(quarter, [told], count_tokens) == told.replace("May 2023", "April to June 2023")


@pytest.mark.parametrize("level", LEVELS)
def test_a_text_stays_within_its_tokens_whatever_the_children(level: str) -> None:
    children = ["8 May 2023\n" + "\n".join(f"Ann: I met Tom{n} in Oslo{n} on the {n}th." for n in range(50))] * 30
    period = period_of(level, date(2023, 5, 8))
    assert count_tokens([period_text(period, children, count_tokens)])[0] <= PERIOD_TOKENS
    assert period_text(period, [], count_tokens) == period_text(period, ["", " "], count_tokens) == title(period)
    assert period_text(period, ["just words"], count_tokens).endswith("\njust words")


def test_a_text_is_a_function_of_the_children_alone() -> None:
    period = period_of("day", date(2023, 5, 8))
    children = ["8 May 2023\nAnn: I sold the boat.", "8 May 2023\nBen: I bought the boat.\nBen: It leaks."]
    assert period_text(period, children, count_tokens) == period_text(period, list(children), count_tokens)
    assert "Eve" not in period_text(period, children, count_tokens)


class Tree:
    """A tree that counts what it works out."""

    def __init__(self) -> None:
        self.sessions: dict[date, list[str]] = {}
        self.texts: dict[Period, str] = {}
        self.worked_out = 0

    def add(self, day: date, summary: str) -> None:
        self.sessions.setdefault(day, []).append(summary)
        self.tell(periods_of(day))

    def tell(self, periods: Iterable[Period]) -> None:
        for period in periods:
            if period.level not in CHILDREN:
                children = self.sessions[period.since]
            else:
                inner = dict.fromkeys(period_of(CHILDREN[period.level], day) for day in days_between(period))
                children = [self.texts[child] for child in inner if child in self.texts]
            self.texts[period] = period_text(period, children, count_tokens)
            self.worked_out += 1


def test_a_new_session_touches_one_path_and_ends_where_all_at_once_would() -> None:
    days = [date(2023, 5, 8), date(2023, 5, 9), date(2023, 7, 1), date(2022, 12, 31), date(2023, 5, 8)]
    grown = Tree()
    for number, day in enumerate(days, start=1):
        grown.add(day, f"{day.day} x 2023\nAnn: I saw Zanzibar {number}.")
        assert grown.worked_out == number * len(LEVELS)
    whole = Tree()
    whole.sessions = grown.sessions
    for level in LEVELS:
        whole.tell(dict.fromkeys(period_of(level, day) for day in sorted(days)))
    assert whole.texts == grown.texts
    assert "Zanzibar 5" in grown.texts[period_of("quarter", days[0])]
