"""Running evaluations: on a dataset's own lake, on a lake that is there, or on one that grows step by step.

Results go to a warehouse: the evaluated lake's own where there is one, else the one of the evaluation home.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files as files_of
from itertools import pairwise
from pathlib import Path
from time import perf_counter

from derivation.canary import content_of
from derivation.embeddings import EMBEDDINGS_STEP_NAME
from derivation.evaluation_lake import EVALUATED, default_folder, evaluation_home, ingest, prepare_lake
from derivation.evaluation_records import add_results, begin_run, finish_run, finished_run, forget_run
from derivation.lake import Lake
from derivation.progress import Progress
from evaluation.dataset import CorpusDocument, Dataset, Question
from evaluation.datasets import read_dataset
from evaluation.judge import open_judge
from evaluation.record import EvaluatedRun, RunRecord, StepCost, digest
from evaluation.run import AS_OF, Evaluation
from evaluation.systems import FUSED, System, parse_systems
from memory.embedding import BUNDLED_MODEL, BUNDLED_SHA256
from retrieval import MemoryClient
from warehouse.database import Warehouse
from warehouse.ids import content_id
from warehouse.layout import LakeLayout
from warehouse.sections import JudgeSettings
from warehouse.settings import Settings, unknown_name
from warehouse.snapshots import Manifest, current_manifest, manifest_as_of, parse_moment, read_manifest

_PACKAGES = ("derivation", "evaluation", "graph", "memory", "retrieval", "sources", "warehouse")


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is asked of which systems."""

    dataset: Dataset
    systems: tuple[System, ...]
    answers: bool = True
    """Whether the fused system, or else the first, also answers."""
    tolerated: float = 0.05
    again: bool = False
    """Whether a run that is there is made anew."""
    snapshot: str = ""
    """Of a lake that is there; empty for the published one."""
    judge: JudgeSettings = field(default_factory=JudgeSettings)

    @property
    def answered(self) -> tuple[str, ...]:
        names = [system.name for system in self.systems]
        return (FUSED if FUSED in names else names[0],) if self.answers else ()


def results_warehouse(settings: Settings | None) -> Warehouse:
    """Where results are kept: in the lake of the settings, or without any in the evaluation home."""
    root = settings.lake.root if settings else evaluation_home() / "runs"
    root.mkdir(parents=True, exist_ok=True)
    return Warehouse(LakeLayout(root))


def evaluate_lake(lake: Lake, plan: EvaluationPlan, results: Warehouse, progress: Progress) -> EvaluatedRun:
    """Evaluate a published snapshot of a lake that is there.

    Raises:
        SnapshotError: nothing is published.
        DocumentRejected: too much of the evidence is not in the lake.
    """
    manifest = read_manifest(lake.layout, plan.snapshot) if plan.snapshot else current_manifest(lake.layout)
    return _evaluate(lake, manifest, plan, results, progress)


def evaluate_configured(lake: Lake, name: str) -> EvaluatedRun:
    """Evaluate a dataset that the settings name: on the published snapshot, or on its own lake if it has a corpus.

    Raises:
        UnknownName: the settings name no such dataset.
        DocumentRejected: too much of it cannot be used.
    """
    of = lake.settings.evaluation
    known = {item.name: item for item in of.datasets}
    if name not in known:
        raise unknown_name("dataset", name, list(known))
    dataset = read_dataset(name, known[name].path, known[name].format, of.tolerated)
    plan = EvaluationPlan(dataset, parse_systems([]), tolerated=of.tolerated, judge=of.judge)
    if dataset.documents:
        return evaluate_corpus(plan, lake.settings, lake.warehouse, lake.progress)
    return evaluate_lake(lake, plan, lake.warehouse, lake.progress)


def evaluate_corpus(
    plan: EvaluationPlan, base: Settings, results: Warehouse, progress: Progress, folder: Path | None = None
) -> EvaluatedRun:
    """Ingest a dataset's corpus into a lake of its own (or bring that up to date), and evaluate it.

    Args:
        base: the settings to evaluate; their sources are not used.
        folder: where the lake is kept.
    """
    lake = prepare_lake(plan.dataset, base, folder, progress)
    return _evaluate(lake, ingest(lake, plan.dataset.documents), plan, results, progress)


def evaluate_growing(
    plan: EvaluationPlan,
    base: Settings,
    results: Warehouse,
    progress: Progress,
    increments: int,
    folder: Path | None = None,
) -> Iterator[EvaluatedRun]:
    """Ingest a corpus in dated steps and evaluate after each on the questions that can be answered so far.

    Questions that the corpus does not answer are asked at the last step only: before, others are unanswerable, too.
    """
    dataset = plan.dataset
    home = (folder or default_folder(dataset, base)) / f"in-{increments}-steps"
    shutil.rmtree(home, ignore_errors=True)  # only ever ours: it must begin empty
    embedder = None
    before = 0
    steps = dated_steps(dataset.documents, increments)
    for step, documents in enumerate(steps, 1):
        started = perf_counter()
        lake = prepare_lake(dataset, base, home, progress, embedder)
        manifest = ingest(lake, documents)
        embedder = lake.embedder
        embedded = [report for report in lake.reports if report.step == EMBEDDINGS_STEP_NAME]
        cost = StepCost(
            documents=len(documents),
            added=len(documents) - before,
            passages=sum(state.passages for state in manifest.spaces.values()),
            embedded=sum(report.processed for report in embedded),
            tokens=sum(report.tokens for report in embedded),
            seconds=round(perf_counter() - started, 3),
        )
        before = len(documents)
        asked = answerable_so_far(dataset.questions, documents, last=step == len(steps))
        if asked:
            tolerated = plan.tolerated if step == len(steps) else 1.0
            now = replace(plan, dataset=replace(dataset, questions=asked), tolerated=tolerated)
            yield _evaluate(lake, manifest, now, results, progress, step, cost)


def dated_steps(documents: Sequence[CorpusDocument], increments: int) -> list[list[CorpusDocument]]:
    """What the corpus holds after each of the steps, in the order of the documents' dates, undated ones first."""
    ordered = sorted(documents, key=lambda document: document.date)
    bounds = [round(len(ordered) * step / increments) for step in range(increments + 1)]
    return [ordered[:end] for start, end in pairwise(bounds) if end > start]


def answerable_so_far(
    questions: Sequence[Question], documents: Sequence[CorpusDocument], last: bool
) -> tuple[Question, ...]:
    """The questions whose gold is all there; those without gold only in the last step."""
    there = {document.path for document in documents}
    return tuple(
        question
        for question in questions
        if (last if not question.gold else all(item.path in there for item in (*question.gold, *question.outdated)))
    )


def _evaluate(
    lake: Lake,
    manifest: Manifest,
    plan: EvaluationPlan,
    results: Warehouse,
    progress: Progress,
    step: int = 0,
    cost: StepCost | None = None,
) -> EvaluatedRun:
    judge = open_judge(plan.judge)

    def open_client(space: str, snapshot: str) -> MemoryClient:
        asked = _asked(lake.layout, snapshot, manifest)
        same = asked.embedder == manifest.embedder
        return MemoryClient(lake.layout, lake.settings, space, asked, lake.embedder if same else None)

    evaluation = Evaluation(
        dataset=plan.dataset,
        open_client=open_client,
        systems=plan.systems,
        settings=lake.settings,
        count_tokens=lake.token_counter,
        answered=plan.answered,
        judge=judge,
    )
    record = _record(lake, manifest, plan, judge.name if judge else None, step, cost)
    if plan.again:
        forget_run(results, record.run_id)
    finished = finished_run(results, record.run_id)
    if finished:
        return finished
    questions, problems = evaluation.resolve(plan.tolerated)
    record = replace(record, questions=len(questions), problems=tuple(map(str, (*plan.dataset.problems, *problems))))
    begun = begin_run(results, record)
    done = {(row.system, row.question_id) for row in begun.rows}
    for rows in evaluation.results(questions, done, progress):
        add_results(results, record.run_id, rows)
    return finish_run(results, record.run_id)


def _asked(layout: LakeLayout, snapshot: str, own: Manifest) -> Manifest:
    """The snapshot that is asked; see ``evaluation.run.OpenClient``."""
    if snapshot.startswith(AS_OF):
        return manifest_as_of(layout, parse_moment(snapshot.removeprefix(AS_OF)))
    return read_manifest(layout, snapshot) if snapshot else own


def _record(
    lake: Lake, manifest: Manifest, plan: EvaluationPlan, judge: str | None, step: int, cost: StepCost | None
) -> RunRecord:
    shaping = {name: getattr(lake.settings, name).model_dump(mode="json") for name in EVALUATED}
    systems = {
        system.name: [
            list(system.channels),
            system.fusion.model_dump() if system.fusion else None,
            system.snapshot,
            dict(system.changes),
            system.granularity,
        ]
        for system in plan.systems
    }
    hashes = {
        **plan.dataset.hashes,
        "settings": digest(shaping),
        "snapshot": content_of(manifest),
        "code": code_digest(),
    }
    if (manifest.embedder["provider"], manifest.embedder["model"]) == ("sentence-transformers", BUNDLED_MODEL):
        hashes["embedder"] = BUNDLED_SHA256
    identity = [
        plan.dataset.name,
        hashes,
        manifest.snapshot_id,
        systems,
        plan.answered,
        judge,
        step,
        version("memlake"),
    ]
    return RunRecord(
        run_id=content_id("evaluation", digest(identity))[:12],
        dataset=plan.dataset.name,
        format=plan.dataset.format,
        unit=plan.dataset.unit.value,
        path=str(plan.dataset.files[0].resolve()),
        metric=plan.dataset.metric,
        root=str(lake.layout.root),
        snapshot_id=manifest.snapshot_id,
        systems=tuple(systems),
        settings={**shaping, "systems": systems},
        embedder=dict(manifest.embedder),
        hashes=hashes,
        judge=judge,
        version=version("memlake"),
        questions=0,
        problems=(),
        step=step,
        cost=cost,
        started_at=datetime.now(UTC),
    )


@cache
def code_digest() -> str:
    """Of the source of everything that a result depends on, so that runs of two revisions are told apart."""
    files = [file for name in _PACKAGES for file in sorted(Path(str(files_of(name))).rglob("*.py"))]
    return digest([(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])
