"""Fusion makes one order of what the channels found: scores in [0, 1], stable ties, and nothing past a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_graph import ALL, Rows, compiled, passage_id, some_rows

from graph.compiled import SUPERSEDED_WEIGHT, CompiledGraph
from graph.hop import hop
from graph.pagerank import personalized_pagerank
from retrieval.fusion import Fused, fuse, walk_reset, walk_scores
from retrieval.scoring import base_scores, scaled, trust
from retrieval.tables import EMPTY, Ranking
from warehouse.sections import FusionSettings

SOME = settings(max_examples=200, deadline=None)
DEFAULT = FusionSettings()
NOTHING = (np.empty(0, np.int64), np.empty(0, np.float32))
FULL = 4


def ranking(found: Mapping[int | str, float]) -> Ranking:
    ids = [passage_id(key) if isinstance(key, int) else key for key in found]
    return Ranking.of(ids, np.array(list(found.values()), np.float32), len(ids))


def fused_ids(fused: Fused) -> list[int]:
    return [int(key, 16) for key in fused.ids]


def linked(graph: CompiledGraph, weights: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    rows = {key: row for key, (row,) in graph.entity_rows(list(weights)).items()}
    ordered = sorted((rows[key], weight) for key, weight in weights.items())
    return np.array([row for row, _ in ordered], np.int64), np.array([weight for _, weight in ordered], np.float32)


SCORES = st.lists(st.floats(-1, 30, width=32), max_size=8).map(lambda found: np.array(sorted(found)[::-1], np.float32))
SETTINGS = st.builds(
    FusionSettings,
    dense_weight=st.sampled_from([0.5, 1.0]),
    lexical_weight=st.sampled_from([0.5, 1.0]),
    judged=st.integers(1, 6),
    graph_weight=st.sampled_from([0.0, 0.5, 1.0]),
    seed_passages=st.integers(1, 5),
    entity_share=st.sampled_from([0.0, 0.5, 1.0]),
    hop_weight=st.sampled_from([0.0, 0.4]),
    hop_passages=st.integers(1, 5),
)
SOME_SCORE = st.sampled_from([-0.2, 0.0, 0.3, 0.5, 0.5, 0.9])
FOUND = st.dictionaries(st.integers(0, 13), SOME_SCORE, max_size=FULL).map(ranking)
SEARCHED = st.fixed_dictionaries({}, optional={"dense": FOUND, "lexical": FOUND})


class TestScaled:
    @SOME
    @given(SCORES, st.integers(1, 10))
    def test_is_from_zero_to_one_with_the_best_at_one_in_the_same_order(self, scores: np.ndarray, full: int) -> None:
        found = scaled(scores, full)
        assert len(found) == len(scores)
        if len(found):
            assert found.max() == found[0] == 1.0
            assert found.min() >= 0.0
            assert np.all(np.diff(found) <= 0)

    def test_of_a_full_list_the_last_is_zero(self) -> None:
        assert scaled(np.array([9, 7, 5], np.float32), 3).tolist() == [1.0, 0.5, 0.0]

    def test_of_a_shorter_list_a_score_of_zero_is_zero(self) -> None:
        assert scaled(np.array([8, 4, 2], np.float32), 4).tolist() == [1.0, 0.5, 0.25]

    def test_of_a_shorter_list_with_negative_scores_the_lowest_is_zero(self) -> None:
        assert scaled(np.array([0.5, 0.0, -0.5], np.float32), 4).tolist() == [1.0, 0.5, 0.0]

    @pytest.mark.parametrize("value", [0.0, 0.7])
    def test_of_equal_scores_all_are_one(self, value: float) -> None:
        assert scaled(np.full(3, value, np.float32), 3).tolist() == [1.0, 1.0, 1.0]


class TestTrust:
    @SOME
    @given(SCORES, st.integers(1, 10), st.integers(1, 10))
    def test_is_from_zero_to_one(self, scores: np.ndarray, full: int, judged: int) -> None:
        assert 0.0 <= trust(scaled(scores, full), judged) <= 1.0

    def test_is_one_minus_the_mean_of_the_best(self) -> None:
        assert trust(np.array([0.2, 1.0, 0.6, 0.1], np.float32), 3) == pytest.approx(1 - (1.0 + 0.6 + 0.2) / 3)

    def test_a_single_hit_is_nearly_certain_and_many_equal_ones_are_worth_nothing(self) -> None:
        assert trust(np.ones(1, np.float32), 20) == pytest.approx(0.95)
        assert trust(np.ones(20, np.float32), 20) == pytest.approx(0.0)
        assert trust(np.empty(0, np.float32), 20) == 0.0

    def test_grows_as_the_scores_fall_more_sharply(self) -> None:
        flat, steep = np.array([1.0, 0.9, 0.8, 0.0]), np.array([1.0, 0.3, 0.1, 0.0])
        assert trust(steep.astype(np.float32), 4) > trust(flat.astype(np.float32), 4)


class TestBaseScores:
    @SOME
    @given(SEARCHED, SETTINGS)
    def test_are_from_zero_to_one_for_everything_found(
        self, searched: dict[str, Ranking], setting: FusionSettings
    ) -> None:
        base = base_scores(searched, setting, FULL)
        assert set(base) == {key for found in searched.values() for key in found.ids}
        assert all(0.0 <= score <= 1.0 + 1e-6 for score in base.values())

    @SOME
    @given(SEARCHED, SETTINGS)
    def test_are_the_sum_of_shares_of_scaled_scores(
        self, searched: dict[str, Ranking], setting: FusionSettings
    ) -> None:
        weights = {"dense": setting.dense_weight, "lexical": setting.lexical_weight}
        channels = {name: scaled(found.scores, FULL) for name, found in searched.items() if found.ids}
        trusted = {name: trust(scores, setting.judged) * weights[name] for name, scores in channels.items()}
        if sum(trusted.values()) > 0:
            expected: dict[str, float] = {}
            for name, scores in channels.items():
                for key, score in zip(searched[name].ids, scores, strict=True):
                    part = float(score) * trusted[name] / sum(trusted.values())
                    expected[key] = expected.get(key, 0.0) + part
            assert base_scores(searched, setting, FULL) == pytest.approx(expected)

    def test_of_one_channel_are_its_scaled_scores(self) -> None:
        base = base_scores({"dense": ranking({1: 0.8, 2: 0.4})}, DEFAULT, FULL)
        assert base == pytest.approx({passage_id(1): 1.0, passage_id(2): 0.5})

    def test_an_empty_channel_takes_nothing_from_the_other(self) -> None:
        dense = ranking({1: 0.8, 2: 0.4})
        assert base_scores({"dense": dense, "lexical": EMPTY}, DEFAULT, FULL) == base_scores(
            {"dense": dense}, DEFAULT, FULL
        )

    def test_two_channels_that_both_say_nothing_count_alike(self) -> None:
        same = {"dense": ranking({1: 0.5, 2: 0.5}), "lexical": ranking({2: 3.0, 3: 3.0})}
        base = base_scores(same, FusionSettings(judged=2, dense_weight=1.0, lexical_weight=1.0), FULL)
        assert base == pytest.approx({passage_id(1): 0.5, passage_id(2): 1.0, passage_id(3): 0.5})

    @pytest.mark.parametrize("dense", [{1: 0.9, 2: 0.1}, {1: 0.5, 2: 0.5}], ids=["sharp", "flat"])
    def test_a_channel_of_weight_zero_adds_nothing_beside_another(self, dense: dict[int | str, float]) -> None:
        searched = {"dense": ranking(dense), "lexical": ranking({3: 2.0, 4: 1.0})}
        base = base_scores(searched, FusionSettings(lexical_weight=0.0, judged=2), FULL)
        assert base[passage_id(1)] > 0
        assert base[passage_id(3)] == base[passage_id(4)] == 0.0

    def test_of_nothing_found_are_none(self) -> None:
        assert base_scores({}, DEFAULT, FULL) == {}
        assert base_scores({"dense": EMPTY, "lexical": EMPTY}, DEFAULT, FULL) == {}


class TestWithoutGraph:
    @SOME
    @given(SEARCHED, SETTINGS, st.integers(1, 10))
    def test_the_order_is_that_of_the_base_scores_with_ties_by_id(
        self, searched: dict[str, Ranking], setting: FusionSettings, k: int
    ) -> None:
        base = base_scores(searched, setting, FULL)
        fused = fuse(searched, None, NOTHING, setting, FULL, k)
        assert list(fused.ids) == sorted(base, key=lambda key: (-base[key], key))[:k]
        assert fused.scores.tolist() == pytest.approx([base[key] for key in fused.ids])

    def test_ranks_are_those_of_each_channel(self) -> None:
        searched = {"dense": ranking({2: 0.9, 1: 0.4}), "lexical": ranking({1: 5.0})}
        fused = fuse(searched, None, NOTHING, DEFAULT, FULL, 5)
        assert fused.ranks == {"dense": {passage_id(2): 1, passage_id(1): 2}, "lexical": {passage_id(1): 1}}

    def test_nothing_found_is_nothing(self) -> None:
        fused = fuse({"dense": EMPTY, "lexical": EMPTY}, None, NOTHING, DEFAULT, FULL, 5)
        assert (fused.ids, fused.scores.tolist()) == ((), [])


def by_formula(
    graph: CompiledGraph,
    searched: Mapping[str, Ranking],
    asked: tuple[np.ndarray, np.ndarray],
    setting: FusionSettings,
) -> np.ndarray:
    """Steps 5 to 8 of the module's docstring, one node at a time."""
    base = base_scores(searched, setting, FULL)
    begun = np.array([base.get(key, 0.0) for key in graph.passage_ids()])
    seeds = sorted(np.flatnonzero(begun > 0).tolist(), key=lambda node: (-begun[node], node))[: setting.seed_passages]
    reset = np.zeros(graph.passages + graph.entities, np.float32)
    on_entities = (setting.entity_share if seeds else 1.0) if len(asked[0]) else 0.0
    for node in seeds:
        reset[node] = (1 - on_entities) * begun[node] ** 2 / sum(begun[seed] ** 2 for seed in seeds)
    for row, weight in zip(*asked, strict=True):
        reset[graph.passages + row] = on_entities * weight / asked[1].sum()
    walked = np.zeros(graph.passages)
    if reset.sum() > 0:
        walked = personalized_pagerank(graph.walk(), reset).dense(graph.passages).astype(float)
        walked = walked / walked.max() if len(walked) and walked.max() > 0 else walked
    weight = setting.graph_weight * trust(walked[walked > 0].astype(np.float32), setting.judged) if searched else 1.0
    mixed = (1 - weight) * begun + weight * walked
    hopped = hop(graph, mixed.astype(np.float32), asked[0], setting.hop_passages, 100).astype(float)
    dense = searched.get("dense", EMPTY)
    cosines = dict(zip(dense.ids, dense.scores.tolist(), strict=True))
    top = max(cosines.values(), default=0.0)
    if top > 0:
        last = max(min(cosines.values()), 0.0) if len(cosines) >= FULL else 0.0
        hopped *= [max(cosines.get(key, last), last) / top for key in graph.passage_ids()]
    if hopped.any():
        hopped /= hopped.max()
    total: np.ndarray = mixed + setting.hop_weight * hopped
    for node in range(graph.passages):
        about = [
            graph.fact_table["superseded_by"][fact] is not None
            for fact in graph.stated_indices[graph.stated_indptr[node] : graph.stated_indptr[node + 1]].tolist()
            if {int(graph.fact_subject[fact]), int(graph.fact_object[fact])} & set(asked[0].tolist())
        ]
        if about and all(about):
            total[node] *= SUPERSEDED_WEIGHT
    return total


class TestWithGraph:
    @SOME
    @given(some_rows(), SEARCHED, SETTINGS, st.data())
    def test_the_scores_are_those_of_the_formula(
        self, rows: Rows, searched: dict[str, Ranking], setting: FusionSettings, data: st.DataObject
    ) -> None:
        graph = compiled(rows)
        keys = graph.entity_table["key"].to_list()
        chosen = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=3)) if keys else []
        asked = linked(graph, dict.fromkeys(chosen, 0.5))
        expected = by_formula(graph, searched, asked, setting)
        fused = fuse(searched, graph, asked, setting, FULL, graph.passages + 1)
        by_id = dict(zip(fused.ids, fused.scores.tolist(), strict=True))
        for node, key in enumerate(graph.passage_ids()):
            assert by_id.get(key, 0.0) == pytest.approx(expected[node], abs=1e-4)

    @SOME
    @given(some_rows(), SEARCHED, SETTINGS, st.integers(1, 8))
    def test_at_most_k_come_back_by_falling_score_with_ties_by_node(
        self, rows: Rows, searched: dict[str, Ranking], setting: FusionSettings, k: int
    ) -> None:
        fused = fuse(searched, compiled(rows), NOTHING, setting, FULL, k)
        pairs = list(zip((-fused.scores).tolist(), fused.ids, strict=True))
        assert len(pairs) <= k
        assert pairs == sorted(pairs)
        assert all(score < 0 for score, _ in pairs)

    @SOME
    @given(some_rows(), SEARCHED, SETTINGS, st.frozensets(st.integers(0, 13)), st.data())
    def test_a_filter_lets_nothing_else_through(
        self,
        rows: Rows,
        searched: dict[str, Ranking],
        setting: FusionSettings,
        let_through: frozenset[int],
        data: st.DataObject,
    ) -> None:
        graph = compiled(rows)
        keys = graph.entity_table["key"].to_list()
        chosen = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=2)) if keys else []
        asked = linked(graph, dict.fromkeys(chosen, 1.0))
        allowed = {passage_id(number) for number in let_through}
        fused = fuse(searched, graph, asked, setting, FULL, 20, allowed)
        assert set(fused.ids) <= allowed
        assert set(fused.ranks["graph"]) <= allowed
        everything = fuse(searched, graph, asked, setting, FULL, 20)
        assert list(fused.ids) == [key for key in everything.ids if key in allowed], "a filter changes no order"

    def test_a_filter_that_allows_nothing_gives_nothing(self) -> None:
        searched = {"dense": ranking({0: 0.9})}
        fused = fuse(searched, NEIGHBOURS, NOTHING, DEFAULT, FULL, 5, set())
        assert (fused.ids, fused.scores.tolist(), fused.ranks["graph"]) == ((), [], {})

    def test_a_shared_entity_brings_a_passage_that_no_search_found(self) -> None:
        searched = {"dense": ranking({0: 0.9})}
        assert fused_ids(fuse(searched, NEIGHBOURS, NOTHING, DEFAULT, FULL, 5)) == [0, 1]
        assert fused_ids(fuse(searched, None, NOTHING, DEFAULT, FULL, 5)) == [0]

    def test_a_question_that_names_an_entity_brings_its_passage(self) -> None:
        searched = {"dense": ranking({0: 0.9})}
        fused = fuse(searched, NEIGHBOURS, linked(NEIGHBOURS, {"other": 1.0}), DEFAULT, FULL, 5)
        assert set(fused_ids(fused)) == {0, 1, 3}
        assert fused.ranks["graph"].keys() == {passage_id(number) for number in (0, 1, 3)}

    def test_the_graph_alone_goes_by_its_walk(self) -> None:
        asked = linked(NEIGHBOURS, {"other": 1.0})
        fused = fuse({}, NEIGHBOURS, asked, DEFAULT, FULL, 5)
        assert fused_ids(fused) == [3]
        assert fused.scores[0] == pytest.approx(1.0)
        assert fused.ranks == {"graph": {passage_id(3): 1}}

    @pytest.mark.parametrize("searched", [{}, {"dense": EMPTY}, {"dense": EMPTY, "lexical": EMPTY}])
    def test_nothing_found_and_nothing_named_is_nothing(self, searched: dict[str, Ranking]) -> None:
        fused = fuse(searched, NEIGHBOURS, NOTHING, DEFAULT, FULL, 5)
        assert (fused.ids, fused.scores.tolist()) == ((), [])
        assert fused.ranks["graph"] == {}

    def test_a_passage_that_the_graph_does_not_know_is_left_out(self) -> None:
        searched = {"dense": ranking({0: 0.9, 77: 0.8})}
        assert fused_ids(fuse(searched, NEIGHBOURS, NOTHING, DEFAULT, FULL, 5)) == [0, 1]

    def test_of_a_graph_without_nodes_nothing_comes(self) -> None:
        searched = {"dense": ranking({0: 0.9})}
        assert fuse(searched, compiled(Rows(0, (), frozenset())), NOTHING, DEFAULT, FULL, 5).ids == ()

    def test_no_more_graph_ranks_than_candidates(self) -> None:
        star = compiled(Rows(9, ("hub",), frozenset((row, 0, False) for row in range(9))), ALL)
        fused = fuse({}, star, linked(star, {"hub": 1.0}), DEFAULT, FULL, 9)
        assert sorted(fused.ranks["graph"].values()) == [1, 2, 3, 4]
        assert fused_ids(fused) == list(range(9)), "equal scores come in the order of the nodes"


NEIGHBOURS = compiled(Rows(4, ("shared", "other"), frozenset({(0, 0, False), (1, 0, False), (3, 1, False)})))


def walked(
    graph: CompiledGraph, base: np.ndarray, starting: tuple[np.ndarray, np.ndarray], setting: FusionSettings
) -> np.ndarray:
    return walk_scores(graph, walk_reset(graph, base, starting, setting))


class TestWalkScores:
    @SOME
    @given(some_rows(), st.data(), SETTINGS)
    def test_have_their_best_at_one_or_are_all_zero(
        self, rows: Rows, data: st.DataObject, setting: FusionSettings
    ) -> None:
        graph = compiled(rows)
        values = st.sampled_from([0.0, 0.2, 1.0])
        base = data.draw(st.lists(values, min_size=graph.passages, max_size=graph.passages))
        scores = walked(graph, np.array(base, np.float32), NOTHING, setting)
        assert scores.shape == (graph.passages,)
        assert scores.max(initial=0.0) == pytest.approx(1.0 if any(base) else 0.0)

    def test_go_by_the_square_of_the_base_scores(self) -> None:
        apart = compiled(Rows(2, (), frozenset()))
        assert walked(apart, np.array([1.0, 0.5], np.float32), NOTHING, DEFAULT).tolist() == [1.0, 0.25]

    def test_start_from_the_best_passages_only(self) -> None:
        apart = compiled(Rows(3, (), frozenset()))
        base = np.array([0.5, 1.0, 0.9], np.float32)
        assert np.flatnonzero(walked(apart, base, NOTHING, FusionSettings(seed_passages=2))).tolist() == [1, 2]

    @pytest.mark.parametrize(("share", "expected"), [(0.0, [0]), (0.5, [0, 3]), (1.0, [3])])
    def test_share_the_start_between_entities_and_passages(self, share: float, expected: Sequence[int]) -> None:
        base = np.array([1.0, 0, 0, 0], np.float32)
        lonely = compiled(Rows(4, ("other",), frozenset({(3, 0, False)})))
        scores = walked(lonely, base, linked(lonely, {"other": 1.0}), FusionSettings(entity_share=share))
        assert np.flatnonzero(scores).tolist() == expected


class TestRanking:
    @SOME
    @given(st.dictionaries(st.integers(0, 30), st.sampled_from([0.1, 0.2, 0.2]), max_size=12), st.integers(0, 12))
    def test_sorts_by_falling_score_then_by_id(self, found: dict[int, float], limit: int) -> None:
        ids = [passage_id(number) for number in found]
        ranked = Ranking.of(ids, np.array(list(found.values()), np.float32), limit)
        expected = sorted(found, key=lambda number: (-found[number], number))[:limit]
        assert list(ranked.ids) == [passage_id(number) for number in expected]
        assert ranked.scores.tolist() == pytest.approx([found[number] for number in expected])
