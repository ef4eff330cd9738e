"""Adapters: each reads the files of one benchmark as its authors publish them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from errors import DocumentRejected, SettingsError
from evaluation.dataset import Dataset
from evaluation.datasets import beir, hipporag, locomo, longmemeval, multihoprag, questions


@dataclass(frozen=True, slots=True)
class Adapter:
    """One format: how it is recognised, and how it is read."""

    read: Callable[[str, Path], Dataset]
    """The dataset's name and its folder or file."""
    recognises: Callable[[Path], bool]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names are also folders."""

ADAPTERS: dict[str, Adapter] = {
    "hipporag": Adapter(hipporag.read, hipporag.recognises),
    "multihop-rag": Adapter(multihoprag.read, multihoprag.recognises),
    "beir": Adapter(beir.read, beir.recognises),
    "locomo": Adapter(locomo.read, locomo.recognises),
    "longmemeval": Adapter(longmemeval.read, longmemeval.recognises),
    "questions": Adapter(questions.read, questions.recognises),
}
"""Format to its adapter."""


def read_dataset(name: str, path: Path, format_name: str = "", tolerated: float = 0.05) -> Dataset:
    """Read a dataset.

    Args:
        name: what the dataset is called in results.
        path: its folder, or its (main) file.
        format_name: a key of ``ADAPTERS``; without it, ``name`` where that is one, else what the files look like.
        tolerated: the share of entries that may be unusable.

    Raises:
        SettingsError: there is nothing at ``path``, or no such format.
        DocumentRejected: the files are of another format, or too much of them cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"A dataset cannot be named '{name}'.", "Use letters, digits, points, _ and -.")
    if not path.exists():
        raise SettingsError(f"There is nothing at {path}.", "Name the dataset's folder or file.")
    wanted = format_name or (name if name in ADAPTERS else "")
    if wanted and wanted not in ADAPTERS:
        raise SettingsError(f"There is no format '{wanted}'.", f"Known: {', '.join(ADAPTERS)}.")
    if not wanted:
        wanted = next((key for key, adapter in ADAPTERS.items() if adapter.recognises(path)), "")
    if not wanted:
        raise DocumentRejected(
            f"{path} is of no known format.", f"Name it with --format; known: {', '.join(ADAPTERS)}."
        )
    return ADAPTERS[wanted].read(name, path).checked(tolerated)
