"""Tuning fusion settings on the lakes of datasets; see ``evaluation.tuning`` for how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from derivation.evaluation_lake import ingest, prepare_lake
from derivation.lake import Lake
from derivation.progress import Progress
from errors import SettingsError
from evaluation.dataset import Dataset
from evaluation.run import OpenClient
from evaluation.tuning import Tuned, TuningSet, tune
from retrieval import MemoryClient
from warehouse.settings import Settings
from warehouse.snapshots import Manifest


def tune_datasets(
    datasets: Sequence[Dataset],
    base: Settings,
    trials: int,
    folds: int,
    progress: Progress,
    folder: Path | None = None,
) -> Tuned:
    """Build the datasets' lakes as far as needed and search.

    Args:
        base: the settings to improve on; their sources are not used.
        folder: where the lakes are kept, each under its dataset's name.

    Raises:
        SettingsError: a dataset is a test split, or has no corpus.
        MissingExtra: Optuna is not installed.
    """
    for dataset in datasets:
        if dataset.is_test_split:
            raise SettingsError(
                f"{dataset.name} is a test split ({dataset.files[0].name}).",
                "Tune on training or development questions: what was tuned on a test split measures nothing.",
            )
        if not dataset.documents:
            raise SettingsError(f"{dataset.name} has no corpus to tune on.", "Name a dataset with a corpus.")
    sets = []
    embedder = None
    for dataset in datasets:
        lake = prepare_lake(dataset, base, folder / dataset.name if folder else None, progress, embedder)
        manifest = ingest(lake, dataset.documents)
        embedder = lake.embedder
        sets.append(TuningSet(dataset, dataset.questions, _opener(lake, manifest)))
    return tune(sets, base.retrieval.fusion, trials, folds, progress)


def _opener(lake: Lake, manifest: Manifest) -> OpenClient:
    return lambda space, _: MemoryClient(lake.layout, lake.settings, space, manifest, lake.embedder)
