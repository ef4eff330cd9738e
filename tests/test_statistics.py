"""Intervals, paired tests and corrections, against brute force and other libraries."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from evaluation.statistics import compare, holm, mean_interval, mean_intervals, paired_p_value, share_interval


def test_intervals_are_those_of_another_bootstrap() -> None:
    values = np.random.default_rng(1).binomial(1, 0.7, size=150).astype(float)
    mine = mean_interval(values.tolist())
    other = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert mine.value == values.mean()
    assert mine.low == pytest.approx(other.low, abs=0.01)
    assert mine.high == pytest.approx(other.high, abs=0.01)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    chance = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = mean_interval(chance.normal(0.3, 1.0, size=80).tolist())
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_columns_are_judged_together_as_alone() -> None:
    columns = np.random.default_rng(4).random((40, 3))
    together, alone = mean_intervals(columns)[1], mean_interval(columns[:, 1].tolist())
    assert (together.value, together.low, together.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_nothing_has_no_mean() -> None:
    assert mean_interval([]).value is None
    assert share_interval([True], [False]).value is None
    one = mean_interval([0.25])
    assert (one.value, one.low, one.high, one.count) == (0.25, 0.25, 0.25, 1)


def test_a_share_counts_only_what_it_is_among() -> None:
    assert share_interval([True, False, True, True], [True, True, True, False]).value == pytest.approx(2 / 3)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_p_is_the_share_of_sign_flips_as_extreme(differences: list[int]) -> None:
    values = np.array(differences, dtype=float)
    sums = [float(np.dot(signs, values)) for signs in product((-1, 1), repeat=len(values))]
    observed = values.sum()
    greater = sum(total >= observed - 1e-9 for total in sums) / len(sums)
    less = sum(total <= observed + 1e-9 for total in sums) / len(sums)
    assert paired_p_value(values, "greater") == pytest.approx(greater if values.any() else 1.0)
    assert paired_p_value(values) == pytest.approx(min(1.0, 2 * min(greater, less)) if values.any() else 1.0)


def test_p_of_many_questions_is_the_same_every_time() -> None:
    values = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], size=300, p=[0.1, 0.6, 0.3])
    assert paired_p_value(values) == paired_p_value(values) < 0.001


def test_holm_on_a_known_example() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(raw: dict[str, float]) -> None:
    corrected = holm(raw)
    assert list(corrected) == list(raw)
    for name, p in raw.items():
        assert p <= corrected[name] + 1e-12
        assert corrected[name] <= 1.0
    assert min(corrected.values()) == pytest.approx(min(1.0, min(raw.values()) * len(raw)))
    ordered = sorted(raw, key=lambda name: raw[name])
    assert [corrected[name] for name in ordered] == sorted(corrected.values())


def test_a_comparison_counts_questions_and_names_the_better() -> None:
    values = {
        "new": {str(number): 1.0 for number in range(12)},
        "old": {str(number): float(number < 2) for number in range(12)},
        "same": {str(number): 1.0 for number in range(12)},
    }
    against_old, against_same = compare("recall@5", values, "new", ["old", "same"])
    assert (against_old.wins, against_old.losses, against_old.ties) == (10, 0, 2)
    assert against_old.difference.value == pytest.approx(10 / 12)
    assert against_old.significant
    assert against_old.p_corrected == pytest.approx(2 * against_old.p)
    assert against_old.effect is not None and against_old.effect > 1
    assert not against_same.significant
    assert against_same.effect is None
