"""A fact ends when a later document states another value of an attribute that has one; nothing else ends it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.validity import OFFICES, VALIDITY, VALUES, attribute_of, validity

SOME = settings(max_examples=80, deadline=None)

SCHEMA = {
    "fact_id": pl.String,
    "subject_id": pl.String,
    "predicate": pl.String,
    "object_id": pl.String,
    "passage_id": pl.String,
    "stated_on": pl.Date,
}

Statement = tuple[str, str, str, int | None]
"""Subject, predicate, object, and the year of the document that says so."""


def table(*statements: Statement) -> pl.DataFrame:
    rows = [
        (f"{subject}|{predicate}|{value}", subject, predicate, value, f"p{at}", year and dt.date(year, 1, 1))
        for at, (subject, predicate, value, year) in enumerate(statements)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def validity_of(rows: pl.DataFrame) -> pl.DataFrame:
    """``validity`` of all facts that these rows state, by id."""
    since = rows.group_by("fact_id").agg(stated=pl.col("stated_on").min())
    return validity(since, rows.filter(pl.col("stated_on").is_not_null())).sort("fact_id")


def intervals(*statements: Statement) -> dict[str, tuple[int | None, int | None, str | None]]:
    """Years of validity and what superseded it, by fact."""
    found = validity_of(table(*statements))
    assert found.schema == pl.Schema(VALIDITY)
    assert found["fact_id"].to_list() == sorted({f"{s}|{p}|{o}" for s, p, o, _ in statements})
    return {fact: (since and since.year, until and until.year, by) for fact, since, until, by in found.iter_rows()}


@pytest.mark.parametrize(
    ("predicate", "attribute", "inverse"),
    [
        ("CEO", "ceo", False),
        ("has CEO", "ceo", False),
        ("is the current CEO of", "ceo", True),
        ("chief executive officer of", "ceo", True),
        ("Status is", "status", False),
        ("lives in", "residence", False),
        ("is now living in", "residence", False),
        ("live in", "residence", False),
        ("works at", "employer", False),
        ("working for", "employer", False),
        ("is headquartered in", "headquarters", False),
        ("Headquarters", "headquarters", False),
        ("E-mail", "email", False),
        ("owned by", "owner", False),
        ("owns", "owner", True),
        ("heads", "head", True),
        ("head", "head", False),
        ("costs", "price", False),
    ],
)
def test_an_attribute_is_known_whatever_its_inflection(predicate: str, attribute: str, inverse: bool) -> None:
    assert attribute_of(predicate) == (attribute, inverse)


@pytest.mark.parametrize(
    "predicate",
    ["was CEO of", "former CEO", "worked at", "has lived in", "is no longer head of", "is not based in", "member of",
     "price range", "CEO of the year", "likes", "", "is"],
)  # fmt: skip
def test_the_past_the_denied_and_what_only_contains_an_attribute_may_have_many_values(predicate: str) -> None:
    assert attribute_of(predicate) is None


def test_every_word_of_the_vocabulary_is_found_as_it_is_written() -> None:
    assert all(attribute_of(word) is not None for word in OFFICES | VALUES)


def test_a_later_value_supersedes_the_earlier_one() -> None:
    assert intervals(("acme", "CEO", "ann", 2020), ("acme", "CEO", "bob", 2022)) == {
        "acme|CEO|ann": (2020, 2022, "acme|CEO|bob"),
        "acme|CEO|bob": (2022, None, None),
    }


def test_an_attribute_is_one_whichever_way_round_it_is_stated() -> None:
    found = intervals(("acme", "CEO", "ann", 2020), ("bob", "is the chief executive officer of", "acme", 2022))
    assert found["acme|CEO|ann"] == (2020, 2022, "bob|is the chief executive officer of|acme")
    same = intervals(("acme", "CEO", "ann", 2020), ("ann", "CEO of", "acme", 2022))
    assert set(same.values()) == {(2020, None, None)}


def test_a_value_that_comes_back_is_valid_from_then_on() -> None:
    found = intervals(("x", "status", "a", 2020), ("x", "status", "b", 2021), ("x", "status", "a", 2022))
    assert found == {"x|status|a": (2022, None, None), "x|status|b": (2021, 2022, "x|status|a")}


def test_a_value_that_is_repeated_is_valid_since_it_was_first_stated() -> None:
    found = intervals(*(("x", "price", "a", year) for year in (2019, 2020, 2021)), ("x", "price", "b", 2022))
    assert found["x|price|a"] == (2019, 2022, "x|price|b")


def test_several_values_on_the_latest_date_make_it_an_attribute_of_many() -> None:
    found = intervals(("x", "owner", "a", 2020), ("x", "owner", "b", 2021), ("x", "owner", "c", 2021))
    assert {(until, by) for _, until, by in found.values()} == {(None, None)}


def test_a_value_that_outlives_a_tie_goes_on() -> None:
    found = intervals(("x", "owner", "a", 2020), ("x", "owner", "b", 2020), ("x", "owner", "b", 2021))
    assert found == {"x|owner|a": (2020, 2021, "x|owner|b"), "x|owner|b": (2020, None, None)}


def test_what_is_not_in_the_vocabulary_is_never_superseded() -> None:
    found = intervals(("x", "plays", "a", 2020), ("x", "plays", "b", 2021), ("x", "plays", "a", 2022))
    assert found == {"x|plays|a": (2020, None, None), "x|plays|b": (2021, None, None)}


def test_statements_without_a_date_neither_supersede_nor_are_superseded() -> None:
    found = intervals(("x", "status", "a", None), ("x", "status", "b", 2021), ("x", "status", "c", None))
    assert found == {"x|status|a": (None,) * 3, "x|status|b": (2021, None, None), "x|status|c": (None,) * 3}


def test_another_subject_or_attribute_supersedes_nothing() -> None:
    found = intervals(("x", "CEO", "a", 2020), ("y", "CEO", "b", 2021), ("x", "CFO", "c", 2022))
    assert {until for _, until, _ in found.values()} == {None}


def test_no_statements_give_no_intervals() -> None:
    assert intervals() == {}


@st.composite
def histories(draw: st.DrawFn) -> list[Statement]:
    predicate = st.sampled_from(["CEO", "plays", "status"])
    year = st.one_of(st.none(), st.integers(2020, 2024))
    row = st.tuples(st.sampled_from(["x", "y"]), predicate, st.sampled_from(["a", "b", "c"]), year)
    return draw(st.lists(row, max_size=14))


def oracle(statements: list[Statement]) -> dict[str, tuple[int | None, int | None, str | None]]:
    """The contract, year by year."""
    by: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for subject, predicate, value, year in statements:
        if year is not None:
            by[subject, predicate][year].add(value)
    out: dict[str, tuple[int | None, int | None, str | None]] = {}
    for subject, predicate, value, _ in statements:
        said = by[subject, predicate]
        years = sorted(said)
        mine = [year for year in years if value in said[year]]
        fact = f"{subject}|{predicate}|{value}"
        if not mine:
            out[fact] = (None, None, None)
        elif predicate == "plays" or len(said[years[-1]]) > 1:
            out[fact] = (mine[0], None, None)
        else:
            at = years.index(mine[-1])
            end = years[at + 1] if at + 1 < len(years) else None
            while at and value in said[years[at - 1]]:
                at -= 1
            out[fact] = (years[at], end, end and f"{subject}|{predicate}|{min(said[end])}")
    return out


@SOME
@given(statements=histories())
def test_the_intervals_are_those_of_a_walk_through_the_years(statements: list[Statement]) -> None:
    assert intervals(*statements) == oracle(statements)


@SOME
@given(statements=histories(), seed=st.integers(0, 99))
def test_the_intervals_are_a_function_of_the_set_of_statements(statements: list[Statement], seed: int) -> None:
    rows = table(*statements)
    shuffled = pl.concat([rows, rows.head(3)]).sample(fraction=1.0, shuffle=True, seed=seed)
    assert validity_of(rows).equals(validity_of(shuffled))


@SOME
@given(statements=histories())
def test_a_superseded_fact_ends_where_its_successor_is_stated(statements: list[Statement]) -> None:
    found = intervals(*statements)
    for fact, (since, until, by) in found.items():
        assert (until is None) == (by is None)
        if until is not None and by is not None and since is not None:
            assert since < until
            assert by != fact
            assert by.split("|")[:2] == fact.split("|")[:2]
            assert any(f"{s}|{p}|{o}" == by and year == until for s, p, o, year in statements)
