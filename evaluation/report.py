"""The report of a run: one HTML file that asks nothing of a network and runs no script but its own.

Questions, answers and passages are other people's words: the template escapes them, texts of passages come as JSON and
are shown as text, and the page's own policy lets only this one script run, by its hash.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from errors import MissingExtra, NotComparable
from evaluation.changes import Material, changes
from evaluation.charts import run_charts, styles
from evaluation.output import SHOWN, comparisons
from evaluation.record import EvaluatedRun
from evaluation.statistics import Comparison, Estimate
from evaluation.summary import Scores, Summary

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = "templates"

_ANSWERS = (
    "em", "f1", "judged", "refusal_precision", "refusal_recall", "calls", "prompt_tokens", "completion_tokens", "cost"
)  # fmt: skip

_NAMES = {
    "em": "exact match", "f1": "F1", "judged": "judged right", "map": "MAP", "mrr": "MRR", "ndcg@10": "nDCG@10",
    "latency_p50": "latency p50, ms", "latency_p95": "latency p95, ms",
}  # fmt: skip

_WHOLE = frozenset({"context_tokens", "calls", "prompt_tokens", "completion_tokens"})
"""Metrics that are shown without decimals."""

_MISSING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table as it is read, and its interval."""

    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with named rows."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def render_report(run: EvaluatedRun, summary: Summary, material: Material) -> str:
    """The report as HTML.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    template = _template()
    script = _file("report.js")
    compared, refused = _compared(run)
    html = template.render(
        record=run.record,
        when=run.record.finished_at or run.record.started_at,
        notes=(*material.notes, *refused),
        summary=summary_table(summary, run.record.metric, compared),
        compared=comparison_table(compared),
        styles=styles(list(summary.systems)),
        charts=run_charts(summary, run.rows, run.record.metric),
        kinds=kind_table(summary, run.record.metric),
        answers=answer_table(run, summary),
        changes=changes(run, summary, material),
        settings=json.dumps(dict(run.record.settings), indent=2, sort_keys=True, ensure_ascii=False),
        cost=asdict(run.record.cost) if run.record.cost else {},
        style=_file("report.css"),
        script=script,
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # a dataset's JSON may hold half of a surrogate pair


def summary_table(summary: Summary, metric: str, compared: Sequence[Comparison]) -> Table:
    """System by metric, the run's own metric first, with the corrected p of the comparison beside it."""
    present = [name for name in SHOWN if any(name in scores for scores in summary.systems.values())]
    others = [name for name in present if name != metric]
    p_values = {item.baseline: Cell(p_value(item.p_corrected), _verdict(item)) for item in compared}
    p_column = (f"p against {compared[0].system}, Holm",) if compared else ()
    return Table(
        "system",
        (_name(metric), *p_column, *map(_name, others)),
        tuple(
            (
                system,
                (
                    cell(metric, scores.get(metric)),
                    *([p_values.get(system, Cell(_MISSING))] if compared else []),
                    *(cell(name, scores.get(name)) for name in others),
                ),
            )
            for system, scores in summary.systems.items()
        ),
    )


def comparison_table(compared: Sequence[Comparison]) -> Table:
    """One system against each of the others."""
    return Table(
        "against",
        ("difference", "p", "p, Holm", "effect", "better", "worse", "same"),
        tuple(
            (
                item.baseline,
                (
                    _difference(item.difference),
                    Cell(p_value(item.p)),
                    Cell(p_value(item.p_corrected), _verdict(item)),
                    Cell(_MISSING if item.effect is None else signed(item.effect, 2)),
                    *(Cell(f"{count:,}") for count in (item.wins, item.losses, item.ties)),
                ),
            )
            for item in compared
        ),
    )


def kind_table(summary: Summary, metric: str) -> Table:
    """Question type by system, under one metric; types whose questions do not have it are left out."""
    systems = tuple(summary.systems)
    rows = []
    for kind, scores in summary.by_kind.items():
        count = max((scores[name][metric].count for name in systems if metric in scores[name]), default=0)
        if count:
            cells = tuple(cell(metric, scores[name].get(metric)) for name in systems)
            rows.append((kind, (Cell(f"{count:,}"), *cells)))
    return Table("type", ("questions", *systems), tuple(rows))


def answer_table(run: EvaluatedRun, summary: Summary) -> Table:
    """The systems that answered; without rows where none did."""
    answered = dict.fromkeys(row.system for row in run.rows if row.answer)
    present = [name for name in _ANSWERS if any(name in summary.systems[system] for system in answered)]
    return Table(
        "system",
        tuple(map(_name, present)),
        tuple((name, _cells(summary.systems[name], present)) for name in answered),
    )


def cell(metric: str, estimate: Estimate | None) -> Cell:
    """A mean with its interval; a dash where there is none."""
    if estimate is None or estimate.value is None:
        return Cell(_MISSING)
    digits = 0 if metric in _WHOLE else 1 if metric.startswith("latency") else 3
    if estimate.low is None or estimate.high is None:
        return Cell(f"{estimate.value:,.{digits}f}")
    return Cell(f"{estimate.value:,.{digits}f}", f"{estimate.low:,.{digits}f} to {estimate.high:,.{digits}f}")


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cells(scores: Scores, metrics: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(cell(name, scores.get(name)) for name in metrics)


def _difference(estimate: Estimate) -> Cell:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Cell(_MISSING)
    return Cell(signed(estimate.value), f"{signed(estimate.low)} to {signed(estimate.high)}")


def signed(value: float, digits: int = 3) -> str:
    """With a sign that is as wide as a digit."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _verdict(item: Comparison) -> str:
    """Of the system that is compared with all others."""
    if not item.significant:
        return "not significant"
    return f"{item.system} better" if (item.difference.value or 0.0) > 0 else f"{item.system} worse"


def _name(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " "))


def _compared(run: EvaluatedRun) -> tuple[list[Comparison], tuple[str, ...]]:
    """The comparisons, or why there are none."""
    try:
        return comparisons(run), ()
    except NotComparable as error:
        return [], (str(error),)


def _file(name: str) -> str:
    return (files("evaluation") / _TEMPLATES / name).read_text(encoding="utf-8")


def _template() -> Template:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra("The report", "evaluation") from None
    environment = Environment(
        loader=PackageLoader("evaluation", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters |= {"signed": signed, "marks": _marks}
    return environment.get_template("report.html")


def _marks(marks: Sequence[tuple[int, int]]) -> str:
    """Characters from and to, as the script reads them."""
    return " ".join(f"{start}-{end}" for start, end in marks)
