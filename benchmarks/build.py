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
