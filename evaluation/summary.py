"""From results per question to means with intervals, by system and by question type; and which runs may be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from errors import NotComparable
from evaluation.run import QuestionResult
from evaluation.statistics import NOTHING, Estimate, mean_intervals, share_interval
from warehouse.sections import AnswerSettings

Scores = dict[str, Estimate]
"""Metric to its estimate."""

LATENCIES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
"""Milliseconds of one query by itself, its embedding included."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to."""

    systems: dict[str, Scores]
    by_kind: dict[str, dict[str, Scores]]
    """Question type to system to metrics; empty where the dataset has no types."""


def summarise(rows: Sequence[QuestionResult], prices: AnswerSettings | None = None) -> Summary:
    """Means with intervals; a metric that no question has is not there."""
    systems = list(dict.fromkeys(row.system for row in rows))
    kinds = sorted({row.kind for row in rows if row.kind})
    return Summary(
        systems={name: _scores([row for row in rows if row.system == name], prices) for name in systems},
        by_kind={
            kind: {
                name: _scores([row for row in rows if row.system == name and row.kind == kind], prices)
                for name in systems
            }
            for kind in kinds
        },
    )


def metric_values(rows: Sequence[QuestionResult], metric: str) -> dict[str, dict[str, float]]:
    """System to question to value, where there is one."""
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        if metric in row.metrics:
            values.setdefault(row.system, {})[row.question_id] = row.metrics[metric]
    return values


def require_same_questions(values: Mapping[str, Mapping[str, float]], metric: str) -> None:
    """Only systems that were asked the same questions are ranked.

    Raises:
        NotComparable: they were not, or nobody has the metric.
    """
    if not values:
        raise NotComparable(f"No question has the metric {metric}.", "Name another one with --metric.")
    first, *others = values
    for other in others:
        missing = values[first].keys() ^ values[other].keys()
        if missing:
            raise NotComparable(
                f"{first} and {other} were not asked the same questions: {len(missing)} were asked of one only, "
                f"such as {min(missing)}.",
                "Rank systems of one run, or runs over the same questions.",
            )


def _scores(rows: Sequence[QuestionResult], prices: AnswerSettings | None) -> Scores:
    names = sorted({name for row in rows for name in row.metrics})
    table = np.array([[row.metrics.get(name, np.nan) for name in names] for row in rows]).reshape(-1, len(names))
    scores: Scores = {}
    groups: dict[bytes, list[int]] = {}
    for column in range(len(names)):
        groups.setdefault(np.isfinite(table[:, column]).tobytes(), []).append(column)
    for columns in groups.values():
        present = np.isfinite(table[:, columns[0]])
        estimates = mean_intervals(table[present][:, columns])
        scores |= {names[column]: estimate for column, estimate in zip(columns, estimates, strict=True)}
    scores.pop("refused", None)
    scores = {name: scores[name] for name in names if name in scores}
    return scores | _refusals(rows) | _costs(rows, prices) | _latencies(rows)


def _refusals(rows: Sequence[QuestionResult]) -> Scores:
    """Precision and recall of refusing what the corpus does not answer; blank where nothing was refused."""
    answered = [row for row in rows if "refused" in row.metrics]
    if all(row.answerable for row in answered):
        return {}
    refused = [row.metrics["refused"] == 1.0 for row in answered]
    unanswerable = [not row.answerable for row in answered]
    return {
        "refusal_precision": share_interval(unanswerable, refused),
        "refusal_recall": share_interval(refused, unanswerable),
    }


def _costs(rows: Sequence[QuestionResult], prices: AnswerSettings | None) -> Scores:
    """Model calls and tokens of all answers, as the endpoint reported them; nothing where no model was asked."""
    answers = [row.answer for row in rows if row.answer and row.answer.calls]
    if not answers:
        return {}
    prompt = sum(answer.prompt_tokens for answer in answers)
    completion = sum(answer.completion_tokens for answer in answers)
    scores = {
        "calls": _total(sum(answer.calls for answer in answers), len(answers)),
        "prompt_tokens": _total(prompt, len(answers)),
        "completion_tokens": _total(completion, len(answers)),
    }
    if prices and prices.price_per_million_prompt_tokens is not None:
        price = prompt * prices.price_per_million_prompt_tokens
        price += completion * (prices.price_per_million_completion_tokens or 0.0)
        scores["cost"] = _total(price / 1e6, len(answers))
    return scores


def _latencies(rows: Sequence[QuestionResult]) -> Scores:
    measured = [row.latency_ms for row in rows if row.latency_ms is not None]
    if not measured:
        return dict.fromkeys(LATENCIES, NOTHING) if rows else {}
    return {name: _total(float(np.quantile(measured, share)), len(measured)) for name, share in LATENCIES.items()}


def _total(value: float, count: int) -> Estimate:
    """A figure that is no mean and has no interval."""
    return Estimate(float(value), None, None, count)
