"""The compiled graph is a function of its rows alone, and its walks agree with reference implementations."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from errors import SnapshotError
from graph.compiled import CompiledGraph, GraphParameters, GraphRows, compile_graph, key_hashes
from graph.hop import best, hop
from graph.linking import LOWER_CASE_WEIGHT, link_question
from graph.pagerank import DAMPING, personalized_pagerank
from memory.embedding import unit_rows

SOME = settings(max_examples=150, deadline=None)
ALL = GraphParameters(max_share=1.0)


@dataclass(frozen=True)
class Fact:
    """A subject and an object by number, the passages that state it, its vector, and what superseded it."""

    subject: int
    object: int
    passages: tuple[int, ...]
    vector: tuple[float, ...] = ()
    superseded: str | None = None
    predicate: str = "is of"


@dataclass(frozen=True)
class Rows:
    """What the warehouse holds of a space: entity keys by passage, pairs of synonyms, and facts."""

    passages: int
    keys: tuple[str, ...]
    incidence: frozenset[tuple[int, int, bool]]
    synonyms: frozenset[tuple[int, int]] = frozenset()
    facts: tuple[Fact, ...] = ()
    similar: tuple[tuple[int, int, float], ...] = ()
    """Pairs that are near in meaning, with their cosine."""


FACT_COLUMNS: dict[str, type[pl.DataType]] = {
    "fact_id": pl.String,
    "subject": pl.Int64,
    "predicate": pl.String,
    "object": pl.Int64,
    "passages": pl.Int64,
    "valid_from": pl.Date,
    "valid_until": pl.Date,
    "superseded_by": pl.String,
}


def passage_id(number: int) -> str:
    return f"{number:032x}"


def compiled(
    rows: Rows,
    parameters: GraphParameters = ALL,
    order: list[tuple[int, int, bool]] | None = None,
    ids: list[int] | None = None,
) -> CompiledGraph:
    """Compile; ``order`` is that of the incidence rows, ``ids`` give the entities other row numbers."""
    numbers = ids or list(range(len(rows.keys)))
    at = {entity: row for row, entity in enumerate(sorted(range(len(rows.keys)), key=lambda e: numbers[e]))}
    keys = [rows.keys[entity] for entity in sorted(at, key=at.__getitem__)]
    incidence = sorted(rows.incidence) if order is None else order
    entities = pl.DataFrame(
        {
            "entity_id": [f"id of {key}" for key in keys],
            "entity_key": keys,
            "name": [key.title() for key in keys],
            "kind": ["name"] * len(keys),
            "aliases": [""] * len(keys),
        },
        schema=dict.fromkeys(("entity_id", "entity_key", "name", "kind", "aliases"), pl.String),
    )
    stated = {(*sorted((at[one], at[other])), "acronym", 1.0) for one, other in rows.synonyms}
    near = {(*sorted((at[one], at[other])), "embedding", score) for one, other, score in rows.similar}
    facts = rows.facts
    return compile_graph(
        GraphRows(
            passage_ids=pl.Series("passage_id", [passage_id(n) for n in range(rows.passages)], dtype=pl.String),
            entities=entities,
            names=pl.DataFrame(schema={"key": pl.String, "entity": pl.Int64}),
            incidence=pl.DataFrame(
                {
                    "passage": [passage for passage, _, _ in incidence],
                    "entity": [at[entity] for _, entity, _ in incidence],
                    "titled": [titled for _, _, titled in incidence],
                },
                schema={"passage": pl.UInt32, "entity": pl.UInt32, "titled": pl.Boolean},
            ),
            synonyms=pl.DataFrame(
                sorted(stated | near),
                schema={"low": pl.UInt32, "high": pl.UInt32, "method": pl.String, "score": pl.Float64},
                orient="row",
            ),
            facts=pl.DataFrame(
                [
                    (
                        f"{number:032x}",
                        at[fact.subject],
                        fact.predicate,
                        at[fact.object],
                        len(fact.passages),
                        None,
                        None,
                        fact.superseded,
                    )
                    for number, fact in enumerate(facts)
                ],
                schema=FACT_COLUMNS,
                orient="row",
            ),
            supports=pl.DataFrame(
                [(number, passage, 0, 1) for number, fact in enumerate(facts) for passage in fact.passages],
                schema=dict.fromkeys(("fact", "passage", "char_start", "char_end"), pl.Int64),
                orient="row",
            ),
            embedder="hashing-2" if _vectors(facts) is not None else "",
            fact_vectors=_vectors(facts),
        ),
        parameters,
    )


def _vectors(facts: tuple[Fact, ...]) -> NDArray[np.float32] | None:
    """Of length 1; without one for every fact there are none."""
    if not facts or not all(fact.vector for fact in facts):
        return None
    return unit_rows(np.array([fact.vector for fact in facts], np.float32))


@st.composite
def some_rows(draw: st.DrawFn, passages: int = 12, entities: int = 9) -> Rows:
    n = draw(st.integers(0, passages))
    keys = tuple(f"entity {number}" for number in range(draw(st.integers(0, entities))))
    if not n or not keys:
        return Rows(n, keys, frozenset())
    pairs = draw(st.dictionaries(st.tuples(st.integers(0, n - 1), st.integers(0, len(keys) - 1)), st.booleans()))
    row = st.integers(0, len(keys) - 1)
    edge = st.tuples(row, row).filter(lambda pair: pair[0] != pair[1])
    synonyms = draw(st.frozensets(edge, max_size=3)) if len(keys) > 1 else frozenset()
    stated = st.frozensets(st.integers(0, n - 1), min_size=1).map(lambda some: tuple(sorted(some)))
    vectors = st.sampled_from([(1.0, 0.0), (0.6, 0.8), (0.0, -1.0)])
    facts = tuple(draw(st.lists(st.builds(Fact, row, row, stated, vectors), max_size=4)))
    return Rows(n, keys, frozenset((*pair, titled) for pair, titled in pairs.items()), synonyms, facts)


EXAMPLE = Rows(
    5,
    ("gannet", "day rate", "green", "world health organization", "who", "miller's bay", "宮崎駿"),
    frozenset({(0, 0, True), (0, 1, False), (1, 0, False), (1, 2, True), (2, 3, False), (2, 4, False), (3, 5, False)})
    | frozenset({(3, 6, False)}),
    frozenset({(4, 3)}),
    (Fact(0, 1, (0, 1), (1.0, 0.0)), Fact(2, 0, (1,), (0.6, 0.8), "a later fact")),
    ((0, 5, 0.9),),
)


def assert_same(one: CompiledGraph, other: CompiledGraph) -> None:
    for field in dataclasses.fields(CompiledGraph):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.name == "embedder":
            assert left == right
        elif field.name.endswith("_table"):
            assert left.equals(right)
        else:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right, err_msg=field.name)


class TestCompiling:
    @SOME
    @given(some_rows(), st.data())
    def test_does_not_depend_on_the_order_or_the_numbers_of_its_rows(self, rows: Rows, data: st.DataObject) -> None:
        order = data.draw(st.permutations(sorted(rows.incidence)))
        ids = data.draw(st.permutations(range(len(rows.keys))))
        one, other = compiled(rows), compiled(rows, order=list(order), ids=list(ids))
        assert_same(one, other)
        assert one.digest() == other.digest()

    @SOME
    @given(some_rows())
    def test_keeps_every_pair_in_both_directions(self, rows: Rows) -> None:
        graph = compiled(rows)
        key_of = graph.entity_table["key"].to_list()
        expected = {(passage, rows.keys[entity], titled) for passage, entity, titled in rows.incidence}
        by_passage = {
            (passage, key_of[graph.incidence_indices[at]], bool(graph.incidence_titled[at]))
            for passage in range(graph.passages)
            for at in range(graph.incidence_indptr[passage], graph.incidence_indptr[passage + 1])
        }
        by_entity = {
            (int(graph.postings_indices[at]), key_of[entity], bool(graph.postings_titled[at]))
            for entity in range(graph.entities)
            for at in range(graph.postings_indptr[entity], graph.postings_indptr[entity + 1])
        }
        assert by_passage == by_entity == expected
        assert graph.passage_ids() == [passage_id(number) for number in range(rows.passages)]
        stated = {rows.keys[end] for fact in rows.facts for end in (fact.subject, fact.object)}
        assert set(key_of) == {key for _, key, _ in expected} | stated, (
            "an entity without passages or facts is left out"
        )

    @SOME
    @given(some_rows())
    def test_makes_a_symmetric_walk_whose_degrees_are_the_sums_of_its_weights(self, rows: Rows) -> None:
        graph = compiled(rows)
        walk = graph.walk()
        adjacency = sparse.csr_array((walk.weights, walk.indices, walk.indptr), shape=(walk.nodes, walk.nodes))
        assert (adjacency != adjacency.T).nnz == 0
        np.testing.assert_array_equal(adjacency.astype(float).sum(axis=1), walk.degree)
        live = set(graph.entity_table["key"].filter(pl.Series(np.asarray(graph.frequency > 0))))
        joined = {frozenset(pair) for pair in rows.synonyms if {rows.keys[pair[0]], rows.keys[pair[1]]} <= live}
        assert graph.edges == len(rows.incidence) + len(joined)

    @SOME
    @given(some_rows())
    def test_weighs_an_entity_by_how_rare_it_is(self, rows: Rows) -> None:
        graph = compiled(rows)
        counts = np.diff(graph.postings_indptr)
        np.testing.assert_array_equal(graph.frequency, counts)
        mentioned = counts > 0
        expected = (
            np.log((rows.passages + 1) / counts[mentioned]) / np.log(rows.passages + 1) if mentioned.any() else []
        )
        np.testing.assert_allclose(graph.specificity[mentioned], expected, rtol=1e-6)
        assert np.all((graph.specificity[mentioned] > 0) & (graph.specificity <= 1)[mentioned])
        assert not graph.specificity[~mentioned].any(), "one that only facts name says nothing of a passage"

    @SOME
    @given(some_rows())
    def test_finds_passages_and_entities_by_name(self, rows: Rows) -> None:
        graph = compiled(rows)
        ids = graph.passage_ids()
        assert graph.passage_nodes([*ids, "f" * 32, "", "0"]).tolist() == [*range(len(ids)), -1, -1, -1]
        keys = graph.entity_table["key"].to_list()
        assert graph.entity_rows([*keys, "unknown"]) == {key: (row,) for row, key in enumerate(keys)}
        assert graph.name_hashes.tolist() == sorted(key_hashes(keys).tolist())

    @pytest.mark.parametrize(
        ("share", "kept"), [(0.1, {"ten"}), (0.25, {"ten", "eleven"}), (1.0, {"ten", "eleven", "all"})]
    )
    def test_leaves_out_entities_of_too_large_a_share(self, share: float, kept: set[str]) -> None:
        sizes = {"ten": 10, "eleven": 11, "all": 44}
        pairs = {(at, row, False) for row, size in enumerate(sizes.values()) for at in range(size)}
        graph = compiled(
            Rows(44, tuple(sizes), frozenset(pairs), frozenset({(0, 2), (0, 1)})), GraphParameters(max_share=share)
        )
        assert set(graph.entity_table["key"]) == kept
        assert graph.edges == sum(sizes[key] for key in kept) + len(kept) - 1
        assert np.count_nonzero(graph.walk_degree == 0) == 44 - max(sizes[key] for key in kept)

    def test_of_a_digest_any_change_gives_another(self) -> None:
        base = compiled(EXAMPLE)
        changed = [
            replace(EXAMPLE, passages=6),
            replace(EXAMPLE, keys=("heron", *EXAMPLE.keys[1:])),
            replace(EXAMPLE, incidence=EXAMPLE.incidence - {(0, 1, False)}),
            replace(EXAMPLE, incidence=EXAMPLE.incidence - {(0, 1, False)} | {(0, 1, True)}),
            replace(EXAMPLE, synonyms=frozenset()),
            replace(EXAMPLE, similar=()),
            replace(EXAMPLE, facts=EXAMPLE.facts[:1]),
            replace(EXAMPLE, facts=(EXAMPLE.facts[0], replace(EXAMPLE.facts[1], superseded=None))),
            replace(EXAMPLE, facts=(EXAMPLE.facts[0], replace(EXAMPLE.facts[1], passages=(1, 2)))),
            replace(EXAMPLE, facts=tuple(replace(fact, vector=()) for fact in EXAMPLE.facts)),
            replace(EXAMPLE, facts=(EXAMPLE.facts[0], replace(EXAMPLE.facts[1], predicate="was of"))),
        ]
        renamed = dataclasses.replace(base, entity_table=base.entity_table.with_columns(name=pl.lit("Other")))
        digests = [base.digest(), renamed.digest(), *(compiled(rows).digest() for rows in changed)]
        assert len(set(digests)) == len(digests)

    def test_gives_the_same_digest_in_another_process(self) -> None:
        code = "import test_graph; print(test_graph.compiled(test_graph.EXAMPLE).digest())"
        folder = Path(__file__).parent
        printed = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": "7", "PYTHONPATH": f"{folder.parent}{os.pathsep}{folder}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed.strip() == compiled(EXAMPLE).digest()


class TestStoring:
    @settings(max_examples=25, deadline=None)
    @given(some_rows())
    def test_a_saved_graph_is_loaded_as_it_was(self, tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> None:
        graph = compiled(rows)
        folder = tmp_path_factory.mktemp("graphs") / graph.digest()
        assert graph.save(folder)
        loaded = CompiledGraph.load(folder)
        assert_same(graph, loaded)
        assert loaded.digest() == graph.digest()

    def test_loaded_arrays_are_mapped_and_work_as_before(self, tmp_path: Path) -> None:
        graph = compiled(EXAMPLE)
        graph.save(tmp_path / "g")
        loaded = CompiledGraph.load(tmp_path / "g")
        assert isinstance(loaded.walk_weights, np.memmap)
        assert not loaded.walk_weights.flags.writeable
        assert loaded.entity_rows(["gannet"]) == graph.entity_rows(["gannet"])
        found, expected = (personalized_pagerank(each.walk(), (np.array([2]), np.ones(1))) for each in (loaded, graph))
        np.testing.assert_array_equal(found.dense(graph.passages), expected.dense(graph.passages))
        assert link_question("Gannet?", loaded)[0].tolist() == link_question("Gannet?", graph)[0].tolist()

    def test_saving_again_writes_nothing_and_leaves_no_other_folder(self, tmp_path: Path) -> None:
        graph = compiled(EXAMPLE)
        assert graph.save(tmp_path / "g")
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "g").iterdir()}
        assert not graph.save(tmp_path / "g")
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "g").iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["g"]

    def test_a_folder_that_was_left_half_written_is_written_anew(self, tmp_path: Path) -> None:
        (tmp_path / "g").mkdir()
        (tmp_path / "g" / "walk_weights.npy").write_bytes(b"half")
        graph = compiled(EXAMPLE)
        assert graph.save(tmp_path / "g")
        assert_same(CompiledGraph.load(tmp_path / "g"), graph)

    def test_a_missing_folder_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(SnapshotError, match="nowhere") as caught:
            CompiledGraph.load(tmp_path / "nowhere")
        assert "memlake repair" in caught.value.remedy

    @pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(CompiledGraph) if f.name != "embedder"])
    @pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbage"])
    def test_a_damaged_file_says_so(self, tmp_path: Path, name: str, damage: str) -> None:
        graph = compiled(EXAMPLE)
        graph.save(tmp_path / "g")
        file = tmp_path / "g" / (f"{name}.arrow" if name.endswith("_table") else f"{name}.npy")
        if damage == "gone":
            file.unlink()
        else:
            data = file.read_bytes()
            file.write_bytes({"empty": b"", "cut": data[: len(data) - 3], "garbage": b"\x80" * len(data)}[damage])
        with pytest.raises(SnapshotError):
            CompiledGraph.load(tmp_path / "g")

    def test_a_rebuild_mends_what_is_damaged(self, tmp_path: Path) -> None:
        """The error's remedy is a build, and a build ends in ``save``."""
        graph = compiled(EXAMPLE)
        graph.save(tmp_path / "g")
        (tmp_path / "g" / "walk_weights.npy").unlink()
        graph.save(tmp_path / "g")
        assert_same(CompiledGraph.load(tmp_path / "g"), graph)

    def test_files_of_two_graphs_are_not_mixed_up_in_silence(self, tmp_path: Path) -> None:
        compiled(EXAMPLE).save(tmp_path / "one")
        compiled(Rows(2, ("gannet",), frozenset({(0, 0, False), (1, 0, False)}))).save(tmp_path / "two")
        shutil.copy(tmp_path / "two" / "walk_indptr.npy", tmp_path / "one" / "walk_indptr.npy")
        with pytest.raises(SnapshotError):
            CompiledGraph.load(tmp_path / "one")


class TestWalking:
    @SOME
    @given(some_rows(), st.data())
    def test_of_a_compiled_graph_is_that_of_its_weighted_edges(self, rows: Rows, data: st.DataObject) -> None:
        graph = compiled(rows)
        n = graph.passages + graph.entities
        assume(n > 0)
        reset = np.zeros(n, np.float32)
        reset[data.draw(st.integers(0, n - 1))] = 1.0
        reference = nx.Graph()
        reference.add_nodes_from(range(n))
        row = {key: graph.passages + at for at, key in enumerate(graph.entity_table["key"])}
        counts = {key: sum(rows.keys[entity] == key for _, entity, _ in rows.incidence) for key in row}
        for passage, entity, _ in rows.incidence:
            key = rows.keys[entity]
            weight = np.log((rows.passages + 1) / counts[key]) / np.log(rows.passages + 1)
            reference.add_edge(passage, row[key], weight=weight)
        for short, long in {tuple(sorted(pair)) for pair in rows.synonyms}:
            pair = row.get(rows.keys[short]), row.get(rows.keys[long])
            if None not in pair and all(counts[rows.keys[end]] for end in (short, long)):
                before = reference.get_edge_data(*pair, {"weight": 0.0})["weight"]
                reference.add_edge(*pair, weight=before + 1.0)
        expected = nx.pagerank(reference, DAMPING, personalization=dict(enumerate(map(float, reset))), tol=1e-12)
        scores = personalized_pagerank(graph.walk(), reset).dense(n)
        np.testing.assert_allclose(scores, [expected[node] for node in range(n)], atol=3e-6)


def hop_by_hand(
    graph: CompiledGraph, scores: NDArray[np.float32], asked: list[int], seeds: int, cap: int
) -> NDArray[np.float32]:
    def entities_of(passage: int) -> dict[int, bool]:
        at = range(graph.incidence_indptr[passage], graph.incidence_indptr[passage + 1])
        return {int(graph.incidence_indices[i]): bool(graph.incidence_titled[i]) for i in at}

    ranked = sorted((p for p in range(graph.passages) if scores[p] > 0), key=lambda p: (-scores[p], p))[:seeds]
    reach = np.zeros(graph.passages, np.float32)
    for source in ranked:
        for target in range(graph.passages):
            here, there = entities_of(source), entities_of(target)
            for entity in here.keys() & there.keys():
                if source == target or entity in asked or (here[entity] and there[entity]):
                    continue
                if graph.frequency[entity] <= cap:
                    reach[target] = max(reach[target], scores[source] * graph.specificity[entity])
    return reach


class TestHop:
    @settings(SOME, max_examples=300)
    @given(some_rows(), st.data())
    def test_is_the_best_single_reason_to_follow(self, rows: Rows, data: st.DataObject) -> None:
        graph = compiled(rows)
        values = st.sampled_from([0.0, 0.1, 0.3, 0.3, 1.0])
        drawn = data.draw(st.lists(values, min_size=graph.passages, max_size=graph.passages))
        asked = data.draw(st.lists(st.integers(0, graph.entities - 1), unique=True)) if graph.entities else []
        seeds, cap = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 12))
        scores = np.array(drawn, np.float32)
        found = hop(graph, scores, np.array(asked, np.int64), seeds, cap)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, hop_by_hand(graph, scores, asked, seeds, cap), rtol=1e-6)

    def test_crosses_by_a_rare_name_but_not_within_a_document_and_not_by_what_was_asked(self) -> None:
        incidence = {(0, 0, False), (1, 0, False), (0, 1, True), (2, 1, True), (0, 2, False), (3, 2, True)}
        graph = compiled(Rows(6, ("bridge", "own title", "other title"), frozenset(incidence)))
        scores = np.array([1, 0, 0, 0, 0, 0], np.float32)
        assert np.flatnonzero(hop(graph, scores, np.empty(0, np.int64), 10, 100)).tolist() == [1, 3]
        asked = np.array(graph.entity_rows(["bridge"])["bridge"])
        assert np.flatnonzero(hop(graph, scores, asked, 10, 100)).tolist() == [3]

    @SOME
    @given(st.lists(st.sampled_from([-1.0, 0.0, 0.2, 0.5, 0.5, 2.0]), max_size=20), st.integers(1, 25))
    def test_best_are_the_highest_positive_with_ties_to_the_lower(self, scores: list[float], k: int) -> None:
        positive = [row for row, score in enumerate(scores) if score > 0]
        expected = sorted(positive, key=lambda row: (-scores[row], row))
        assert best(np.array(scores, np.float32), k).tolist() == expected[:k]


QUESTIONS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from("Gannet gannet's the day rates of Miller's Bay 宮崎駿 ? Green".split())).map(" ".join),
)


class TestLinking:
    @pytest.fixture(scope="class")
    def graph(self) -> CompiledGraph:
        keys = [
            *("gannet", "day rate", "green", "band", "world health organization", "who", "miller bay", "宮崎駿"),
            *("the beatles".removeprefix("the "), "2023-05", "new york", "york", "rem", "x", "issue 5"),
        ]
        return compiled(Rows(len(keys) + 2, tuple(keys), frozenset((row, row, False) for row in range(len(keys)))))

    @pytest.mark.parametrize(
        ("question", "expected"),
        [
            ("What does Gannet cost?", {"gannet": 1.0}),
            ("what does gannet cost?", {"gannet": LOWER_CASE_WEIGHT}),
            ("what is the day rate?", {"day rate": 1.0}),
            ("what are the day rates?", {"day rate": 1.0}),
            ("the Green performer", {"green": 1.0}),
            ("which band is it?", {}),
            ("Who is the head?", {}),
            ("what is the World Health Organization?", {"world health organization": 1.0}),
            ("where is Miller's Bay?", {"miller bay": 1.0}),
            ("宮崎駿はどこの人？", {"宮崎駿": 1.0}),
            ("Which song is by The Beatles?", {"beatles": 1.0}),
            ("what happened on 8 May 2023?", {"2023-05": 1.0}),
            ("is new york large?", {"new york": 1.0}),
            ("Is New York large?", {"new york": 1.0}),
            ("what did R.E.M. sing?", {"rem": 1.0}),
            ("who fixed Issue #5?", {"issue 5": 1.0}),
            ("is x in it?", {}),
            ("nothing of this is known", {}),
            ("", {}),
            (" ?! ", {}),
        ],
    )
    def test_finds_the_entities_of_a_question(
        self, graph: CompiledGraph, question: str, expected: dict[str, float]
    ) -> None:
        entities, weights = link_question(question, graph)
        keys = [graph.entity_table["key"][int(row)] for row in entities]
        assert dict(zip(keys, weights.tolist(), strict=True)) == pytest.approx(expected)

    def test_weighs_a_common_entity_less(self) -> None:
        pairs = {(0, 0, False), *((passage, 1, False) for passage in range(5))}
        graph = compiled(Rows(8, ("gannet", "heron"), frozenset(pairs)))
        entities, weights = link_question("Did Gannet meet Heron?", graph)
        assert weights.tolist() == pytest.approx(graph.specificity[entities].tolist())
        assert weights.min() < weights.max() == 1.0

    @SOME
    @given(QUESTIONS)
    def test_gives_ascending_rows_and_weights_for_any_question(self, question: str) -> None:
        graph = compiled(EXAMPLE)
        entities, weights = link_question(question, graph)
        assert entities.tolist() == sorted(set(entities.tolist()))
        assert len(weights) == len(entities)
        assert np.all((weights > 0) & (weights <= 1))

    def test_of_a_graph_without_entities_finds_none(self) -> None:
        entities, weights = link_question("What does Gannet cost?", compiled(Rows(3, (), frozenset())))
        assert len(entities) == len(weights) == 0
