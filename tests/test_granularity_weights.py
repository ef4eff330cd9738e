"""Which granularity a question is answered at: by how sharply its similarities fall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retrieval.granularity import granularity_weights, peakedness

similarities = arrays(np.float32, st.integers(0, 30), elements=st.floats(-1, 1, width=32))
several = st.dictionaries(st.sampled_from("fact episode summary turn".split()), similarities, min_size=1)

PEAKED = np.array([0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], np.float32)
SLOPED = np.linspace(0.6, 0.3, 8, dtype=np.float32)
FLAT = np.full(8, 0.5, np.float32)


@given(several)
def test_weights_are_shares(found: dict[str, np.ndarray]) -> None:
    weights = granularity_weights(found)
    assert weights.keys() == found.keys()
    assert all(0 <= weight <= 1 for weight in weights.values())
    assert sum(weights.values()) == pytest.approx(1)


@given(several)
def test_a_granularity_that_found_nothing_has_no_say_where_another_found_something(
    found: dict[str, np.ndarray],
) -> None:
    weights = granularity_weights(found)
    if any(map(len, found.values())):
        assert all(weights[name] == 0 for name, scores in found.items() if not len(scores))


@given(several, st.integers(-4, 4), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_shift_of_one_granularity_and_a_scale_of_all_change_nothing(
    found: dict[str, np.ndarray], shift: int, scale: float
) -> None:
    exact = {name: np.round(scores.astype(np.float64), 3) for name, scores in found.items()}
    name = min(exact)
    moved = {other: (scores + (shift if other == name else 0)) * scale for other, scores in exact.items()}
    assert granularity_weights(moved) == pytest.approx(granularity_weights(exact), abs=1e-6)


@given(several)
def test_the_order_of_the_similarities_does_not_matter(found: dict[str, np.ndarray]) -> None:
    assert granularity_weights({name: scores[::-1] for name, scores in found.items()}) == granularity_weights(found)


def test_the_peaked_granularity_weighs_more() -> None:
    weights = granularity_weights({"fact": PEAKED, "episode": SLOPED, "summary": FLAT})
    assert weights["fact"] > weights["episode"] > weights["summary"] == 0


@given(st.integers(2, 400), st.integers(2, 400), st.floats(0.05, 2))
def test_the_weights_never_turn_the_order_of_the_peaks_around(few: int, many: int, gap: float) -> None:
    """At any number of memories, so at entropies below and above 1 nat."""
    one = np.r_[gap, np.zeros(few - 1)]
    other = np.r_[gap / 2, np.zeros(few - 1)]
    weights = granularity_weights({"sharp": one, "dull": other, "many": np.r_[gap, np.zeros(many - 1)]}, judged=400)
    assert weights["sharp"] > weights["dull"]


def published(found: dict[str, np.ndarray]) -> dict[str, float]:
    """The weights of MemGAS's code."""
    gains = {}
    for name, scores in found.items():
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        gains[name] = 1 + float((shares * np.log(shares)).sum())
    return {name: gain / sum(gains.values()) for name, gain in gains.items()}


def test_above_one_nat_the_published_weights_prefer_the_flat_granularity_and_ours_do_not() -> None:
    found = {"fact": PEAKED, "summary": FLAT}
    wrong, ours = published(found), granularity_weights(found)
    assert wrong["fact"] < wrong["summary"]
    assert ours["fact"] > ours["summary"]


def test_where_nothing_stands_out_all_weigh_the_same() -> None:
    assert granularity_weights({"fact": FLAT, "episode": FLAT * 0.5}) == {"fact": 0.5, "episode": 0.5}
    none = np.empty(0, np.float32)
    assert granularity_weights({"fact": FLAT, "episode": none}) == {"fact": 1.0, "episode": 0.0}
    assert granularity_weights({"fact": none, "episode": none}) == {"fact": 0.5, "episode": 0.5}
    assert granularity_weights({}) == {}


def test_one_memory_alone_is_no_peak() -> None:
    assert granularity_weights({"summary": FLAT[:1], "fact": SLOPED}) == {"summary": 0.0, "fact": 1.0}
    assert peakedness(np.array([0.9]), 0.1) == 0


@given(st.floats(0.05, 5), st.floats(1.1, 4))
def test_a_lower_temperature_sharpens(temperature: float, factor: float) -> None:
    assert peakedness(SLOPED, temperature) > peakedness(SLOPED, temperature * factor)


def test_only_the_best_are_judged_and_the_temperature_is_above_zero() -> None:
    more = np.r_[SLOPED, np.full(100, -1.0)]
    weights = granularity_weights({"fact": more, "episode": PEAKED}, judged=8)
    assert weights == granularity_weights({"fact": SLOPED, "episode": PEAKED}, judged=8)
    with pytest.raises(ValueError, match="temperature"):
        granularity_weights({"fact": PEAKED}, temperature=0)
