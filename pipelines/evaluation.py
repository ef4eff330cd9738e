"""The lake of an evaluation: the dataset's corpus, ingested as any other source is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from derivation.lake import Lake
from derivation.progress import Progress
from errors import SourceUnavailable
from evaluation.dataset import Dataset
from pipelines.build import build
from retrieval import MemoryClient
from warehouse.settings import DEFAULT_FILE, EmbeddingSettings, Settings, load_settings


def build_evaluation_lake(
    dataset: Dataset, config: Path | None, folder: Path | None, progress: Progress
) -> MemoryClient:
    """Build (or bring up to date) the lake of a dataset and open it.

    Args:
        config: the settings to evaluate; the defaults without it. Their sources are not used.
        folder: where the lake is kept; by default in the user's cache, so that a second run embeds nothing.

    Raises:
        SourceUnavailable: the corpus could not be ingested.
    """
    base = load_settings(config) if config else Settings()
    home = (folder or _cache_folder(dataset, base.embedding)).resolve()
    home.mkdir(parents=True, exist_ok=True)
    file = home / DEFAULT_FILE
    file.write_text(_settings_text(dataset, base), encoding="utf-8")
    settings = load_settings(file)
    result = build(Lake(settings, progress=progress))
    if result.errors:
        raise SourceUnavailable("The corpus could not be ingested: " + " ".join(result.errors))
    return MemoryClient.open(file)


def _cache_folder(dataset: Dataset, embedding: EmbeddingSettings) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.blake2b(f"{dataset.corpus}{embedding.model_dump_json()}".encode(), digest_size=6).hexdigest()
    return root / "memlake" / "evaluation" / f"{dataset.name}-{key}"


def _settings_text(dataset: Dataset, base: Settings) -> str:
    """The evaluated settings with the corpus as their only source."""
    lines = ["[lake]", 'root = "lake"', "", "[[sources]]", 'name = "corpus"', 'kind = "jsonl"']
    lines.append(f"url = {json.dumps(str(dataset.corpus))}")
    lines += ["[sources.fields]", *(f"{name} = {json.dumps(field)}" for name, field in dataset.fields.items()), ""]
    for section in ("segmentation", "embedding", "graph", "retrieval"):
        lines += _table(section, getattr(base, section).model_dump(mode="json", exclude_none=True))
    return "\n".join(lines) + "\n"


def _table(name: str, values: dict[str, object]) -> list[str]:
    flat = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    lines = [f"[{name}]", *flat, ""]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}", value)
    return lines
