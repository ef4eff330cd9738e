"""Words for a time mean the days that a reader would take them to mean; what is vague or ambiguous means none."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory.conversations.times import days_in_words, days_of, time_expressions

ON = date(2023, 5, 25)
"""A Thursday."""

RELATIVE = [
    ("I saw her last Friday.", "last Friday", "2023-05-19", "2023-05-19"),
    ("We ran last Tues.", "last Tues", "2023-05-23", "2023-05-23"),
    ("This past Sunday we rested.", "This past Sunday", "2023-05-21", "2023-05-21"),
    ("I went there yesterday!", "yesterday", "2023-05-24", "2023-05-24"),
    ("Last night was fun.", "Last night", "2023-05-24", "2023-05-24"),
    ("Are you free tonight?", "tonight", "2023-05-25", "2023-05-25"),
    ("See you tomorrow evening.", "tomorrow evening", "2023-05-26", "2023-05-26"),
    ("It was the day before yesterday.", "the day before yesterday", "2023-05-23", "2023-05-23"),
    ("Three days ago it rained.", "Three days ago", "2023-05-22", "2023-05-22"),
    ("We met two weeks ago.", "two weeks ago", "2023-05-08", "2023-05-14"),
    ("A month ago I quit.", "A month ago", "2023-04-01", "2023-04-30"),
    ("I moved ten years ago.", "ten years ago", "2013-01-01", "2013-12-31"),
    ("A few days ago he called.", "A few days ago", "2023-05-20", "2023-05-23"),
    ("I left a couple of months ago.", "a couple of months ago", "2023-03-01", "2023-03-31"),
    ("Last week was hard.", "Last week", "2023-05-15", "2023-05-21"),
    ("We leave next week.", "next week", "2023-05-29", "2023-06-04"),
    ("This weekend we hike.", "This weekend", "2023-05-27", "2023-05-28"),
    ("Last weekend we hiked.", "Last weekend", "2023-05-20", "2023-05-21"),
    ("Two weekends ago we hiked.", "Two weekends ago", "2023-05-13", "2023-05-14"),
    ("I'm off next month.", "next month", "2023-06-01", "2023-06-30"),
    ("Last year was better.", "Last year", "2022-01-01", "2022-12-31"),
    ("I sold it in March.", "March", "2023-03-01", "2023-03-31"),
    ("I sold it in December.", "December", "2022-12-01", "2022-12-31"),
    ("I'm going to Paris in June.", "June", "2023-06-01", "2023-06-30"),
    ("In late April I fell.", "late April", "2023-04-21", "2023-04-30"),
    ("Last May we married.", "Last May", "2022-05-01", "2022-05-31"),
    ("Next May we marry.", "Next May", "2024-05-01", "2024-05-31"),
    ("My show is on June 3.", "June 3", "2023-06-03", "2023-06-03"),
    ("I ran it on June 3rd.", "June 3rd", "2022-06-03", "2022-06-03"),
    ("We'll meet on Monday.", "Monday", "2023-05-29", "2023-05-29"),
    ("We met on Monday.", "Monday", "2023-05-22", "2023-05-22"),
    ("Last summer we swam.", "Last summer", "2022-06-01", "2022-08-31"),
    ("Next winter I ski.", "Next winter", "2023-12-01", "2024-02-29"),
    ("I've been here since Monday.", "since Monday", "2023-05-22", "2023-05-25"),
    ("Since 2019 I paint.", "Since 2019", "2019-01-01", "2023-05-25"),
    ("The past two weeks were calm.", "The past two weeks", "2023-05-11", "2023-05-25"),
    ("In two weeks I will leave.", "In two weeks", "2023-06-05", "2023-06-11"),
    ("I was sick the week before.", "the week before", "2023-05-15", "2023-05-21"),
    ("That was the week before last.", "the week before last", "2023-05-08", "2023-05-14"),
]

ABSOLUTE = [
    ("We met on 7 May 2023.", "7 May 2023", "2023-05-07", "2023-05-07"),
    ("We met on 7 May, 2023.", "7 May, 2023", "2023-05-07", "2023-05-07"),
    ("It is the 3rd of June 2021.", "the 3rd of June 2021", "2021-06-03", "2021-06-03"),
    ("Sept. 5, 2020 it was.", "Sept. 5, 2020", "2020-09-05", "2020-09-05"),
    ("The fair is May 3-5, 2023.", "May 3-5, 2023", "2023-05-03", "2023-05-05"),
    ("In May 2023 I moved.", "May 2023", "2023-05-01", "2023-05-31"),
    ("In 2019 I moved.", "2019", "2019-01-01", "2019-12-31"),
    ("In early 2020 I moved.", "early 2020", "2020-01-01", "2020-04-30"),
    ("The summer of 2022 was hot.", "summer of 2022", "2022-06-01", "2022-08-31"),
    ("The 1990s were loud.", "1990s", "1990-01-01", "1999-12-31"),
    ("At 2023-05-07T10:00 it began.", "2023-05-07", "2023-05-07", "2023-05-07"),
    ("Am 7.5.2023 zog ich um.", "7.5.2023", "2023-05-07", "2023-05-07"),
    ("On 25/05/2023 or so.", "25/05/2023", "2023-05-25", "2023-05-25"),
    ("我在2023年5月7日搬家。", "2023年5月7日", "2023-05-07", "2023-05-07"),
    ("انتقلت في ٢٠٢٣-٠٥-٠٧ إلى برلين", "٢٠٢٣-٠٥-٠٧", "2023-05-07", "2023-05-07"),
    ("It was the Friday before 15 July 2023.", "the Friday before 15 July 2023", "2023-07-14", "2023-07-14"),
    ("It was two days after 9 June 2023.", "two days after 9 June 2023", "2023-06-11", "2023-06-11"),
    ("It was the month before 9 June 2023.", "the month before 9 June 2023", "2023-05-01", "2023-05-31"),
    ("It was the week before 9 June 2023.", "the week before 9 June 2023", "2023-05-29", "2023-06-04"),
]

NOTHING = [
    "I may march on.",
    "May is kind, and April, too.",
    "Every Friday we sing; on Mondays we rest.",
    "I finished it in two weeks.",
    "2000 people came, 12 of them late.",
    "It was 03/04/2021.",
    "On 30 February 2023 or 2023-02-30.",
    "Recently, the other day, these days.",
    "The day after the party I slept.",
    "Version 1.2.3 of 10-11-12.",
]


@pytest.mark.parametrize(("text", "words", "since", "until"), RELATIVE + ABSOLUTE)
def test_words_mean_these_days(text: str, words: str, since: str, until: str) -> None:
    (found,) = time_expressions(text, ON)
    assert (found.words, found.since.isoformat(), found.until.isoformat()) == (words, since, until)
    assert text[found.start : found.end] == words


@pytest.mark.parametrize(("text", "words", "since", "until"), ABSOLUTE)
def test_absolute_dates_need_no_day(text: str, words: str, since: str, until: str) -> None:
    (found,) = time_expressions(text, None)
    assert (found.words, found.since.isoformat(), found.until.isoformat()) == (words, since, until)
    assert not found.relative


@pytest.mark.parametrize("text", [text for text, *_ in RELATIVE if "2019" not in text])
def test_relative_words_mean_nothing_without_a_day(text: str) -> None:
    assert time_expressions(text, None) == []


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_vague_ambiguous_or_in_no_calendar_means_nothing(text: str) -> None:
    assert time_expressions(text, ON) == []


def test_several_expressions_of_a_sentence_give_its_first_and_last_day() -> None:
    text = "Last Friday I ran, and next Friday I run again. Bye."
    found = time_expressions(text, ON)
    assert days_of(found, 0, 47) == (date(2023, 5, 19), date(2023, 5, 26))
    assert days_of(found, 48, len(text)) == (None, None)


def test_the_day_after_belongs_to_the_date_before_it() -> None:
    first, second = time_expressions("He left on 3 May 2023. The day after, I cried.", ON)
    assert (first.since, second.since) == (date(2023, 5, 3), date(2023, 5, 4))


def test_tense_is_read_in_the_sentence_alone() -> None:
    found = time_expressions("I will call. I sold the car in August. We'll fly in August.", ON)
    assert [one.since.year for one in found] == [2022, 2023]


def test_ends_of_the_calendar_are_no_error() -> None:
    assert time_expressions("900 years ago, last week, yesterday", date(1, 1, 1)) == []
    assert all(one.until <= date.max for one in time_expressions("next week, in 900 years' time", date.max))


@pytest.mark.parametrize(
    "text", ["in the last two " * 6_000, "1" * 50_000 + " " * 50_000, "May " * 20_000, "last\n" * 9_000]
)
def test_long_texts_without_a_time_are_read_to_their_end(text: str) -> None:
    assert time_expressions(text, ON) == []
    assert [one.words for one in time_expressions(f"{text}. Yesterday.", ON)] == ["Yesterday"]


SCRAPS = st.sampled_from(
    "last next this past week weekend Friday ago two a few in on since May June 3 7th 2023 the day before after . , - "
    "\n yesterday 年 5月 2023-05-07 1/2/2023 early late couple of will".split(" ")
)


@settings(max_examples=150, deadline=None)
@given(words=st.lists(SCRAPS, max_size=14), on=st.one_of(st.none(), st.dates(date(1900, 1, 1), date(2100, 1, 1))))
@example(words=["the", "week", "before", "last", "week"], on=ON)
def test_expressions_are_ordered_spans_of_the_text(words: list[str], on: date | None) -> None:
    text = " ".join(words)
    at = 0
    for one in time_expressions(text, on):
        assert at <= one.start < one.end <= len(text)
        assert one.words == text[one.start : one.end]
        assert one.since <= one.until
        at = one.end


@settings(max_examples=60, deadline=None)
@given(on=st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_days_move_with_the_day_of_the_session(on: date) -> None:
    found = {one.words: one for one in time_expressions("yesterday; last week; next Sunday; two months ago", on)}
    monday = on - timedelta(on.weekday())
    assert found["yesterday"].since == on - timedelta(1)
    assert (found["last week"].since, found["last week"].until) == (monday - timedelta(7), monday - timedelta(1))
    assert 1 <= (found["next Sunday"].since - on).days <= 7
    assert found["next Sunday"].since.isoweekday() == 7
    assert (on.year * 12 + on.month) - (
        found["two months ago"].since.year * 12 + found["two months ago"].since.month
    ) == 2


def test_ranges_are_written_as_people_write_them() -> None:
    day = date.fromisoformat
    assert days_in_words(ON, ON) == "25 May 2023"
    assert days_in_words(day("2023-05-01"), day("2023-05-31")) == "May 2023"
    assert days_in_words(day("2023-01-01"), day("2023-12-31")) == "2023"
    assert days_in_words(day("2023-05-08"), day("2023-05-14")) == "8 to 14 May 2023"
    assert days_in_words(day("2023-05-29"), day("2023-06-04")) == "29 May 2023 to 4 June 2023"
