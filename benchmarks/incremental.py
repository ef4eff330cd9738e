"""What little work costs: nothing to do, one edited document, one per cent of documents, opening, publishing.

    python benchmarks/incremental.py [--json] [--precision bfloat16] [--hashing]

The corpus is 600 Markdown files of ten sections, a passage each, made from a seed; an edit changes one word of one
section. Every share is of the full build in the same run, which is timed in a process that has imported everything and
loaded the model. *Warm* is a build in that process; *cold* is the whole command ``memlake build``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from corpora import synthetic_folder
from replay import CountingEmbedder, leave, warm

DOCUMENTS = 600
SECTIONS = 10
WORDS = 48
"""Words of a section; so made up, they are about 200 tokens."""

COLD_RUNS = 5
WARM_RUNS = 3

_OPENING = """
import json, sys, time
begun = time.perf_counter()
import lancedb
from retrieval import MemoryClient
imported = time.perf_counter()
client = MemoryClient.open(sys.argv[1])
opened = time.perf_counter()
again = MemoryClient.open(sys.argv[1])
ended = time.perf_counter()
print(json.dumps({"import": imported - begun, "open": opened - imported, "open_again": ended - opened}))
"""


def make_lake(folder: Path, documents: int, embedding: str) -> Path:
    """A settings file and its folder of documents."""
    synthetic_folder(folder / "docs", documents, SECTIONS, WORDS)
    config = folder / "memlake.toml"
    config.write_text(
        f'[lake]\nroot = "lake"\n\n[embedding]\n{embedding}\n\n[[sources]]\nname = "docs"\nurl = "docs"\n',
        encoding="utf-8",
    )
    return config


def edit(folder: Path, documents: int, turn: int) -> None:
    """Change one word of one section in the first ``documents`` files; another section each ``turn``."""
    for file in sorted(folder.iterdir())[:documents]:
        text = file.read_text(encoding="utf-8")
        paragraphs = text.split("\n\n")
        place = 2 * (1 + turn % (SECTIONS - 1))
        paragraphs[place] = f"Edited{turn} " + paragraphs[place]
        file.write_text("\n\n".join(paragraphs), encoding="utf-8")


def measure(config: Path) -> dict[str, Any]:
    """The full build and the warm ones; called in a process of its own."""
    embedder, loading = warm(config)
    import assets.snapshots

    written: dict[str, Any] = {}
    publish = assets.snapshots.publish

    def watched(*arguments: Any) -> bool:
        """``publish``, timed, with the bytes that it writes anywhere in the lake."""
        before, begun = files_of(config.parent / "lake"), time.perf_counter()
        published = publish(*arguments)
        written["seconds"] = time.perf_counter() - begun
        written["bytes"] = new_bytes(before, files_of(config.parent / "lake"))
        return published

    assets.snapshots.publish = watched
    docs, vectors = config.parent / "docs", config.parent / "lake" / "vectors"
    full = build_once(config, embedder)
    table = sum(size for size, _ in files_of(vectors).values())
    figures: dict[str, Any] = {"loading_seconds": loading, "full_build": full, "vectors_bytes": table}
    for name, documents, first in (("one_document", 1, 0), ("one_per_cent", DOCUMENTS // 100, WARM_RUNS)):
        runs = []
        for turn in range(first, first + WARM_RUNS):
            edit(docs, documents, turn)
            before = files_of(vectors)
            runs.append(build_once(config, embedder))
            runs[-1]["vectors_written"] = new_bytes(before, files_of(vectors))
            runs[-1]["publishing"] = dict(written)
        figures[name] = sorted(runs, key=lambda run: run["seconds"])[WARM_RUNS // 2]
    return figures


def build_once(config: Path, embedder: CountingEmbedder) -> dict[str, Any]:
    """One build in this process."""
    from derivation.lake import Lake
    from pipelines.build import build

    embedder.reset()
    lake = Lake.from_file(config)
    lake = Lake(lake.settings, embedder=embedder)
    result = build(lake)
    assert result.published, result.errors
    with lake.warehouse.session("looking") as connection:
        ((passages,),) = connection.execute("SELECT count(*) FROM passages").fetchall()
    return {
        "seconds": result.seconds,
        "model_seconds": embedder.seconds,
        "passages": passages,
        "embedded": len(embedder.texts),
        "steps": {report.step: round(report.seconds, 3) for report in result.reports},
    }


def files_of(folder: Path) -> dict[Path, tuple[int, tuple[int, int]]]:
    """Size, and inode with time, of every file below ``folder``; locks and DuckDB's file are no copies of data."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("warehouse.duckdb", "warehouse.duckdb.wal"):
            status = path.stat()
            found[path] = (status.st_size, (status.st_ino, status.st_mtime_ns))
    return found


def new_bytes(before: dict[Path, Any], after: dict[Path, Any]) -> int:
    """Bytes of the files that were written between two looks."""
    return sum(found[0] for path, found in after.items() if before.get(path) != found)


def cold(config: Path, prepare: Callable[[int], None] = lambda run: None, runs: int = COLD_RUNS) -> float:
    """Median seconds of the command ``memlake build``; ``prepare`` is called before each run."""
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "build", "--config", str(config)]
    times = []
    for run in range(runs):
        prepare(run)
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=_environment())
        times.append(time.perf_counter() - begun)
    return median(times)


def opening(config: Path) -> dict[str, float]:
    """Median seconds of importing the client and LanceDB, of opening a snapshot, and of opening it again."""
    runs = []
    for _ in range(COLD_RUNS):
        command = [sys.executable, "-c", _OPENING, str(config)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
        runs.append(json.loads(done.stdout))
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _environment() -> dict[str, str]:
    """A child imports the code that this file belongs to."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def run(embedding: str) -> dict[str, Any]:
    """Everything, at both sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = make_lake(folder / "small", DOCUMENTS // 10, embedding)
        large = make_lake(folder / "large", DOCUMENTS, embedding)
        command = [sys.executable, __file__, "--measure", str(large)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        cold(small, runs=1)
        docs, after = large.parent / "docs", 2 * WARM_RUNS
        figures["cold"] = {
            "nothing_small": cold(small),
            "nothing_large": cold(large),
            "one_document": cold(large, lambda run: edit(docs, 1, after + run), WARM_RUNS),
            "one_per_cent": cold(large, lambda run: edit(docs, DOCUMENTS // 100, after + WARM_RUNS + run), WARM_RUNS),
        }
        figures["opening"] = opening(large)
    return figures


def _print(figures: dict[str, Any]) -> None:
    full = figures["full_build"]
    rate = full["embedded"] / full["seconds"]
    print(
        f"{full['passages']:,} passages in {DOCUMENTS} documents; the full build {full['seconds']:.1f} s, "
        f"{rate:.1f} passages/s, {full['model_seconds'] / full['seconds']:.1%} of it in the model"
    )
    rows: list[tuple[str, float, str]] = [
        ("nothing to do, cold, 600 passages", figures["cold"]["nothing_small"], "3 s, aim 1.5 s"),
        ("nothing to do, cold, 6,000 passages", figures["cold"]["nothing_large"], "3 s, aim 1.5 s"),
        ("one edited document, warm", figures["one_document"]["seconds"], "3 %"),
        ("one edited document, cold", figures["cold"]["one_document"], "3 %"),
        ("one per cent of documents, warm", figures["one_per_cent"]["seconds"], "5 %"),
        ("one per cent of documents, cold", figures["cold"]["one_per_cent"], "5 %"),
    ]
    print(f"  {'':37} {'seconds':>9}  {'of a full build':>15}  at most")
    for name, seconds, target in rows:
        print(f"  {name:37} {seconds:9.2f}  {seconds / full['seconds']:>15.1%}  {target}")
    opened = figures["opening"]
    print(f"  {'opening a snapshot, first':37} {opened['open']:9.3f}  {'':>15}  0.1 s")
    print(f"  {'opening a snapshot, again':37} {opened['open_again']:9.3f}  {'':>15}  0.1 s")
    print(f"  {'importing the client and LanceDB':37} {opened['import']:9.3f}")
    one = figures["one_document"]
    publishing = one["publishing"]
    print(f"  {'publishing':37} {publishing['seconds']:9.3f}")
    print(f"bytes written by publishing     {publishing['bytes']:>12,}")
    share = one["vectors_written"] / figures["vectors_bytes"]
    print(f"bytes written in vectors/, one document edited  {one['vectors_written']:,}, {share:.1%} of", end=" ")
    print(f"the {figures['vectors_bytes']:,} that the full build left there")
    print(f"texts embedded: {one['embedded']} and {figures['one_per_cent']['embedded']}")


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--hashing", action="store_true", help="without a model: for development")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)), flush=True)
        return
    figures = run('provider = "hashing"' if arguments.hashing else f'precision = "{arguments.precision}"')
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)


if __name__ == "__main__":
    main()
    leave()
