"""Layers: parts of a question, pieces of passages and memories change a base score convexly, and never invent one."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.aspects import aspects
from retrieval.fusion import shared_out
from retrieval.layers import layered, over_best, piece_scores, timed, with_aspects
from retrieval.temporal import TimeIntent, time_scores
from warehouse.sections import FusionSettings

SOME = settings(max_examples=200, deadline=None)
FOUND = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1, width=32), max_size=6)
WEIGHT = st.sampled_from([0.0, 0.2, 0.5])
SETTINGS = st.builds(
    FusionSettings, aspect_weight=WEIGHT, piece_weight=WEIGHT, memory_weight=WEIGHT, time_weight=WEIGHT
)
DEFAULT = FusionSettings()


class TestParts:
    @pytest.mark.parametrize(
        "question",
        ["", "?", "Who wrote it?", "When was the bridge in Porto opened, and why?", "a, b, c, d", "   ", ",,,;;"],
    )
    def test_a_short_question_is_one(self, question: str) -> None:
        assert aspects(question) == ()

    def test_a_question_over_two_documents_has_two(self) -> None:
        assert aspects(
            "Does the first report say that the mill was closed in May, while the second one says it burnt down?"
        ) == ("Does the first report say that the mill was closed in May", "the second one says it burnt down")

    def test_a_short_member_of_a_list_stays_with_its_neighbour(self) -> None:
        parts = aspects("Which town has a bridge of iron, a mill, and was the home of a painter of the sea?")
        assert parts == ("Which town has a bridge of iron, a mill", "was the home of a painter of the sea")

    @SOME
    @given(st.lists(st.sampled_from(["one two three four five", "word", "", " "]), max_size=20), st.sampled_from(", ;"))
    def test_parts_keep_every_word_in_order(self, pieces: list[str], mark: str) -> None:
        question = f"{mark} ".join(pieces)
        parts = aspects(question)
        assert len(parts) <= 6
        if parts:
            assert " ".join(parts).replace(",", "").split() == question.replace(",", "").replace(";", "").split()


class TestShares:
    def test_a_question_in_parts_shares_the_walk(self) -> None:
        shared = shared_out(DEFAULT, 4)
        assert shared.graph_weight == DEFAULT.graph_weight / 4
        assert shared.hop_weight == DEFAULT.hop_weight / 4
        assert shared_out(DEFAULT, 1) is DEFAULT

    def test_one_that_is_not_searched_in_parts_does_not(self) -> None:
        whole = FusionSettings(aspect_weight=0.0)
        assert shared_out(whole, 4) is whole


class TestAspects:
    @SOME
    @given(FOUND, SETTINGS)
    def test_a_question_without_parts_keeps_its_scores(self, found: dict[str, float], setting: FusionSettings) -> None:
        assert with_aspects(found, [], setting) == found

    @SOME
    @given(FOUND, st.lists(FOUND, min_size=1, max_size=4), SETTINGS)
    def test_scores_stay_in_bounds_and_on_what_was_found(
        self, found: dict[str, float], parts: list[dict[str, float]], setting: FusionSettings
    ) -> None:
        scores = with_aspects(found, parts, setting)
        assert set(scores) <= set(found).union(*parts)
        assert all(0 <= score <= 1 + 1e-6 for score in scores.values())

    def test_the_best_of_a_part_rises(self) -> None:
        scores = with_aspects({"a": 1.0, "b": 0.1}, [{"b": 0.5}, {"a": 0.2}], DEFAULT)
        assert scores["b"] > 0.1
        assert scores["b"] == pytest.approx((1 - DEFAULT.aspect_weight) * 0.1 + DEFAULT.aspect_weight)

    @SOME
    @given(FOUND)
    def test_over_the_best_the_best_is_one(self, found: dict[str, float]) -> None:
        scores = over_best(found)
        assert scores.keys() == found.keys()
        assert max(scores.values(), default=0.0) in (0.0, 1.0)


class TestPieces:
    @SOME
    @given(st.integers(1, 3), st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
    def test_the_nearest_piece_of_the_best_text_counts(self, texts: int, counts: list[int], seed: int) -> None:
        random = np.random.default_rng(seed)

        def units(count: int) -> np.ndarray:
            rows = np.abs(random.standard_normal((count, 4))).astype(np.float32) + np.float32(0.01)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        asked, pieces = units(texts), [units(count) for count in counts]
        scores = piece_scores(asked, pieces)
        assert scores.shape == (len(counts),)
        assert np.all((scores >= 0) & (scores <= 1 + 1e-6))
        if any(counts):
            nearest = np.array([[(piece @ asked.T).max(axis=0) if len(piece) else np.zeros(texts)] for piece in pieces])
            best = (nearest[:, 0] / nearest[:, 0].max(axis=0)).max(axis=1)
            assert np.all(np.argsort(-best, kind="stable")[:1] == np.argsort(-scores, kind="stable")[:1])
            assert scores.max() == pytest.approx(1.0)
        else:
            assert not scores.any()


class TestLayers:
    @SOME
    @given(FOUND, FOUND, FOUND, SETTINGS)
    def test_the_sum_is_convex(
        self, base: dict[str, float], pieces: dict[str, float], memories: dict[str, float], setting: FusionSettings
    ) -> None:
        scores = layered(base, pieces, memories, setting)
        assert set(scores) == {*base, *pieces, *memories}
        assert all(-1e-9 <= score <= 1 + 1e-6 for score in scores.values())

    @SOME
    @given(FOUND, SETTINGS)
    def test_without_pieces_and_memories_nothing_changes(self, base: dict[str, float], setting: FusionSettings) -> None:
        assert layered(base, {}, {}, setting) == pytest.approx(base)


class TestTime:
    MAY = TimeIntent(since=date(2023, 5, 1), until=date(2023, 5, 31), scale=31)

    def test_what_lies_in_the_range_comes_first_and_the_undated_between(self) -> None:
        days = np.array(["2023-05-07", "NaT", "2021-01-01"], dtype="datetime64[D]")
        suits = dict(zip("abc", time_scores(days, days, self.MAY).tolist(), strict=True))
        scores = timed(dict.fromkeys("abc", 0.5), suits, DEFAULT)
        assert scores["a"] > scores["b"] > scores["c"] > 0

    @SOME
    @given(FOUND, SETTINGS)
    def test_scores_stay_in_bounds(self, base: dict[str, float], setting: FusionSettings) -> None:
        suits = {key: (place % 3) / 2 for place, key in enumerate(sorted(base))}
        assert all(0 <= score <= 1 + 1e-6 for score in timed(base, suits, setting).values())
