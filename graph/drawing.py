"""A neighbourhood as a picture: an SVG, and an HTML page around it that needs no network.

Equal neighbourhoods give equal bytes. The page's script moves and hides what is drawn and writes no text of its own.
Below the picture the page lists everything with its evidence, so it also reads without the script.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from graph.knowledge import Fact, Neighbourhood
from graph.picture import ASIDE, LEGEND, OUTER, WIDE, Picture, escaped, picture_of, svg, svg_legend

_TEMPLATES = Path(__file__).parent / "templates"

NARROW_WIDTH = 380
_NARROW_ROW = 30
"""Pixels of height of the narrow picture that a node gets."""


def draw_svg(neighbourhood: Neighbourhood) -> str:
    """The picture as one SVG document of :data:`WIDE` pixels, with a legend; light or dark as the viewer wants it."""
    picture = picture_of(neighbourhood)
    style = (_TEMPLATES / "neighbourhood.css").read_text(encoding="utf-8")
    return svg(picture, f"<style>{style}</style>", svg_legend()) + "\n"


def draw_html(neighbourhood: Neighbourhood) -> str:
    """One page that holds all it needs: the picture, to drag, zoom and point at, and the lists with the evidence.

    On a narrow screen the same picture has other positions, so that its text keeps its size.
    """
    picture = picture_of(neighbourhood)
    narrow = (NARROW_WIDTH, max(520, _NARROW_ROW * len(picture.nodes)))
    places = {
        name: {"size": size, "at": picture.positions(*size).tolist()}
        for name, size in (("wide", WIDE), ("narrow", narrow))
    }
    edges = [[edge.source, edge.target, round(edge.bend, 1)] for edge in picture.edges]
    filled = {
        "style": f"<style>{(_TEMPLATES / 'neighbourhood.css').read_text(encoding='utf-8')}</style>",
        "title": escaped(neighbourhood.entity.name),
        "summary": _summary(neighbourhood),
        "legend": _legend_html(picture),
        "picture": svg(picture, "", ""),
        "lists": _lists(neighbourhood),
        "data": json.dumps({**places, "edges": edges, "outer": OUTER, "aside": ASIDE}, separators=(",", ":")),
    }
    page = (_TEMPLATES / "neighbourhood.html").read_text(encoding="utf-8")
    for name, text in filled.items():
        # What is filled in is escaped or numbers, so it cannot hold a place of the template itself.
        page = page.replace(f"<!--{name}-->", text)
    return page


def _legend_html(picture: Picture) -> str:
    """A box to tick for each kind of edge that is there."""
    kinds = Counter(edge.kind for edge in picture.edges)
    return "".join(
        f'<label><input type="checkbox" checked data-kind="{kind}">'
        f'<svg class="neighbourhood" viewBox="0 0 34 8" width="34" height="8" aria-hidden="true">'
        f'<g class="edge {kind}"><path class="line" d="M0,4L34,4"/></g></svg> '
        f"{words} ({kinds[kind]})</label>"
        for kind, words in LEGEND.items()
        if kinds[kind]
    )


def _summary(neighbourhood: Neighbourhood) -> str:
    entity = neighbourhood.entity
    parts = [escaped(entity.type or entity.kind)]
    if entity.aliases:
        parts.append("also " + ", ".join(escaped(alias) for alias in entity.aliases))
    return f'<span id="centre">{" · ".join(part for part in parts if part)}</span>'


def _lists(neighbourhood: Neighbourhood) -> str:
    """Everything, drawn or not, as lists whose entries the picture's parts name."""
    name = neighbourhood.entity.name
    synonyms = [
        f"<b>{escaped(one.other.name)}</b> <small>{escaped(one.method)}, {one.score:.2f}</small>"
        for one in neighbourhood.synonyms
    ]
    companions = [
        f"<b>{escaped(one.other.name)}</b> <small>in {one.shared} of the same passages</small>"
        for one in neighbourhood.companions
    ]
    passages = [
        f"<b>{escaped(one.title or one.path)}</b> <small>{escaped(one.source)}: {escaped(one.path)}"
        f"{' · about it' if one.titled else ''}</small>"
        for one in neighbourhood.passages
    ]
    sections = {
        "fact": ("Facts", "facts", [_fact_entry(name, fact) for fact in neighbourhood.facts]),
        "synonym": ("Similar names", "synonyms", synonyms),
        "companion": ("Named together", "companions", companions),
        "passage": ("Passages", "passages", passages),
    }
    out = []
    for item, (heading, total, entries) in sections.items():
        if entries:
            all_of = neighbourhood.totals[total]
            count = str(all_of) if len(entries) == all_of else f"{len(entries)} of {all_of}"
            rows = "\n".join(f'<li id="{item}-{number}">{entry}</li>' for number, entry in enumerate(entries))
            out.append(f"<section><h2>{heading} <small>{count}</small></h2>\n<ul>\n{rows}\n</ul></section>")
    return "\n".join(out)


def _fact_entry(name: str, fact: Fact) -> str:
    ends = (name, fact.other.name) if fact.outgoing else (fact.other.name, name)
    words = f"<b>{escaped(ends[0])}</b> {escaped(fact.predicate)} <b>{escaped(ends[1])}</b>"
    since = f"since {fact.valid_from}" if fact.valid_from else ""
    until = f"until {fact.valid_until}" if fact.valid_until else ""
    when = " ".join(part for part in (since, until) if part)
    mark = '<em class="ended">superseded</em>' if fact.superseded_by else ""
    evidence = "".join(
        f'<small class="evidence">{escaped(one.source)}: {escaped(one.path)} [{one.char_start}–{one.char_end}]'
        f"{f' {escaped(one.title)}' if one.title else ''}</small>"
        for one in fact.evidence
    )
    notes = " ".join(part for part in (mark, f'<small class="when">{when}</small>' if when else "") if part)
    return f"{words} {notes}{evidence}"
