"""Bar and line charts as SVG, for readers of a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

_WIDTH, _PANEL, _LEFT, _GAP = 860, 190, 20, 40
_STYLE = """<style>
text { font: 11px system-ui, sans-serif; fill: #57606a }
.title { font-size: 14px; font-weight: 600; fill: #24292f } .name { font-size: 12px; font-weight: 600 }
.whole { fill: #a8c7e8 } .part { fill: #2f6fb3 }
.curve { fill: none; stroke-width: 2 }
.last .whole { fill: #d3d8de } .last .part { fill: #8c959f } .axis { stroke: #d0d7de }
</style>"""
_COLOURS = ("#8c959f", "#a8c7e8", "#2f6fb3", "#1a4d80", "#c47f2f")
_LABEL = 13
"""Height of a label."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``part`` of its ``value`` is drawn darker, from the ground up."""

    label: str
    value: float
    part: float


def draw(title: str, panels: Sequence[tuple[str, Sequence[Bar]]], part: str) -> str:
    """Panels of bars below each other, the last bar in another colour; ``part`` names the first's dark share."""
    height = 40 + len(panels) * (_PANEL + _GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
        f'<title>{escape(title)}</title>{_STYLE}<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for number, (name, bars) in enumerate(panels):
        top = 40 + number * (_PANEL + _GAP)
        legend = f" (dark: {part})" if number == 0 else ""
        lines.append(f'<text class="name" x="{_LEFT}" y="{top + 14}">{escape(name + legend)}</text>')
        lines += _bars(bars, top + 40, top + _PANEL)
    return "\n".join([*lines, "</svg>", ""])


def _bars(bars: Sequence[Bar], top: int, ground: int) -> list[str]:
    step = (_WIDTH - 2 * _LEFT) / len(bars)
    highest = max([bar.value for bar in bars], default=0) or 1
    lines = []
    for number, bar in enumerate(bars):
        lines.append('<g class="last">' if number == len(bars) - 1 else "<g>")
        left, width = _LEFT + number * step + step * 0.14, step * 0.72
        middle = left + width / 2
        for kind, value in (("whole", bar.value), ("part", bar.part)):
            tall = (ground - top) * value / highest
            lines.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{ground - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>'
            )
        shown = f"{bar.value:,.0f}" if bar.value >= 10 or bar.value == int(bar.value) else f"{bar.value:.1f}"
        y = ground - (ground - top) * bar.value / highest - 4
        lines.append(f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle">{shown}</text>')
        lines.append(f'<text x="{middle:.1f}" y="{ground + 15}" text-anchor="middle">{escape(bar.label)}</text></g>')
    lines.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{ground}" y2="{ground}"/>')
    return lines


@dataclass(frozen=True, slots=True)
class Line:
    """A curve; both coordinates of its points are positive."""

    label: str
    points: Sequence[tuple[float, float]]


def draw_lines(title: str, lines: Sequence[Line], shares: bool = False) -> str:
    """Curves on two logarithmic axes, each with its label at its end; ``shares`` of 0 to 1 go up evenly."""
    height, left, right, top, ground = 420, 70, _WIDTH - 190, 50, 380
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    spans = [(floor(log10(min(values))), ceil(log10(max(values)))) for values in (xs, ys)]
    (x0, x1), (y0, y1) = [(low, max(high, low + 1)) for low, high in spans]

    def across(x: float) -> float:
        return left + (right - left) * (log10(x) - x0) / (x1 - x0)

    def up(y: float) -> float:
        if shares:
            return ground - (ground - top) * y
        return ground - (ground - top) * (log10(y) - y0) / (y1 - y0)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">',
        f'<title>{escape(title)}</title>{_STYLE}<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for power in range(x0, x1 + 1):
        x = across(10**power)
        drawn.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{ground}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{ground + 18}" text-anchor="middle">{10**power:,}</text>')
    for value in [step / 5 for step in range(6)] if shares else [10.0**power for power in range(y0, y1 + 1)]:
        y = up(value)
        drawn.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        drawn.append(f'<polyline class="curve" stroke="{colour}" points="{points}"/>')
    lowest = 0.0
    for line in sorted(lines, key=lambda line: up(line.points[-1][1])):  # from the top, none over another
        x, y = line.points[-1]
        lowest = max(up(y), lowest + _LABEL)
        drawn.append(f'<text x="{across(x) + 8:.1f}" y="{lowest + 4:.1f}">{escape(line.label)}</text>')
    return "\n".join([*drawn, "</svg>", ""])
