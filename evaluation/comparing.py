"""Comparing runs: one system of each, on the same questions, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from errors import NotComparable
from evaluation.record import OWN_HASHES, EvaluatedRun, RunRecord
from evaluation.statistics import Comparison, compare
from evaluation.summary import metric_values, require_same_questions
from evaluation.systems import FUSED


def compare_runs(runs: Sequence[EvaluatedRun], metric: str = "", system: str = "") -> list[Comparison]:
    """The first run against every other; each is named by its run's id.

    Raises:
        NotComparable: the runs are of different datasets, over different questions or judged differently.
    """
    first, *others = runs
    for other in others:
        reason = _difference(first, other)
        if reason:
            raise NotComparable(
                f"The runs {first.record.run_id} and {other.record.run_id} cannot be ranked: {reason}.",
                "Evaluate both on the same questions.",
            )
    chosen, name = metric or first.record.metric, system or FUSED
    values = {run.record.run_id: metric_values(run.rows, chosen).get(name, {}) for run in runs}
    if not all(values.values()):
        raise NotComparable(f"Not every run has the metric {chosen} for {name}.", "Name others: --metric, --system.")
    require_same_questions(values, chosen)
    return compare(chosen, values, first.record.run_id, [other.record.run_id for other in others])


def _difference(first: EvaluatedRun, other: EvaluatedRun) -> str:
    one, two = first.record, other.record
    if one.dataset != two.dataset:
        return f"one is of {one.dataset}, the other of {two.dataset}"
    if one.hashes["questions"] != two.hashes["questions"]:
        return "their questions or gold differ"
    if {name: one.hashes[name] for name in _files(one)} != {name: two.hashes[name] for name in _files(two)}:
        return "their corpora differ"
    if one.judge != two.judge:
        return f"they were judged by {one.judge or 'nobody'} and by {two.judge or 'nobody'}"
    return ""


def _files(record: RunRecord) -> list[str]:
    return sorted(name for name in record.hashes if name not in OWN_HASHES)
