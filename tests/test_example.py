"""The main job, end to end: the example corpus's three dates become snapshots that answer with citations."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from example import DATES, EXAMPLES, ExampleLake, questions

from derivation.evaluations import EvaluationPlan, evaluate_lake
from derivation.progress import NoProgress
from evaluation.datasets import read_dataset
from evaluation.output import summary_of
from evaluation.systems import parse_systems
from retrieval.difference import difference
from warehouse.database import Warehouse
from warehouse.layout import LakeLayout
from warehouse.settings import load_settings
from warehouse.snapshots import Manifest, read_manifest


def _manifest(example: ExampleLake, number: int) -> Manifest:
    return read_manifest(_layout(example), example.snapshots[number])


def _layout(example: ExampleLake) -> LakeLayout:
    return LakeLayout(load_settings(example.config).lake.root)


def test_every_revision_is_published_without_a_failed_document(example_lake: ExampleLake) -> None:
    assert [result.errors for result in example_lake.builds] == [(), (), ()]
    assert [result.failed_inputs for result in example_lake.builds] == [0, 0, 0]
    assert len(set(example_lake.snapshots)) == 3


def test_only_new_text_is_embedded_in_later_revisions(example_lake: ExampleLake) -> None:
    embedded = [
        sum(report.processed for report in result.reports if report.step == "embeddings")
        for result in example_lake.builds
    ]
    new_texts = [
        sum(space.passages_added for space in _difference(example_lake, earlier, later))
        for earlier, later in ((0, 1), (1, 2))
    ]
    assert embedded[1] <= new_texts[0]
    assert embedded[2] <= new_texts[1]


def _difference(example: ExampleLake, earlier: int, later: int):  # type: ignore[no-untyped-def]
    return difference(_layout(example), _manifest(example, earlier), _manifest(example, later))


@pytest.mark.parametrize("number", [1, 2])
def test_the_difference_of_two_snapshots_is_what_the_overlay_changed(example_lake: ExampleLake, number: int) -> None:
    overlay = EXAMPLES / "corpus" / DATES[number]
    changes = tomllib.loads((overlay / "changes.toml").read_text(encoding="utf-8"))
    files = {path.relative_to(overlay).as_posix() for path in overlay.rglob("*") if path.is_file()} - {"changes.toml"}
    [space] = _difference(example_lake, number - 1, number)

    def as_documents(paths: list[str] | set[str]) -> set[str]:
        return {f"documents: {path}" for path in paths if not path.startswith(("chat/", "tickets/"))}

    touched = {path for path in (*space.added, *space.changed) if path.startswith("documents: ")}
    assert touched == as_documents(files)
    assert set(space.removed) == as_documents(changes["delete"])
    renames = {(f"documents: {each['from']}", f"documents: {each['to']}") for each in changes.get("rename", [])}
    assert set(space.renamed) == renames


def test_a_search_as_of_the_first_date_gives_the_old_fact(example_lake: ExampleLake) -> None:
    client = example_lake.client()
    question = "How often must service account passwords be rotated?"
    then = client.search(question, k=1, as_of=DATES[0])[0].text
    now = client.search(question, k=1)[0].text
    assert "every 75 days" in then
    assert "every 120 days" not in then
    assert "every 120 days" in now
    assert "every 75 days" not in now


def test_an_answer_cites_the_exact_span_of_its_revision(example_lake: ExampleLake) -> None:
    answer = example_lake.client().ask("What caused the outage of Node Birch?")
    assert not answer.refused
    assert "O-ring" in answer.text
    with example_lake.lake().warehouse.session() as connection:
        for citation in answer.citations:
            row = connection.execute(
                "SELECT text FROM revisions WHERE revision_id = $id", {"id": citation.span.revision_id}
            ).fetchone()
            assert row is not None
            assert row[0][citation.span.start : citation.span.end] == citation.quote


def test_a_question_far_from_the_corpus_is_refused(example_lake: ExampleLake) -> None:
    answer = example_lake.client().ask("Which tyre pressure suits a racing bicycle on cobbles?")
    assert answer.refused
    assert answer.citations == ()


def test_the_gold_documents_of_the_questions_are_found(example_lake: ExampleLake) -> None:
    client = example_lake.client()
    found = total = 0
    for item in questions():
        for gold in item.get("gold", ()):
            hits = client.search(item["question"], k=10, as_of=item.get("as_of"))
            found += gold["path"] in {hit.location.path for hit in hits}
            total += 1
    assert total >= 40
    assert found / total >= 0.9


def test_the_questions_are_a_dataset_whose_every_quote_is_in_its_document(
    example_lake: ExampleLake, tmp_path: Path
) -> None:
    """All are asked, each of the snapshot of its own date; one quote that is nowhere would refuse the dataset."""
    dataset = read_dataset("example", EXAMPLES / "questions.jsonl", tolerated=0.0)
    plan = EvaluationPlan(dataset, parse_systems(["fused", "lexical"]), tolerated=0.0)
    run = evaluate_lake(example_lake.lake(), plan, Warehouse(LakeLayout(tmp_path)), NoProgress())
    assert run.record.problems == ()
    assert run.record.questions == len(questions())
    scores = summary_of(run).systems["fused"]
    assert scores["recall@10"].count == sum("gold" in item for item in questions())
    assert scores["recall@10"].value is not None and scores["recall@10"].value >= 0.8
    assert {question.as_of for question in dataset.questions} == {"", *DATES[:2]}
