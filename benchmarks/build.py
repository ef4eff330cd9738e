"""How much of a build is spent inside the embedding model, and how its peak memory grows.

    python benchmarks/build.py [--json]

One fresh process a figure. "Alone" is the same model over the same texts, sorted by length, in the same process right
after the build, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from corpora import MUSIQUE, settings_file, synthetic


def measure(corpus: Path, alone: bool) -> dict[str, Any]:
    """Build a lake of ``corpus`` in a temporary folder; called in a process of its own."""
    from derivation.lake import Lake
    from memory.embedding import bundled_model_path
    from memory.segmentation import contextual_text
    from pipelines.build import build

    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.from_file(settings_file(Path(folder), corpus))
        begun = time.perf_counter()
        _ = lake.embedder
        loading = time.perf_counter() - begun
        result = build(lake)
        assert not result.errors, result.errors
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        inside = sum(report.model_seconds for report in result.reports)
        texts = next(report.processed for report in result.reports if report.step == "embeddings")
        figures = {
            "passages": texts,
            "loading_seconds": loading,
            "build_seconds": result.seconds,
            "model_seconds": inside,
            "model_share": inside / result.seconds,
            "passages_per_second": texts / inside,
            "peak_bytes": peak,
            "steps": {f"{report.step}": round(report.seconds, 3) for report in result.reports},
        }
        if alone:
            with lake.warehouse.session("reading texts") as connection:
                rows = connection.execute(
                    "SELECT d.title, p.heading, p.text FROM passages p JOIN documents d USING (document_id)"
                ).fetchall()
            sentences = sorted((contextual_text(*row) for row in rows), key=len)
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(str(bundled_model_path()), device="cpu")
            begun = time.perf_counter()
            model.encode(sentences, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
            figures["alone_per_second"] = len(sentences) / (time.perf_counter() - begun)
            figures["rate_against_alone"] = figures["passages_per_second"] / figures["alone_per_second"]
        return figures


def run(corpus: Path, *flags: str) -> dict[str, Any]:
    """``measure`` in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(corpus), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="leave the memory runs out (they take ten minutes)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.alone)))
        sys.stdout.flush()
        return
    with tempfile.TemporaryDirectory() as folder:
        main_corpus = MUSIQUE if MUSIQUE.exists() else synthetic(Path(folder) / "main.json", 1_890, 36)
        figures: dict[str, Any] = {"build": run(main_corpus, "--alone"), "memory": []}
        for count in () if arguments.quick else (2_000, 20_000):
            figures["memory"].append(run(synthetic(Path(folder) / f"{count}.json", count, 24)))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    _print(main_corpus.name, figures)


def _print(corpus: str, figures: dict[str, Any]) -> None:
    build = figures["build"]
    rows = {
        "importing and loading the model": f"{build['loading_seconds']:.1f} s",
        "the build": f"{build['build_seconds']:.1f} s",
        "of it inside the model": f"{build['model_seconds']:.1f} s, {build['model_share']:.1%}",
        "model in the build": f"{build['passages_per_second']:.1f} passages/s",
        "model alone, sorted by length": f"{build['alone_per_second']:.1f} passages/s",
        "ratio": f"{build['rate_against_alone']:.2f}",
    }
    print(f"{build['passages']:,} passages of {corpus}")
    for name, value in rows.items():
        print(f"  {name:32} {value}")
    print("Peak memory of a build, and its time")
    for each in figures["memory"]:
        name = f"{each['passages']:,} short passages"
        print(f"  {name:32} {each['peak_bytes'] / 1e6:.0f} MB, {each['build_seconds']:.0f} s")


if __name__ == "__main__":
    main()
