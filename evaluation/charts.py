"""The charts of a report, drawn from a summary's figures as SVG text that needs no other file.

Text stays text and is drawn in the colour of the page around it, so a chart follows light and dark mode. The names that
parts of a chart refer to begin with the chart's own name, so that several charts can stand on one page. The same
figures give the same text.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from errors import MissingExtra
from evaluation.metrics import CUTOFFS, FACT_CUTOFFS
from evaluation.record import RunRecord
from evaluation.run import QuestionResult
from evaluation.statistics import Estimate
from evaluation.summary import Scores, Summary
from evaluation.systems import BM25, FUSED, RRF

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES: dict[str, tuple[str, tuple[int, ...]]] = {
    "recall": ("Recall by k", CUTOFFS),
    "all_recall": ("All gold found by k", CUTOFFS[1:]),
    "fact_recall": ("Fact recall by k", FACT_CUTOFFS),
}
"""Metrics that are charted by k: title and cutoffs."""

TELLING = (FUSED, "dense", "lexical", "graph", BM25)
"""Systems that are charted by question type, where the run has them."""

# Okabe and Ito's palette, which readers with a colour vision deficiency can tell apart.
_COLOURS = {
    FUSED: "#d55e00",
    "dense": "#0072b2",
    "lexical": "#009e73",
    "graph": "#cc79a7",
    RRF: "#56b4e9",
    BM25: "#e69f00",
}
_FURTHER = ("#7f7f7f", "#8c6d31", "#6b6ecf", "#b5cf6b")
"""Of variants, in their order."""

_WITHOUT = "without-"

_INK = "#010203"
"""Stands for the page's text colour while a chart is drawn."""

_WIDTH = 4.7
"""Inches. Drawn at the width of a phone, so that text keeps its size there."""

_LINES_HEIGHT = 3.2

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "memlake",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Style:
    """How a system is drawn, in every chart."""

    colour: str
    dashed: bool


def styles(systems: Sequence[str]) -> dict[str, Style]:
    """A colour for each system; one without a channel has the channel's, dashed."""
    variants = [name for name in systems if name.removeprefix(_WITHOUT) not in _COLOURS]
    colours = _COLOURS | {name: _FURTHER[number % len(_FURTHER)] for number, name in enumerate(variants)}
    return {name: Style(colours[name.removeprefix(_WITHOUT)], name.startswith(_WITHOUT)) for name in systems}


def run_charts(summary: Summary, rows: Sequence[QuestionResult], metric: str) -> list[Chart]:
    """Every chart that the run has figures for.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    chosen = styles(list(summary.systems))
    charts = []
    for family, (title, cutoffs) in FAMILIES.items():
        lines = by_cutoff(summary.systems, family, cutoffs)
        if lines:
            charts.append(_chart(family, title, _LINES_HEIGHT, partial(_draw_lines, lines=lines, chosen=chosen)))
    systems = by_system(summary.systems, metric)
    if systems:
        height = _rows_height(len(systems))
        draw = partial(_draw_systems, systems=systems, chosen=chosen)
        charts.append(_chart("systems", _title(metric, "system"), height, draw))
    kinds = by_kind(summary, metric)
    if kinds:
        height = 0.8 + 0.16 * sum(map(len, kinds.values())) + 0.12 * len(kinds)
        draw = partial(_draw_kinds, kinds=kinds, chosen=chosen)
        charts.append(_chart("kinds", _title(metric, "question type"), height, draw))
    times = latencies(rows)
    if times:
        draw = partial(_draw_latencies, times=times, chosen=chosen)
        charts.append(_chart("latency", "Latency of a query, ms, log scale", _rows_height(len(times)), draw))
    return charts


def main_chart_png(record: RunRecord, summary: Summary) -> bytes:
    """The run's own metric by system as a picture on white, for where SVG is not shown.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    chosen = styles(list(summary.systems))
    found = by_system(summary.systems, record.metric)
    with _drawing():
        figure, axes = _figure(_rows_height(len(found)))
        _draw_systems(axes, found, chosen)
        axes.set_title(_title(record.metric, "system"))
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def by_system(systems: Mapping[str, Scores], metric: str) -> dict[str, Estimate]:
    """System to estimate, of the systems that have the metric."""
    return {system: scores[metric] for system, scores in systems.items() if _has(scores, metric)}


def by_cutoff(systems: Mapping[str, Scores], family: str, cutoffs: Sequence[int]) -> dict[str, dict[int, Estimate]]:
    """System to k to estimate, of the systems that have the metric at every k."""
    found = {
        system: {k: scores[f"{family}@{k}"] for k in cutoffs if _has(scores, f"{family}@{k}")}
        for system, scores in systems.items()
    }
    return {system: points for system, points in found.items() if len(points) == len(cutoffs)}


def by_kind(summary: Summary, metric: str) -> dict[str, dict[str, Estimate]]:
    """Question type to system to estimate, of the telling systems; of all where the run has none of these."""
    telling = [name for name in TELLING if name in summary.systems] or list(summary.systems)
    found = {
        kind: {name: systems[name][metric] for name in telling if _has(systems[name], metric)}
        for kind, systems in summary.by_kind.items()
    }
    return {kind: estimates for kind, estimates in found.items() if estimates}


def latencies(rows: Sequence[QuestionResult]) -> dict[str, list[float]]:
    """System to the milliseconds of its timed queries."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.latency_ms is not None:
            found.setdefault(row.system, []).append(row.latency_ms)
    return found


def _has(scores: Scores, metric: str) -> bool:
    return metric in scores and scores[metric].value is not None


def _draw_lines(axes: Axes, lines: Mapping[str, Mapping[int, Estimate]], chosen: Mapping[str, Style]) -> None:
    """A line a system; its points are set side by side, so that the intervals of one k can be told apart."""
    cutoffs = list(next(iter(lines.values()), {}))
    step = 0.45 / max(1, len(lines))
    for number, (system, points) in reversed(list(enumerate(lines.items()))):
        shift = (number - (len(lines) - 1) / 2) * step
        style = chosen[system]
        axes.errorbar(
            [place + shift for place in range(len(cutoffs))],
            [point.value or 0.0 for point in points.values()],
            yerr=_errors(list(points.values())),
            label=system,
            color=style.colour,
            linestyle="--" if style.dashed else "-",
            linewidth=2.4 if system == FUSED else 1.1,
            marker="s" if style.dashed else "o",
            markersize=4 if system == FUSED else 2.5,
            elinewidth=0.8,
            zorder=3 if system == FUSED else 2,
        )
    axes.set_xticks(range(len(cutoffs)), [str(k) for k in cutoffs])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("k")
    axes.set_ylim(bottom=0)


def _draw_systems(axes: Axes, systems: Mapping[str, Estimate], chosen: Mapping[str, Style]) -> None:
    """A bar a system, from the top down."""
    bars = axes.barh(
        list(systems),
        [estimate.value or 0.0 for estimate in systems.values()],
        height=0.7,
        xerr=_errors(list(systems.values())),
        color=[chosen[system].colour for system in systems],
        error_kw={"ecolor": _INK, "elinewidth": 0.9},
    )
    for bar, system in zip(bars, systems, strict=True):
        bar.set_alpha(_alpha(chosen[system]))
    _as_rows(axes)
    axes.set_xlim(left=0)


def _draw_kinds(axes: Axes, kinds: Mapping[str, Mapping[str, Estimate]], chosen: Mapping[str, Style]) -> None:
    """A group of bars a question type, from the top down."""
    at = 0.0
    middles = []
    for estimates in kinds.values():
        places = [at + number for number in range(len(estimates))]
        axes.barh(
            places,
            [estimate.value or 0.0 for estimate in estimates.values()],
            height=0.85,
            xerr=_errors(list(estimates.values())),
            color=[chosen[system].colour for system in estimates],
            error_kw={"ecolor": _INK, "elinewidth": 0.9},
        )
        middles.append((places[0] + places[-1]) / 2)
        at = places[-1] + 1.8
    counts = [max(estimate.count for estimate in estimates.values()) for estimates in kinds.values()]
    axes.set_yticks(middles, [f"{_short(kind)}\n({count:,})" for kind, count in zip(kinds, counts, strict=True)])
    _as_rows(axes)
    axes.set_xlim(left=0)


def _draw_latencies(axes: Axes, times: Mapping[str, Sequence[float]], chosen: Mapping[str, Style]) -> None:
    """Quartiles and median; the whiskers end at the 5th and the 95th percentile."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    line = {"color": _INK, "linewidth": 0.8}
    drawn = axes.boxplot(
        list(times.values()),
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        tick_labels=list(times),
        medianprops={"color": _INK, "linewidth": 1.4},
        whiskerprops=dict(line),
        capprops=dict(line),
        boxprops=dict(line),
    )
    for box, system in zip(drawn["boxes"], times, strict=True):
        box.set_facecolor(chosen[system].colour)
        box.set_alpha(_alpha(chosen[system]))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _as_rows(axes)


def _as_rows(axes: Axes) -> None:
    """The first entry at the top, and no lines between them."""
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()


def _rows_height(count: int) -> float:
    """Inches of a chart with that many named rows."""
    return 0.9 + 0.28 * count


def _alpha(style: Style) -> float:
    """Where a line would be dashed, an area is paler."""
    return 0.5 if style.dashed else 1.0


def _title(metric: str, by: str) -> str:
    return f"{metric} by {by}"


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """How far the intervals reach below and above the values."""
    values = [estimate.value or 0.0 for estimate in estimates]
    lows = [value if item.low is None else item.low for value, item in zip(values, estimates, strict=True)]
    highs = [value if item.high is None else item.high for value, item in zip(values, estimates, strict=True)]
    return [
        [max(0.0, value - low) for value, low in zip(values, lows, strict=True)],
        [max(0.0, high - value) for value, high in zip(values, highs, strict=True)],
    ]


def _short(text: str, longest: int = 18) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _chart(name: str, title: str, height: float, draw: Callable[[Axes], None]) -> Chart:
    with _drawing():
        figure, axes = _figure(height)
        draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    return Chart(name, title, _embedded(text.getvalue(), name, title))


_METADATA = ("Creator", "Date", "Format", "Type")
"""What matplotlib would say of a file; without any of it, the text holds no address."""


def _embedded(text: str, name: str, title: str) -> str:
    """A file's SVG as part of a page: no prolog, its own names, the page's colour and font, the page's width."""
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' xmlns(?::\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)


@contextmanager
def _drawing() -> Iterator[None]:
    try:
        from matplotlib import rc_context
    except ImportError:
        raise MissingExtra("The report", "evaluation") from None
    with rc_context(_SETTINGS), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the page's own fonts may have it
        yield


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()
