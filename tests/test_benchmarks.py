"""The replay of a history, as a benchmark runs it: equal digests, and nothing embedded but what is new.

And the benchmark of PageRank: what it prints, and that its queries find what the reference finds.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.histories

REPOSITORY = Path(__file__).parents[1]

HARBOUR = "# Harbour\n\nThe harbour of Grimmelund was rebuilt in 1971 by Ana Reyes.\n"
STATES = {
    "2024-03-31": [
        ("add", "docs/harbour.mdx", HARBOUR),
        (
            "add",
            "docs/connectors.mdx",
            "# Connectors\n\nGrimmelund sells connectors.\n\n## Rings\n\nNitrile rings.\n",
        ),
        ("add", "docs/copy.md", HARBOUR),
    ],
    "2024-06-30": [
        ("modify", "docs/connectors.mdx", "# Connectors\n\nGrimmelund sells connectors.\n\n## Rings\n\nViton rings.\n"),
        ("delete", "docs/copy.md", None),
    ],
    "2024-09-30": [
        ("delete", "docs/harbour.mdx", None),
        ("add", "docs/moved/harbour.mdx", HARBOUR),
        ("add", "docs/stub.mdx", "---\ntitle: Stub\n---\n"),
    ],
}


def _replay(events: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "benchmarks/replay.py", str(events), "--hashing", "--json", *options]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _events_file(folder: Path, states: dict[str, list[tuple[str, str, str | None]]] = STATES) -> Path:
    file = folder / "events.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        for state, events in states.items():
            for op, path, text in events:
                lines.write(json.dumps({"snapshot": state, "op": op, "path": path, "text": text}) + "\n")
    return file


def test_a_replayed_history_equals_a_rebuild_and_embeds_new_texts_only(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    figures = _replay(_events_file(tmp_path), "--chart", str(chart))
    assert figures["incremental_digest"] == figures["rebuild_digest"]
    rows = figures["states"]
    assert [(row["state"], row["events"], row["documents"]) for row in rows] == [
        ("2024-03-31", 3, 3),
        ("2024-06-30", 2, 2),
        ("2024-09-30", 3, 2),
    ]
    assert all(row["new_texts"] == row["embedded"] for row in rows)
    assert [row["embedded"] > 0 for row in rows] == [True, True, False]  # the moved document has its vector
    assert figures["full_build"]["quarantined"] == 1
    assert {"seconds", "model_seconds", "share_of_full_build", "passages"} <= rows[0].keys()
    assert chart.read_text(encoding="utf-8").count("2024-06") == 2


def test_an_events_file_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    events = _events_file(tmp_path, {"2024-03-31": [("add", "../outside.md", "Out.")]})
    command = [sys.executable, "benchmarks/replay.py", str(events), "--hashing"]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 1 and "leads out of the folder" in done.stderr


def test_a_missing_events_file_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/replay.py", str(tmp_path / "none.gz")]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 1 and "There is no events file" in done.stderr


def test_pagerank_is_measured_against_prpack() -> None:
    command = [sys.executable, "benchmarks/pagerank.py", "--edges", "20000", "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"edges", "nodes", "prpack_ms", "query_ms", "speedup"} <= figures.keys()
    assert {"batch_ms_per_query", "batch_speedup"} <= figures.keys()
    assert figures["engine"] in {"push", "relaxation"}
    assert figures["overlap_at_50"] >= 0.95 and figures["batch_overlap_at_50"] == 1.0
    assert figures["l1_error"] <= figures["l1_bound"]
