"""The lake of a dataset: its corpus, written as the files of ordinary sources and ingested like any other.

Each space of the corpus is a source: JSON Lines of documents, or of chat sessions. The lake is kept, so that a second
evaluation embeds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from derivation.building import build_directly
from derivation.lake import Lake
from derivation.progress import Progress
from evaluation.dataset import DEFAULT_SPACE, CorpusDocument, Dataset, corpus_file
from memory.embedding import Embedder
from warehouse.files import write_atomically
from warehouse.settings import DEFAULT_FILE, Settings, load_settings
from warehouse.snapshots import Manifest

EVALUATED = ("segmentation", "embedding", "extraction", "graph", "retrieval", "answer")
"""Sections of the settings that a result depends on; the dataset's lake takes them over."""

_BUILT_FROM: dict[str, set[str] | None] = {
    "segmentation": None,
    "embedding": None,
    "extraction": {"provider", "model", "calls"},
    "graph": None,
}
"""Those of them that shape what is built, with the keys that do; each variant has a lake of its own."""


def evaluation_home() -> Path:
    """Where the lakes of datasets and the runs without a lake of the user's are kept: in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "memlake" / "evaluation"


def prepare_lake(
    dataset: Dataset,
    base: Settings,
    folder: Path | None = None,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> Lake:
    """The lake of a dataset under the settings to evaluate, not built yet.

    Args:
        base: the settings to evaluate; their sources are not used.
        folder: where it is kept; by default under :func:`evaluation_home`.
    """
    home = (folder or default_folder(dataset, base)).resolve()
    (home / "corpus").mkdir(parents=True, exist_ok=True)
    file = home / DEFAULT_FILE
    write_atomically(file, _settings_text(dataset, base))
    return Lake(load_settings(file), progress=progress, embedder=embedder)


def default_folder(dataset: Dataset, base: Settings) -> Path:
    """Where a dataset's lake is kept unless a folder is named: one for each way of building it."""
    return evaluation_home() / "lakes" / f"{dataset.name}-{_variant(dataset, base)}"


def ingest(lake: Lake, documents: Iterable[CorpusDocument]) -> Manifest:
    """Make the corpus these documents, build, publish.

    Raises:
        CheckFailed: a blocking check failed.
    """
    by_space: dict[str, list[CorpusDocument]] = {source.space: [] for source in lake.settings.sources}
    for document in documents:
        by_space[document.space].append(document)
    for source in lake.settings.sources:
        lines = (json.dumps(_record(document), ensure_ascii=False) + "\n" for document in by_space[source.space])
        file = Path(source.url)
        text = "".join(lines)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            write_atomically(file, text)
    return build_directly(lake)


def _record(document: CorpusDocument) -> dict[str, Any]:
    record: dict[str, Any] = {"id": document.document_id}
    if document.date:
        record["date"] = document.date
    if document.turns:
        return {**record, "turns": [{"speaker": speaker, "text": words} for speaker, words in document.turns]}
    return {**record, "title": document.title, "author": document.author, "text": document.text}


def _variant(dataset: Dataset, base: Settings) -> str:
    settings = "".join(getattr(base, section).model_dump_json(include=keys) for section, keys in _BUILT_FROM.items())
    return hashlib.blake2b(f"{dataset.spaces}{settings}".encode(), digest_size=5).hexdigest()


def _settings_text(dataset: Dataset, base: Settings) -> str:
    lines = ["[lake]", 'root = "lake"', ""]
    chats = {document.space for document in dataset.documents if document.turns}
    for space in dataset.spaces:
        lines += [
            "[[sources]]",
            f"name = {json.dumps(_source_name(space))}",
            f"space = {json.dumps(space)}",
            f"kind = {json.dumps('chat' if space in chats else 'jsonl')}",
            f"url = {json.dumps(f'corpus/{corpus_file(space)}')}",
            "",
        ]
    for section in EVALUATED:
        lines += _table(section, getattr(base, section).model_dump(mode="json", exclude_none=True))
    return "\n".join(lines) + "\n"


def _source_name(space: str) -> str:
    """A space's name may be as long as a source's, so that nothing can stand before it."""
    return "corpus" if space == DEFAULT_SPACE else space


def _table(name: str, values: Mapping[str, object]) -> list[str]:
    flat = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    lines = [f"[{name}]", *flat, ""]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key}", value)
    return lines
