"""Evaluations: what counts as found, how it is scored, what is recorded, how one goes on where it was interrupted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi
from towns import TOWNS, corpus, questions, towns

from derivation.evaluation_lake import ingest, prepare_lake
from derivation.evaluation_records import add_results, list_runs, read_run
from derivation.evaluations import (
    EvaluationPlan,
    answerable_so_far,
    dated_steps,
    evaluate_corpus,
    evaluate_growing,
    evaluate_lake,
)
from derivation.lake import Lake
from derivation.progress import NoProgress
from errors import DocumentRejected, NotComparable, SettingsError, UnknownName
from evaluation.bm25 import BM25Baseline
from evaluation.comparing import compare_runs
from evaluation.dataset import CorpusDocument, Dataset, Evidence, GoldUnit, Question, document_path
from evaluation.growth import growth
from evaluation.matching import GoldFinder, Located, Shown, fact_ranks, gold_ranks
from evaluation.metrics import answer_metrics, freshness_metrics, recall_at, retrieval_metrics
from evaluation.output import comparisons, run_record, summary_of
from evaluation.record import EvaluatedRun
from evaluation.run import Evaluation, QuestionResult
from evaluation.summary import metric_values
from evaluation.systems import BUILT_IN, DEFAULT, parse_systems, reciprocal_rank_fusion
from retrieval import MemoryClient
from testing.server import OpenAIServer
from warehouse.database import Warehouse
from warehouse.layout import LakeLayout
from warehouse.sections import EmbeddingSettings, JudgeSettings
from warehouse.settings import Settings

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def base() -> Settings:
    return Settings(embedding=EmbeddingSettings(provider="hashing", dimensions=64))


@pytest.fixture
def store(tmp_path: Path) -> Warehouse:
    root = tmp_path / "results"
    root.mkdir()
    return Warehouse(LakeLayout(root))


@pytest.fixture
def evaluate(tmp_path: Path, base: Settings, store: Warehouse) -> Callable[..., EvaluatedRun]:
    def run(dataset: Dataset | None = None, systems: Sequence[str] = (), **options: Any) -> EvaluatedRun:
        plan = EvaluationPlan(dataset or towns(), parse_systems(systems), **options)
        return evaluate_corpus(plan, base, store, NoProgress(), tmp_path / "lake")

    return run


def evaluation(lake: Lake, dataset: Dataset, systems: Sequence[str] = (), **options: Any) -> Evaluation:
    """The run itself, without records."""
    return Evaluation(
        dataset=dataset,
        open_client=lambda space, _: MemoryClient(lake.layout, lake.settings, space, embedder=lake.embedder),
        systems=parse_systems(systems),
        settings=lake.settings,
        count_tokens=lake.token_counter,
        **options,
    )


class TestMatching:
    PASSAGES = (
        {"source": "notes", "path": "a.md", "char_start": 0, "text": "The lamp failed. Nobody"},
        {"source": "notes", "path": "a.md", "char_start": 24, "text": "was hurt, said “Ana”."},
        {"source": "mail", "path": "a.md", "char_start": 0, "text": "Another one."},
    )

    def test_a_text_is_found_across_passages_and_white_space(self) -> None:
        finder = GoldFinder(self.PASSAGES)
        found = finder.locate(Evidence("a.md", 'Nobody\n  was hurt, said "Ana".'))
        assert found == Located(frozenset({("notes", "a.md")}), 17, 45)

    def test_a_document_is_found_in_every_source_unless_one_is_named(self) -> None:
        finder = GoldFinder(self.PASSAGES)
        assert finder.locate(Evidence("a.md")) == Located(frozenset({("notes", "a.md"), ("mail", "a.md")}))
        assert finder.locate(Evidence("a.md", source="mail")) == Located(frozenset({("mail", "a.md")}))

    @pytest.mark.parametrize(
        "evidence", [Evidence("b.md"), Evidence("a.md", "never said"), Evidence("a.md", source="web")]
    )
    def test_what_is_nowhere_is_none(self, evidence: Evidence) -> None:
        assert GoldFinder(self.PASSAGES).locate(evidence) is None

    def test_a_passage_finds_a_text_when_it_holds_most_of_it(self) -> None:
        gold = Located(frozenset({("s", "d")}), 100, 200)
        assert gold.is_in(Shown("p", ("s", "d"), 0, 150))
        assert not gold.is_in(Shown("p", ("s", "d"), 0, 149))
        assert gold.is_in(Shown("p", ("s", "d"), 120, 160)), "a short passage inside a long turn"
        assert not gold.is_in(Shown("p", ("s", "other"), 100, 200))

    def test_a_fact_must_be_inside_one_passage(self) -> None:
        fact = Located(frozenset({("s", "d")}), 100, 200)
        shown = [Shown("p", ("s", "d"), 0, 190), Shown("q", ("s", "d"), 90, 210)]
        assert fact_ranks([fact], shown) == [2]
        assert fact_ranks([fact], shown[:1]) == [0]

    def test_ranks_count_documents_or_passages(self) -> None:
        shown = [Shown("p", ("s", "a"), 0, 9), Shown("q", ("s", "a"), 9, 20), Shown("r", ("s", "b"), 0, 9)]
        gold = [Located(frozenset({("s", "b")})), Located(frozenset({("s", "c")}))]
        assert gold_ranks(gold, shown, GoldUnit.DOCUMENT) == [2, 0]
        assert gold_ranks([Located(frozenset({("s", "b")}), 0, 9)], shown, GoldUnit.SPAN) == [3]


class TestMetrics:
    @given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 25))
    def test_recall_is_the_share_of_gold_found(self, ranks: list[int], k: int) -> None:
        assert recall_at(ranks, k) == len([rank for rank in ranks if rank in range(1, k + 1)]) / len(ranks)

    def test_recall_without_gold_is_undefined(self) -> None:
        with pytest.raises(ValueError, match="gold"):
            recall_at([], 5)

    @given(st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True))
    def test_ranked_metrics_are_those_of_their_definitions(self, ranks: list[int]) -> None:
        from math import log2

        found = retrieval_metrics(ranks)
        assert found["mrr"] == pytest.approx(1 / min(ranks))
        precisions = [(place + 1) / rank for place, rank in enumerate(sorted(ranks))]
        assert found["map"] == pytest.approx(sum(precisions) / len(ranks))
        gained = sum(1 / log2(rank + 1) for rank in ranks if rank <= 10)
        ideal = sum(1 / log2(place + 2) for place in range(min(len(ranks), 10)))
        assert found["ndcg@10"] == pytest.approx(gained / ideal)
        assert found["all_recall@5"] == float(max(ranks) <= 5)

    def test_nothing_found_scores_nothing(self) -> None:
        assert set(retrieval_metrics([0, 0]).values()) == {0.0}

    def test_one_passage_with_all_gold_is_perfect(self) -> None:
        assert set(retrieval_metrics([1, 1, 1]).values()) == {1.0}

    def test_answers_are_scored_as_in_squad(self) -> None:
        assert answer_metrics("The lamp. [1]", ["lamp", "a light"]) == {"em": 1.0, "f1": 1.0}
        assert answer_metrics("the old lamp [1, 2]", ["lamp"]) == pytest.approx({"em": 0.0, "f1": 2 / 3})
        assert answer_metrics("", ["lamp"]) == {"em": 0.0, "f1": 0.0}

    def test_freshness_and_staleness_depend_on_which_comes_first(self) -> None:
        assert freshness_metrics([2], [1]) == {
            "freshness@5": 1.0, "staleness@5": 1.0, "freshness@10": 1.0, "staleness@10": 1.0,
        }  # fmt: skip
        assert freshness_metrics([1], [2])["staleness@5"] == 0.0
        assert freshness_metrics([7], [3]) == {
            "freshness@5": 0.0, "staleness@5": 1.0, "freshness@10": 1.0, "staleness@10": 1.0,
        }  # fmt: skip
        assert freshness_metrics([0], [0])["freshness@10"] == 0.0


class TestSystems:
    def test_reciprocal_rank_fusion_adds_reciprocal_ranks(self) -> None:
        fused = reciprocal_rank_fusion([["a", "b"], ["b", "c"]])
        assert fused == [("b", 1 / 62 + 1 / 61), ("a", 1 / 61), ("c", 1 / 62)]

    def test_the_baseline_is_the_other_librarys_bm25(self) -> None:
        rows = [{"passage_id": str(number), "title": "", "text": text} for number, text in enumerate(
            ["wolves hunting wolves", "a wolf in the fold", "sheep graze", "the hunters slept"])]  # fmt: skip
        ranked = BM25Baseline(rows).rank("Which wolf hunts?", 4)
        oracle = BM25Okapi([["wolv", "hunt", "wolv"], ["wolf", "fold"], ["sheep", "graze"], ["hunter", "slept"]])
        expected = oracle.get_scores(["wolf", "hunt"])
        assert dict(ranked) == pytest.approx({str(n): float(s) for n, s in enumerate(expected) if s > 0})
        assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)

    def test_a_variant_is_a_file_or_a_snapshot(self, tmp_path: Path) -> None:
        file = tmp_path / "lean.toml"
        file.write_text("[retrieval.fusion]\ngraph_weight = 0.1\n")
        lean, past = parse_systems([f"lean={file}", "past=snapshot:2024"])
        assert lean.fusion is not None and lean.fusion.graph_weight == 0.1
        assert past.snapshot == "2024"
        with pytest.raises(UnknownName, match="Did you mean 'lexical'"):
            parse_systems(["lexcal"])
        with pytest.raises(SettingsError, match="cannot be named 'bm25'"):
            parse_systems([f"bm25={file}"])
        with pytest.raises(SettingsError, match="Two systems are named 'lean'"):
            parse_systems([f"lean={file}", "lean=snapshot:2024"])

    def test_a_variant_ranks_as_settings_of_its_own_do(
        self, tmp_path: Path, base: Settings, evaluate: Callable[..., EvaluatedRun]
    ) -> None:
        file = tmp_path / "lexical.toml"
        file.write_text(
            "[retrieval.fusion]\ndense_weight = 0.0\ngraph_weight = 0.0\nhop_weight = 0.0\n"
            "piece_weight = 0.0\nmemory_weight = 0.0\naspect_weight = 0.0\ntime_weight = 0.0\n"
        )
        run = evaluate(None, ["dense", "lexical", f"only-words={file}"], answers=False)
        by_system = {
            name: {row.question_id: row.passages[:3] for row in run.rows if row.system == name and row.answerable}
            for name in run.record.systems
        }
        assert by_system["only-words"] == by_system["lexical"] != by_system["dense"]


class TestRun:
    def test_every_built_in_system_answers_every_question(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        run = evaluate()
        asked = {(row.system, row.question_id) for row in run.rows}
        assert asked == {(name, question.question_id) for name in DEFAULT for question in questions()}
        assert run.record.questions == 9
        assert run.record.finished_at is not None
        best = metric_values(run.rows, "recall@5")["lexical"]
        assert best == dict.fromkeys((f"q{number}" for number in range(8)), 1.0)
        assert set(metric_values(run.rows, "fact_recall@5")["fused"]) == set(best)

    def test_in_batches_as_one_at_a_time(self, tmp_path: Path, base: Settings) -> None:
        """Neither the chunk nor its neighbours change a result, nor does a question by itself."""
        lake = prepare_lake(towns(), base, tmp_path / "lake")
        ingest(lake, corpus())
        whole = evaluation(lake, towns(), chunk=64, timed=0, answered=("fused",))
        single = evaluation(lake, towns(), chunk=1, timed=0, answered=("fused",))
        results = [
            [row for rows in each.results(questions(), (), NoProgress()) for row in rows] for each in (whole, single)
        ]
        key = lambda row: (row.system, row.question_id)  # noqa: E731
        assert sorted(results[0], key=key) == sorted(results[1], key=key)
        client = MemoryClient(lake.layout, lake.settings, embedder=lake.embedder)
        for name in ("fused", "dense", "lexical", "graph", "without-graph"):
            rows = {row.question_id: row for row in results[0] if row.system == name}
            for question in questions():
                for k in (5, 50):
                    hits = client.search(question.text, k=k, channels=BUILT_IN[name].channels)
                    found = tuple(hit.passage_id for hit in hits)[:20]
                    assert found == rows[question.question_id].passages[: min(k, 20)], (name, k)
        many = client.search_many([question.text for question in questions()], k=5)
        assert many == [client.search(question.text, k=5) for question in questions()]

    def test_an_interrupted_run_goes_on_where_it_was(
        self, tmp_path: Path, base: Settings, store: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan = EvaluationPlan(towns(), parse_systems(["fused", "lexical"]), answers=False)
        whole = evaluate_corpus(plan, base, store, NoProgress(), tmp_path / "lake")
        asked: list[str] = []
        scored = Evaluation._scored

        def noted(self: Evaluation, *arguments: Any) -> QuestionResult:
            asked.append(arguments[2].question_id)
            return scored(self, *arguments)

        def failing(self: Evaluation, *arguments: Any) -> QuestionResult:
            if len(asked) == 9:
                raise RuntimeError("the power fails")
            return noted(self, *arguments)

        monkeypatch.setattr(Evaluation, "_scored", failing)
        monkeypatch.setattr("derivation.evaluations.Evaluation", partial(Evaluation, chunk=2))
        again = replace(plan, again=True)
        with pytest.raises(RuntimeError, match="power"):
            evaluate_corpus(again, base, store, NoProgress(), tmp_path / "lake")
        assert list_runs(store) == []
        asked.clear()
        monkeypatch.setattr(Evaluation, "_scored", noted)
        resumed = evaluate_corpus(plan, base, store, NoProgress(), tmp_path / "lake")
        assert len(set(asked)) == 9 - 4, "the two chunks that were handed over are not asked again"
        strip = lambda rows: [replace(row, latency_ms=None) for row in rows]  # noqa: E731
        assert strip(resumed.rows) == strip(whole.rows)

    def test_a_run_that_is_there_is_not_made_again(
        self, evaluate: Callable[..., EvaluatedRun], store: Warehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = evaluate(None, ["fused"])
        monkeypatch.setattr(Evaluation, "resolve", lambda *_: pytest.fail("evaluated again"))
        assert evaluate(None, ["fused"]) == first
        assert [record.run_id for record in list_runs(store)] == [first.record.run_id]
        assert read_run(store, "towns") == read_run(store, first.record.run_id[:6]) == first
        with pytest.raises(UnknownName, match="no finished run 'zebra'"):
            read_run(store, "zebra")

    def test_results_that_are_there_stay(self, evaluate: Callable[..., EvaluatedRun], store: Warehouse) -> None:
        run = evaluate(None, ["fused"])
        add_results(store, run.record.run_id, [replace(run.rows[0], metrics={})])
        assert read_run(store, "towns") == run

    def test_evidence_that_the_lake_does_not_hold_is_refused(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        lost = replace(questions()[0], facts=(Evidence(document_path("default", "t0"), "Nobody ever said this."),))
        dataset = replace(towns(), questions=(lost, *questions()[1:]))
        with pytest.raises(DocumentRejected, match="the evidence of 1 of 9 questions"):
            evaluate(dataset)
        run = evaluate(dataset, ["fused"], tolerated=0.2)
        assert run.record.questions == 8
        assert run.record.problems == (f"question q0: its evidence in {lost.facts[0].path} is not in the lake",)

    def test_answers_and_refusals_are_scored(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        run = evaluate(None, ["fused", "lexical"])
        answered = [row for row in run.rows if row.answer]
        assert {row.system for row in answered} == {"fused"}
        assert all("f1" in row.metrics for row in answered if row.answerable)
        assert all("f1" not in row.metrics for row in answered if not row.answerable)
        scores = summary_of(run).systems["fused"]
        refused = [row for row in answered if row.metrics["refused"]]
        wrongly = [row for row in refused if row.answerable]
        assert scores["refusal_recall"].value == float(any(not row.answerable for row in refused))
        assert scores["refusal_precision"].count == len(refused)
        assert scores["refusal_precision"].value == (
            pytest.approx((len(refused) - len(wrongly)) / len(refused)) if refused else None
        )
        assert "judged" not in scores, "no model was there to judge"
        assert "calls" not in scores, "no model was there to be called"
        assert "refused" not in scores

    def test_the_summary_is_by_question_type_too(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        run = evaluate(None, ["fused", "dense"])
        summary = summary_of(run)
        assert list(summary.by_kind) == ["even", "null", "odd"]
        assert summary.by_kind["even"]["dense"]["recall@5"].count == 4
        assert "recall@5" not in summary.by_kind["null"]["dense"]
        record = run_record(run, summary, comparisons(run))
        assert set(record["systems"]["fused"]["recall@5"]) == {"value", "low", "high", "questions"}
        assert {"questions", "settings", "snapshot", "code"} <= set(record["hashes"])
        assert record["comparisons"][0]["baseline"] == "dense"
        assert json.loads(json.dumps(record)) == record

    def test_latency_is_of_single_queries(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        run = evaluate(None, ["fused", "bm25"], answers=False)
        scores = summary_of(run).systems
        assert scores["fused"]["latency_p50"].count == 9
        assert scores["bm25"]["latency_p50"].value is None, "its index is not the lake's to time"

    def test_outdated_facts_are_told_from_current_ones(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        documents = (
            CorpusDocument(
                "old", "The ticket of the Hallin ferry costs five crowns.", title="Prices", date="2023-01-01"
            ),
            CorpusDocument(
                "new", "The ticket of the Hallin ferry costs seven crowns.", title="Prices", date="2024-01-01"
            ),
        )
        question = Question(
            "price",
            "Does the ticket of the Hallin ferry cost seven crowns?",
            gold=(Evidence(documents[1].path),),
            outdated=(Evidence(documents[0].path),),
        )
        run = evaluate(replace(towns(), documents=documents, questions=(question,)), ["lexical"], answers=False)
        [row] = run.rows
        assert row.gold_ranks == (1,), "it has two more words of the question"
        assert (row.metrics["freshness@5"], row.metrics["staleness@5"]) == (1.0, 0.0)
        swapped = replace(question, gold=question.outdated, outdated=question.gold)
        [row] = evaluate(replace(towns(), documents=documents, questions=(swapped,)), ["lexical"], answers=False).rows
        assert (row.metrics["freshness@5"], row.metrics["staleness@5"]) == (1.0, 1.0)

    def test_runs_over_different_questions_are_not_ranked(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        one = evaluate(None, ["fused"], answers=False)
        other = evaluate(replace(towns(), questions=questions()[:5]), ["fused"], answers=False)
        with pytest.raises(NotComparable, match="their questions or gold differ"):
            compare_runs([one, other])
        renamed = replace(other, record=replace(other.record, dataset="cities"))
        with pytest.raises(NotComparable, match="one is of towns, the other of cities"):
            compare_runs([one, renamed])
        partial = replace(one, rows=one.rows[:3], record=replace(one.record, run_id="partial"))
        with pytest.raises(NotComparable, match="not asked the same questions"):
            compare_runs([one, partial])
        [same] = compare_runs([one, replace(one, record=replace(one.record, run_id="again"))])
        assert (same.difference.value, same.p) == (0.0, 1.0)

    def test_a_metric_that_nobody_has_is_refused(self, evaluate: Callable[..., EvaluatedRun]) -> None:
        with pytest.raises(NotComparable, match="No question has the metric freshness@5"):
            comparisons(evaluate(None, ["fused", "dense"]), "freshness@5")


class TestModels:
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
        with OpenAIServer() as running:
            yield running

    def test_a_models_answers_are_judged_counted_and_paid(
        self, tmp_path: Path, store: Warehouse, server: OpenAIServer
    ) -> None:
        def respond(body: dict[str, Any]) -> str:
            system, user = (message["content"] for message in body["messages"])
            if "judge" in system:
                return json.dumps({"correct": json.loads(user)["answer"].startswith("Reyes-1")})
            keeper = next((f"Reyes-{n}" for n, town in enumerate(TOWNS) if f"of {town}?" in user), None)
            quote = {"passage": 1, "quote": "The harbour of"}
            return json.dumps({"answerable": bool(keeper), "answer": f"{keeper} [1]", "citations": [quote]})

        server.respond = respond
        settings = Settings.model_validate(
            {
                "embedding": {"provider": "hashing", "dimensions": 64},
                "answer": {"provider": "openai", "model": "m", "base_url": server.url,
                           "price_per_million_prompt_tokens": 2.0, "price_per_million_completion_tokens": 8.0},
            }
        )  # fmt: skip
        judge = JudgeSettings(model="strict", base_url=server.url)
        plan = EvaluationPlan(towns(), parse_systems(["fused"]), judge=judge)
        run = evaluate_corpus(plan, settings, store, NoProgress(), tmp_path / "lake")
        scores = summary_of(run).systems["fused"]
        assert run.record.judge == "strict, prompt 1"
        assert scores["judged"].value == pytest.approx(1 / 8)
        assert scores["em"].value == 1.0
        assert (scores["refusal_recall"].value, scores["refusal_precision"].value) == (1.0, 1.0)
        assert scores["calls"].value == 9
        answers = [row.answer for row in run.rows if row.answer]
        prompt, completion = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
        assert prompt > 0 and completion > 0
        assert scores["cost"].value == pytest.approx((2 * prompt + 8 * completion) / 1e6)


class TestGrowth:
    def test_steps_are_by_date_and_cover_the_corpus(self) -> None:
        steps = dated_steps(tuple(reversed(corpus())), 3)
        assert [len(step) for step in steps] == [3, 5, 8]
        assert [document.document_id for document in steps[0]] == ["t0", "t1", "t2"]
        assert len(dated_steps(corpus()[:2], 5)) == 2, "a step that adds nothing is none"

    def test_questions_are_asked_when_their_gold_is_there(self) -> None:
        asked = answerable_so_far(questions(), corpus()[:3], last=False)
        assert [question.question_id for question in asked] == ["q0", "q1", "q2"]
        assert len(answerable_so_far(questions(), corpus(), last=True)) == 9

    def test_a_growing_lake_tells_retention_and_cost(self, tmp_path: Path, base: Settings, store: Warehouse) -> None:
        plan = EvaluationPlan(towns(), parse_systems(["lexical", "dense"]), answers=False)
        runs = list(evaluate_growing(plan, base, store, NoProgress(), 4, tmp_path / "lake"))
        steps = growth(runs, "lexical", "recall@5")
        assert [step.cost.documents for step in steps] == [2, 4, 6, 8]
        assert [step.cost.added for step in steps] == [2, 2, 2, 2]
        assert [step.cost.embedded for step in steps] == [2, 2, 2, 2], "nothing is embedded twice"
        assert [step.new.count for step in steps] == [2, 2, 2, 2]
        assert [step.earlier_now.count for step in steps] == [0, 2, 4, 6]
        assert steps[0].retention is None
        assert [step.retention for step in steps[1:]] == [1.0, 1.0, 1.0]
        assert runs[-1].record.questions == 9, "what cannot be answered is asked in the end"
        assert [record.step for record in list_runs(store)] == [1, 2, 3, 4]

    def test_a_step_that_adds_nothing_is_left_out_and_the_last_one_asks_everything(
        self, tmp_path: Path, base: Settings, store: Warehouse
    ) -> None:
        small = replace(towns(), documents=corpus()[:3], questions=(*questions()[:3], questions()[-1]))
        plan = EvaluationPlan(small, parse_systems(["lexical"]), answers=False)
        (tmp_path / "lake").mkdir()
        (tmp_path / "lake" / "keep.txt").write_text("mine")
        runs = list(evaluate_growing(plan, base, store, NoProgress(), 5, tmp_path / "lake"))
        assert [run.record.questions for run in runs] == [1, 2, 4]
        assert (tmp_path / "lake" / "keep.txt").read_text() == "mine"


class TestOwnLake:
    def test_own_questions_are_asked_of_the_published_snapshot(self, workspace: Workspace) -> None:
        workspace.write("price.md", "# Price\n\nThe ferry costs seven crowns since spring.\n")
        workspace.write("lamp.md", "# Lamp\n\nThe lamp was lit in 1901.\n")
        workspace.build()
        lake = workspace.lake()
        asked = Question("1", "What does the ferry cost?", gold=(Evidence("price.md", "costs seven crowns"),))
        dataset = Dataset("mine", "questions", GoldUnit.SPAN, (Path(__file__),), (), (asked,))
        plan = EvaluationPlan(dataset, parse_systems(["lexical"]), answers=False)
        run = evaluate_lake(lake, plan, lake.warehouse, NoProgress())
        assert run.rows[0].gold_ranks == (1,)
        workspace.delete("price.md")
        workspace.build()
        with pytest.raises(DocumentRejected, match="not in the lake"):
            evaluate_lake(workspace.lake(), plan, lake.warehouse, NoProgress())
        past = evaluate_lake(
            workspace.lake(), replace(plan, snapshot=run.record.snapshot_id), lake.warehouse, NoProgress()
        )
        assert past.rows == run.rows, "the past can still be asked, and was"


def default_settings(folder: Path) -> Path:
    """A settings file that sets nothing, so that none of whoever runs the tests is found."""
    file = folder / "default.toml"
    file.write_text("")
    return file


def _command(*arguments: str, **environment: str) -> str:
    """What the command line prints, in a process of its own."""
    import os

    code = "from pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "eval", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.histories
def test_the_command_line_runs_lists_and_compares(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(
        json.dumps(
            [
                {"id": f"q{n}", "question": f"Who keeps the harbour of {town}?", "answer": f"Reyes-{n}",
                 "paragraphs": [{"title": d.title, "paragraph_text": d.text, "is_supporting": d.title == town}
                                for d in corpus()]}
                for n, town in enumerate(TOWNS)
            ]
        )
    )  # fmt: skip
    (tmp_path / "set_corpus.json").write_text(json.dumps([{"title": d.title, "text": d.text} for d in corpus()]))
    (tmp_path / "memlake.toml").write_text('[embedding]\nprovider = "hashing"\ndimensions = 64\n')
    place = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "MEMLAKE_CONFIG": str(tmp_path / "memlake.toml")}
    record = json.loads(_command("run", "harbours", str(tmp_path), "--json", **place))
    assert record["dataset"] == "harbours"
    assert list(record["systems"]) == list(DEFAULT)
    assert record["systems"]["lexical"]["recall@5"]["value"] == 1.0
    printed = _command("run", "harbours", str(tmp_path), **place)
    assert "harbours (hipporag): 8 questions" in printed
    assert "recall@5, paired over the same questions" in printed
    [listed] = json.loads(_command("list", "--json", **place))
    assert listed["run"] == record["run"]
    compared = json.loads(_command("compare", "harbours", "--metric", "mrr", "--json", **place))
    assert {item["metric"] for item in compared} == {"mrr"}
    assert len(compared) == len(DEFAULT) - 1


@pytest.mark.histories
@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not beside the checkout")
def test_musique_reaches_the_floor_with_rules_only(tmp_path: Path) -> None:
    files = [DATA / "musique-train" / name for name in ("musique_train.json", "musique_train_corpus.json")]
    printed = _command(
        *("hipporag", *map(str, files), "--lake", str(tmp_path / "lake"), "--no-answers", "--json"),
        *("--system", "fused", "--system", "dense", "--system", "lexical"),
        XDG_CACHE_HOME=str(tmp_path),
        MEMLAKE_CONFIG=str(default_settings(tmp_path)),
    )
    systems = json.loads(printed)["systems"]
    assert systems["fused"]["recall@5"]["value"] >= 0.65
    assert systems["fused"]["recall@10"]["value"] >= 0.75
    for metric in ("recall@2", "recall@5", "recall@10"):
        best = max(systems[name][metric]["value"] for name in ("dense", "lexical"))
        assert systems["fused"][metric]["value"] > best


@pytest.mark.histories
@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not beside the checkout")
def test_limit_is_carried_by_what_no_single_vector_can(tmp_path: Path) -> None:
    printed = _command("run", "limit-small", str(DATA / "limit-small"), "--lake", str(tmp_path / "lake"), "--json",
                       "--no-answers", "--system", "fused", "--system", "dense",
                       XDG_CACHE_HOME=str(tmp_path), MEMLAKE_CONFIG=str(default_settings(tmp_path)))  # fmt: skip
    systems = json.loads(printed)["systems"]
    assert systems["fused"]["recall@2"]["value"] >= 0.95
    assert systems["dense"]["recall@2"]["value"] < 0.5
