"""A run as plain values: what ``--json`` prints and the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluation.record import EvaluatedRun
from evaluation.statistics import Comparison, Estimate, compare
from evaluation.summary import Scores, Summary, metric_values, require_same_questions, summarise
from evaluation.systems import FUSED
from warehouse.sections import AnswerSettings
from warehouse.settings import unknown_name

_DIGITS = 6

SHOWN = (
    "recall@2", "recall@5", "recall@10", "all_recall@10", "fact_recall@10", "ndcg@10", "mrr", "map", "freshness@5",
    "staleness@5", "em", "f1", "judged", "refusal_precision", "refusal_recall", "context_tokens", "latency_p50",
    "latency_p95",
)  # fmt: skip
"""The metrics of a table, in their order; ``--json`` has all."""


def summary_of(run: EvaluatedRun) -> Summary:
    """The run's means, its costs at the prices of its own settings."""
    return summarise(run.rows, AnswerSettings(**run.record.settings["answer"]))


def comparisons(run: EvaluatedRun, metric: str = "", system: str = "") -> list[Comparison]:
    """One system (the fused one, or else the first) against every other of the run.

    Raises:
        NotComparable: nobody has the metric.
        UnknownName: the system does not have it.
    """
    chosen = metric or run.record.metric
    values = metric_values(run.rows, chosen)
    require_same_questions(values, chosen)
    mine = system or (FUSED if FUSED in values else next(iter(values)))
    if mine not in values:
        raise unknown_name("system with this metric", mine, list(values))
    return compare(chosen, values, mine, [name for name in values if name != mine])


def run_record(run: EvaluatedRun, summary: Summary, compared: Sequence[Comparison]) -> dict[str, Any]:
    """Everything about a run but its rows."""
    record = run.record
    return {
        "run": record.run_id,
        "dataset": record.dataset,
        "format": record.format,
        "gold": record.unit,
        "questions": record.questions,
        "problems": list(record.problems),
        "snapshot": record.snapshot_id,
        "embedder": dict(record.embedder),
        "judge": record.judge,
        "version": record.version,
        "settings": dict(record.settings),
        "hashes": dict(record.hashes),
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat() if record.finished_at else None,
        "step": record.step,
        "cost": asdict(record.cost) if record.cost else None,
        "metric": record.metric,
        "systems": scores_record(summary.systems),
        "by_type": {kind: scores_record(systems) for kind, systems in summary.by_kind.items()},
        "comparisons": [comparison_record(item) for item in compared],
    }


def scores_record(systems: Mapping[str, Scores]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """System to metric to value, low, high and the number of questions."""
    return {
        system: {metric: _estimate_record(estimate) for metric, estimate in scores.items()}
        for system, scores in systems.items()
    }


def comparison_record(item: Comparison) -> dict[str, Any]:
    """One comparison with its verdict."""
    return {
        "system": item.system,
        "baseline": item.baseline,
        "metric": item.metric,
        "difference": _estimate_record(item.difference),
        "p": item.p,
        "p_corrected": item.p_corrected,
        "significant": item.significant,
        "effect": item.effect,
        "wins": item.wins,
        "losses": item.losses,
        "ties": item.ties,
    }


def _estimate_record(estimate: Estimate) -> dict[str, float | int | None]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, _DIGITS)

    return {
        "value": rounded(estimate.value),
        "low": rounded(estimate.low),
        "high": rounded(estimate.high),
        "questions": estimate.count,
    }
