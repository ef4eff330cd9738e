"""Evaluations in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from evaluation.growth import GrowthStep
from evaluation.output import SHOWN
from evaluation.record import RunRecord
from evaluation.statistics import Comparison, Estimate
from evaluation.summary import Summary
from evaluation.tuning import RANGES, Tuned
from memory.embedding import EmbedderSpec
from pipelines.cli.console import counted

_PROBLEMS = 5
"""Problems of a dataset that are printed."""


def table(*columns: str) -> Table:
    """A table without lines, numbers to the right."""
    made = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return made


def print_run(console: Console, record: RunRecord, summary: Summary) -> None:
    """What was evaluated, and the means of every system."""
    console.print(
        f"{record.dataset} ({record.format}): {counted(record.questions, 'question')}; snapshot {record.snapshot_id}, "
        f"embedder {EmbedderSpec(**record.embedder).identity}; run {record.run_id}"
    )
    if record.problems:
        console.print(f"{counted(len(record.problems), 'entry').replace('entrys', 'entries')} left out:")
        for problem in record.problems[:_PROBLEMS]:
            console.print(f"  {problem}", soft_wrap=True, markup=False)
    names = [name for name in SHOWN if any(name in scores for scores in summary.systems.values())]
    console.print(_means(names, summary))
    low_high = table("system", f"{record.metric}, 95 % interval")
    for system, scores in summary.systems.items():
        if record.metric in scores:
            low_high.add_row(system, interval(scores[record.metric]))
    console.print(low_high)


def _means(names: Sequence[str], summary: Summary) -> Table:
    made = table("system", *(name.replace("refusal_", "refusal ").replace("_", " ") for name in names))
    for system, scores in summary.systems.items():
        made.add_row(system, *(_value(name, scores.get(name)) for name in names))
    return made


def _value(metric: str, estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if metric.startswith("latency"):
        return f"{estimate.value:.1f} ms"
    return f"{estimate.value:,.0f}" if metric == "context_tokens" else f"{estimate.value:.3f}"


def interval(estimate: Estimate) -> str:
    """A mean with its interval."""
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f}  {estimate.low:.3f} to {estimate.high:.3f}"


def print_comparisons(console: Console, compared: Sequence[Comparison]) -> None:
    """Differences with their p-values."""
    made = table("", "difference, 95 % interval", "p", "p, Holm", "effect", "better", "worse", "same", "")
    for item in compared:
        verdict = ("better" if (item.difference.value or 0) > 0 else "worse") if item.significant else "not significant"
        made.add_row(
            f"{item.system} - {item.baseline}",
            interval(item.difference),
            f"{item.p:.4f}",
            f"{item.p_corrected:.4f}",
            "-" if item.effect is None else f"{item.effect:+.2f}",
            str(item.wins),
            str(item.losses),
            str(item.ties),
            verdict,
        )
    if not compared:
        console.print("There is nothing to compare: only one system has this metric.")
        return
    console.print(f"{compared[0].metric}, paired over the same questions")
    console.print(made)


def print_growth(console: Console, steps: Sequence[GrowthStep], metric: str) -> None:
    """What a growing lake could answer after each step, and what the step cost."""
    made = table(
        "step", "documents", "passages", "embedded", "tokens", "seconds", f"{metric}", "of new", "of earlier, now",
        "of earlier, then", "retention", "freshness@5",
    )  # fmt: skip
    for step in steps:
        cost = step.cost
        made.add_row(
            str(step.step),
            f"{cost.documents:,}",
            f"{cost.passages:,}",
            f"{cost.embedded:,}",
            f"{cost.tokens:,}",
            f"{cost.seconds:.1f}",
            *(_mean(item) for item in (step.all, step.new, step.earlier_now, step.earlier_first)),
            "-" if step.retention is None else f"{step.retention:.3f}",
            _mean(step.freshness),
        )
    console.print(made)


def print_tuned(console: Console, tuned: Tuned) -> None:
    """What was found, and what it gains on questions that it was not chosen by."""
    made = table("setting", "before", "tuned", *(f"without fold {number}" for number in range(1, len(tuned.folds) + 1)))
    for name in RANGES:
        made.add_row(name, *(f"{getattr(item, name):.3g}" for item in (tuned.before, tuned.settings, *tuned.folds)))
    console.print(made)
    console.print()
    gains = table("held out", "metric", "gain, 95 % interval", "p", "p, Holm", "better", "worse", "same")
    for name, item in tuned.held_out.items():
        gains.add_row(
            name, item.metric, interval(item.difference), f"{item.p:.4f}", f"{item.p_corrected:.4f}", str(item.wins),
            str(item.losses), str(item.ties),
        )  # fmt: skip
    console.print(gains)
    if not any((item.difference.value or 0) > 0 and item.significant for item in tuned.held_out.values()):
        console.print("Nothing was gained on questions that were held out: the settings before are as good.")


def _mean(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.3f} ({estimate.count})"
