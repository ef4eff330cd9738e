"""A neighbourhood as nodes and edges with places, and as one SVG element.

Equal neighbourhoods give equal bytes. All text of documents is escaped here, once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

from graph.knowledge import Neighbourhood
from graph.layout import place

WIDE = (1080, 760)
"""Width and height of the picture, in pixels."""

_DRAWN = {"facts": 16, "synonyms": 5, "passages": 6, "companions": 8}
"""How many of each are drawn; more than some thirty names cannot be read. The page lists all."""

_LABEL, _PREDICATE = 20, 22
"""Characters of a name and of a predicate that are shown in the picture."""
_LETTER = 6.9
"""Mean width of a letter of 13 pixels; text cannot be measured here, so it is a little too wide."""
_BOLD = 1.12
"""How much wider a bold letter is."""
_PILL = 24.0
"""Height of a node's box."""
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters and lone surrogates, which neither XML nor UTF-8 can hold, and marks that reorder a line."""
_BEND = 48.0
"""Pixels between parallel edges."""
OUTER = 0.36
"""A node is on the outer ring where it is so far from the centre, in widths and heights of the canvas."""
ASIDE = 0.003
"""How far along the labels of parallel edges stand apart, as a share of the edge for each pixel between them."""

LEGEND = {
    "fact": "fact",
    "ended": "superseded fact",
    "synonym": "similar name",
    "mention": "mentioned in",
    "companion": "named together",
}


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    role: str
    """centre, entity or passage"""
    item: str
    """Id of the list entry that tells more."""

    @property
    def label(self) -> str:
        return _cut(self.name, _LABEL)

    @property
    def width(self) -> float:
        letter = _LETTER * (_BOLD if self.role == "centre" else 1)
        letters = sum(2 if east_asian_width(ch) in "WF" else 1 for ch in self.label)
        return round(letters * letter + _PILL, 1)


@dataclass(frozen=True, slots=True)
class Edge:
    source: int
    target: int
    kind: str
    label: str
    item: str
    bend: float = 0.0


@dataclass(frozen=True, slots=True)
class Picture:
    nodes: list[Node]
    edges: list[Edge]

    def positions(self, width: float, height: float) -> NDArray[np.float64]:
        """Centres of the nodes, ``(n, 2)``, on a canvas of that size."""
        return place(np.array([[node.width, _PILL] for node in self.nodes]), width, height)


def picture_of(neighbourhood: Neighbourhood) -> Picture:
    """Nodes, the centre first, and the edges between it and them; parallel edges are bent apart."""
    centre = neighbourhood.entity
    nodes = [Node(centre.name, "centre", "centre")]
    at: dict[str, int] = {centre.entity_id: 0}
    edges: list[Edge] = []

    def node(key: str, name: str, role: str, item: str) -> int:
        if key not in at:
            at[key] = len(nodes)
            nodes.append(Node(name, role, item))
        return at[key]

    for number, fact in enumerate(neighbourhood.facts[: _DRAWN["facts"]]):
        if fact.other.entity_id == centre.entity_id:
            continue  # an edge from a node to itself tells nothing that the list does not
        other = node(fact.other.entity_id, fact.other.name, "entity", f"fact-{number}")
        ends = (0, other) if fact.outgoing else (other, 0)
        edges.append(Edge(*ends, "ended" if fact.superseded_by else "fact", fact.predicate, f"fact-{number}"))
    for number, synonym in enumerate(neighbourhood.synonyms[: _DRAWN["synonyms"]]):
        other = node(synonym.other.entity_id, synonym.other.name, "entity", f"synonym-{number}")
        edges.append(Edge(0, other, "synonym", "", f"synonym-{number}"))
    for number, companion in enumerate(neighbourhood.companions[: _DRAWN["companions"]]):
        known = companion.other.entity_id in at
        other = node(companion.other.entity_id, companion.other.name, "entity", f"companion-{number}")
        if not known:
            edges.append(Edge(0, other, "companion", "", f"companion-{number}"))
    for number, passage in enumerate(neighbourhood.passages[: _DRAWN["passages"]]):
        name = passage.path.rsplit("/", 1)[-1] or passage.title
        other = node(passage.passage_id, name, "passage", f"passage-{number}")
        edges.append(Edge(other, 0, "mention", "", f"passage-{number}"))

    many = Counter(frozenset((edge.source, edge.target)) for edge in edges)
    seen: Counter[frozenset[int]] = Counter()
    bent = []
    for edge in edges:
        pair = frozenset((edge.source, edge.target))
        bend = (seen[pair] - (many[pair] - 1) / 2) * _BEND
        # The bend is to the right of an edge's direction, and parallel edges may run against each other.
        bend = -bend if edge.source > edge.target else bend
        bent.append(Edge(edge.source, edge.target, edge.kind, edge.label, edge.item, bend))
        seen[pair] += 1
    return Picture(nodes, bent)


def svg(picture: Picture, style: str, legend: str) -> str:
    """One SVG element of :data:`WIDE` pixels around `style` and `legend`, which are markup.

    ``data-node`` and ``data-edge`` number the parts, ``data-item`` names the entry of a list that tells more.
    """
    width, height = WIDE
    at = picture.positions(width, height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="neighbourhood" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escaped(picture.nodes[0].name)}">',
        style,
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for number, edge in enumerate(picture.edges):
        path, arrow, label = _curve(at, edge)
        marks = f'<path class="arrow" d="M-5,-4.5L5,0L-5,4.5Z" transform="{arrow}"/>' if _directed(edge) else ""
        words = (
            f'<text class="predicate" transform="translate({label})">{escaped(_cut(edge.label, _PREDICATE))}</text>'
            if edge.label
            else ""
        )
        parts.append(
            f'<g class="edge {edge.kind}" data-edge="{number}" data-item="{edge.item}">'
            f"<title>{escaped(edge.label or LEGEND[edge.kind])}</title>"
            f'<path class="reach" d="{path}"/><path class="line" d="{path}"/>{marks}{words}</g>'
        )
    for number, (node, (x, y)) in enumerate(zip(picture.nodes, at.tolist(), strict=True)):
        parts.append(
            f'<g class="node {node.role}" data-node="{number}" data-item="{node.item}" transform="translate({x},{y})">'
            f"<title>{escaped(node.name)}</title>"
            f'<rect x="{-node.width / 2:.2f}" y="{-_PILL / 2}" width="{node.width}" height="{_PILL}" '
            f'rx="{4 if node.role == "passage" else 12}"/>'
            f'<text y="4.5">{escaped(node.label)}</text></g>'
        )
    return "\n".join([*(part for part in parts if part), legend, "</svg>"])


def _directed(edge: Edge) -> bool:
    return edge.kind in ("fact", "ended")


def _curve(at: NDArray[np.float64], edge: Edge) -> tuple[str, str, str]:
    """Path of an edge, transform of its arrow, and place of its label; the page's script does the same.

    Arrow and label stand where there is room: halfway to a node of the inner ring, farther out on the way to one of
    the outer ring, and not beside those of a parallel edge.
    """
    (ax, ay), (bx, by) = at[edge.source].tolist(), at[edge.target].tolist()
    dx, dy = bx - ax, by - ay
    length = math.hypot(dx, dy) or 1.0
    cx, cy = (ax + bx) / 2 - dy / length * edge.bend, (ay + by) / 2 + dx / length * edge.bend
    outward = edge.source == 0
    far = math.hypot(dx / WIDE[0], dy / WIDE[1]) > OUTER
    share = (0.8 if far else 0.52) + (edge.bend if outward else -edge.bend) * ASIDE
    t = share if outward else 1 - share
    x, y = (
        (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
        for start, control, end in ((ax, cx, bx), (ay, cy, by))
    )
    path = f"M{ax:.1f},{ay:.1f}Q{cx:.1f},{cy:.1f} {bx:.1f},{by:.1f}"
    arrow = f"translate({x:.1f},{y:.1f}) rotate({math.degrees(math.atan2(dy, dx)):.1f})"
    return path, arrow, f"{x:.1f},{y - 7:.1f}"


def svg_legend() -> str:
    """What the lines of a picture mean, at its lower left."""
    rows = [
        f'<g class="edge {kind}" transform="translate(16,{WIDE[1] - 18 * (len(LEGEND) - at)})">'
        f'<path class="line" d="M0,0L34,0"/><text class="legend" x="42" y="4">{words}</text></g>'
        for at, (kind, words) in enumerate(LEGEND.items())
    ]
    return "\n".join(rows)


def _cut(text: str, most: int) -> str:
    text = " ".join(_UNSEEN.sub("", text).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def escaped(text: str) -> str:
    """The text for SVG or HTML, also within quotes, without what neither can hold."""
    return escape(_UNSEEN.sub("", text))
