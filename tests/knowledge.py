"""A small knowledge graph: a firm, its heads, and names that are hard to write into files."""

from __future__ import annotations

import datetime as dt

import polars as pl

from graph.knowledge import TABLES, KnowledgeGraph
from graph.normalise import normalise

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u0007\u202e"


def entity_rows(*names: str) -> list[tuple[object, ...]]:
    return [(f"e{at}", normalise(name), name, "name", "", []) for at, name in enumerate(names)]


def knowledge(**rows: list[tuple[object, ...]]) -> KnowledgeGraph:
    """The tables of these rows; those that are not named are empty."""
    return KnowledgeGraph(
        **{name: pl.DataFrame(rows.get(name, []), schema=schema, orient="row") for name, schema in TABLES.items()}
    )


def firm() -> KnowledgeGraph:
    """Gannet has a new head; three passages mention it, one is about it."""
    old, new = "f-old", "f-new"
    return knowledge(
        entities=[
            ("firm", "gannet maritime", "Gannet Maritime", "name", "organisation", ["GM", "Gannet B.V."]),
            ("ann", "ann lindqvist", "Ann Lindqvist", "name", "person", []),
            ("bob", "bob marchetti", "Bob Marchetti", "name", "person", []),
            ("group", "gannet group", "Gannet Group", "name", "organisation", []),
            ("port", "宮崎 port", "宮崎 Port", "name", "place", []),
            ("car", "gm", "GM", "acronym", "product", []),
            ("bad", normalise(HOSTILE), HOSTILE, "name", "", [HOSTILE]),
        ],
        passages=[
            ("p1", "docs", "minutes/may.md", "Minutes <May>"),
            ("p2", "docs", "about.md", "Gannet Maritime"),
            ("p3", "docs", HOSTILE, HOSTILE),
        ],
        facts=[
            (old, "firm", "CEO", "bob", 4, dt.date(2020, 1, 1), dt.date(2023, 5, 1), new),
            (new, "firm", "CEO", "ann", 1, dt.date(2023, 5, 1), None, None),
            ("f-sails", "firm", "sails to", "port", 2, None, None, None),
            ("f-bad", "bad", HOSTILE, "firm", 1, None, None, None),
            ("f-far", "ann", "knows", "bob", 1, None, None, None),
        ],
        supports=[
            (old, "p1", 10, 40),
            (new, "p1", 50, 80),
            (new, "p2", 0, 30),
            ("f-sails", "p2", 31, 60),
            ("f-bad", "p3", 1, 2),
        ],
        mentions=[
            ("p1", "firm", False),
            ("p2", "firm", True),
            ("p3", "firm", False),
            ("p1", "ann", False),
            ("p2", "ann", False),
            ("p1", "bob", False),
            ("p3", "bad", False),
            ("p1", "car", False),
        ],
        synonyms=[("firm", "group", "embedding", 0.9), ("bad", "firm", "alias", 0.5)],
    )
