"""Exports hold what the tables hold, load in other tools, and no document's text can break or enliven them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import igraph
import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge import HOSTILE, entity_rows, firm, knowledge
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

from errors import SnapshotError
from graph.drawing import draw_html, draw_svg
from graph.export import read_parquet, to_networkx, write_graphml, write_parquet
from graph.knowledge import TABLES
from graph.layout import place
from graph.picture import WIDE, picture_of

SOME = settings(max_examples=60, deadline=None)
SVG = "{http://www.w3.org/2000/svg}"


# --- NetworkX, GraphML, Parquet -------------------------------------------------------------------------------------


def test_a_networkx_graph_holds_every_row_under_documented_attributes() -> None:
    graph = firm()
    out = to_networkx(graph)
    assert set(out.nodes) == {*graph.entities["entity_id"], *graph.passages["passage_id"]}
    assert out.nodes["firm"]["node"] == "entity"
    assert json.loads(out.nodes["firm"]["aliases"]) == ["GM", "Gannet B.V."]
    assert out.nodes["p1"] == {"node": "passage", "source": "docs", "path": "minutes/may.md", "title": "Minutes <May>"}
    assert out.edges["firm", "bob", "fact:f-old"] == {
        "edge": "fact",
        "predicate": "CEO",
        "passages": 4,
        "valid_from": "2020-01-01",
        "valid_until": "2023-05-01",
        "superseded_by": "f-new",
        "evidence": '[["p1", 10, 40]]',
    }
    assert out.edges["p2", "firm", "mention:p2:firm"] == {"edge": "mention", "titled": True}
    assert out.edges["firm", "group", "synonym:firm:group:embedding"]["score"] == 0.9
    kinds = [kind for _, _, kind in out.edges(data="edge")]
    expected = {"fact": graph.facts, "mention": graph.mentions, "synonym": graph.synonyms}
    assert {kind: kinds.count(kind) for kind in expected} == {kind: table.height for kind, table in expected.items()}


def test_an_edge_to_what_the_tables_do_not_name_is_left_out() -> None:
    graph = knowledge(entities=entity_rows("Oslo"), mentions=[("gone", "e0", False)])
    assert list(to_networkx(graph).nodes) == ["e0"]
    assert to_networkx(graph).number_of_edges() == 0


def test_graphml_loads_in_networkx_and_igraph_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "graph.graphml"
    write_graphml(firm(), path)
    full, loaded = to_networkx(firm()), nx.read_graphml(path, force_multigraph=True)
    assert set(loaded.nodes) == set(full.nodes)
    assert {key for _, _, key in loaded.edges(keys=True)} == {
        re.sub("[\x07]", "", key) for _, _, key in full.edges(keys=True)
    }
    assert loaded.nodes["firm"] == full.nodes["firm"]
    assert loaded.edges["firm", "bob", "fact:f-old"] == full.edges["firm", "bob", "fact:f-old"]
    assert loaded.nodes["bad"]["name"] == HOSTILE.replace("\x07", "")
    other = igraph.Graph.Read_GraphML(str(path))
    assert (other.vcount(), other.ecount()) == (full.number_of_nodes(), full.number_of_edges())
    assert other.is_directed()
    assert [path.name for path in tmp_path.iterdir()] == ["graph.graphml"]


@SOME
@given(name=st.text(st.characters(exclude_categories=[]), max_size=12))
def test_any_name_makes_valid_xml(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Polars holds no lone surrogates; all other characters occur."""
    name = name.encode("utf-8", "ignore").decode()
    graph = knowledge(entities=entity_rows(name, "Oslo"), facts=[("f", "e0", name, "e1", 1, None, None, None)])
    path = tmp_path_factory.getbasetemp() / "any.graphml"
    write_graphml(graph, path)
    assert nx.read_graphml(path).number_of_nodes() == 2
    ElementTree.fromstring(draw_svg(graph.neighbourhood("e0")))
    draw_html(graph.neighbourhood("e0")).encode()


def test_parquet_gives_back_the_tables(tmp_path: Path) -> None:
    graph = firm()
    files = write_parquet(graph, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in files)
    back = read_parquet(tmp_path / "out")
    for name in TABLES:
        assert_frame_equal(getattr(back, name), getattr(graph, name), check_row_order=False)
    again = write_parquet(back, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_an_export_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    write_parquet(firm(), tmp_path)
    (tmp_path / "facts.parquet").write_bytes(b"PAR1")
    with pytest.raises(SnapshotError, match="holds no whole export"):
        read_parquet(tmp_path)
    pl.DataFrame({"fact_id": ["f"]}).write_parquet(tmp_path / "facts.parquet")
    with pytest.raises(SnapshotError, match="the table facts needs"):
        read_parquet(tmp_path)
    (tmp_path / "facts.parquet").unlink()
    with pytest.raises(SnapshotError, match="holds no whole export"):
        read_parquet(tmp_path)


def test_an_empty_graph_can_be_exported(tmp_path: Path) -> None:
    write_graphml(knowledge(), tmp_path / "empty.graphml")
    assert nx.read_graphml(tmp_path / "empty.graphml").number_of_nodes() == 0
    write_parquet(knowledge(), tmp_path)
    assert read_parquet(tmp_path).entities.height == 0


# --- pictures -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts.append(data)
        elif self._in != "style":
            self.text += data


def test_a_page_has_a_part_for_all_that_is_drawn_and_an_entry_for_each_part() -> None:
    page = Page(draw_html(firm().neighbourhood("firm")))
    items = [attributes["data-item"] for _, attributes in page.tags if "data-item" in attributes]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(items) <= set(ids)
    data = json.loads(next(script for script in page.scripts if script.startswith("{")))
    nodes = [attributes for _, attributes in page.tags if "data-node" in attributes]
    edges = [attributes for _, attributes in page.tags if "data-edge" in attributes]
    assert len(nodes) == len(data["wide"]["at"]) == len(data["narrow"]["at"])
    assert len(edges) == len(data["edges"])
    for size in ("wide", "narrow"):
        assert (np.array(data[size]["at"]) < np.array(data[size]["size"])).all()
    assert "minutes/may.md [50–80]" in page.text
    assert "since 2020-01-01 until 2023-05-01" in page.text


def test_a_superseded_fact_is_drawn_as_one_and_the_lines_of_that_kind_are_dashed() -> None:
    svg = draw_svg(firm().neighbourhood("firm"))
    root = ElementTree.fromstring(svg)
    drawn = {
        (group.get("class"), group.findtext(f"{SVG}title"))
        for group in root.iter(f"{SVG}g")
        if group.get("data-edge") is not None
    }
    assert ("edge ended", "CEO") in drawn
    assert ("edge fact", "CEO") in drawn
    style = root.findtext(f"{SVG}style") or ""
    assert re.search(r"\.ended \.line \{[^}]*dasharray", style)
    assert not re.search(r"\.fact \.line \{[^}]*dasharray", style)


def test_no_text_of_a_document_becomes_markup_or_script() -> None:
    plain = Page(draw_html(firm().neighbourhood("firm")))
    assert "img" not in {tag for tag, _ in plain.tags}
    assert not any(name.startswith("on") for _, attributes in plain.tags for name in attributes)
    assert [tag for tag, _ in plain.tags].count("script") == 2
    assert "</script><img src=x onerror=alert(1)>\"'&" in plain.text
    hostile = Page(draw_html(firm().neighbourhood("bad")))
    assert [tag for tag, _ in hostile.tags].count("script") == 2
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    root = ElementTree.fromstring(draw_svg(firm().neighbourhood("bad")))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        *("svg", "style", "rect", "g", "title", "path", "text")
    }


def test_a_name_that_is_a_place_of_the_template_is_not_filled_in() -> None:
    graph = knowledge(entities=entity_rows("<!--data-->", "<!--lists-->"), synonyms=[("e0", "e1", "alias", 0.5)])
    page = draw_html(graph.neighbourhood("e0"))
    assert "<!--" not in page
    assert "&lt;!--lists--&gt;" in page


def test_a_page_asks_for_nothing_from_elsewhere() -> None:
    page = Page(draw_html(firm().neighbourhood("firm")))
    assert not any(name in attributes for _, attributes in page.tags for name in ("src", "href", "xlink:href"))
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "url(" not in draw_svg(firm().neighbourhood("firm"))


def test_equal_neighbourhoods_give_equal_bytes() -> None:
    assert draw_svg(firm().neighbourhood("firm")) == draw_svg(firm().neighbourhood("firm"))
    assert draw_html(firm().neighbourhood("firm")) == draw_html(firm().neighbourhood("firm"))


def test_an_entity_alone_and_a_fact_about_itself_can_be_drawn() -> None:
    facts: list[tuple[object, ...]] = [("f", "e0", "named after", "e0", 1, None, None, None)]
    around = knowledge(entities=entity_rows("Oslo"), facts=facts).neighbourhood("e0")
    picture = picture_of(around)
    assert (len(picture.nodes), len(picture.edges)) == (1, 0)
    assert "named after" in draw_html(around)
    assert picture.positions(*WIDE).tolist() == [[WIDE[0] / 2, WIDE[1] / 2]]


def test_parallel_edges_are_bent_apart_whichever_way_they_run() -> None:
    facts: list[tuple[object, ...]] = [
        ("f1", "e0", "CEO", "e1", 3, None, None, None),
        ("f2", "e1", "chairs", "e0", 2, None, None, None),
        ("f3", "e0", "likes", "e1", 1, None, None, None),
    ]
    picture = picture_of(knowledge(entities=entity_rows("Acme", "Ann"), facts=facts).neighbourhood("e0"))
    seen_from_centre = [edge.bend if edge.source == 0 else -edge.bend for edge in picture.edges]
    assert len(set(seen_from_centre)) == 3
    assert sum(seen_from_centre) == 0


def overlaps(at: NDArray[np.float64], sizes: NDArray[np.float64]) -> int:
    first, second = np.triu_indices(len(at), 1)
    apart = np.abs(at[first] - at[second]) >= (sizes[first] + sizes[second]) / 2 - 0.2
    return int((~apart.any(axis=1)).sum())


@SOME
@given(widths=st.lists(st.integers(30, 165), min_size=1, max_size=30), narrow=st.booleans())
def test_boxes_stay_on_the_canvas_and_do_not_cover_each_other(widths: list[int], narrow: bool) -> None:
    sizes = np.array([[width, 24.0] for width in widths])
    canvas = (380, max(520, 30 * len(widths))) if narrow else WIDE
    at = place(sizes, *canvas)
    assert (at - sizes / 2 >= 0).all()
    assert (at + sizes / 2 <= np.array(canvas)).all()
    assert overlaps(at, sizes) == 0
