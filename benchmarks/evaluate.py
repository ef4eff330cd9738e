"""An evaluation of 1,000 questions over 6,000 passages by all built-in systems, against asking one at a time.

    python benchmarks/evaluate.py [--json] [--hashing]

Both ask the same lake in the same process, with the default model (``--hashing`` leaves it out). The corpus and the
questions are made from a seed. One at a time is measured on the first 100 questions.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from corpora import synthetic

PASSAGES, QUESTIONS, SINGLE = 6_000, 1_000, 100
WORDS = 36


def dataset(folder: Path) -> Any:
    """Documents of one passage each, and questions that name a title and quote some words."""
    from evaluation.dataset import CorpusDocument, Dataset, Evidence, GoldUnit, Question

    corpus = synthetic(folder / "corpus.json", PASSAGES, WORDS)
    records = json.loads(corpus.read_text(encoding="utf-8"))
    documents = tuple(
        CorpusDocument(str(number), item["text"], title=item["title"]) for number, item in enumerate(records)
    )
    chance = random.Random(1)
    questions = []
    for number, document in enumerate(chance.sample(documents, QUESTIONS)):
        words = " ".join(chance.sample(document.text.split(), 6))
        questions.append(
            Question(str(number), f"What is {document.title} and {words}?", gold=(Evidence(document.path),))
        )
    return Dataset("synthetic", "made up", GoldUnit.DOCUMENT, (corpus,), documents, tuple(questions))


def measure(hashing: bool) -> dict[str, Any]:
    """Seconds of the build, of the evaluation, and of asking one at a time."""
    from derivation.evaluation_lake import ingest, prepare_lake
    from derivation.progress import NoProgress
    from evaluation.run import Evaluation
    from evaluation.systems import BUILT_IN
    from retrieval import MemoryClient
    from warehouse.sections import EmbeddingSettings
    from warehouse.settings import Settings

    embedding = EmbeddingSettings(provider="hashing", dimensions=384) if hashing else EmbeddingSettings()
    with tempfile.TemporaryDirectory() as folder:
        made = dataset(Path(folder))
        lake = prepare_lake(made, Settings(embedding=embedding), Path(folder) / "lake")
        begun = time.perf_counter()
        ingest(lake, made.documents)
        built = time.perf_counter() - begun

        def open_client(space: str, _: str) -> MemoryClient:
            return MemoryClient(lake.layout, lake.settings, space, embedder=lake.embedder)

        begun = time.perf_counter()
        evaluation = Evaluation(made, open_client, tuple(BUILT_IN.values()), lake.settings, lake.token_counter, timed=0)
        questions, _ = evaluation.resolve(0.0)
        rows = [row for chunk in evaluation.results(questions, (), NoProgress()) for row in chunk]
        batched = time.perf_counter() - begun

        client = open_client("default", "")
        systems = [system for system in BUILT_IN.values() if system.name not in ("bm25", "rrf")]
        begun = time.perf_counter()
        for question in questions[:SINGLE]:
            for system in systems:
                client.search(question.text, k=50, channels=system.channels)
        single = (time.perf_counter() - begun) * len(questions) / SINGLE
    found = [row.metrics["recall@5"] for row in rows if row.system == "fused"]
    return {
        "passages": PASSAGES,
        "questions": len(questions),
        "systems": len(BUILT_IN),
        "build_s": built,
        "evaluation_s": batched,
        "one_at_a_time_s": single,
        "one_at_a_time_systems": len(systems),
        "recall@5": sum(found) / len(found),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hashing", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.hashing)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(
        f"{figures['questions']:,} questions over {figures['passages']:,} passages, {figures['systems']} systems\n"
        f"  the build                      {figures['build_s']:6.1f} s\n"
        f"  the evaluation                 {figures['evaluation_s']:6.1f} s   (asked: under 60)\n"
        f"  searching one at a time        {figures['one_at_a_time_s']:6.1f} s   "
        f"({figures['one_at_a_time_systems']} of the systems, from {SINGLE} questions, without scoring)\n"
        f"  Recall@5, fused                {figures['recall@5']:6.3f}"
    )


if __name__ == "__main__":
    main()
