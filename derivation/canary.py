"""The canary: questions that a candidate must answer about as well as the published snapshot, or it is held back.

Both snapshots are asked the same questions. The candidate is held back where a paired permutation test finds, with the
configured confidence, that it got worse by more than the margin. What the candidate has no gold for any more counts as
not found: a document that silently went missing is what a canary is for. Whoever wants such a candidate lets it pass,
and that is recorded.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from derivation.checks import CheckResult
from derivation.lake import Lake
from derivation.progress import NoProgress
from errors import DocumentRejected, MemlakeError, UnknownName
from evaluation.dataset import Dataset, Question
from evaluation.datasets import read_dataset
from evaluation.run import Evaluation
from evaluation.statistics import paired_p_value
from evaluation.systems import BUILT_IN, FUSED
from retrieval import MemoryClient
from warehouse.ids import content_id
from warehouse.snapshots import Manifest, current_id, current_manifest

CANARY = "canary"

_ACCEPT = "If that is as it should be, let it pass: memlake snapshots accept --reason '...'"


def check_canary(lake: Lake, candidate: Manifest) -> CheckResult:
    """The canary questions are answered about as well as by the published snapshot."""
    settings = lake.settings.evaluation.canary
    if settings.questions is None or not current_id(lake.layout):
        return CheckResult(CANARY, ())
    published = current_manifest(lake.layout)
    if content_of(published) == content_of(candidate):
        return CheckResult(CANARY, ())
    reason = override_of(lake, candidate)
    if reason is not None:
        return CheckResult(CANARY, (), note=f"let pass: {reason}")
    try:
        return _compared(lake, published, candidate, settings.questions)
    except MemlakeError as error:
        return CheckResult(CANARY, (f"The canary questions could not be asked: {error} {_ACCEPT}",))


def _compared(lake: Lake, published: Manifest, candidate: Manifest, questions: Path) -> CheckResult:
    """The verdict on questions that were asked of both.

    Raises:
        MemlakeError: they cannot be read or asked, or no question has the metric.
    """
    settings = lake.settings.evaluation.canary
    dataset = read_dataset(CANARY, questions, "questions", lake.settings.evaluation.tolerated)
    before, after = (_values(lake, manifest, dataset, settings.metric) for manifest in (published, candidate))
    compared = sorted(before.keys() & after.keys())
    if not compared:
        raise UnknownName(f"No canary question has the metric '{settings.metric}'.", "Set evaluation.canary.metric.")
    if not any(before[key] or after[key] for key in compared):
        raise DocumentRejected(
            f"Neither snapshot finds anything that the {len(compared)} canary questions ask for.",
            f"Check the gold of {questions}.",
        )
    worse = np.array([before[key] - after[key] for key in compared])
    p = paired_p_value(worse - settings.margin, alternative="greater")
    told = (
        f"{settings.metric} over {len(worse)} canary questions: {np.mean([after[key] for key in compared]):.3f}, "
        f"published {np.mean([before[key] for key in compared]):.3f} "
        f"(worse by more than {settings.margin:g}: p = {p:.4f})"
    )
    least = 0.5 ** len(worse)
    if least >= 1 - settings.confidence:
        told += f"; so few questions can hold nothing back (p is {least:.4f} where all are lost)"
    if worse.mean() <= settings.margin or p >= 1 - settings.confidence:
        return CheckResult(CANARY, (), note=told)
    lost = [key for key in compared if before[key] > after[key]]
    shown = f"{', '.join(lost[:5])}{' and others' if len(lost) > 5 else ''}"
    return CheckResult(CANARY, (f"{told}; worse on {shown}. {_ACCEPT}",))


def content_of(manifest: Manifest) -> str:
    """What a snapshot answers from, whenever it was made: equal content answers alike."""
    states = [f"{name}:{state.digest}" for name, state in sorted(manifest.spaces.items())]
    return content_id("content", str(sorted(manifest.embedder.items())), *states)


def accept(lake: Lake, candidate: Manifest, reason: str) -> None:
    """Let the content of a candidate pass the canary, and record who did and why."""
    with lake.warehouse.session("recording an override") as connection:
        connection.execute(
            "INSERT INTO overrides VALUES ($content, $check, $snapshot, $reason, $by, $now) ON CONFLICT DO UPDATE"
            " SET reason = excluded.reason, granted_by = excluded.granted_by, granted_at = excluded.granted_at",
            {
                "content": content_of(candidate),
                "check": CANARY,
                "snapshot": candidate.snapshot_id,
                "reason": reason,
                "by": f"{getpass.getuser()}@{socket.gethostname()}",
                "now": datetime.now(UTC).replace(tzinfo=None),
            },
        )


def override_of(lake: Lake, candidate: Manifest) -> str | None:
    """Why the content of a candidate was let pass the canary, if it was."""
    with lake.warehouse.session("looking for an override") as connection:
        row = connection.execute(
            "SELECT reason FROM overrides WHERE content = $content AND check_name = $check",
            {"content": content_of(candidate), "check": CANARY},
        ).fetchone()
    return str(row[0]) if row else None


def _values(lake: Lake, manifest: Manifest, dataset: Dataset, metric: str) -> dict[str, float]:
    """The metric of every question that has it; 0 where the snapshot does not even have the question's space.

    Questions about a date are left out: they ask another snapshot than either of the two.
    """
    asked = [question for question in dataset.questions if question.gold and not question.as_of]
    there = [question for question in asked if question.space in manifest.spaces]
    values = {question.question_id: 0.0 for question in asked if question not in there}
    return values | (_measured(lake, manifest, dataset, there, metric) if there else {})


def _measured(
    lake: Lake, manifest: Manifest, dataset: Dataset, questions: Sequence[Question], metric: str
) -> dict[str, float]:
    same = manifest.embedder == asdict(lake.embedder_spec)
    embedder = lake.embedder if same else None
    evaluation = Evaluation(
        dataset=dataset,
        open_client=lambda space, _: MemoryClient(lake.layout, lake.settings, space, manifest, embedder),
        systems=(BUILT_IN[FUSED],),
        settings=lake.settings,
        count_tokens=lake.token_counter,
        timed=0,
    )
    rows = [row for chunk in evaluation.results(questions, (), NoProgress()) for row in chunk]
    return {row.question_id: row.metrics[metric] for row in rows if metric in row.metrics}
