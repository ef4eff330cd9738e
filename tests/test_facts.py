"""Facts of a lake: alive while a passage states them, dated by their documents, set back when superseded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from conftest import Built, Workspace, kept_open

from derivation.graphs import open_graph
from graph.compiled import SUPERSEDED_WEIGHT, CompiledGraph

BASED = "Gannet Maritime is based in {city}."
FERRY = "The Petrel Ferry belongs to Gannet Maritime."


@pytest.fixture(autouse=True)
def _open(workspace: Workspace) -> Iterator[None]:
    with kept_open(workspace.lake()):
        yield


def dated(text: str, day: str | None = None, title: str = "Notes") -> str:
    """A Markdown document with its date in the front matter."""
    return f"---\ntitle: {title}\n{f'date: {day}' if day else ''}\n---\n\n{text}\n"


def facts(workspace: Workspace, space: str = "default") -> dict[str, int]:
    """How many passages state each fact, by its words."""
    rows = workspace.rows(
        "SELECT s.name || ' ' || f.predicate || ' ' || o.name, f.passages FROM facts f"
        " JOIN entities s ON s.entity_id = f.subject_id JOIN entities o ON o.entity_id = f.object_id"
        " WHERE f.space = $space",
        space=space,
    )
    return dict(rows)


def validity(workspace: Workspace) -> dict[str, tuple[Any, ...]]:
    """From when to when each dated fact holds, and the object of what superseded it, by the fact's words."""
    rows = workspace.rows(
        "SELECT s.name || ' ' || f.predicate || ' ' || o.name, v.valid_from, v.valid_until, n.name FROM validity v"
        " JOIN facts f USING (fact_id) JOIN entities s ON s.entity_id = f.subject_id"
        " JOIN entities o ON o.entity_id = f.object_id LEFT JOIN facts g ON g.fact_id = v.superseded_by"
        " LEFT JOIN entities n ON n.entity_id = g.object_id"
    )
    return {row[0]: row[1:] for row in rows}


def graph_of(built: Built) -> CompiledGraph:
    return open_graph(built.lake, built.snapshot.space("default").graph)


class TestLife:
    def test_a_fact_lives_while_one_passage_states_it(self, workspace: Workspace) -> None:
        workspace.write("one.md", dated(BASED.format(city="Oslo")))
        workspace.write("two.md", dated(BASED.format(city="Oslo") + " " + FERRY, title="Ferry"))
        workspace.build()
        based, ferry = "Gannet Maritime is based in Oslo", "Petrel Ferry belongs to Gannet Maritime"
        assert facts(workspace) == {based: 2, ferry: 1}
        workspace.delete("two.md")
        workspace.assert_equals_rebuild(workspace.build().lake)
        assert facts(workspace) == {based: 1}
        workspace.delete("one.md")
        workspace.write("other.md", "Nothing is stated.\n")
        built = workspace.build()
        assert facts(workspace) == {}
        assert workspace.column("SELECT count(*) FROM supports") == [0]
        assert graph_of(built).facts == 0

    def test_an_edit_elsewhere_keeps_the_facts_of_the_other_passages(self, workspace: Workspace) -> None:
        workspace.configure(segmentation={"target_tokens": 16, "max_tokens": 32})
        filler = "The harbour was quiet on that day and nobody said a word about it. " * 3
        workspace.write("log.md", f"# Log\n\n{BASED.format(city='Oslo')}\n\n{filler}\n")
        workspace.build()
        before = workspace.rows("SELECT * FROM supports ORDER BY ALL")
        workspace.write("log.md", f"# Log\n\n{BASED.format(city='Oslo')}\n\n{filler}{FERRY}\n")
        built = workspace.build()
        after = workspace.rows("SELECT * FROM supports ORDER BY ALL")
        assert set(before) < set(after)
        (report,) = [report for report in built.lake.reports if report.step == "mentions"]
        assert report.untouched > 0
        workspace.assert_equals_rebuild(built.lake)

    def test_every_span_of_a_support_slices_back(self, workspace: Workspace) -> None:
        workspace.write("port.md", "# Port Hallin\n\nOwner: Ana Reyes\n\n- founded by Jon Berg in Bergen\n")
        workspace.write("table.md", "# Ships\n\n| Ship | Port |\n|---|---|\n| Größe Petrel | Port Hallin |\n")
        workspace.write("text.txt", "😀 Ana Reyes works for Gannet Maritime. Gannet Maritime is based in Zürich.")
        workspace.build()
        rows = workspace.rows(
            "SELECT s.*, p.text, d.title FROM supports s JOIN passages p USING (passage_id)"
            " JOIN documents d USING (document_id)"
        )
        columns = workspace.column("SELECT column_name FROM duckdb_columns() WHERE table_name = 'supports'")
        surfaces = set(
            workspace.rows(
                "SELECT passage_id, entity_id, surface FROM mentions"
                " UNION SELECT passage_id, entity_id, surface FROM titles"
            )
        )
        assert len(rows) >= 4
        titled = 0
        for row in rows:
            support = dict(zip([*columns, "text", "title"], row, strict=True))
            evidence = support["text"][support["char_start"] : support["char_end"]]
            assert evidence == evidence.strip() != ""
            for end in ("subject", "object"):
                of = support["title"] if support[f"{end}_titled"] else support["text"]
                surface = of[support[f"{end}_start"] : support[f"{end}_end"]]
                assert (support["passage_id"], support[f"{end}_id"], surface) in surfaces
                titled += support[f"{end}_titled"]
        assert titled, "a fact that the title is the subject of is among them"

    def test_spaces_never_mix(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "secret", "space": "vault"}])
        workspace.write("old.md", dated(BASED.format(city="Oslo"), "2024-01-10"))
        workspace.write("new.md", dated(BASED.format(city="Bergen"), "2025-03-01"), source="secret")
        workspace.build()
        assert facts(workspace) == {"Gannet Maritime is based in Oslo": 1}
        assert facts(workspace, "vault") == {"Gannet Maritime is based in Bergen": 1}
        assert workspace.column("SELECT count(*) FROM validity WHERE superseded_by IS NOT NULL") == [0]
        shared = "SELECT entity_id FROM entities GROUP BY 1 HAVING count(DISTINCT space) > 1"
        assert workspace.column(shared) == []


class TestTime:
    @pytest.fixture
    def moved(self, workspace: Workspace) -> Built:
        """Gannet Maritime has moved from Oslo to Bergen."""
        workspace.write("old.md", dated(BASED.format(city="Oslo"), "2024-01-10", "Report of the Year"))
        workspace.write("new.md", dated(BASED.format(city="Bergen"), "2025-03-01", "Report of the Year"))
        workspace.write("ferry.md", dated(FERRY))
        return workspace.build()

    def test_a_later_value_ends_the_earlier_one_and_nothing_is_deleted(
        self, workspace: Workspace, moved: Built
    ) -> None:
        assert validity(workspace) == {
            "Gannet Maritime is based in Oslo": (date(2024, 1, 10), date(2025, 3, 1), "Bergen"),
            "Gannet Maritime is based in Bergen": (date(2025, 3, 1), None, None),
        }
        assert len(facts(workspace)) == 3
        workspace.assert_equals_rebuild(moved.lake)

    def test_without_the_later_document_the_earlier_fact_holds_again(self, workspace: Workspace, moved: Built) -> None:
        workspace.delete("new.md")
        built = workspace.build()
        assert validity(workspace) == {"Gannet Maritime is based in Oslo": (date(2024, 1, 10), None, None)}
        assert (graph_of(built).fact_weight == 1).all()
        workspace.assert_equals_rebuild(built.lake)

    def test_a_changed_date_turns_the_order_round(self, workspace: Workspace, moved: Built) -> None:
        workspace.write("old.md", dated(BASED.format(city="Oslo"), "2026-01-10", "Report of the Year"))
        built = workspace.build()
        assert validity(workspace)["Gannet Maritime is based in Bergen"] == (
            date(2025, 3, 1),
            date(2026, 1, 10),
            "Oslo",
        )
        workspace.assert_equals_rebuild(built.lake)

    def test_a_document_without_a_date_ends_nothing(self, workspace: Workspace, moved: Built) -> None:
        before = validity(workspace)
        workspace.write("undated.md", dated(BASED.format(city="Tromsø")))
        workspace.build()
        assert validity(workspace) == before

    def test_names_that_are_one_thing_have_one_history(self, workspace: Workspace, moved: Built) -> None:
        text = "Gannet Maritime (GM) was there. GM is based in Narvik. GM likes it."
        workspace.write("newest.md", dated(text, "2026-02-01"))
        built = workspace.build()
        assert workspace.column("SELECT count(*) FROM resolutions") == [1]
        assert validity(workspace)["Gannet Maritime is based in Bergen"][1:] == (date(2026, 2, 1), "Narvik")
        workspace.assert_equals_rebuild(built.lake)

    def test_the_compiled_graph_weighs_what_is_superseded_less(self, workspace: Workspace, moved: Built) -> None:
        graph = graph_of(moved)
        weights = dict(zip(graph.fact_table["superseded_by"].is_not_null(), graph.fact_weight.tolist(), strict=True))
        assert weights == {True: SUPERSEDED_WEIGHT, False: 1.0}


class TestRanking:
    QUESTION = "Where is Gannet Maritime based?"

    def found(self, workspace: Workspace) -> dict[str, float]:
        return {hit.location.path: hit.score for hit in workspace.client().search(self.QUESTION, k=10)}

    def test_what_is_outdated_goes_behind_what_holds(self, workspace: Workspace) -> None:
        for name, city, day in (("a.md", "Oslo", "2024-01-10"), ("b.md", "Bergen", "2024-01-10")):
            workspace.write(name, dated(BASED.format(city=city), day))
        for number in range(8):
            workspace.write(f"other{number}.md", dated(f"The Tern Ferry {number} belongs to Edda Lines.", None, "Edda"))
        workspace.build()
        undecided = self.found(workspace)
        assert workspace.column("SELECT count(*) FROM validity WHERE superseded_by IS NOT NULL") == [0]
        for later, earlier in (("a.md", "b.md"), ("b.md", "a.md")):
            for name, city in (("a.md", "Oslo"), ("b.md", "Bergen")):
                day = "2025-06-01" if name == later else "2024-01-10"
                workspace.write(name, dated(BASED.format(city=city), day))
            workspace.build()
            decided = self.found(workspace)
            order = list(decided)
            assert order.index(later) < order.index(earlier)
            assert decided[earlier] == pytest.approx(undecided[earlier] * SUPERSEDED_WEIGHT)
            unchanged = undecided.keys() - {earlier}
            assert {name: decided[name] for name in unchanged} == {name: undecided[name] for name in unchanged}

    def test_a_passage_that_also_says_what_holds_is_not_set_back(self, workspace: Workspace) -> None:
        both = BASED.format(city="Oslo") + " Gannet Maritime owns the Petrel Ferry."
        workspace.write("old.md", dated(both, "2024-01-10"))
        workspace.write("new.md", dated("Nothing.", "2025-01-10", "New"))
        workspace.build()
        before = self.found(workspace)["old.md"]
        workspace.write("new.md", dated(BASED.format(city="Bergen"), "2025-01-10", "New"))
        built = workspace.build()
        assert SUPERSEDED_WEIGHT in graph_of(built).fact_weight
        assert self.found(workspace)["old.md"] > before * SUPERSEDED_WEIGHT * 2

    def test_a_question_on_something_else_is_answered_as_before(self, workspace: Workspace) -> None:
        workspace.write("old.md", dated(BASED.format(city="Oslo") + " The Tern Ferry was built there.", "2024-01-10"))
        workspace.write("new.md", dated(BASED.format(city="Bergen"), "2024-01-10"))
        workspace.build()
        before = workspace.client().search("Tern Ferry")
        workspace.write("new.md", dated(BASED.format(city="Bergen"), "2025-01-10"))
        workspace.build()
        after = workspace.client().search("Tern Ferry")
        assert [(hit.passage_id, hit.score) for hit in after] == [(hit.passage_id, hit.score) for hit in before]
