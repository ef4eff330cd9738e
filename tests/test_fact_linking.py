"""Facts near a question start the walk at their ends, and pairs of them judge a hop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fusion import FULL, NOTHING, fused_ids, linked, ranking
from test_graph import Fact, Rows, compiled, some_rows

from graph.compiled import SUPERSEDED_WEIGHT, CompiledGraph, GraphParameters
from graph.facts import NEAREST, best_pair, fact_ends, link_facts, pair_relevance
from retrieval.fusion import fuse, starting_entities
from warehouse.sections import FusionSettings

SOME = settings(max_examples=60, deadline=None)
DEFAULT = FusionSettings()

# Passages 0 … 4 mention; facts: 0 of passages 0 and 1, 1 of passage 1, 2 of passage 2; passages 3 and 4 state none.
CHAIN = Rows(
    5,
    ("society", "journal", "hall", "canary"),
    frozenset({(0, 1, True), (0, 0, False), (1, 0, False), (2, 0, False), (2, 2, True), (3, 3, False), (4, 3, False)}),
    facts=(
        Fact(1, 0, (0, 1), (1.0, 0.0, 0.0)),
        Fact(2, 3, (1,), (0.0, 0.0, 1.0)),
        Fact(2, 0, (2,), (0.0, 1.0, 0.0)),
    ),
)
QUESTION = np.array([0.8, 0.6, 0.0], np.float32)


def weights(graph: CompiledGraph, found: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    keys = graph.entity_table["key"].to_list()
    return {keys[row]: float(weight) for row, weight in zip(*found, strict=True)}


class TestLinking:
    def test_gives_the_nearest_facts_best_first_without_those_that_point_away(self) -> None:
        found = link_facts(compiled(CHAIN), QUESTION)
        assert found is not None
        assert found.rows.tolist() == [0, 2]
        assert found.scores.tolist() == pytest.approx([0.8, 0.6])

    def test_a_superseded_fact_counts_by_its_weight(self) -> None:
        facts = (replace(CHAIN.facts[0], superseded="x"), *CHAIN.facts[1:])
        found = link_facts(compiled(replace(CHAIN, facts=facts)), QUESTION)
        assert found is not None
        assert found.rows.tolist() == [2, 0]
        assert found.scores.tolist() == pytest.approx([0.6, 0.8 * SUPERSEDED_WEIGHT])

    def test_equal_facts_are_in_the_order_of_their_rows_and_bounded(self) -> None:
        many = replace(CHAIN, facts=(CHAIN.facts[0],) * (NEAREST + 3))
        found = link_facts(compiled(many), QUESTION)
        assert found is not None
        assert found.rows.tolist() == list(range(NEAREST))

    @pytest.mark.parametrize("facts", [(), tuple(replace(fact, vector=()) for fact in CHAIN.facts)])
    def test_there_is_none_without_embedded_facts(self, facts: tuple[Fact, ...]) -> None:
        assert link_facts(compiled(replace(CHAIN, facts=facts)), QUESTION) is None

    def test_a_question_of_another_embedder_is_refused(self) -> None:
        with pytest.raises(ValueError, match="mismatch"):
            link_facts(compiled(CHAIN), QUESTION[:2])


class TestEnds:
    def test_an_end_weighs_the_mean_of_its_facts_times_its_specificity(self) -> None:
        graph = compiled(CHAIN)
        found = link_facts(graph, QUESTION)
        assert found is not None
        rows = {key: row for key, (row,) in graph.entity_rows(["journal", "society", "hall"]).items()}
        expected = {"journal": 0.8, "society": 0.7, "hall": 0.6}
        expected = {key: score * float(graph.specificity[rows[key]]) for key, score in expected.items()}
        total = sum(expected.values())
        ends = weights(graph, fact_ends(graph, found, 0.0))
        assert ends == pytest.approx({key: value / total for key, value in expected.items()})

    def test_facts_far_from_the_best_one_are_left_out(self) -> None:
        graph = compiled(CHAIN)
        found = link_facts(graph, QUESTION)
        assert found is not None
        assert set(weights(graph, fact_ends(graph, found, 0.75))) == {"journal", "society", "hall"}
        assert set(weights(graph, fact_ends(graph, found, 0.76))) == {"journal", "society"}

    def test_an_end_that_carries_no_edge_is_left_out(self) -> None:
        everywhere = frozenset((passage, 0, False) for passage in range(30)) | {(0, 1, False)}
        rows = Rows(30, ("common", "rare"), everywhere, facts=(Fact(0, 1, (0,), (1.0, 0.0)),))
        graph = compiled(rows, GraphParameters(max_share=0.5))
        found = link_facts(graph, np.array([1, 0], np.float32))
        assert found is not None
        assert weights(graph, fact_ends(graph, found, 0.9)) == pytest.approx({"rare": 1.0})

    @SOME
    @given(some_rows(), st.floats(0, 1))
    def test_weights_are_of_distinct_rows_and_sum_to_one(self, rows: Rows, cut: float) -> None:
        graph = compiled(rows)
        found = link_facts(graph, np.array([0.6, -0.8], np.float32))
        if found is None:
            return
        ends, shares = fact_ends(graph, found, cut)
        assert np.all(np.diff(ends) > 0)
        assert np.all((ends >= 0) & (ends < graph.entities))
        assert float(shares.sum()) == pytest.approx(1.0 if len(ends) else 0.0, abs=1e-5)


class TestPairs:
    @SOME
    @given(some_rows(), st.data())
    def test_a_pair_is_as_near_as_the_best_sum_of_two_of_its_facts(self, rows: Rows, data: st.DataObject) -> None:
        graph = compiled(rows)
        if not rows.facts or not rows.passages:
            return
        node = st.integers(0, rows.passages - 1)
        pairs = data.draw(st.lists(st.tuples(node, node), min_size=1, max_size=6))
        question = np.array([0.6, 0.8], np.float32)
        got = pair_relevance(
            graph,
            question,
            np.array([source for source, _ in pairs]),
            np.array([target for _, target in pairs]),
            np.full(len(pairs), 0.25, np.float32),
        )
        for (source, target), value in zip(pairs, got.tolist(), strict=True):
            together = [
                (np.array(one.vector) + np.array(other.vector))
                for one in rows.facts
                for other in rows.facts
                if source in one.passages and target in other.passages
            ]
            cosines = [float(question @ both) / max(float(np.linalg.norm(both)), 1e-3) for both in together]
            assert value == pytest.approx(max(cosines, default=0.25), abs=1e-5)
            best = best_pair(graph, question, source, target)
            assert (best is None) == (not cosines)
            assert best is None or best[2] == pytest.approx(value, abs=1e-5)

    def test_two_facts_may_be_nearer_together_than_either_alone(self) -> None:
        graph = compiled(CHAIN)
        best = best_pair(graph, QUESTION, 0, 2)
        assert best is not None
        assert best[:2] == (0, 2)
        assert best[2] == pytest.approx(1.4 / np.sqrt(2))
        assert best[2] > 0.8


class TestInFusion:
    def test_ends_of_facts_share_the_start_with_the_entities_of_the_question(self) -> None:
        graph = compiled(CHAIN)
        facts = link_facts(graph, QUESTION)
        started = weights(graph, starting_entities(graph, linked(graph, {"canary": 0.5}), facts, DEFAULT))
        assert started["canary"] == pytest.approx(1 - DEFAULT.fact_share)
        assert started["journal"] + started["society"] == pytest.approx(DEFAULT.fact_share)

    def test_a_question_that_names_nothing_starts_from_facts(self) -> None:
        graph = compiled(CHAIN)
        started = weights(graph, starting_entities(graph, NOTHING, link_facts(graph, QUESTION), DEFAULT))
        assert sum(started.values()) == pytest.approx(1.0)
        assert set(started) == {"journal", "society"}

    def test_the_graph_alone_finds_passages_by_facts(self) -> None:
        graph = compiled(CHAIN)
        assert fused_ids(fuse({}, graph, NOTHING, DEFAULT, FULL, 5)) == []
        assert fused_ids(fuse({}, graph, NOTHING, DEFAULT, FULL, 5, facts=link_facts(graph, QUESTION)))[0] == 0

    @pytest.mark.parametrize(("completing", "order"), [(1, [0, 1, 2]), (2, [0, 2, 1])])
    def test_a_hop_prefers_the_passage_whose_fact_goes_with_that_of_its_source(
        self, completing: int, order: list[int]
    ) -> None:
        """Passages 1 and 2 share the same entity with 0, and are as near to the question alone."""
        says, says_not = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
        second = [Fact(0, 0, (node,), says if node == completing else says_not) for node in (1, 2)]
        shared = frozenset((node, 0, False) for node in range(3))
        graph = compiled(Rows(3, ("society",), shared, facts=(Fact(0, 0, (0,), (1.0, 0.0, 0.0)), *second)))
        setting = DEFAULT.model_copy(update={"graph_weight": 0.0, "hop_passages": 1})
        searched = {"dense": ranking({0: 0.9, 1: 0.4, 2: 0.4})}
        fused = fuse(searched, graph, NOTHING, setting, FULL, 3, facts=link_facts(graph, QUESTION))
        assert fused_ids(fused) == order

    @SOME
    @given(some_rows())
    def test_facts_of_a_question_without_a_vector_change_nothing(self, rows: Rows) -> None:
        searched = {"dense": ranking({0: 0.9, 1: 0.4, 3: 0.2})}
        with_facts, without = compiled(rows), compiled(replace(rows, facts=()))
        one = fuse(searched, with_facts, NOTHING, DEFAULT, FULL, 9)
        other = fuse(searched, without, NOTHING, DEFAULT, FULL, 9)
        assert (one.ids, one.scores.tolist()) == (other.ids, other.scores.tolist())
