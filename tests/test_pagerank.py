"""Personalized PageRank agrees with two other implementations, and is never further off than it says."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numba.core import caching
from numpy.typing import NDArray
from scipy import sparse

from graph import pagerank
from graph.pagerank import PageRank, personalized_pagerank, personalized_pagerank_batch
from graph.push import push
from graph.relaxation import relax
from graph.walk import Walk

SOME = settings(max_examples=100, deadline=None)
DAMPINGS = st.sampled_from([0.0, 0.2, 0.5, 0.85])

Weights = NDArray[np.float64]
Case = tuple[Weights, Weights]


@st.composite
def some_case(draw: st.DrawFn) -> Case:
    """Weights of an undirected graph as a symmetric matrix, and a reset.

    Nodes may be isolated or have a loop; parallel edges add up; weights differ by up to eight orders of magnitude.
    """
    n = draw(st.integers(1, 14))
    weights = np.zeros((n, n))
    node = st.integers(0, n - 1)
    edge = st.tuples(node, node, st.sampled_from([1e-4, 0.25, 1.0, 3.0, 1e4]))
    for one, other, weight in draw(st.lists(edge, max_size=3 * n)):
        weights[one, other] += weight
        if one != other:
            weights[other, one] += weight
    reset = np.array(draw(st.lists(st.sampled_from([0.0, 0.0, 1e-3, 0.5, 7.0]), min_size=n, max_size=n)))
    assume(reset.sum() > 0)
    return weights.astype(np.float32).astype(float), reset


def walk_of(weights: Weights) -> Walk:
    return Walk.of(sparse.csr_array(weights))


def solved(weights: Weights, reset: Weights, damping: float) -> Weights:
    """The exact scores; what is at a node without edges goes back to the reset."""
    start = reset / reset.sum()
    degree = weights.sum(axis=0)
    columns = np.divide(weights, degree, out=np.tile(start[:, None], (1, len(start))), where=degree > 0)
    found: Weights = np.linalg.solve(np.eye(len(start)) - damping * columns, (1 - damping) * start)
    return found


def distance(ranked: PageRank, exact: Weights) -> float:
    return float(np.abs(ranked.dense(len(exact)).astype(float) - exact).sum())


def passages_and_entities(passages: int, seed: int) -> Walk:
    """A random graph where passages come first and each names about six of half as many entities again."""
    chance = np.random.default_rng(seed)
    entities = passages * 3 // 2
    rows = np.repeat(np.arange(passages), 6)
    columns = passages + np.minimum((entities * chance.random(len(rows)) ** 3).astype(int), entities - 1)
    weights = chance.uniform(0.2, 1.0, len(rows))
    n = passages + entities
    half = sparse.coo_array((weights, (rows, columns)), shape=(n, n)).tocsr()
    return Walk.of(sparse.csr_array(half + half.T))


def some_resets(walk: Walk, count: int, seed: int) -> list[tuple[NDArray[np.int64], Weights]]:
    chance = np.random.default_rng(seed)
    return [(chance.choice(walk.nodes, 20, replace=False), chance.uniform(0.1, 1.0, 20)) for _ in range(count)]


def reference(walk: Walk, reset: tuple[NDArray[np.int64], Weights], damping: float = 0.5) -> Weights:
    """igraph's prpack, of the walk's own arrays."""
    heads = np.repeat(np.arange(walk.nodes), np.diff(walk.indptr))
    once = heads <= walk.indices
    other = igraph.Graph(walk.nodes, np.column_stack([heads[once], walk.indices[once]]).tolist())
    start = np.zeros(walk.nodes)
    start[reset[0]] = reset[1]
    found = other.personalized_pagerank(
        directed=False,
        damping=damping,
        reset=start.tolist(),
        weights=walk.weights[once].astype(float).tolist(),
        implementation="prpack",
    )
    return np.array(found)


class TestOracles:
    @settings(SOME, max_examples=40)
    @given(some_case(), DAMPINGS)
    @example((np.zeros((1, 1)), np.ones(1)), 0.5)
    @example((np.ones((1, 1)), np.ones(1)), 0.85)
    def test_is_that_of_networkx(self, case: Case, damping: float) -> None:
        weights, reset = case
        other = nx.Graph()
        other.add_nodes_from(range(len(reset)))
        other.add_weighted_edges_from(
            (int(a), int(b), weights[a, b]) for a, b in zip(*np.nonzero(weights), strict=True)
        )
        start = dict(enumerate(reset.tolist()))
        expected = nx.pagerank(other, damping, personalization=start, weight="weight", tol=1e-13, max_iter=2000)
        found = personalized_pagerank(walk_of(weights), reset, damping)
        np.testing.assert_allclose(found.dense(len(reset)), [expected[node] for node in range(len(reset))], atol=1e-6)

    @SOME
    @given(some_case(), st.sampled_from([0.2, 0.5, 0.85]))
    def test_is_that_of_igraph(self, case: Case, damping: float) -> None:
        weights, reset = case
        edges = [(int(a), int(b)) for a, b in zip(*np.nonzero(weights), strict=True)]
        expected = igraph.Graph(len(reset), edges, directed=True).personalized_pagerank(
            damping=damping,
            reset=reset.tolist(),
            weights=[weights[edge] for edge in edges],
            implementation="prpack",
        )
        found = personalized_pagerank(walk_of(weights), reset, damping)
        np.testing.assert_allclose(found.dense(len(reset)), expected, atol=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_of_a_larger_graph_the_best_passages_are_those_of_prpack(self, seed: int) -> None:
        walk = passages_and_entities(4_000, seed)
        resets = some_resets(walk, 2, seed)
        batch, _ = personalized_pagerank_batch(walk, resets)
        for column, reset in enumerate(resets):
            expected = reference(walk, reset)[:4_000]
            best = set(np.argsort(-expected)[:50])
            found = personalized_pagerank(walk, reset, top=50, among=4_000)
            assert found.method == "push"
            assert len(best & set(np.argsort(-found.dense(4_000))[:50])) >= 49
            assert best == set(np.argsort(-batch[:4_000, column])[:50])


class TestBounds:
    @SOME
    @given(some_case(), DAMPINGS, st.sampled_from([1e-1, 1e-3, 1e-6]))
    def test_what_it_returns_is_within_its_bound_and_the_bound_within_the_tolerance(
        self, case: Case, damping: float, tolerance: float
    ) -> None:
        weights, reset = case
        found = personalized_pagerank(walk_of(weights), reset, damping, tolerance)
        assert distance(found, solved(weights, reset, damping)) <= found.bound
        assert found.bound <= (tolerance if damping < 0.85 or tolerance > 1e-6 else 5e-6)
        assert found.scores.astype(float).sum() == pytest.approx(1.0, abs=1e-6)
        assert found.scores.min() >= 0

    @SOME
    @given(some_case(), DAMPINGS, st.sampled_from([1e-1, 1e-3, 1e-8]), st.integers(0, 5))
    def test_a_push_is_nowhere_too_high_and_lacks_what_it_says(
        self, case: Case, damping: float, tolerance: float, top: int
    ) -> None:
        weights, reset = case
        start = (np.flatnonzero(reset).astype(np.int32), reset[reset > 0] / reset.sum())
        pushed = push(walk_of(weights), start, damping, tolerance, 10**9, top, len(reset))
        assert pushed is not None
        isolated = weights.sum(axis=0) == 0
        whole = 1 - damping * reset[isolated].sum() / reset.sum()
        exact = solved(weights, reset, damping) * whole
        scores = np.zeros(len(reset))
        scores[pushed.nodes] = pushed.scores
        assert np.all(scores <= exact + 1e-12)
        assert (exact - scores).sum() == pytest.approx(pushed.lacking, abs=1e-12)
        assert top or pushed.lacking <= tolerance * 1.0001

    @SOME
    @given(some_case(), DAMPINGS, st.sampled_from([1e-1, 1e-6]), st.integers(1, 40))
    def test_a_batch_is_within_its_bounds_whatever_its_width(
        self, case: Case, damping: float, tolerance: float, width: int
    ) -> None:
        weights, reset = case
        resets = [np.roll(reset, shift) for shift in range(width)]
        scores, bounds = personalized_pagerank_batch(walk_of(weights), resets, damping, tolerance)
        assert scores.shape == (len(reset), width)
        for column, each in enumerate(resets):
            assert np.abs(scores[:, column].astype(float) - solved(weights, each, damping)).sum() <= bounds[column]

    def test_of_a_larger_graph_they_hold_for_push_and_for_sweeps(self) -> None:
        walk = passages_and_entities(2_000, 7)
        for reset in some_resets(walk, 3, 7):
            expected = reference(walk, reset)
            quick = personalized_pagerank(walk, reset, top=20)
            full = personalized_pagerank(walk, reset)
            assert (quick.method, full.method) == ("push", "relaxation")
            assert distance(quick, expected) <= quick.bound < 1
            assert distance(full, expected) <= full.bound <= 1e-6

    def test_past_the_reach_of_float32_the_bound_stays_above_the_tolerance(self) -> None:
        walk = passages_and_entities(500, 1)
        reset = some_resets(walk, 1, 1)[0]
        found = personalized_pagerank(walk, reset, 0.98, 1e-12)
        assert 1e-12 < found.bound < 1e-4
        assert distance(found, reference(walk, reset, 0.98)) <= found.bound


class TestChoice:
    def test_a_dense_reset_is_swept(self) -> None:
        walk = passages_and_entities(2_000, 3)
        assert personalized_pagerank(walk, np.ones(walk.nodes), top=10).method == "relaxation"

    def test_a_push_that_does_not_settle_in_time_is_given_up_for_sweeps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        walk = passages_and_entities(2_000, 4)
        reset = some_resets(walk, 1, 4)[0]
        assert personalized_pagerank(walk, reset, top=20).method == "push"
        monkeypatch.setattr(pagerank, "_PUSH_COST", 400.0)
        found = personalized_pagerank(walk, reset, top=20)
        assert (found.method, found.bound <= 1e-6) == ("relaxation", True)
        monkeypatch.undo()
        again = personalized_pagerank(walk, reset, top=20)
        assert distance(again, reference(walk, reset)) <= again.bound, "what the other push left behind is not there"

    def test_a_small_component_of_a_large_graph_is_pushed_to_full_accuracy(self) -> None:
        large = passages_and_entities(2_000, 5)
        n = large.nodes
        pair = sparse.csr_array(([1.0, 1.0], ([n, n + 1], [n + 1, n])), shape=(n + 2, n + 2))
        rest = sparse.csr_array((large.weights, large.indices, large.indptr), shape=(n, n))
        rest.resize(n + 2, n + 2)
        found = personalized_pagerank(Walk.of(sparse.csr_array(rest + pair)), (np.array([n]), np.ones(1)))
        assert found.method == "push" and found.bound <= 1e-6
        assert dict(zip(found.nodes.tolist(), found.scores.tolist(), strict=True)) == {
            n: pytest.approx(2 / 3, abs=1e-6),
            n + 1: pytest.approx(1 / 3, abs=1e-6),
        }


class TestResets:
    @SOME
    @given(some_case(), st.sampled_from([0.5, 3.0, 1e6]))
    def test_their_scale_does_not_matter(self, case: Case, factor: float) -> None:
        walk, n = walk_of(case[0]), len(case[1])
        one, other = (personalized_pagerank(walk, case[1] * scale).dense(n) for scale in (1.0, factor))
        np.testing.assert_allclose(one, other, atol=1e-6)

    @SOME
    @given(some_case(), st.data())
    def test_given_as_nodes_and_weights_they_are_the_same_in_any_order(self, case: Case, data: st.DataObject) -> None:
        weights, reset = case
        nodes = np.array(data.draw(st.permutations([*range(len(reset)), *range(len(reset))])))
        twice = personalized_pagerank(walk_of(weights), (nodes, reset[nodes] / 2))
        once = personalized_pagerank(walk_of(weights), reset)
        np.testing.assert_array_equal(twice.dense(len(reset)), once.dense(len(reset)))

    @pytest.mark.parametrize(
        "reset",
        [
            np.zeros(2),
            np.array([-1.0, 2.0]),
            np.array([-1.0, 0.0]),
            np.array([np.nan, 1.0]),
            np.array([np.inf, 1.0]),
            np.ones(3),
            (np.array([2]), np.ones(1)),
            (np.array([-1]), np.ones(1)),
            (np.array([0, 1]), np.ones(1)),
            (np.empty(0, np.int64), np.empty(0)),
        ],
        ids=str,
    )
    def test_there_must_be_somewhere_to_start(self, reset: Weights) -> None:
        for solve in (personalized_pagerank, lambda walk, each: personalized_pagerank_batch(walk, [each])):
            with pytest.raises(ValueError, match="reset"):
                solve(walk_of(np.ones((2, 2))), reset)

    def test_a_graph_without_nodes_has_nowhere_to_start(self) -> None:
        with pytest.raises(ValueError, match="reset"):
            personalized_pagerank(walk_of(np.zeros((0, 0))), np.zeros(0))

    @pytest.mark.parametrize(("damping", "tolerance"), [(1.0, 0.1), (-0.1, 0.1), (np.nan, 0.1), (0.5, 0.0), (0.5, 1.0)])
    def test_damping_and_tolerance_have_their_ranges(self, damping: float, tolerance: float) -> None:
        for solve in (personalized_pagerank, lambda w, r, *a: personalized_pagerank_batch(w, [r], *a)):
            with pytest.raises(ValueError, match=r"damping|tolerance"):
                solve(walk_of(np.ones((2, 2))), np.ones(2), damping, tolerance)

    def test_a_batch_of_none_is_empty(self) -> None:
        scores, bounds = personalized_pagerank_batch(walk_of(np.ones((2, 2))), [])
        assert scores.shape == (2, 0) and bounds.shape == (0,)


class TestSharing:
    def test_threads_at_once_get_what_one_gets_alone(self) -> None:
        walk = passages_and_entities(3_000, 6)
        resets = some_resets(walk, 24, 6)

        def rank(at: int) -> tuple[bytes, bytes, bytes]:
            quick = personalized_pagerank(walk, resets[at], top=20)
            full = personalized_pagerank(walk, resets[at])
            return quick.nodes.tobytes(), quick.scores.tobytes(), full.scores.tobytes()

        alone = [rank(at) for at in range(len(resets))]
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(rank, [*range(len(resets))] * 3)) == alone * 3

    def test_a_batch_over_threads_is_the_same_each_time_and_as_one_at_a_time(self) -> None:
        walk = passages_and_entities(1_000, 8)
        resets = some_resets(walk, 70, 8)
        scores, bounds = personalized_pagerank_batch(walk, resets)
        again, _ = personalized_pagerank_batch(walk, resets)
        np.testing.assert_array_equal(scores, again)
        for column in (0, 15, 16, 69):
            alone = relax(walk, [pagerank._normalised(resets[column], walk.nodes)], 0.5, 1e-6)[0]
            assert np.abs(scores[:, column] - alone[:, 0]).sum() <= 2 * bounds[column]

    def test_arrays_that_are_mapped_and_only_read_will_do(self, tmp_path: Path) -> None:
        walk = passages_and_entities(1_000, 9)
        names = ("indptr", "indices", "weights", "degree")
        for name in names:
            np.save(tmp_path / f"{name}.npy", getattr(walk, name))
        mapped = Walk(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in names))
        reset = some_resets(walk, 1, 9)[0]
        for top in (0, 20):
            one, other = personalized_pagerank(walk, reset, top=top), personalized_pagerank(mapped, reset, top=top)
            np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(
            personalized_pagerank_batch(walk, [reset] * 2)[0], personalized_pagerank_batch(mapped, [reset] * 2)[0]
        )

    def test_a_workspace_of_a_larger_graph_serves_a_smaller_one(self) -> None:
        for passages in (400, 3_000, 500):
            walk = passages_and_entities(passages, 10)
            reset = some_resets(walk, 1, 10)[0]
            found = personalized_pagerank(walk, reset, top=5)
            assert distance(found, reference(walk, reset)) <= found.bound


class TestKernels:
    def test_are_compiled_without_a_folder_to_cache_them_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
        kernels = importlib.import_module("graph.kernels")
        signature = kernels.types.int64(kernels.types.int64)
        double: Callable[[int], int] = kernels.compiled(signature)(_double)
        assert double(21) == 42

    def test_are_not_loaded_before_they_are_needed(self) -> None:
        code = "import sys, retrieval, graph.pagerank, pipelines.cli; sys.exit('numba' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
        assert done.returncode == 0


def _double(number: int) -> int:
    return 2 * number
