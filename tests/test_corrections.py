"""A person's word on entities: published at once, above the rules, kept by rebuilds, and taken back without a trace."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
from conftest import Workspace, kept_open

from derivation.correcting import correct
from derivation.digest import lake_digest
from derivation.graphs import open_graph
from derivation.overrides import MERGE, SPLIT
from derivation.repair import repair
from derivation.verification import verify
from errors import InvalidQuery
from pipelines.cli import main
from testing.recorded import kind_of, user_text
from testing.server import OpenAIServer
from warehouse import faults
from warehouse.snapshots import current_id

pytestmark = pytest.mark.histories
"""Many builds, which take minutes together."""

TEXTS = {
    "union.md": "---\ntitle: Union\n---\n\nThe North Atlantic Freight Union (NAFU) met Ann Lindqvist in Oslo.\n",
    "old.md": "---\ntitle: Port Hallin\ndate: 2025-03-01\n---\n\nOwner: Ana Reyes\n\n"
    "C.S. Lewis met Jon Berg in Oslo.\n",
    "new.md": "---\ntitle: Port Hallin\ndate: 2025-09-01\n---\n\nOwner: Mrs Quist\n\nC S Lewis left Oslo.\n",
}
FIRST_DAY = datetime(2026, 3, 2, 12, tzinfo=UTC)

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def lake(workspace: Workspace) -> Iterator[Workspace]:
    """A published lake in which rules merge an acronym and a spelling."""
    with kept_open(workspace.lake()):
        for name, text in TEXTS.items():
            workspace.write(name, text)
        workspace.build(as_of=FIRST_DAY)
        yield workspace


@pytest.fixture
def memlake(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("pipelines.cli._leave", sys.exit)  # in place of ending this process

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["memlake", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def of_json(run: Run, *arguments: str) -> Any:
    code, told, errors = run(*arguments, "--json")
    assert code == 0, errors
    return json.loads(told)


def clusters(workspace: Workspace) -> set[tuple[str, str, str]]:
    """Who stands under whose name, and by what."""
    rows = workspace.rows(
        "SELECT e.name, c.name, r.method FROM resolutions r JOIN entities e USING (entity_id)"
        " JOIN entities c ON c.entity_id = r.canonical_id"
    )
    return set(rows)


def published_ids(workspace: Workspace, *names: str) -> list[list[str]]:
    """Ids under which the published snapshot knows these names."""
    known = workspace.client().knowledge()
    return [known.find(name) for name in names]


BY_RULES = {
    ("NAFU", "North Atlantic Freight Union", "acronym"),
    ("C S Lewis", "C.S. Lewis", "spelling"),
}


class TestEffect:
    def test_a_merge_is_published_at_once_and_undone_without_a_trace(self, lake: Workspace, memlake: Run) -> None:
        before = lake_digest(lake.lake())
        assert clusters(lake) == BY_RULES
        assert lake.column("SELECT count(*) FROM validity WHERE superseded_by IS NOT NULL") == [1]
        done = of_json(memlake, "graph", "merge", "Ana Reyes", "mrs quist", "--reason", "she married")
        assert done["published"] == current_id(lake.layout) == lake.client().snapshot.snapshot_id
        assert (done["left"], done["right"]) == ("Ana Reyes", "Mrs Quist")
        one, other = published_ids(lake, "Ana Reyes", "Mrs Quist")
        assert one == other
        shown = of_json(memlake, "graph", "show", "Ana Reyes")
        assert {shown["entity"]["name"], *shown["entity"]["aliases"]} == {"Ana Reyes", "Mrs Quist"}
        assert lake.column("SELECT count(*) FROM validity WHERE superseded_by IS NOT NULL") == [0], "the same owner"
        (told,) = [row for row in of_json(memlake, "graph", "decisions") if row["method"] == "override"]
        assert (told["verdict"], told["reason"]) == ("same", "she married")
        assert verify(lake.lake()).whole
        assert of_json(memlake, "status")["corrections"] == 1
        memlake("graph", "merge", "Mrs Quist", "Ana Reyes", "--undo")
        assert lake_digest(lake.lake()) == before
        assert of_json(memlake, "status")["corrections"] == 0

    def test_a_split_keeps_apart_what_rules_merged(self, lake: Workspace, memlake: Run) -> None:
        before = lake_digest(lake.lake())
        done = of_json(memlake, "graph", "split", "NAFU", "North Atlantic Freight Union")
        assert done["verdict"] == "split"
        assert not {row for row in clusters(lake) if "NAFU" in row}
        (one,), (other,) = published_ids(lake, "NAFU", "North Atlantic Freight Union")
        assert one != other
        shown = of_json(memlake, "graph", "show", "NAFU")
        assert shown["synonyms"] == [], "nor does an edge tie them"
        different = of_json(memlake, "graph", "decisions", "--verdict", "different")
        assert [(row["verdict"], row["method"]) for row in different] == [("different", "override")]
        assert verify(lake.lake()).whole
        memlake("graph", "split", "NAFU", "North Atlantic Freight Union", "--undo")
        assert lake_digest(lake.lake()) == before

    def test_what_is_split_is_tied_by_no_other_name_either(self, lake: Workspace) -> None:
        lake.write(
            "more.md", "# More\n\nThe North-Atlantic-Freight Union and The Nafu met. NorthAtlantic Freight Union\n"
        )
        lake.write("again.md", "# Again\n\nThe NorthAtlantic Freight Union (NAFU) met.\n")
        lake.build()
        joined = {row for row in clusters(lake) if row[1] == "NAFU"}
        assert len(joined) >= 2
        for name, _, _ in sorted(joined):
            correct(lake.lake(), "default", "NAFU", name, SPLIT)
        published = lake.client().snapshot
        graph = open_graph(lake.lake(), published.space("default").graph)
        (alone,) = graph.entity_rows(["nafu"])["nafu"]
        assert alone not in {*graph.synonym_table["low"], *graph.synonym_table["high"]}

    def test_a_later_word_wins_over_an_earlier_one(self, lake: Workspace) -> None:
        correct(lake.lake(), "default", "Ana Reyes", "Jon Berg", MERGE)
        correct(lake.lake(), "default", "Jon Berg", "Ana Reyes", SPLIT)
        assert not {row for row in clusters(lake) if "Jon Berg" in row}
        correct(lake.lake(), "default", "Ana Reyes", "Jon Berg", MERGE)
        assert {row[2] for row in clusters(lake) if "Jon Berg" in row} == {"override"}


class TestEndurance:
    def test_it_survives_builds(self, lake: Workspace, memlake: Run) -> None:
        memlake("graph", "merge", "Ana Reyes", "Mrs Quist")
        memlake("graph", "split", "NAFU", "North Atlantic Freight Union")
        lake.write("more.md", "# More\n\nEdsger Dijkstra in Rotterdam.\n")
        lake.build()
        assert {row[2] for row in clusters(lake)} == {"override", "spelling"}

    def test_it_survives_the_loss_of_the_warehouse(self, workspace: Workspace, memlake: Run) -> None:
        for name, text in TEXTS.items():
            workspace.write(name, text)
        with kept_open(workspace.lake()):
            workspace.build()
            memlake("graph", "merge", "Ana Reyes", "Mrs Quist")
            memlake("graph", "split", "NAFU", "North Atlantic Freight Union")
            before = clusters(workspace)
            digest = lake_digest(workspace.lake())
        workspace.layout.warehouse.unlink()
        repair(workspace.lake())
        built = workspace.build()
        assert clusters(workspace) == before
        assert lake_digest(built.lake) == digest

    def test_it_says_nothing_while_an_entity_is_gone_and_comes_back_with_it(self, lake: Workspace) -> None:
        correct(lake.lake(), "default", "Ana Reyes", "Mrs Quist", MERGE)
        whole = lake_digest(lake.lake())
        lake.delete("new.md")
        built = lake.build()
        assert lake.column("SELECT count(*) FROM decisions WHERE method = 'override'") == [0]
        assert verify(built.lake).whole
        lake.write("new.md", TEXTS["new.md"])
        assert lake_digest(lake.build().lake) == whole

    def test_a_correction_that_is_interrupted_is_completed_by_the_next_build(self, lake: Workspace) -> None:
        class Interrupted(Exception):
            pass

        def stop(point: str) -> None:
            if point == "resolution.written":
                raise Interrupted

        faults.arm(stop)
        try:
            with pytest.raises(Interrupted):
                correct(lake.lake(), "default", "Ana Reyes", "Mrs Quist", MERGE)
        finally:
            faults.arm(None)
        one, other = published_ids(lake, "Ana Reyes", "Mrs Quist")
        assert one != other
        assert lake.build().published
        one, other = published_ids(lake, "Ana Reyes", "Mrs Quist")
        assert one == other


class TestNames:
    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (("Ana Reyez", "Mrs Quist"), "Did you mean 'Ana Reyes'?"),
            (("Ana Reyes", "ana reyes"), "Both names are of one entity."),
        ],
    )
    def test_a_mistake_changes_nothing_and_says_what_is_near(
        self, lake: Workspace, memlake: Run, names: tuple[str, str], told: str
    ) -> None:
        before = current_id(lake.layout)
        code, _, errors = memlake("graph", "merge", *names)
        assert (code, told in errors) == (2, True)
        assert not lake.layout.overrides.exists()
        assert current_id(lake.layout) == before

    def test_an_unknown_name_is_told_by_show_too(self, lake: Workspace, memlake: Run) -> None:
        code, _, errors = memlake("graph", "show", "Ana Reyez")
        assert (code, "'Ana Reyes'" in errors) == (2, True)

    def test_an_ambiguous_name_lists_ids_and_an_id_is_taken(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "test")

        def respond(body: dict[str, Any]) -> str:
            type_ = "person" if "singer" in user_text(body) else "place"
            entities = [{"name": "Mercury", "type": type_}]
            return json.dumps({"entities": entities} if kind_of(body) == "named_entities" else {"triples": []})

        with OpenAIServer() as server:
            server.respond = respond
            workspace.configure(extraction={"provider": "openai", "model": "test-model", "base_url": server.url})
            workspace.write("sings.txt", "The singer was Mercury.")
            workspace.write("orbits.txt", "The planet is Mercury, near the Sun.")
            workspace.build()
            with pytest.raises(InvalidQuery) as caught:
                correct(workspace.lake(), "default", "Mercury", "Sun", MERGE)
            ids = workspace.column("SELECT entity_id FROM entities WHERE name = 'Mercury' ORDER BY ALL")
            assert len(ids) == 2
            assert all(f"{entity} (" in str(caught.value) for entity in ids)
            correct(workspace.lake(), "default", *ids, MERGE)
            assert {row[2] for row in clusters(workspace)} == {"override"}


class TestLooking:
    def test_the_past_is_shown_as_it_was(self, lake: Workspace, memlake: Run) -> None:
        memlake("graph", "merge", "Ana Reyes", "Mrs Quist")
        now = of_json(memlake, "graph", "show", "Ana Reyes")
        then = of_json(memlake, "graph", "show", "Ana Reyes", "--as-of", f"{FIRST_DAY:%Y-%m-%d}")
        assert (now["entity"]["aliases"] != [], then["entity"]["aliases"]) == (True, [])
        assert [(fact["valid_until"], bool(fact["superseded_by"])) for fact in then["facts"]] == [("2025-09-01", True)]

    def test_it_is_told_to_people_with_its_evidence(self, lake: Workspace, memlake: Run) -> None:
        code, told, _ = memlake("graph", "show", "Port Hallin")
        assert code == 0
        assert "valid 2025-03-01 to 2025-09-01 superseded" in told
        assert "Owner: Ana Reyes" in told
        assert "old.md, characters" in told

    def test_pages_and_pictures_are_written(self, lake: Workspace, memlake: Run, tmp_path: Path) -> None:
        html, svg = tmp_path / "port.html", tmp_path / "port.svg"
        code, told, _ = memlake("graph", "show", "Port Hallin", "--html", str(html), "--svg", str(svg))
        assert (code, "port.html" in told, "port.svg" in told) == (0, True, True)
        assert "Ana Reyes" in html.read_text()
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")

    def test_an_export_holds_what_the_client_knows(self, lake: Workspace, memlake: Run, tmp_path: Path) -> None:
        path = tmp_path / "graph.graphml"
        assert of_json(memlake, "graph", "export", str(path)) == {"written": [str(path)]}
        read, known = nx.read_graphml(path), lake.client().knowledge()
        assert read.number_of_nodes() == known.entities.height + known.passages.height
        assert read.number_of_edges() == known.facts.height + known.mentions.height + known.synonyms.height
        folder = tmp_path / "tables"
        written = of_json(memlake, "graph", "export", str(folder), "--format", "parquet")["written"]
        assert {Path(name).stem for name in written} >= {"entities", "facts", "supports", "mentions", "synonyms"}

    def test_decisions_are_listed_with_their_reasons(self, lake: Workspace, memlake: Run) -> None:
        assert {row["method"] for row in of_json(memlake, "graph", "decisions")} == {"acronym", "spelling"}
        code, told, _ = memlake("graph", "decisions", "--verdict", "all")
        assert (code, "stated acronym" in told) == (0, True)
