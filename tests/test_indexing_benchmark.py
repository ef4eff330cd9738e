"""The indexing benchmark compares what each system embeds: HippoRAG's texts and a lake's, from the same triples."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
MUSIQUE = REPOSITORY.parent / "shared" / "data" / "musique-train"

DOCUMENTS: list[dict[str, Any]] = [
    {
        "title": "Němcová Pier",
        "text": "The pier was built in 1971.",
        "extracted_triples": [["The Pier", "built in", "1971"], ["Němcová", "owns", "the Pier"], ["Pier", "stands"]],
    },
    {"title": "Pier", "text": "A pier.", "extracted_triples": [["the Pier", "Built in", 1971]]},
]


@pytest.fixture
def indexing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("indexing")


def test_hipporag_encodes_distinct_phrases_and_tuples(indexing: ModuleType) -> None:
    texts = indexing.hipporag_texts(DOCUMENTS)
    assert texts["passages"] == ["Němcová Pier\nThe pier was built in 1971.", "Pier\nA pier."]
    assert texts["phrases"] == ["1971", "n mcov", "the pier"]
    assert sorted(texts["facts"]) == ["('n mcov', 'owns', 'the pier')", "('the pier', 'built in', '1971')"]


def test_a_lake_embeds_distinct_keys_and_lines_of_keys(indexing: ModuleType) -> None:
    texts = indexing.memlake_texts(DOCUMENTS)
    assert texts["passages"] == ["Němcová Pier\nThe pier was built in 1971.", "Pier\nA pier."]
    assert texts["phrases"] == ["pier", "1971", "nemcova"]
    assert texts["facts"] == ["pier built in 1971", "nemcova owns pier"]


@pytest.mark.histories
@pytest.mark.skipif(not MUSIQUE.exists(), reason="needs the evaluation data")
def test_all_systems_are_measured_on_real_triples() -> None:
    command = [sys.executable, "benchmarks/indexing.py", "--sample", "0.002", "--rounds", "2", "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [row["system"] for row in figures["systems"]] == [
        "HippoRAG",
        "sorted",
        "memlake float32",
        "memlake bfloat16",
    ]
    assert figures["systems"][0]["tokens"] > figures["systems"][2]["tokens"] > 0
    assert figures["cosine"]["float32"]["lowest"] > 0.99999
