"""What a question says of time, and how memories suit it: a table of questions, and properties of the scores."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.temporal import NEUTRAL, Order, Relation, TimeIntent, anchored, time_scores, understand_time

ON = date(2023, 11, 22)
"""A Wednesday."""


def day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


RANGES = [
    ("What did she paint in May 2023?", "2023-05-01", "2023-05-31"),
    ("What happened last week?", "2023-11-13", "2023-11-19"),
    ("What did he read between March and June 2023?", "2023-03-01", "2023-06-30"),
    ("What did he read between March 2022 and June 2023?", "2022-03-01", "2023-06-30"),
    ("Where was she between November and February?", "2022-11-01", "2023-02-28"),
    ("What did they buy from 2019 to 2021?", "2019-01-01", "2021-12-31"),
    ("Who was in the office from Monday to Friday?", "2023-11-13", "2023-11-17"),
    ("What happened between 3 May and 9 June 2023?", "2023-05-03", "2023-06-09"),
    ("Who was mayor in 2022?", "2022-01-01", "2022-12-31"),
    ("What were the sales in Q3 2023?", "2023-07-01", "2023-09-30"),
    ("What were the sales in the fourth quarter of 2022?", "2022-10-01", "2022-12-31"),
    ("How did Q4 go?", "2023-10-01", "2023-12-31"),
    ("What did we earn before Q2 2023?", "", "2023-03-31"),
    ("What happened on 7 May?", "2023-05-07", "2023-05-07"),
    ("Whom did she meet on May 7th, 2022?", "2022-05-07", "2022-05-07"),
    ("Where did she go two months ago?", "2023-09-01", "2023-09-30"),
    ("What did he cook yesterday?", "2023-11-21", "2023-11-21"),
    ("What did he publish before 2021?", "", "2020-12-31"),
    ("What did he publish after 2021?", "2022-01-01", ""),
    ("What did he publish prior to June 2021?", "", "2021-05-31"),
    ("What has she painted since June?", "2023-06-01", ""),
    ("Who has played since 2019?", "2019-01-01", ""),
    ("Which songs came out from 2019 onwards?", "2019-01-01", ""),
    ("Where did he work until 2018?", "", "2018-12-31"),
    ("Who was the coach as of May 2022?", "", "2022-05-31"),
    ("What had been repaired by June 2022?", "", "2022-06-30"),
    ("What came out after 2019 and before 2022?", "2020-01-01", "2021-12-31"),
    ("Did they meet in May 2022 or in July 2022?", "2022-05-01", "2022-07-31"),
    ("What did she do last summer?", "2023-06-01", "2023-08-31"),
    ("What did Melanie do last weekend?", "2023-11-18", "2023-11-19"),
    ("Which books came out this year?", "2023-01-01", "2023-12-31"),
    ("What was planned for 2023-05-07?", "2023-05-07", "2023-05-07"),
]

ORDERS = [
    ("Where did she go most recently?", Order.LATEST),
    ("What is Caroline's current job?", Order.LATEST),
    ("Who is the current owner?", Order.LATEST),
    ("What is the latest version of the plan?", Order.LATEST),
    ("What is she currently reading?", Order.LATEST),
    ("What has he painted recently?", Order.LATEST),
    ("Where does he live now?", Order.LATEST),
    ("What did they order last time?", Order.LATEST),
    ("What does he do these days?", Order.LATEST),
    ("Where was the first time they camped?", Order.EARLIEST),
    ("What was the earliest mention of the dog?", Order.EARLIEST),
    ("What was the house originally painted in?", Order.EARLIEST),
    ("Where did Ann first meet Joe?", Order.EARLIEST),
    ("Who owned it in the beginning?", Order.EARLIEST),
]

EVENTS = [
    ("Who became director after the merger?", Relation.AFTER, "the merger"),
    ("After the merger, who became director?", Relation.AFTER, "the merger"),
    ("Where did she live before she moved to Berlin?", Relation.BEFORE, "she moved to Berlin"),
    ("What did he say when the storm happened?", Relation.DURING, "the storm"),
    ("When the bridge collapsed, who was mayor?", Relation.DURING, "the bridge collapsed"),
    ("What was she wearing during the conference?", Relation.DURING, "the conference"),
    ("What did he learn while living in Rome?", Relation.DURING, "living in Rome"),
    ("Who helped him while he was ill?", Relation.DURING, "he was ill"),
    ("What has changed since the fire?", Relation.AFTER, "the fire"),
    ("Whom has he met since he joined the choir?", Relation.AFTER, "he joined the choir"),
    ("What did Ann buy right after Joe's party?", Relation.AFTER, "Joe's party"),
    ("What did she do after reading the letter?", Relation.AFTER, "reading the letter"),
    ("Who led the team prior to the election?", Relation.BEFORE, "the election"),
    ("Where did they stay until the house was ready?", Relation.BEFORE, "the house was ready"),
    ("What did she get before Christmas?", Relation.BEFORE, "Christmas"),
    ("What was sold during the fair before Ann spoke?", Relation.DURING, "the fair"),
    ("Before the trip what did he pack?", Relation.BEFORE, "the trip"),
]

ASKS = [
    "When did Caroline go to the support group?",
    "When is Melanie's birthday?",
    "What date was the concert?",
    "In which year was it founded?",
    "How long ago was the house sold?",
    "Since when has he known her?",
    "Do you know when he moved to Rome?",
    "Can you tell me when she started school?",
]

NOTHING = [
    "May I see the plan?",
    "Who may enter the laboratory?",
    "How many people march in the parade?",
    "Who came second in the race?",
    "How many seconds did the runner lead by?",
    "Who wrote The Last of Us?",
    "Was it worth it after all?",
    "What did she think at first?",
    "Who won first prize?",
    "Who looked after the dog?",
    "Who is the lake named after?",
    "What is the street called after the general?",
    "How strong is the electric current in the wire?",
    "Where does the current flow to?",
    "Since the weather is bad, what should we wear?",
    "What do they do when it rains?",
    "What does he drink before a race?",
    "Will it arrive before long?",
    "What does she do after work?",
    "Who once lived in the tower?",
    "Who is following the team?",
    "What do the following words mean?",
    "Which band played March of the Toreadors?",
    "Did April enjoy the concert?",
    "Is August a friend of hers?",
    "What should we do to fall asleep?",
    "Where do robins go in spring water?",
    "What does the Latest News say of the harbour?",
    "Which flowers did she plant during the summer?",
    "At the latest, how many guests come?",
    "What is the name of her dog?",
    "",
]


@pytest.mark.parametrize(("question", "since", "until"), RANGES)
def test_a_range_of_days(question: str, since: str, until: str) -> None:
    intent = understand_time(question, ON)
    assert (intent.since, intent.until) == (day(since), day(until))
    assert intent.words
    assert (intent.order, intent.event) == (None, "")


@pytest.mark.parametrize(("question", "order"), ORDERS)
def test_an_order(question: str, order: Order) -> None:
    intent = understand_time(question, ON)
    assert intent.order is order
    assert (intent.since, intent.until, intent.event) == (None, None, "")
    assert intent.words[0] in question


@pytest.mark.parametrize(("question", "relation", "event"), EVENTS)
def test_an_event(question: str, relation: Relation, event: str) -> None:
    intent = understand_time(question, ON)
    assert (intent.relation, intent.event) == (relation, event)
    assert (intent.since, intent.until, intent.order, intent.asks_when) == (None, None, None, False)


@pytest.mark.parametrize("question", ASKS)
def test_a_question_for_a_time_asks_for_one_and_names_none(question: str) -> None:
    intent = understand_time(question, ON)
    assert intent.asks_when
    assert intent.empty


@pytest.mark.parametrize("question", NOTHING)
def test_words_that_only_look_like_time_tell_nothing(question: str) -> None:
    assert understand_time(question, ON) == TimeIntent()


def test_several_things_at_once() -> None:
    both = understand_time("What was her latest painting in 2022?", ON)
    assert (both.since, both.order) == (date(2022, 1, 1), Order.LATEST)
    dated = understand_time("Who left after the meeting in May 2023?", ON)
    assert (dated.since, dated.until, dated.relation) == (date(2023, 5, 1), None, Relation.AFTER)
    assert dated.event == "the meeting in May 2023"
    asked = understand_time("When did she first meet Joe after the war?", ON)
    assert (asked.asks_when, asked.order, asked.event) == (True, Order.EARLIEST, "the war")
    against = understand_time("What changed from the first time to the most recent one?", ON)
    assert against.order is None


PIECES = (
    "before after since until between and from to when the she moved 0001-01-01 9999-12-31 Q3 2023 May 7 last week ? ,"
)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES.split()), max_size=12).map(" ".join)))
def test_any_text_is_read_and_a_range_ends_no_earlier_than_it_begins(text: str) -> None:
    intent = understand_time(text, ON)
    assert intent.since is None or intent.until is None or intent.since <= intent.until
    assert intent.scale >= 1
    assert intent.empty or intent.words


FAR = st.one_of(st.none(), st.dates(date(2000, 1, 1), date(2030, 1, 1)))
MEMORIES = st.lists(st.tuples(FAR, st.integers(0, 400), st.booleans()), max_size=30)


def days(rows: list[tuple[date | None, int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    since = [first for first, _, _ in rows]
    until = [None if first is None or alone else first + timedelta(length) for first, length, alone in rows]
    return np.array(since, "datetime64[D]"), np.array(until, "datetime64[D]")


INTENTS: dict[str, Any] = {
    "range": understand_time("What did she paint in May 2023?", ON),
    "open": understand_time("What has she painted since June?", ON),
    "latest": understand_time("What is the latest plan?", ON),
    "earliest": understand_time("What was the earliest plan?", ON),
    "both": understand_time("What was her latest painting in 2022?", ON),
}


@given(MEMORIES, st.sampled_from(sorted(INTENTS)))
def test_scores_lie_between_0_and_1_and_the_undated_are_neutral(rows: list[Any], name: str) -> None:
    since, until = days(rows)
    scores = time_scores(since, until, INTENTS[name])
    assert scores.dtype == np.float32
    assert scores.shape == since.shape
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores[np.isnat(since)] == np.float32(NEUTRAL)).all()


@given(MEMORIES, st.sampled_from([*NOTHING, *ASKS]))
def test_a_question_without_a_time_tells_no_memory_from_another(rows: list[Any], question: str) -> None:
    scores = time_scores(*days(rows), understand_time(question, ON))
    assert (scores == np.float32(NEUTRAL)).all()


def test_inside_a_range_counts_fully_and_a_length_away_half() -> None:
    wanted = ["2023-05-01", "2023-05-20", "2023-05-31", "2023-07-01", "2023-03-31", "2021-01-01"]
    since = np.array(wanted, "datetime64[D]")
    scores = time_scores(since, since, INTENTS["range"])
    assert scores[:3].tolist() == [1, 1, 1]
    assert scores[3:5] == pytest.approx([0.5, 0.5])
    assert 0 <= scores[5] < 0.001
    long = time_scores(
        np.array(["2023-01-01"], "datetime64[D]"), np.array(["2023-12-31"], "datetime64[D]"), INTENTS["range"]
    )
    assert long.tolist() == [1], "a year that holds the month"


@given(st.lists(st.integers(0, 3000), min_size=2, max_size=20))
def test_scores_never_rise_with_the_distance(away: list[int]) -> None:
    ordered = np.sort(np.array(away))
    after = np.datetime64("2023-05-31") + ordered
    scores = time_scores(after, after, INTENTS["range"])
    assert (np.diff(scores) <= 0).all()


@given(MEMORIES)
def test_orders_rank_by_day_and_are_each_others_reverse(rows: list[Any]) -> None:
    since, _ = days(rows)
    none = np.full(len(since), "NaT", "datetime64[D]")
    latest = time_scores(since, none, INTENTS["latest"])
    assert latest == pytest.approx(1 - time_scores(since, none, INTENTS["earliest"]))
    dated = ~np.isnat(since)
    order = np.argsort(since[dated], kind="stable")
    assert (np.diff(latest[dated][order]) >= 0).all()
    if len(np.unique(since[dated])) > 1:
        assert latest.max() == 1
        assert latest.min() == 0


def test_the_days_of_an_event_make_the_range() -> None:
    hits = [(date(2022, 3, 1), date(2022, 3, 5)), (None, None), (date(2022, 2, 20), None)]
    after = anchored(understand_time("Who became director after the merger?", ON), hits)
    assert (after.since, after.until, after.scale) == (date(2022, 2, 20), None, 30)
    before = anchored(understand_time("Who was director before the merger?", ON), hits)
    assert (before.since, before.until) == (None, date(2022, 3, 5))
    during = anchored(understand_time("Who was director during the merger?", ON), hits)
    assert (during.since, during.until) == (date(2022, 2, 20), date(2022, 3, 5))
    assert time_scores(*(np.array(["2022-02-25"], "datetime64[D]"),) * 2, during).tolist() == [1]


def test_an_event_without_a_dated_hit_and_a_question_without_an_event_say_nothing_more() -> None:
    after = understand_time("Who became director after the merger?", ON)
    assert anchored(after, [(None, None)]) == anchored(after, []) == after
    assert time_scores(*days([(date(2022, 1, 1), 1, False)]), after).tolist() == [NEUTRAL]
    assert anchored(INTENTS["range"], [(date(2020, 1, 1), None)]) == INTENTS["range"]


def test_an_event_cuts_the_range_that_the_question_names_unless_nothing_is_left() -> None:
    intent = understand_time("Who left in 2022 after the merger?", ON)
    found = anchored(intent, [(date(2022, 3, 1), None)])
    assert (found.since, found.until) == (date(2022, 3, 1), date(2022, 12, 31))
    assert anchored(intent, [(date(2023, 3, 1), None)]) == intent
