"""What a thousand small commits do to a lake's size, and what upkeep makes of it.

    python benchmarks/upkeep.py [--commits N] [--json]

One document of a corpus made from a seed changes before each commit; every commit publishes a snapshot. The hashing
embedder stands in for the model: sizes do not depend on it, but for the dimensions, which are the model's. Then upkeep
runs once, with the last snapshot kept, and the lake is compared with one that is built at once from the same documents.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from corpora import synthetic

DOCUMENTS = 500
_EMBEDDING = '[embedding]\nprovider = "hashing"\ndimensions = 384\n\n[retention]\nkeep_last = 1\nkeep_days = 0\n'


def build(lake: Any) -> None:
    """Every step of a build, without Dagster."""
    from derivation.documents import refresh_documents
    from derivation.settling import refresh_derived, refresh_served
    from derivation.snapshot import publish_present
    from warehouse.delta import Scope

    for source in lake.settings.sources:
        refresh_documents(lake, source)
        refresh_derived(lake, Scope(source.space, source.name))
    refresh_served(lake)
    publish_present(lake)


def maintain(lake: Any) -> None:
    """What the job ``maintain`` does, without Dagster."""
    from derivation.retention import enforce_retention
    from derivation.snapshot import publish_present
    from derivation.upkeep import maintain_table, maintain_warehouse

    for space in lake.settings.spaces:
        maintain_table(lake, space)
    publish_present(lake)
    enforce_retention(lake)
    maintain_warehouse(lake)


def sizes(lake: Any) -> dict[str, int]:
    """Bytes and files of the lake."""
    from warehouse.files import size_of

    layout = lake.layout
    return {
        "lake": size_of(layout.root),
        "warehouse": size_of(layout.warehouse),
        "vectors": size_of(layout.vectors),
        "graphs": size_of(layout.graphs),
        "files": sum(path.is_file() for path in layout.root.rglob("*")),
    }


def run(commits: int) -> dict[str, Any]:
    """Commit, maintain, compare."""
    from derivation.digest import lake_digest
    from derivation.lake import Lake
    from derivation.upkeep import measure_table
    from warehouse.settings import load_settings

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        records = json.loads(synthetic(root / "corpus.json", DOCUMENTS, 60).read_text())
        (root / "documents").mkdir()
        for number, record in enumerate(records):
            (root / "documents" / f"{number}.md").write_text(f"# {record['title']}\n\n{record['text']}\n")
        config = root / "memlake.toml"

        def lake(name: str) -> Lake:
            source = '[[sources]]\nname = "documents"\nurl = "documents"\n'
            config.write_text(f'[lake]\nroot = "{name}"\n\n{_EMBEDDING}\n{source}')
            return Lake(load_settings(config))

        worn = lake("worn")
        begun = time.perf_counter()
        build(worn)
        for commit in range(commits):
            path = root / "documents" / f"{commit * 37 % DOCUMENTS}.md"
            path.write_text(f"{path.read_text().rstrip()} Revised in commit {commit}.\n")
            build(lake("worn"))
            if sys.stderr.isatty():
                print(f"\r{commit + 1} of {commits} commits", end="", file=sys.stderr)
        seconds = time.perf_counter() - begun
        before, health = sizes(worn), measure_table(worn, "default")
        begun = time.perf_counter()
        maintain(lake("worn"))
        upkeep_seconds = time.perf_counter() - begun
        after, kept = sizes(worn), measure_table(worn, "default")
        fresh = lake("fresh")
        build(fresh)
        at_once = sizes(fresh)
        assert health is not None
        assert kept is not None
        return {
            "commits": commits,
            "seconds_per_commit": seconds / (commits + 1),
            "upkeep_seconds": upkeep_seconds,
            "before": {**before, "fragments": health.fragments, "versions": health.versions},
            "after": {**after, "fragments": kept.fragments, "versions": kept.versions},
            "fresh": at_once,
            "ratio": after["lake"] / at_once["lake"],
            "unindexed_rows": kept.unindexed_rows,
            "same_content": lake_digest(worn) == lake_digest(fresh),
        }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = run(arguments.commits)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{figures['commits']:,} commits of one document of {DOCUMENTS}, {figures['seconds_per_commit']:.2f} s each")
    print(f"{'':22}{'lake':>10}{'warehouse':>12}{'vectors':>10}{'graphs':>9}{'files':>8}{'versions':>10}")
    names = {"before": "before upkeep", "after": "after upkeep", "fresh": "built at once"}
    for key, name in names.items():
        row = figures[key]
        megabytes = [f"{row[store] / 1e6:.1f} MB" for store in ("lake", "warehouse", "vectors", "graphs")]
        versions = row.get("versions", "")
        stores = f"{megabytes[0]:>10}{megabytes[1]:>12}{megabytes[2]:>10}{megabytes[3]:>9}"
        print(f"  {name:20}{stores}{row['files']:>8}{versions:>10}")
    print(f"  after upkeep to built at once: {figures['ratio']:.2f} (asked: at most 1.2)")
    print(f"  upkeep took {figures['upkeep_seconds']:.1f} s")
    print(f"  rows that the full-text index leaves out: {figures['unindexed_rows']}")
    print(f"  the same content as built at once: {'yes' if figures['same_content'] else 'NO'}")


if __name__ == "__main__":
    main()
