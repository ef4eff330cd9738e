"""Forgetting, pure: a tally is a function of the set of events; strength, retention and prior keep their bounds."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.forgetting import (
    EVENTS_SCHEMA,
    EventKind,
    Forgetting,
    is_cold,
    prior,
    retention,
    strengths,
    tally,
)

START = datetime(2026, 3, 2, 12)
END = START + timedelta(days=400)
KINDS = [kind.value for kind in EventKind]

events = st.lists(
    st.tuples(
        st.sampled_from([f"e{number}" for number in range(12)]),
        st.sampled_from(["p", "q"]),
        st.just("d"),
        st.sampled_from(KINDS),
        st.integers(0, 500).map(lambda hours: START + timedelta(hours=hours)),
    ),
    max_size=25,
)
positive = st.floats(0.1, 12.0)
days = st.floats(0.0, 5000.0)
weights = st.floats(0.0, 0.99)


def frame_of(rows: list[tuple[str, str, str, str, datetime]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row")


def one(*kinds: EventKind) -> pl.DataFrame:
    """The tally of a memory to which these things happened, an hour after another."""
    return tally(
        frame_of([(f"e{n}", "p", "d", kind.value, START + timedelta(hours=n)) for n, kind in enumerate(kinds)]), END
    )


def strength_of(*kinds: EventKind, forgetting: Forgetting = Forgetting()) -> float:  # noqa: B008
    return float(strengths(one(*kinds), forgetting)[0])


class TestTally:
    @given(rows=events, seed=st.randoms())
    def test_neither_order_nor_repetition_changes_it(
        self, rows: list[tuple[str, str, str, str, datetime]], seed: object
    ) -> None:
        other = [*rows, *rows[:7]]
        seed.shuffle(other)  # type: ignore[attr-defined]
        assert tally(frame_of(rows), END).equals(tally(frame_of(other), END))

    @given(rows=events, cut=st.integers(0, 25))
    def test_of_two_portions_with_ids_of_their_own_the_counts_add_up(
        self, rows: list[tuple[str, str, str, str, datetime]], cut: int
    ) -> None:
        named = [(f"{number}-{row[0]}", *row[1:]) for number, row in enumerate(rows)]
        whole = tally(frame_of(named), END)
        parts = pl.concat([tally(frame_of(named[:cut]), END), tally(frame_of(named[cut:]), END)])
        added = parts.group_by("target_id", "document_id").agg(
            *(pl.col(kind).sum() for kind in KINDS), pl.col("recalled_at").max()
        )
        assert whole.equals(added.sort("target_id", "document_id").select(whole.columns))

    @given(rows=events)
    def test_each_id_counts_once(self, rows: list[tuple[str, str, str, str, datetime]]) -> None:
        counted = tally(frame_of(rows), END).select(KINDS).sum_horizontal().sum()
        assert counted == len({row[0] for row in rows})

    def test_of_two_events_with_one_id_the_earlier_counts(self) -> None:
        rows = [("e", "p", "d", "cited", START), ("e", "p", "d", "rejected", START + timedelta(hours=1))]
        for ordered in (rows, rows[::-1]):
            assert tally(frame_of(ordered), END).select(KINDS).row(0) == (0, 1, 0, 0)

    def test_what_is_to_come_does_not_count_yet(self) -> None:
        rows = frame_of([("e", "p", "d", "cited", START)])
        assert tally(rows, START - timedelta(seconds=1)).is_empty()
        assert tally(rows, START).height == 1

    def test_a_rejection_is_no_recall(self) -> None:
        assert one(EventKind.REJECTED)["recalled_at"].to_list() == [None]
        assert one(EventKind.RETURNED, EventKind.REJECTED)["recalled_at"].to_list() == [START]


class TestStrength:
    def test_it_grows_little_by_returning_more_by_citing_most_by_confirming(self) -> None:
        grown = [strength_of(kind) for kind in (EventKind.RETURNED, EventKind.CITED, EventKind.CONFIRMED)]
        assert grown == pytest.approx([1.05, 1.5, 2.0])

    def test_a_rejection_shrinks_it_and_a_confirmation_takes_that_back(self) -> None:
        assert strength_of(EventKind.REJECTED) == pytest.approx(0.5)
        assert strength_of(EventKind.REJECTED, EventKind.CONFIRMED) == pytest.approx(1.5)

    def test_it_is_bounded(self) -> None:
        bounds = Forgetting(weakest=0.2, strongest=3.0)
        assert strength_of(*[EventKind.CONFIRMED] * 50, forgetting=bounds) == 3.0
        assert strength_of(*[EventKind.REJECTED] * 50, forgetting=bounds) == 0.2


class TestRetention:
    def test_it_is_the_curve_of_the_paper(self) -> None:
        assert retention(np.array([1.0]), np.array([30.0]), 30.0)[0] == pytest.approx(math.exp(-1))
        assert retention(np.array([2.0]), np.array([30.0]), 30.0)[0] == pytest.approx(math.exp(-0.5))

    @given(weak=positive, more=st.floats(0.0, 5.0), idle=days)
    def test_a_stronger_memory_keeps_no_less(self, weak: float, more: float, idle: float) -> None:
        kept = retention(np.array([weak, weak + more]), np.array([idle, idle]), 30.0)
        assert 0.0 <= kept[0] <= kept[1] <= 1.0

    def test_a_recall_that_is_still_to_come_counts_as_now(self) -> None:
        assert retention(np.array([1.0]), np.array([-3.0]), 30.0)[0] == 1.0


class TestPrior:
    @given(strength=positive, retained=st.floats(0.0, 1.0), weight=weights)
    def test_it_stays_within_its_weight(self, strength: float, retained: float, weight: float) -> None:
        factor = prior(np.array([strength]), np.array([retained]), weight)[0]
        assert 1.0 - weight <= factor <= 1.0 + weight

    @given(retained=st.floats(0.0, 1.0), weight=weights)
    def test_without_events_it_is_exactly_one(self, retained: float, weight: float) -> None:
        assert prior(np.array([1.0]), np.array([retained]), weight)[0] == 1.0

    @given(strength=positive, retained=st.floats(0.0, 1.0))
    def test_with_no_weight_it_is_exactly_one(self, strength: float, retained: float) -> None:
        assert prior(np.array([strength]), np.array([retained]), 0.0)[0] == 1.0

    def test_praise_fades_and_blame_does_not(self) -> None:
        both = np.array([2.0, 0.5])
        assert prior(both, np.array([1.0, 1.0]), 0.1) == pytest.approx([1.05, 0.95])
        assert prior(both, np.array([0.0, 0.0]), 0.1) == pytest.approx([1.0, 0.95])


class TestCold:
    def test_it_takes_both_little_retained_and_a_long_time(self) -> None:
        forgetting = Forgetting(days=10.0, cold_retention=0.05, cold_days=60.0)
        strength = np.array([1.0, 1.0, 4.0, 0.1])
        idle = np.array([59.0, 60.0, 60.0, 20.0])
        assert is_cold(strength, idle, forgetting).tolist() == [False, True, False, False]
