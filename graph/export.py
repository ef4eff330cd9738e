"""A knowledge graph for other tools: NetworkX, GraphML, Parquet.

Nothing is added and nothing left out but edges to nodes that the tables do not name. What is written is a function of
the tables: rows go in the order of their ids.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import networkx as nx
import polars as pl

from errors import SnapshotError
from graph.knowledge import TABLES, KnowledgeGraph

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def to_networkx(graph: KnowledgeGraph) -> nx.MultiDiGraph:
    """The graph with one node an entity or passage, under its id, and typed edges under keys that are unique.

    Node attributes: ``node`` (entity, passage); of an entity ``key, name, kind, type, aliases``, of a passage
    ``source, path, title``. Edges, by the attribute ``edge``:

    - ``fact``, subject to object: ``predicate, passages, evidence``, and where known ``valid_from, valid_until`` (ISO
      dates) and ``superseded_by`` (a fact id);
    - ``mention``, passage to entity: ``titled``;
    - ``synonym``, smaller id to larger: ``method, score``.

    ``aliases`` is a JSON list of names, ``evidence`` one of `[passage id, start, end]`, since formats for graphs know
    plain values only.
    """
    out = nx.MultiDiGraph()
    for row in graph.entities.sort("entity_id").iter_rows(named=True):
        aliases = json.dumps(row.pop("aliases"), ensure_ascii=False)
        out.add_node(row.pop("entity_id"), node="entity", **row, aliases=aliases)
    for row in graph.passages.sort("passage_id").iter_rows(named=True):
        out.add_node(row.pop("passage_id"), node="passage", **row)

    spans = ["passage_id", "char_start", "char_end"]
    supports = graph.supports.sort("fact_id", *spans).group_by("fact_id", maintain_order=True)
    evidence = {key[0]: json.dumps(group.select(spans).rows()) for key, group in supports}
    for row in graph.facts.sort("fact_id").iter_rows(named=True):
        fact, subject, target = row.pop("fact_id"), row.pop("subject_id"), row.pop("object_id")
        known = {name: _plain(value) for name, value in row.items() if value is not None}
        _add_edge(out, subject, target, f"fact:{fact}", edge="fact", **known, evidence=evidence.get(fact, "[]"))
    for passage, entity, titled in graph.mentions.sort("passage_id", "entity_id").iter_rows():
        _add_edge(out, passage, entity, f"mention:{passage}:{entity}", edge="mention", titled=titled)
    for left, right, method, score in graph.synonyms.sort("left_id", "right_id", "method").iter_rows():
        key = f"synonym:{left}:{right}:{method}"
        _add_edge(out, left, right, key, edge="synonym", method=method, score=score)
    return out


def _add_edge(out: nx.MultiDiGraph, source: str, target: str, key: str, **attributes: object) -> None:
    if source in out and target in out:
        out.add_edge(source, target, key=key, **attributes)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int) else str(value)


def write_graphml(graph: KnowledgeGraph, path: Path) -> None:
    """Write :func:`to_networkx` as GraphML, whole or not at all; characters that XML cannot hold are left out."""
    cleaned = nx.MultiDiGraph()
    full = to_networkx(graph)
    for node, attributes in full.nodes(data=True):
        cleaned.add_node(node, **_for_xml(attributes))
    for source, target, key, attributes in full.edges(keys=True, data=True):
        cleaned.add_edge(source, target, key=_NOT_IN_XML.sub("", key), **_for_xml(attributes))
    temporary = _beside(path)
    try:
        nx.write_graphml_xml(cleaned, temporary, infer_numeric_types=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _for_xml(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: _NOT_IN_XML.sub("", value) if isinstance(value, str) else value for name, value in attributes.items()}


def write_parquet(graph: KnowledgeGraph, folder: Path) -> list[Path]:
    """Write one file a table into `folder`, each whole or not at all; returns the files.

    :func:`read_parquet` reads them, and so does any tool that knows the format, such as DuckDB or pandas.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in fields(graph):
        path = folder / f"{table.name}.parquet"
        frame: pl.DataFrame = getattr(graph, table.name)
        temporary = _beside(path)
        try:
            frame.sort([name for name in frame.columns if name != "aliases"]).write_parquet(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(path)
    return written


def read_parquet(folder: Path) -> KnowledgeGraph:
    """The graph that :func:`write_parquet` wrote.

    Raises:
        SnapshotError: a file is missing or damaged, or has other columns.
    """
    try:
        return KnowledgeGraph(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES})
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise SnapshotError(f"{folder} holds no whole export: {error}.", "Export the graph anew.") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
