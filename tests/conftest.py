"""A lake in a temporary folder: write files, build, look at what came out. No model and no Dagster is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pytest
from example import bundled_embedder, example_lake  # noqa: F401
from modelled import server  # noqa: F401

from derivation.checks import CheckResult
from derivation.documents import refresh_documents
from derivation.gate import GATE
from derivation.lake import Lake
from derivation.progress import Progress
from derivation.settling import refresh_derived, refresh_served
from derivation.snapshot import make_candidate, publish, record_checks
from memory.embedding import Embedder, HashingEmbedder
from retrieval.client import MemoryClient
from warehouse.delta import Scope
from warehouse.layout import LakeLayout
from warehouse.searched import KINDS
from warehouse.sections import SourceSettings
from warehouse.settings import load_settings
from warehouse.snapshots import Manifest
from warehouse.vectors import connect

# In CI the examples are the same for the same code, so that a verdict can be reproduced; elsewhere they vary.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000, stateful_step_count=30)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

REPOSITORY = Path(__file__).parent.parent

TIMES = frozenset({"seen_at", "processed_at", "attempts"})
"""Columns that tell when and how often, not what; two lakes may differ in them."""

STATE_TABLES = (
    "documents",
    "revisions",
    "passages",
    "embeddings",
    "mentions",
    "titles",
    "acronyms",
    "supports",
    "entities",
    "facts",
    "validity",
    "phrases",
    "neighbours",
    "compared",
    "decisions",
    "resolutions",
    "signatures",
    "duplicate_pairs",
    "families",
    "memories",
    "memory_spans",
    "memory_validity",
    "outline_candidates",
    "time_expressions",
    "association_neighbours",
    "piece_vectors",
    "events",
    "reinforcement",
    "ledger",
)

OF_EMBEDDERS = frozenset({"embeddings", "piece_vectors"})
"""Tables that keep a former embedder's rows, too."""


@dataclass(frozen=True)
class Built:
    """What one build did."""

    snapshot: Manifest
    published: bool
    embedded: int
    """Texts that the embedder was given."""
    lake: Lake

    @property
    def id(self) -> str:
        return self.snapshot.snapshot_id


def refresh_source(lake: Lake, source: SourceSettings) -> None:
    """The assets of one source, in their order."""
    refresh_documents(lake, source)
    refresh_derived(lake, Scope(source.space, source.name))


def run_checks(lake: Lake, candidate: Manifest) -> list[CheckResult]:
    """Every blocking check, its verdict noted."""
    results = [check(lake, candidate) for check in GATE.values()]
    for result in results:
        record_checks(lake, candidate, [result])
    return results


def build_lake(lake: Lake) -> tuple[Manifest, bool]:
    """What a build does, without Dagster; gives the snapshot and whether it is newly published."""
    for source in lake.settings.sources:
        refresh_source(lake, source)
    refresh_served(lake)
    candidate = make_candidate(lake)
    run_checks(lake, candidate)
    return candidate, publish(lake, candidate)


@contextmanager
def kept_open(lake: Lake) -> Iterator[None]:
    """Spare DuckDB from opening the file for each of a build's many transactions: most of the time of a small build."""
    lake.layout.root.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(lake.layout.warehouse)):
        yield


class Workspace:
    """A settings file, source folders beside it, and the lake that is built from them.

    Paths are relative to the folder of a source, by default to that of the first one, ``notes``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "memlake.toml"
        self.configure()
        self.source_folder().mkdir(parents=True)
        self.embedder = HashingEmbedder(64, Lake.from_file(self.config).embedder_spec.identity)

    def configure(self, sources: Sequence[Mapping[str, Any]] = ({},), **sections: Mapping[str, Any]) -> None:
        """Write the settings; a source is named ``notes`` and lies in the folder of its name unless told otherwise."""
        embedding = {"provider": "hashing", "dimensions": 64, **sections.get("embedding", {})}
        tables = {**sections, "embedding": embedding}
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""]
        for source in sources:
            named = {"name": "notes", **source}
            whole = {"url": named["name"], **named}
            lines += ["[[sources]]", *(f"{key} = {_toml(value)}" for key, value in whole.items()), ""]
        self.config.write_text("\n".join(lines), encoding="utf-8")

    def source_folder(self, source: str = "notes") -> Path:
        return self.folder / source

    def path(self, path: str, source: str = "notes") -> Path:
        return self.source_folder(source) / path

    def write(self, path: str, content: str | bytes, source: str = "notes") -> Path:
        """Create or replace a file of a source."""
        target = self.path(path, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def delete(self, path: str, source: str = "notes") -> None:
        self.path(path, source).unlink()

    def rename(self, path: str, new_path: str, source: str = "notes") -> None:
        target = self.path(new_path, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path(path, source).rename(target)

    def lake(
        self,
        as_of: datetime | None = None,
        root: Path | None = None,
        embedder: Embedder | None = None,
        retry_quarantined: bool = False,
        progress: Progress | None = None,
    ) -> Lake:
        """The lake as the settings file has it now; ``root`` puts another one beside it, from the same sources."""
        settings = load_settings(self.config)
        if root is not None:
            settings = settings.model_copy(update={"lake": settings.lake.model_copy(update={"root": root})})
        lake = Lake(settings, as_of=as_of, progress=progress, embedder=embedder or self.embedder)
        lake.retry_quarantined = retry_quarantined
        return lake

    def build(
        self,
        as_of: datetime | None = None,
        root: Path | None = None,
        embedder: Embedder | None = None,
        retry_quarantined: bool = False,
        progress: Progress | None = None,
    ) -> Built:
        """Bring the lake up to date, check it and publish.

        Raises:
            CheckFailed: a blocking check found a problem.
        """
        lake = self.lake(as_of, root, embedder, retry_quarantined, progress)
        before = self.embedder.calls
        with kept_open(lake):
            snapshot, published = build_lake(lake)
        return Built(snapshot, published, self.embedder.calls - before, lake)

    def build_anew(self) -> Lake:
        """Another lake, built at once from what the sources hold now."""
        number = sum(1 for _ in self.folder.glob("anew-*"))
        return self.build(root=self.folder / f"anew-{number}").lake

    def assert_equals_rebuild(self, lake: Lake) -> None:
        """The lake holds what one that is built at once from the present sources holds."""
        root = self.folder / "anew"
        with kept_open(self.lake(root=root)):
            assert_same_lake(lake, self.build(root=root).lake)
        shutil.rmtree(root)

    def client(self, **options: Any) -> MemoryClient:
        return MemoryClient.open(self.config, embedder=self.embedder, **options)

    @property
    def layout(self) -> LakeLayout:
        return self.lake().layout

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What the warehouse answers."""
        with self.lake().warehouse.session("looking") as connection:
            return connection.execute(sql, parameters).fetchall()

    def column(self, sql: str, **parameters: Any) -> list[Any]:
        """The first column of what the warehouse answers."""
        return [row[0] for row in self.rows(sql, **parameters)]

    def texts_held(self) -> set[tuple[str, str]]:
        """Space and hash of the texts that the lake's passages and memories are embedded from."""
        sql = (
            "SELECT space, text_hash FROM passages"
            " UNION SELECT space, text_hash FROM memories WHERE NOT pooled"  # the others are made of pieces of passages
        )
        return {(space, text) for space, text in self.rows(sql)}

    def paths(self) -> list[str]:
        """Paths of the documents that the lake holds."""
        return self.column("SELECT path FROM documents ORDER BY path")


def state_of(lake: Lake) -> dict[str, Any]:
    """All that a lake holds, but for times: rows of every table, of the Lance tables, and the layers' digests."""
    state: dict[str, Any] = {}
    with lake.warehouse.session("comparing lakes") as connection:
        for table in STATE_TABLES:
            known = connection.execute(f"SELECT * FROM {table} LIMIT 0").description
            columns = ", ".join(f'"{column[0]}"' for column in known if column[0] not in TIMES)
            of = "embedder = $embedder" if table in OF_EMBEDDERS else "$embedder <> ''"
            state[table] = connection.execute(
                f"SELECT {columns} FROM {table} WHERE {of} ORDER BY ALL", {"embedder": lake.embedder_spec.identity}
            ).fetchall()
        for space, layer, digest in connection.execute(
            "SELECT space, layer, state->>'digest' FROM layers ORDER BY ALL"
        ).fetchall():
            state[f"digest of {layer} of {space}"] = digest
    for space in lake.settings.spaces:
        for kind in KINDS:
            searched = connect(lake.layout, space).open_table(kind.table(lake.embedder_spec.identity))
            state[f"searched {kind.name} of {space}"] = searched.to_arrow().sort_by(kind.key).to_pylist()
    return state


def assert_same_lake(lake: Lake, other: Lake) -> None:
    """Two lakes hold the same; says which table differs, and in which rows."""
    left, right = state_of(lake), state_of(other)
    assert left.keys() == right.keys()
    for name in left:
        if left[name] != right[name]:
            only_left = [row for row in left[name] if row not in right[name]]
            only_right = [row for row in right[name] if row not in left[name]]
            pytest.fail(f"{name}: only in the first {only_left[:3]}, only in the second {only_right[:3]}")


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process that sees this repository, its output piped."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-table", action="store_true", help="print what became of each crash of tests/test_crash.py"
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What the exactness tests came to, from whichever processes ran them; on demand, a table of the crashes."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    tallies = _recorded(reports, "exactness")
    if tallies:
        counts = [json.loads(tally) for tally in tallies]
        total = {name: (max if name == "longest" else sum)(count[name] for count in counts) for name in counts[0]}
        terminalreporter.write_line(f"exactness: {json.dumps(total)}")
    if config.getoption("--crash-table"):
        header = ["point", "reach", "reached by", "died of", "queries meanwhile", "afterwards"]
        for row in [header, ["---"] * len(header), *sorted(_recorded(reports, "crash"))]:
            terminalreporter.write_line("| " + " | ".join(row) + " |")


def _recorded(reports: Sequence[Any], wanted: str) -> list[Any]:
    """What tests have recorded under a name."""
    return [value for report in reports for name, value in report.user_properties if name == wanted]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("MEMLAKE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty folder source and its settings, which MEMLAKE_CONFIG names."""
    made = Workspace(tmp_path)
    monkeypatch.setenv("MEMLAKE_CONFIG", str(made.config))
    return made


@pytest.fixture
def make_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workspace]:
    """Any number of workspaces, for tests that need a fresh one for each example."""
    return lambda: Workspace(tmp_path_factory.mktemp("workspace"))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
