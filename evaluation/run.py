"""One evaluation: every system answers every question, and each answer is scored against its gold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.dataset import Dataset, ranked_documents
from evaluation.metrics import recall_at
from evaluation.systems import SYSTEMS
from retrieval import Hit, MemoryClient

RECALL_AT = (2, 5, 10)
_SPARE = 3
"""Passages fetched for each document that is ranked, since a document may have several."""


class Progress(Protocol):
    """Told how far the evaluation is."""

    def start(self, step: str, source: str, total: int) -> None: ...

    def advance(self, units: int) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """How one system did on one question."""

    system: str
    question_id: str
    ranked: tuple[str, ...]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """How every system did."""

    dataset: str
    snapshot: str
    embedder: dict[str, Any]
    questions: int
    rows: tuple[QuestionResult, ...]

    @property
    def systems(self) -> dict[str, dict[str, float]]:
        """System to metric to mean over the questions."""
        means: dict[str, dict[str, float]] = {}
        for system in SYSTEMS:
            mine = [row.metrics for row in self.rows if row.system == system]
            means[system] = {name: sum(row[name] for row in mine) / len(mine) for name in mine[0]}
        return means

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        systems = {
            system: {name: {"value": round(value, 6)} for name, value in metrics.items()}
            for system, metrics in self.systems.items()
        }
        return {
            "dataset": self.dataset,
            "questions": self.questions,
            "snapshot": self.snapshot,
            "embedder": self.embedder,
            "systems": systems,
        }


def _shown_paths(hits: Sequence[Hit]) -> Iterator[str]:
    """Documents in the order in which a reader is shown them: a near-duplicate's takes the rank after its family's."""
    for hit in hits:
        yield hit.location.path
        yield from (other.location.path for other in hit.further)


def evaluate(client: MemoryClient, dataset: Dataset, progress: Progress) -> EvaluationResult:
    """Score every system on the snapshot that ``client`` reads; ranks count distinct documents."""
    manifest = client.snapshot
    progress.start("embedding questions", dataset.name, len(dataset.questions))
    vectors = client.embed([question.text for question in dataset.questions])
    progress.start("evaluating", dataset.name, len(dataset.questions))
    rows = []
    for question, vector in zip(dataset.questions, vectors, strict=True):
        for system, channels in SYSTEMS.items():
            hits = client.search(question.text, k=max(RECALL_AT) * _SPARE, channels=channels, vector=vector)
            ranked = ranked_documents(_shown_paths(hits))[: max(RECALL_AT)]
            metrics = {f"recall@{k}": recall_at(ranked, question.gold, k) for k in RECALL_AT}
            rows.append(QuestionResult(system, question.question_id, tuple(ranked), metrics))
        progress.advance(1)
    progress.finish()
    return EvaluationResult(
        dataset.name, manifest.snapshot_id, dict(manifest.embedder), len(dataset.questions), tuple(rows)
    )
