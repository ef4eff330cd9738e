"""What the graph of a space costs: from passages to the compiled arrays, and what one per cent more passages cost.

    python benchmarks/compiling.py [--passages N] [--json]

Records of four sentences are made from a seed, a passage each, that name about eleven entities. Names follow Zipf's
law, some are written in two ways; some records state an acronym, all have a date. Nothing is embedded. Each stage runs
in a process of its own, which has imported everything before it is timed, so that its peak memory is its own. Seconds
of the processor count all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from corpora import NamedRecords

PASSAGES = 100_000
ADDED = 0.01
NAMES = 2
"""To choose from, a passage."""

_REPOSITORY = Path(__file__).parents[1]
_STAGES = {
    "documents": ("documents", "passages"),
    "extraction": ("extraction",),
    "aggregates": ("entities", "facts", "resolution", "validity"),
    "compile": ("compile",),
}
"""What one process does, in order; the graph's own steps are all but the first stage's."""
_GRAPH = tuple(step for stage, steps in _STAGES.items() if stage != "documents" for step in steps)
_AFTER = tuple(step for step in _GRAPH if step != "extraction")

_COUNTS = """
SELECT (SELECT count(*) FROM passages), (SELECT count(*) FROM entities), (SELECT count(*) FROM facts),
    (SELECT count(*) FROM decisions), (SELECT count(*) FROM resolutions),
    (SELECT count(*) FROM (SELECT passage_id, entity_id FROM mentions UNION SELECT passage_id, entity_id FROM titles))
"""


def measure(config: Path, stage: str) -> dict[str, Any]:
    """One stage, step by step; called in a process of its own."""
    from derivation.documents import refresh_documents
    from derivation.entities import refresh_entities
    from derivation.extraction import ExtractionStep
    from derivation.facts import refresh_facts, refresh_validity
    from derivation.graphs import refresh_graph
    from derivation.lake import Lake
    from derivation.passages import Passages
    from derivation.resolution import refresh_resolution
    from derivation.runner import run as run_step
    from warehouse.delta import Scope

    lake = Lake.from_file(config)
    (source,) = lake.settings.sources
    scope, space = Scope(source.space, source.name), source.space
    steps: dict[str, Callable[[], object]] = {
        "documents": lambda: refresh_documents(lake, source),
        "passages": lambda: run_step(lake, Passages(lake), scope),
        "extraction": lambda: run_step(lake, ExtractionStep(lake), scope),
        "entities": lambda: refresh_entities(lake, space),
        "facts": lambda: refresh_facts(lake, space),
        "resolution": lambda: refresh_resolution(lake, space),
        "validity": lambda: refresh_validity(lake, space),
        "compile": lambda: refresh_graph(lake, space),
    }
    seconds, processor = {}, {}
    for name in _STAGES[stage]:
        begun, worked = time.perf_counter(), time.process_time()
        steps[name]()
        seconds[name], processor[name] = time.perf_counter() - begun, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak}


def describe(config: Path) -> dict[str, int]:
    """How large the lake and its graph are."""
    from derivation.graphs import GRAPH_STEP_NAME
    from derivation.lake import Lake
    from derivation.layers import layer_state

    lake = Lake.from_file(config)
    with lake.warehouse.session("counting") as connection:
        row = connection.execute(_COUNTS).fetchone()
        state = layer_state(connection, lake.settings.sources[0].space, GRAPH_STEP_NAME)
    assert row is not None and state is not None
    names = ("passages", "entities", "facts", "decisions", "resolutions", "passage_entity_pairs")
    return {**dict(zip(names, row, strict=True)), "edges": state["edges"]}


def build(config: Path) -> dict[str, Any]:
    """All stages once, each in its process."""
    figures: dict[str, Any] = {"seconds": {}, "processor_seconds": {}, "peak_bytes": {}}
    for stage in _STAGES:
        measured = _child("--measure", str(config), "--stage", stage)
        figures["seconds"] |= measured["seconds"]
        figures["processor_seconds"] |= measured["processor_seconds"]
        figures["peak_bytes"][stage] = measured["peak_bytes"]
    return {**figures, "lake": _child("--describe", str(config))}


def _child(*arguments: str) -> Any:
    command = [sys.executable, __file__, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def run(passages: int) -> dict[str, Any]:
    """Building a graph, adding to it, and what the second costs of the first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = NamedRecords(NAMES * passages)
        records.write(folder / "records", passages)
        config = folder / "memlake.toml"
        config.write_text(
            '[lake]\nroot = "lake"\n\n[embedding]\nprovider = "hashing"\n\n'
            '[[sources]]\nname = "records"\nkind = "jsonl"\nurl = "records"\n',
            encoding="utf-8",
        )
        figures: dict[str, Any] = {"built": build(config)}
        records.write(folder / "records", round(ADDED * passages))
        figures["added"] = build(config)
    for measured in ("seconds", "processor_seconds"):
        built, added = figures["built"][measured], figures["added"][measured]
        figures[f"share_of_{measured}"] = {
            "graph": _total(added, _GRAPH) / _total(built, _GRAPH),
            "after_extraction": _total(added, _AFTER) / _total(built, _AFTER),
        }
    return figures


def _total(seconds: dict[str, float], steps: tuple[str, ...]) -> float:
    return sum(seconds[step] for step in steps)


def _print(figures: dict[str, Any]) -> None:
    built, added = figures["built"], figures["added"]
    lake = {name: f"{count:,}" for name, count in built["lake"].items()}
    print(
        f"{lake['passages']} passages, {lake['entities']} entities, {lake['passage_entity_pairs']} pairs of the two, "
        f"{lake['facts']} facts, {lake['decisions']} decisions; {lake['edges']} edges"
    )
    print(f"then {added['lake']['passages'] - built['lake']['passages']:,} passages more")
    print(f"  {'':18} {'building: s':>12} {'processor s':>12}  {'adding: s':>10} {'processor s':>12}  {'share':>6}")
    rows = [(step, (step,)) for step in _GRAPH] + [("all", _GRAPH), ("after extraction", _AFTER)]
    for name, steps in rows:
        whole, more = _total(built["processor_seconds"], steps), _total(added["processor_seconds"], steps)
        print(
            f"  {name:18} {_total(built['seconds'], steps):12.2f} {whole:12.2f}  "
            f"{_total(added['seconds'], steps):10.2f} {more:12.2f}  {more / whole:>6.1%}"
        )
    print("peak memory, building and adding")
    for stage in list(_STAGES)[1:]:
        print(f"  {stage:18} {built['peak_bytes'][stage] / 1e6:9.0f} MB {added['peak_bytes'][stage] / 1e6:9.0f} MB")


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=PASSAGES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=tuple(_STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--describe", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.stage)), flush=True)
    elif arguments.describe:
        print(json.dumps(describe(arguments.describe)), flush=True)
    else:
        figures = run(arguments.passages)
        print(json.dumps(figures, indent=2)) if arguments.json else _print(figures)


if __name__ == "__main__":
    main()
