"""The first evaluation: recall by channel and fused, over HippoRAG's format."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DocumentRejected, SettingsError
from evaluation.hipporag import read_dataset
from evaluation.metrics import recall_at

MUSIQUE = Path(__file__).parents[2] / "shared" / "data" / "musique-train"

CORPUS = [
    {"title": "Port Hallin", "text": "Port Hallin is a harbour town. Its harbour master is Ana Reyes."},
    {"title": "Ana Reyes", "text": "Ana Reyes was born in Grimmelund in 1971."},
    {"title": "Grimmelund", "text": "Grimmelund is known for its connectors."},
    {"title": "Gull Point", "text": "Gull Point has a lamp."},
]


def _files(folder: Path, questions: list[dict[str, Any]], corpus: Any = CORPUS) -> tuple[Path, Path]:
    question_file, corpus_file = folder / "questions.json", folder / "corpus.json"
    question_file.write_text(json.dumps(questions))
    corpus_file.write_text(json.dumps(corpus))
    return question_file, corpus_file


def _musique(question: str, gold: list[int]) -> dict[str, Any]:
    paragraphs = [
        {"title": each["title"], "paragraph_text": each["text"], "is_supporting": number in gold}
        for number, each in enumerate(CORPUS)
    ]
    return {"id": "q", "question": question, "answer": "Grimmelund", "paragraphs": paragraphs}


@given(st.lists(st.integers(0, 30), unique=True), st.sets(st.integers(0, 30), min_size=1), st.integers(1, 40))
def test_recall_is_the_share_of_gold_found(ranked: list[int], gold: set[int], k: int) -> None:
    names, wanted = [str(item) for item in ranked], [str(item) for item in gold]
    found = sum(1 for item in wanted if item in names and names.index(item) < k)
    assert recall_at(names, wanted, k) == found / len(wanted)


def test_recall_without_gold_is_undefined() -> None:
    with pytest.raises(ValueError, match="gold"):
        recall_at(["a"], [], 5)


def test_gold_is_matched_by_title_and_text(tmp_path: Path) -> None:
    dataset = read_dataset(*_files(tmp_path, [_musique("Where was the harbour master born?", [0, 1])]))
    assert dataset.documents == tuple(f"corpus.json#item {number}" for number in (1, 2, 3, 4))
    assert dataset.questions[0].gold == ("corpus.json#item 1", "corpus.json#item 2")


def test_hotpot_questions_are_read_by_their_supporting_facts(tmp_path: Path) -> None:
    corpus = [{"title": "A", "text": "One. Two."}, {"title": "B", "text": "Three."}]
    question = {
        "_id": "x",
        "question": "?",
        "answer": "y",
        "supporting_facts": [["A", 0], ["A", 1]],
        "context": [["A", ["One.", " Two."]], ["B", ["Three."]]],
    }
    dataset = read_dataset(*_files(tmp_path, [question], corpus))
    assert dataset.questions[0].gold == ("corpus.json#item 1",)


@pytest.mark.parametrize(
    ("questions", "corpus", "message"),
    [
        ([_musique("?", [])], CORPUS, "no gold paragraph"),
        ([_musique("?", [0])], CORPUS[1:], "that is not in the corpus"),
        ([{"question": "?"}], CORPUS, "not of HippoRAG's format"),
        ([_musique("?", [0])], [{"title": "x"}], "item 1 has no title and text"),
        ([_musique("?", [0])], {}, "not a JSON array"),
    ],
)
def test_a_wrong_format_is_refused_by_name(
    tmp_path: Path, questions: list[dict[str, Any]], corpus: Any, message: str
) -> None:
    with pytest.raises(DocumentRejected, match=message):
        read_dataset(*_files(tmp_path, questions, corpus))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json cannot be read"):
        read_dataset(tmp_path / "none.json", tmp_path / "none.json")


def _evaluate(*arguments: str) -> dict[str, Any]:
    """In a process of its own, since a process builds the lakes of one settings file only."""
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "eval", "hipporag", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_small_corpus_is_evaluated_through_the_ordinary_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMLAKE_EMBEDDING__PROVIDER", "hashing")
    monkeypatch.setenv("MEMLAKE_EMBEDDING__DIMENSIONS", "64")
    questions, corpus = _files(tmp_path, [_musique("Where was the harbour master of Port Hallin born?", [0, 1])])
    record = _evaluate(str(questions), str(corpus), "--lake", str(tmp_path / "lake"))
    assert set(record["systems"]) == {"fused", "dense", "lexical", "graph"}
    assert record["systems"]["fused"]["recall@5"] == {"value": 1.0}
    assert record["questions"] == 1


@pytest.mark.skipif(not MUSIQUE.is_dir(), reason="the evaluation data is not beside the checkout")
def test_musique_reaches_the_floor_with_rules_only(tmp_path: Path) -> None:
    files = (MUSIQUE / "musique_train.json", MUSIQUE / "musique_train_corpus.json")
    systems = _evaluate(*map(str, files), "--lake", str(tmp_path / "lake"))["systems"]
    assert systems["fused"]["recall@5"]["value"] >= 0.65
    assert systems["fused"]["recall@10"]["value"] >= 0.75
    for metric in ("recall@2", "recall@5", "recall@10"):
        best = max(systems[name][metric]["value"] for name in ("dense", "lexical"))
        assert systems["fused"][metric]["value"] > best
