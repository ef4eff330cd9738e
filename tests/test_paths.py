"""The paths that are shown are the largest terms of a passage's PageRank, and name their edges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from test_graph import EXAMPLE, Fact, Rows, compiled, some_rows

from graph.compiled import CompiledGraph, GraphParameters
from graph.pagerank import DAMPING, personalized_pagerank
from graph.paths import EdgeKind, WalkPath, strongest_paths

SOME = settings(max_examples=60, deadline=None)
TIED = GraphParameters(max_share=1.0, fact_weight=0.5, neighbour_weight=0.5)


def transitions(graph: CompiledGraph) -> np.ndarray:
    """``[to, from]``: chances of one step."""
    walk, n = graph.walk(), graph.passages + graph.entities
    weights = sparse.csr_array((walk.weights, walk.indices, walk.indptr), shape=(n, n)).toarray()
    return np.divide(weights, walk.degree, out=np.zeros_like(weights), where=walk.degree > 0)


def simple_paths(graph: CompiledGraph, node: int, seen: tuple[int, ...]) -> Iterator[tuple[int, float]]:
    """Starts of all paths to a node that pass none twice, with the product of their factors."""
    yield node, 1.0
    walk = transitions(graph)
    for before in np.flatnonzero(walk[node]).tolist():
        if before not in seen:
            for start, factor in simple_paths(graph, before, (*seen, before)):
                yield start, factor * DAMPING * float(walk[node, before])


def named(graph: CompiledGraph, path: WalkPath) -> list[tuple[str, str]]:
    keys = [*map(str, range(graph.passages)), *graph.entity_table["key"].to_list()]
    return [(str(edge.kind), keys[edge.end]) for edge in path.edges]


def reset_on(graph: CompiledGraph, shares: dict[int, float]) -> np.ndarray:
    reset = np.zeros(graph.passages + graph.entities, np.float32)
    reset[list(shares)] = list(shares.values())
    return reset


@SOME
@given(some_rows(passages=4, entities=3), st.data())
def test_they_are_the_strongest_of_all_paths(rows: Rows, data: st.DataObject) -> None:
    graph = compiled(rows, TIED)
    if not graph.passages:
        return
    nodes = st.integers(0, graph.passages + graph.entities - 1)
    shares = data.draw(st.dictionaries(nodes, st.sampled_from([0.25, 1.0, 2.0]), min_size=1, max_size=4))
    passage = data.draw(st.integers(0, graph.passages - 1))
    best: dict[int, float] = {}
    for start, factor in simple_paths(graph, passage, (passage,)):
        if start in shares:
            strength = (1 - DAMPING) * shares[start] / sum(shares.values()) * factor
            best[start] = max(best.get(start, 0.0), strength)
    found = strongest_paths(graph, reset_on(graph, shares), passage, count=3)
    expected = sorted(best.values(), reverse=True)[:3]
    assert [path.strength for path in found] == pytest.approx(expected, rel=1e-4)
    assert [best[path.start] for path in found] == pytest.approx(expected, rel=1e-4)


@SOME
@given(some_rows(), st.data())
def test_they_lead_to_the_passage_and_add_up_to_no_more_than_its_score(rows: Rows, data: st.DataObject) -> None:
    graph = compiled(rows, TIED)
    if not graph.passages:
        return
    node = st.integers(0, graph.passages + graph.entities - 1)
    reset = reset_on(graph, data.draw(st.dictionaries(node, st.floats(0.125, 1, width=32), min_size=1, max_size=5)))
    passage = data.draw(st.integers(0, graph.passages - 1))
    paths = strongest_paths(graph, reset, passage, count=5)
    for path in paths:
        assert reset[path.start] > 0
        stops = [path.start, *(edge.end for edge in path.edges)]
        assert stops == [*(edge.start for edge in path.edges), passage]
        factors = math.prod(DAMPING * edge.probability for edge in path.edges)
        assert path.strength == pytest.approx((1 - DAMPING) * reset[path.start] / reset.sum() * factors, rel=1e-4)
    score = personalized_pagerank(graph.walk(), reset).dense(graph.passages)[passage]
    assert sum(path.strength for path in paths) <= score + 1e-5
    assert bool(paths) == bool(score > 1e-5)


def test_a_passage_that_the_walk_starts_from_has_a_path_without_edges() -> None:
    graph = compiled(EXAMPLE)
    (path,) = strongest_paths(graph, reset_on(graph, {3: 1.0}), 3)
    assert (path.start, path.edges) == (3, ())
    assert path.strength == pytest.approx(1 - DAMPING)


def test_a_passage_that_the_walk_does_not_reach_has_none() -> None:
    graph = compiled(EXAMPLE)
    assert strongest_paths(graph, reset_on(graph, {3: 1.0}), 0) == ()
    assert strongest_paths(graph, reset_on(graph, {}), 0) == ()


def test_each_edge_says_what_it_is() -> None:
    keys = ("asked", "stated", "alike", "acronym")
    mentions = frozenset({(0, 0, False), (1, 1, False), (2, 2, True), (3, 3, False)})
    facts = (Fact(1, 0, (0,), superseded="x"), Fact(0, 1, (0,)), Fact(3, 3, (0,)))
    graph = compiled(Rows(4, keys, mentions, frozenset({(0, 3)}), facts, ((2, 0, 0.9),)), TIED)
    start = graph.passages + graph.entity_rows(["asked"])["asked"][0]
    reset = reset_on(graph, {start: 1.0})
    found = [strongest_paths(graph, reset, passage)[0] for passage in range(4)]
    assert named(graph, found[0]) == [("mention", "0")]
    assert named(graph, found[1]) == [("fact", "stated"), ("mention", "1")]
    assert named(graph, found[2]) == [("synonym", "alike"), ("mention", "2")]
    assert named(graph, found[3]) == [("synonym", "acronym"), ("mention", "3")]
    assert found[1].edges[0].fact == 1
    assert all(edge.fact < 0 for path in found for edge in path.edges if edge.kind is not EdgeKind.FACT)


def test_facts_and_near_names_are_no_edges_unless_weighted() -> None:
    rows = Rows(2, ("one", "other"), frozenset({(0, 0, False), (1, 1, False)}), frozenset(), (Fact(0, 1, (0,)),))
    graph = compiled(rows)
    assert strongest_paths(graph, reset_on(graph, {0: 1.0}), 1) == ()
    assert graph.edges == 2
    assert compiled(rows, TIED).edges == 3
