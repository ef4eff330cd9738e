"""The example lake, built once a test run through the Dagster jobs, with the default model."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from derivation.lake import Lake
from memory.embedding import Embedder, EmbedderSpec, open_embedder
from pipelines.build import BuildResult, build
from retrieval import MemoryClient
from warehouse.settings import load_settings

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
DATES = ("2026-01-15", "2026-04-15", "2026-07-15")


def replay() -> ModuleType:
    """The script that lays the example corpus out."""
    spec = importlib.util.spec_from_file_location("replay", EXAMPLES / "replay.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def questions() -> list[dict[str, Any]]:
    """The forty questions."""
    lines = (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class ExampleLake:
    """A lake with one snapshot for each date of the corpus."""

    config: Path
    corpus: Path
    embedder: Embedder
    builds: tuple[BuildResult, ...]

    @property
    def snapshots(self) -> list[str]:
        return [str(result.snapshot) for result in self.builds]

    def lake(self, as_of: str | None = None) -> Lake:
        moment = datetime.combine(datetime.fromisoformat(as_of).date(), time.max, tzinfo=UTC) if as_of else None
        return Lake(load_settings(self.config), as_of=moment, embedder=self.embedder)

    def client(self, **options: Any) -> MemoryClient:
        return MemoryClient.open(self.config, embedder=self.embedder, **options)


def build_example(folder: Path, embedder: Embedder, dates: Sequence[str] = DATES) -> ExampleLake:
    """Lay out every revision in turn, and build at each of ``dates``."""
    config = folder / "memlake.toml"
    settings = (ROOT / "memlake.toml").read_text(encoding="utf-8")
    config.write_text(settings.replace('"examples/', f'"{EXAMPLES}/'), encoding="utf-8")
    corpus = folder / ".demo" / "corpus"
    builds = []
    script = replay()
    for date in DATES:
        script.lay_out(corpus, date)
        if date not in dates:
            continue
        moment = datetime.combine(datetime.fromisoformat(date).date(), time.max, tzinfo=UTC)
        builds.append(build(Lake(load_settings(config), as_of=moment, embedder=embedder)))
    return ExampleLake(config, corpus, embedder, tuple(builds))


@pytest.fixture(scope="session")
def bundled_embedder() -> Embedder:
    """The default model, loaded once."""
    return open_embedder(EmbedderSpec("sentence-transformers", "all-MiniLM-L6-v2"))


@pytest.fixture(scope="session")
def example_lake(tmp_path_factory: pytest.TempPathFactory, bundled_embedder: Embedder) -> Iterator[ExampleLake]:
    """Shared by tests that only read; whoever changes something builds a lake of their own."""
    before = os.environ.get("MEMLAKE_CONFIG")
    yield build_example(tmp_path_factory.mktemp("example"), bundled_embedder)
    if before is None:
        os.environ.pop("MEMLAKE_CONFIG", None)
    else:
        os.environ["MEMLAKE_CONFIG"] = before
