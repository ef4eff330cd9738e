"""What is noted of a run, so that a reader can tell what was measured and do it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evaluation.run import QuestionResult

OWN_HASHES = frozenset({"questions", "settings", "snapshot", "code", "embedder"})
"""Of a run's hashes those that are not of one of the dataset's files."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What ingesting one step of a growing lake took."""

    documents: int
    """Of the lake after the step."""
    added: int
    passages: int
    embedded: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: a dataset asked of a snapshot under some settings."""

    run_id: str
    dataset: str
    format: str
    unit: str
    path: str
    metric: str
    root: str
    snapshot_id: str
    systems: tuple[str, ...]
    settings: Mapping[str, Any]
    embedder: Mapping[str, Any]
    hashes: Mapping[str, str]
    judge: str | None
    version: str
    questions: int
    problems: tuple[str, ...]
    step: int
    cost: StepCost | None
    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A run with its results."""

    record: RunRecord
    rows: tuple[QuestionResult, ...]


def digest(value: object) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
