"""A lake that grows: what it can answer after each step, what it still answers of before, and what the step cost.

*Retention* of a step compares the questions that could be asked before it with how they did when each was first asked:
evaluating at the end only would hide a loss in between (the stability gap, arXiv 2205.13452).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.record import EvaluatedRun, StepCost
from evaluation.statistics import Estimate, mean_interval
from evaluation.summary import metric_values


@dataclass(frozen=True, slots=True)
class GrowthStep:
    """One step, for one system and metric."""

    step: int
    cost: StepCost
    all: Estimate
    """The questions that can be answered so far."""
    new: Estimate
    """Those of them that could not before."""
    earlier_now: Estimate
    """The others, now."""
    earlier_first: Estimate
    """The same when each of them was first asked."""
    retention: float | None
    """Now, as a share of then."""
    freshness: Estimate


def growth(
    runs: Sequence[EvaluatedRun], system: str, metric: str, fresh_metric: str = "freshness@5"
) -> list[GrowthStep]:
    """The steps of a growing lake in their order."""
    first: dict[str, float] = {}
    steps = []
    for run in runs:
        assert run.record.cost is not None
        values = metric_values(run.rows, metric).get(system, {})
        earlier = [key for key in values if key in first]
        new = [key for key in values if key not in first]
        then = mean_interval([first[key] for key in earlier])
        now = mean_interval([values[key] for key in earlier])
        first.update((key, values[key]) for key in new)
        steps.append(
            GrowthStep(
                step=run.record.step,
                cost=run.record.cost,
                all=mean_interval(list(values.values())),
                new=mean_interval([values[key] for key in new]),
                earlier_now=now,
                earlier_first=then,
                retention=now.value / then.value if now.value is not None and then.value else None,
                freshness=mean_interval(list(metric_values(run.rows, fresh_metric).get(system, {}).values())),
            )
        )
    return steps


def step_record(step: GrowthStep) -> dict[str, Any]:
    """One step as plain values."""
    return asdict(step)
