"""A later value of a subject's attribute ends the validity of the earlier one and points to it; nothing is lost."""

from __future__ import annotations

from datetime import date
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.conversations.attributes import known_attribute, stated_attribute, value_of
from memory.conversations.validity import FACTS, VALIDITY, update_validity

Row = tuple[str, str, int, str, str, str, date | None]
Interval = tuple[date | None, date | None, str | None]


def day(number: int) -> date:
    return date(2023, 1, number)


def lives(place: str, on: int | None, name: str = "", subject: str = "ann", document: str = "s") -> Row:
    text = f"Ann: I moved to {place}."
    stated = None if on is None else day(on)
    return (name or f"{place}{on}", document, on or 0, subject, "residence", text, stated)


def table(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FACTS, orient="row")


def intervals(*rows: Row) -> dict[str, Interval]:
    found = update_validity(table(*rows))
    assert found.schema == pl.Schema(VALIDITY)
    return {name: (since, until, by) for name, since, until, by in found.iter_rows()}


def test_another_value_ends_the_earlier_one() -> None:
    found = intervals(lives("Rome", 1), lives("Berlin", 5))
    assert found == {"Rome1": (day(1), day(5), "Berlin5"), "Berlin5": (day(5), None, None)}


def test_the_same_value_again_ends_nothing() -> None:
    found = intervals(lives("Rome", 1), lives("Rome", 3), lives("Berlin", 5), lives("Rome", 7))
    assert found["Rome1"] == (day(1), day(5), "Berlin5")
    assert found["Rome3"] == (day(3), day(5), "Berlin5")
    assert found["Berlin5"] == (day(5), day(7), "Rome7")
    assert found["Rome7"] == (day(7), None, None)


def test_the_same_value_in_other_words_is_the_same() -> None:
    works = ("w", "s", 2, "ann", "residence", "Ann: I'm now living in Rome, by the way.", day(2))
    assert intervals(lives("Rome", 1), works) == {"Rome1": (day(1), None, None), "w": (day(2), None, None)}


def test_facts_without_a_day_take_no_part() -> None:
    assert intervals(lives("Rome", 1), lives("Berlin", None)) == {"Rome1": (day(1), None, None)}


def test_other_subjects_and_facts_that_nothing_outdates_hold_on() -> None:
    went = ("x", "s", 1, "ann", "", "Ann: I went to Rome.", day(1))
    nobody = ("y", "s", 1, "", "residence", "Ann: She moved to Oslo.", day(1))
    found = intervals(lives("Rome", 1), lives("Berlin", 5, subject="ben"), went, nobody, ("z", *went[1:]))
    assert {until for _, until, _ in found.values()} == {None}
    assert set(found) == {"Rome1", "Berlin5", "x", "y", "z"}


def test_on_one_day_the_later_place_in_the_session_holds() -> None:
    first = ("b", "s", 1, "ann", "age", "Ann: I'm 33 today.", day(2))
    second = ("a", "s", 2, "ann", "age", "Ann: I'm 34 today.", day(2))
    assert intervals(second, first) == {"b": (day(2), day(2), "a"), "a": (day(2), None, None)}


def test_no_facts_have_no_intervals() -> None:
    assert intervals() == {}


@st.composite
def facts(draw: st.DrawFn) -> list[Row]:
    rows = st.tuples(
        st.sampled_from(["Rome", "Oslo", "Bonn"]),
        st.one_of(st.none(), st.integers(1, 5)),
        st.sampled_from(["ann", "ben"]),
        st.sampled_from(["s", "t"]),
    )
    return [
        lives(place, on, f"m{number}", subject, document)
        for number, (place, on, subject, document) in enumerate(draw(st.lists(rows, max_size=10)))
    ]


@settings(max_examples=80, deadline=None)
@given(rows=facts(), seed=st.randoms(use_true_random=False))
def test_intervals_are_a_function_of_the_set_of_facts(rows: list[Row], seed: Random) -> None:
    shuffled = [*rows, *rows[:2]]
    seed.shuffle(shuffled)
    assert intervals(*shuffled) == intervals(*rows)


@settings(max_examples=80, deadline=None)
@given(rows=facts())
def test_intervals_are_those_of_a_walk_through_the_facts(rows: list[Row]) -> None:
    expected: dict[str, Interval] = {}
    standing: dict[str, tuple[str, list[str]]] = {}
    dated = [(row[6], row[1], row[2], row[0], row[3], row[5]) for row in rows if row[6] is not None]
    for stated, _, _, name, subject, text in sorted(dated):
        value, holding = standing.get(subject, ("", []))
        if value != text:
            for other in holding:
                expected[other] = (expected[other][0], stated, name)
            holding = []
        expected[name] = (stated, None, None)
        standing[subject] = (text, [*holding, name])
    assert intervals(*rows) == expected


@pytest.mark.parametrize(
    ("sentence", "attribute", "value"),
    [
        ("I moved to Berlin last month.", "residence", "berlin"),
        ("I'm living in New York City now", "residence", "new york city"),
        ("I work at a bank in town.", "employer", "bank"),
        ("She works for Acme Corp.", "employer", "acme corp"),
        ("I lost my job.", "employer", "none"),
        ("I work as a nurse.", "job", "nurse"),
        ("I'm a software engineer.", "job", "software engineer"),
        ("I got engaged!", "relationship status", "engaged"),
        ("We broke up with a bang", "relationship status", "single"),
        ("I just turned 34.", "age", "34"),
        ("My favorite band is Blur", "favourite band", "blur"),
        ("My dog's name is Rex.", "name", "rex"),
        ("My new phone number is +49 30 1234567", "phone number", "+49 30 1234567"),
        ("My birthday is on 3 May", "birthday", "3 may"),
        ("我 moved to 柏林", "residence", "柏林"),
        ("My daily commute is now 45 minutes each way", "daily commute", "45 minutes"),
        ("I'm studying marine biology", "field of study", "marine biology"),
    ],
)
def test_a_statement_has_an_attribute_and_a_value(sentence: str, attribute: str, value: str) -> None:
    found = stated_attribute(sentence)
    assert found is not None
    assert (found.attribute, found.value) == (attribute, value)


@pytest.mark.parametrize(
    "sentence",
    [
        "I used to live in Rome.",
        "I want to move to Rome.",
        "I don't live in Rome.",
        "When I was 12, I lived in Rome.",
        "I moved to the sofa.",
        "I'm working at the moment.",
        "I'm a bit of a mess.",
        "It took 34 days.",
        "Explain it like I'm 10.",
        "We discuss our favorite novels and share recommendations.",
        "One of my favourite songs is Yesterday.",
        "My favourite part is the end.",
        "Studying history can help.",
        "",
    ],
)
def test_the_past_the_wished_and_the_loose_have_no_attribute(sentence: str) -> None:
    assert stated_attribute(sentence) is None


def test_a_models_statement_has_the_value_of_its_words() -> None:
    one = value_of("Caroline's hair colour is red.", "hair")
    assert one == value_of("The colour of Caroline's hair: red", "hair")
    assert one != value_of("Caroline's hair colour is black.", "hair")
    assert value_of("Caroline lives in Berlin.", "residence") == value_of("Caroline: I moved to Berlin.", "residence")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("Residence", "residence"), ("favorite  Band", "favourite band"), ("mood", ""), ("", ""), ("favourite", "")],
)
def test_only_what_has_one_value_is_an_attribute(name: str, kept: str) -> None:
    assert known_attribute(name) == kept
