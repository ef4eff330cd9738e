"""Which earlier memories stand out among the nearest: the search for them and the mixture of their similarities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memory.association import UNDECIDED, fit_mixture, higher_component, linked, nearest_earlier


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def drawn(seed: int, rows: int, dimensions: int = 8) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, dimensions)))


def two_groups(seed: int, low: int, high: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.normal(0.3, 0.03, low), draw.normal(0.8, 0.02, high)])


class TestNearestEarlier:
    @given(seed=st.integers(0, 10_000), rows=st.integers(1, 30), k=st.integers(1, 6))
    def test_it_is_what_sorting_all_cosines_gives(self, seed: int, rows: int, k: int) -> None:
        vectors, ranks = drawn(seed, rows), np.arange(rows) // 2
        near = nearest_earlier(vectors, ranks, vectors, ranks, k)
        found = {row: [] for row in range(rows)}
        for row, column in zip(near.rows.tolist(), near.columns.tolist(), strict=True):
            found[row].append(column)
        for row in range(rows):
            cosines = vectors.astype(float) @ vectors[row].astype(float)
            earlier = [other for other in range(rows) if ranks[other] < ranks[row]]
            assert found[row] == sorted(earlier, key=lambda other: (-round(cosines[other], 6), other))[:k]

    @given(seed=st.integers(0, 10_000), cut=st.integers(0, 20))
    def test_scores_are_the_same_to_the_last_bit_in_any_batch(self, seed: int, cut: int) -> None:
        vectors, ranks = drawn(seed, 20, 33), np.arange(20)
        whole = nearest_earlier(vectors, ranks, vectors, ranks, 5)
        parts = [
            nearest_earlier(vectors[part], ranks[part], vectors, ranks, 5) for part in (slice(0, cut), slice(cut, 20))
        ]
        assert np.concatenate([part.scores for part in parts]).tobytes() == whole.scores.tobytes()
        assert np.concatenate([part.columns for part in parts]).tolist() == whole.columns.tolist()

    def test_equal_memories_are_told_apart_by_their_order(self) -> None:
        vectors = np.repeat(drawn(1, 1), 5, axis=0)
        near = nearest_earlier(vectors[4:], np.array([9]), vectors, np.arange(5), 3)
        assert near.columns.tolist() == [0, 1, 2]
        assert near.scores.tolist() == [1.0, 1.0, 1.0]

    def test_the_first_memory_has_none_and_a_vector_of_zeros_is_near_to_nothing(self) -> None:
        vectors = np.stack([np.zeros(4), np.eye(4)[0], -np.eye(4)[0]]).astype(np.float32)
        near = nearest_earlier(vectors, np.arange(3), vectors, np.arange(3), 2)
        assert near.rows.tolist() == [1, 2, 2]
        assert near.scores.tolist() == [0.0, 0.0, -1.0]
        assert not len(nearest_earlier(vectors, np.arange(3), vectors[:0], np.arange(0), 2).rows)

    def test_vectors_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="rank"):
            nearest_earlier(drawn(1, 2), np.arange(3), drawn(1, 2), np.arange(2), 1)
        with pytest.raises(ValueError, match="dimensions"):
            nearest_earlier(drawn(1, 2, 4), np.arange(2), drawn(1, 2, 5), np.arange(2), 1)


class TestMixture:
    @pytest.mark.parametrize(("low", "high"), [(12, 4), (8, 8), (13, 3)])
    def test_it_agrees_with_the_reference_on_groups_that_lie_apart(self, low: int, high: int) -> None:
        from sklearn.mixture import GaussianMixture

        for seed in range(8):
            scores = two_groups(seed, low, high)
            reference = GaussianMixture(
                2, reg_covar=0.01 * scores.var(), means_init=[[0.3], [0.8]], tol=1e-10, max_iter=500
            ).fit(scores[:, None])
            order = np.argsort(reference.means_[:, 0])
            mixture = fit_mixture(scores[None, :])
            assert mixture.means[0] == pytest.approx(reference.means_[order, 0], abs=1e-4)
            assert mixture.variances[0] == pytest.approx(reference.covariances_[order, 0, 0], rel=1e-2)
            assert mixture.weights[0] == pytest.approx(reference.weights_[order], abs=1e-4)
            shares = reference.predict_proba(scores[:, None])[:, order[1]]
            assert higher_component(scores[None, :])[0] == pytest.approx(shares, abs=1e-3)

    def test_the_higher_group_is_linked_and_no_other(self) -> None:
        scores = two_groups(3, 12, 4)
        assert linked(higher_component(scores[None, :]))[0].tolist() == [False] * 12 + [True] * 4

    @pytest.mark.parametrize("scores", [[], [0.9], [0.9, 0.1, 0.1], [0.4] * 8, [0.0] * 4])
    def test_too_few_or_equal_scores_link_nothing(self, scores: list[float]) -> None:
        row = np.array([scores + [np.nan] * (16 - len(scores))])
        probabilities = higher_component(row)[0]
        assert probabilities[: len(scores)].tolist() == [UNDECIDED] * len(scores)
        assert np.isnan(probabilities[len(scores) :]).all()
        assert not linked(probabilities).any()

    def test_one_score_far_above_the_others_is_linked_alone(self) -> None:
        scores = np.array([[0.31, 0.3, 0.3, 0.3, 0.95]])
        assert linked(higher_component(scores))[0].tolist() == [False] * 4 + [True]

    @given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 16)), elements=st.floats(-1, 1, width=16)))
    def test_probabilities_are_bounded_and_never_fall_as_scores_rise(self, scores: np.ndarray) -> None:
        ordered = np.sort(scores, axis=1)
        probabilities = higher_component(ordered)
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
        assert (np.diff(probabilities, axis=1) >= 0).all()

    @given(st.integers(0, 10_000), st.integers(4, 16), st.integers(1, 12))
    def test_a_row_does_not_depend_on_the_others_nor_on_the_order_of_its_scores(
        self, seed: int, size: int, rows: int
    ) -> None:
        draw = np.random.default_rng(seed)
        scores = draw.uniform(-1, 1, (rows, 16)).round(6)
        scores[0, size:] = np.nan
        together = higher_component(scores)
        assert together[0].tobytes() == higher_component(scores[:1])[0].tobytes()
        shuffled = draw.permutation(16)
        assert together[0][shuffled].tobytes() == higher_component(scores[:1, shuffled])[0].tobytes()

    @given(st.integers(0, 10_000), st.floats(0.01, 10), st.floats(-5, 5))
    def test_scale_and_shift_of_the_scores_change_nothing(self, seed: int, scale: float, shift: float) -> None:
        scores = two_groups(seed, 10, 5)[None, :]
        assert higher_component(scores * scale + shift) == pytest.approx(higher_component(scores), abs=1e-3)
