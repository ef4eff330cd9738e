"""Latency of one query, its embedding left out.

    python benchmarks/query.py [--json]

Builds (once, in a temporary folder) lakes of 2,000 and 6,000 passages with the hashing embedder at the default
model's 384 dimensions: what is timed does not depend on what the vectors mean.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from corpora import settings_file, synthetic

QUERIES = 350
WARM_UP = 50
_EMBEDDING = '[embedding]\nprovider = "hashing"\ndimensions = 384\n'


def measure(passages: int) -> dict[str, Any]:
    """Milliseconds a query at this size, for each channel and fused."""
    from retrieval import CHANNELS, MemoryClient

    with tempfile.TemporaryDirectory() as folder:
        corpus = synthetic(Path(folder) / "corpus.json", passages, 36)
        file = settings_file(Path(folder), corpus, _EMBEDDING)
        memlake = Path(sys.executable).with_name("memlake")
        subprocess.run([memlake, "build", "--config", file], check=True, capture_output=True)
        begun = time.perf_counter()
        client = MemoryClient.open(file)
        opening = (time.perf_counter() - begun) * 1000
        passages = client.snapshot.space("default").passages
        figures: dict[str, Any] = {"passages": passages, "open_ms": opening}
        records = json.loads(corpus.read_text(encoding="utf-8"))
        chance = random.Random(1)
        questions = []
        for record in chance.sample(records, QUERIES):
            words = record["text"].split()
            questions.append(f"What is {record['title']} and {' '.join(chance.sample(words, 6))}?")
        vectors = client.embed(questions)
        for system, channels in {"fused": None, **{name: (name,) for name in CHANNELS}}.items():
            for question, vector in zip(questions[:WARM_UP], vectors[:WARM_UP], strict=True):
                client.search(question, channels=channels, vector=vector)
            times = []
            for question, vector in zip(questions[WARM_UP:], vectors[WARM_UP:], strict=True):
                begun = time.perf_counter()
                client.search(question, channels=channels, vector=vector)
                times.append((time.perf_counter() - begun) * 1000)
            p50, p95, p99 = np.percentile(times, [50, 95, 99])
            figures[system] = {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}
        return figures


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = [measure(2_000), measure(6_000)]
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for each in figures:
        print(f"{each['passages']:,} passages; opening the snapshot {each['open_ms']:.0f} ms")
        for system in ("fused", "dense", "lexical", "graph"):
            times = "   ".join(f"{name[:-3]} {value:6.1f} ms" for name, value in each[system].items())
            print(f"  {system:8} {times}")


if __name__ == "__main__":
    main()
