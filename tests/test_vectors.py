"""The searched table: exactly the warehouse's passages in one commit, whatever way it came to hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Workspace, kept_open, refresh_source, state_of
from lancedb.table import Table

from derivation.lake import Lake
from derivation.layers import refresh_table
from derivation.settling import refresh_served
from errors import SnapshotError
from memory.segmentation import contextual_text
from warehouse.searched import FTS_COLUMN, PASSAGES
from warehouse.vectors import (
    SyncReport,
    connect,
    in_list,
    open_version,
    sync_table,
    tag_version,
    vector_problems,
)

SPACE = "default"
PEOPLE = {
    "ada.md": "# Ada Lovelace\n\nAda Lovelace wrote the first program for the Analytical Engine in London.\n",
    "grace.md": "# Grace Hopper\n\nGrace Hopper wrote a compiler and found a moth in a relay.\n",
    "alan.md": "# Alan Turing\n\nAlan Turing described a universal machine and broke ciphers at Bletchley Park.\n",
    "edsger.md": "# Edsger Dijkstra\n\nEdsger Dijkstra found a shortest path in twenty minutes, without a machine.\n",
}
QUERIES = ("machine", "wrote a program", "compiler moth", "ciphers London", "shortest paths", "Grace", "the", "walrus")


def prepared(workspace: Workspace) -> Lake:
    """A lake whose warehouse is up to date; the searched table comes with ``synced``."""
    lake = workspace.lake()
    for source in lake.settings.sources:
        refresh_source(lake, source)
    return lake


def synced(lake: Lake) -> SyncReport:
    return sync_table(lake.warehouse, PASSAGES, SPACE, lake.embedder_spec.identity, 64)


def table_of(lake: Lake) -> Table:
    return connect(lake.layout, SPACE).open_table(PASSAGES.table(lake.embedder_spec.identity))


def held(table: Table) -> dict[str, dict[str, Any]]:
    return {row["passage_id"]: row for row in table.to_arrow().to_pylist()}


def full_text(table: Table, query: str) -> dict[str, float]:
    rows = table.search(query, query_type="fts", fts_columns=FTS_COLUMN).limit(100).to_list()
    return {row["passage_id"]: row["_score"] for row in rows}


@pytest.fixture
def people(workspace: Workspace) -> Iterator[Lake]:
    """A lake of four passages, its warehouse up to date and its searched table not there yet."""
    for name, text in PEOPLE.items():
        workspace.write(name, text)
    with kept_open(workspace.lake()):
        yield prepared(workspace)


class TestWhatItHolds:
    def test_each_passage_is_a_row_with_its_vector_and_all_that_is_shown(
        self, workspace: Workspace, people: Lake
    ) -> None:
        report = synced(people)
        rows = held(table_of(people))
        truth = workspace.rows(
            "SELECT p.passage_id, p.text, d.path, d.title, p.char_start, p.char_end, r.content_hash, e.vector"
            " FROM passages p JOIN documents d USING (document_id) JOIN revisions r ON r.revision_id = p.revision_id"
            " JOIN embeddings e USING (text_hash)"
        )
        assert len(truth) == len(rows) == report.rows == 4
        assert (report.changes.added, report.changes.updated, report.changes.removed) == (4, 0, 0)
        for key, text, path, title, start, end, content_hash, vector in truth:
            row = rows[key]
            found = (row["text"], row["path"], row["title"], row["char_start"], row["char_end"], row["content_hash"])
            assert found == (text, path, title, start, end, content_hash)
            assert row["vector"] == pytest.approx(list(vector))
            assert row[FTS_COLUMN] == contextual_text(title, row["heading"], text)

    def test_add_edit_and_delete_are_told_apart(self, workspace: Workspace, people: Lake) -> None:
        synced(people)
        workspace.delete("ada.md")
        workspace.write("new.md", "# Barbara Liskov\n\nBarbara Liskov said when a type is a subtype.\n")
        workspace.write("alan.md", "---\nauthor: Max Newman\n---\n\n" + PEOPLE["alan.md"])
        report = synced(prepared(workspace))
        rows = held(table_of(people))
        assert sorted(row["path"] for row in rows.values()) == ["alan.md", "edsger.md", "grace.md", "new.md"]
        assert next(row["author"] for row in rows.values() if row["path"] == "alan.md") == "Max Newman"
        assert report.changes.removed - report.changes.added == 0
        assert report.changes.removed >= 1

    def test_metadata_alone_updates_the_row(self, workspace: Workspace, people: Lake) -> None:
        before = synced(people)
        with people.warehouse.session() as connection:
            connection.execute("UPDATE documents SET author = 'Anonymous' WHERE path = 'ada.md'")
        after = synced(people)
        assert (after.changes.added, after.changes.updated, after.changes.removed) == (0, 1, 0)
        assert after.digest != before.digest
        assert [row["author"] for row in held(table_of(people)).values() if row["path"] == "ada.md"] == ["Anonymous"]

    def test_nothing_to_do_makes_no_new_version(self, people: Lake) -> None:
        first = synced(people)
        second = synced(people)
        assert not second.changes.any
        assert (second.version, second.digest) == (first.version, first.digest)

    def test_all_passages_can_go_and_come_back(self, workspace: Workspace, people: Lake) -> None:
        full = synced(people)
        for name in PEOPLE:
            workspace.delete(name)
        empty = synced(prepared(workspace))
        assert (empty.rows, empty.changes.removed, len(held(table_of(people)))) == (0, 4, 0)
        for name, text in PEOPLE.items():
            workspace.write(name, text)
        again = synced(prepared(workspace))
        assert again.rows == 4
        assert again.digest == full.digest

    def test_an_empty_space_has_an_empty_table(self, workspace: Workspace) -> None:
        report = synced(prepared(workspace))
        assert report.rows == 0
        assert held(table_of(workspace.lake())) == {}


class TestCommits:
    def test_upserts_and_deletions_are_one_commit(self, workspace: Workspace, people: Lake) -> None:
        synced(people)
        before = {item["version"] for item in table_of(people).list_versions()}
        workspace.delete("ada.md")
        workspace.write("grace.md", PEOPLE["grace.md"] + "\nShe was an admiral.\n")
        workspace.write("new.md", "# Barbara Liskov\n\nBarbara Liskov said when a type is a subtype.\n")
        synced(prepared(workspace))
        table = table_of(people)
        states = []
        for version in sorted({item["version"] for item in table.list_versions()} - before):
            rows = held(open_version(people.layout, SPACE, table.name, version))
            states.append(sorted((row["path"], "admiral" in row["text"]) for row in rows.values()))
        final = [("alan.md", False), ("edsger.md", False), ("grace.md", True), ("new.md", False)]
        assert states
        assert all(state == final for state in states), "no version shows a part of the change"

    def test_the_reported_version_is_the_indexed_one(self, workspace: Workspace, people: Lake) -> None:
        report = synced(people)
        table = open_version(people.layout, SPACE, report.table, report.version)
        assert len(full_text(table, "machine")) == 2
        assert [list(index.columns) for index in table.list_indices()] == [[FTS_COLUMN]]

    def test_an_old_version_stays_as_it_was(self, workspace: Workspace, people: Lake) -> None:
        first = synced(people)
        old = held(open_version(people.layout, SPACE, first.table, first.version))
        workspace.delete("ada.md")
        synced(prepared(workspace))
        table = open_version(people.layout, SPACE, first.table, first.version)
        assert held(table) == old
        assert len(full_text(table, "Lovelace")) == 1


class TestEquality:
    def test_a_table_that_grew_searches_like_one_built_at_once(self, workspace: Workspace) -> None:
        texts = {f"note{number}.md": text for number, text in enumerate(PEOPLE.values())}
        for round_number in range(4):
            for number, (name, text) in enumerate(texts.items()):
                workspace.write(name, f"{text}\nRevision {round_number} of paper {number} on machine {number}.\n")
                if (round_number + number) % 3 == 0:
                    workspace.write(f"extra{number}.md", f"# Extra {number}\n\nA machine wrote {round_number}.\n")
            workspace.path(f"extra{round_number}.md").unlink(missing_ok=True)
            grown = workspace.build().lake
        at_once = workspace.build_anew()
        left, right = table_of(grown), table_of(at_once)
        assert left.version > right.version
        assert held(left) == held(right)
        for query in QUERIES:
            assert full_text(left, query) == full_text(right, query), query
        assert full_text(left, "machine")

    def test_a_table_that_shrank_searches_like_one_built_at_once(self, workspace: Workspace) -> None:
        for name, text in PEOPLE.items():
            workspace.write(name, text)
        workspace.build()
        workspace.delete("alan.md")
        shrunk = table_of(workspace.build().lake)
        at_once = table_of(workspace.build_anew())
        for query in QUERIES:
            assert full_text(shrunk, query) == full_text(at_once, query), query

    def test_it_is_compacted_when_small_files_pile_up(self, workspace: Workspace, people: Lake) -> None:
        for number in range(12):
            workspace.write("ada.md", f"{PEOPLE['ada.md']}\nEdition {number}.\n")
            synced(prepared(workspace))
        stats: Any = table_of(people).stats()
        assert stats["fragment_stats"]["num_fragments"] <= 9
        assert len(held(table_of(people))) == 4


class TestHealing:
    def test_rows_that_somebody_removed_come_back(self, people: Lake) -> None:
        synced(people)
        whole = held(table_of(people))
        table_of(people).delete(in_list("passage_id", sorted(whole)[:2]))
        report = synced(people)
        assert report.changes.added == 2
        assert held(table_of(people)) == whole

    def test_rows_that_somebody_added_go(self, people: Lake) -> None:
        synced(people)
        table = table_of(people)
        whole = held(table)
        foreign = {**next(iter(whole.values())), "passage_id": "foreign 'one'"}
        table.add(pa.Table.from_pylist([foreign], schema=table.schema))
        report = synced(people)
        assert report.changes.removed == 1
        assert held(table_of(people)) == whole

    def test_a_row_that_somebody_doubled_is_there_once(self, people: Lake) -> None:
        synced(people)
        table = table_of(people)
        table.add(pa.Table.from_pylist([next(iter(held(table).values()))], schema=table.schema))
        synced(people)
        assert table_of(people).count_rows() == 4

    def test_rows_that_somebody_aged_are_renewed(self, people: Lake) -> None:
        synced(people)
        whole = held(table_of(people))
        table_of(people).update(where="path = 'ada.md'", values={"row_hash": "old", "text": "nothing"})
        report = synced(people)
        assert report.changes.updated == 1
        assert held(table_of(people)) == whole

    def test_a_table_that_somebody_dropped_is_built_again(self, people: Lake) -> None:
        first = synced(people)
        whole = held(table_of(people))
        connect(people.layout, SPACE).drop_table(first.table)
        second = synced(people)
        assert held(table_of(people)) == whole
        assert second.digest == first.digest

    def test_a_missing_index_is_built_again(self, people: Lake) -> None:
        synced(people)
        scores = full_text(table_of(people), "machine")
        for index in table_of(people).list_indices():
            table_of(people).drop_index(index.name)
        synced(people)
        assert full_text(table_of(people), "machine") == scores


class TestVersions:
    def test_a_tag_moves_to_the_version_it_is_given(self, workspace: Workspace, people: Lake) -> None:
        first = synced(people)
        tag_version(people.layout, SPACE, first.table, first.version, "one")
        tag_version(people.layout, SPACE, first.table, first.version, "one")
        assert table_of(people).tags.get_version("one") == first.version
        workspace.delete("ada.md")
        second = synced(prepared(workspace))
        tag_version(people.layout, SPACE, second.table, second.version, "one")
        assert table_of(people).tags.get_version("one") == second.version

    def test_a_version_that_is_not_there_is_a_snapshot_error(self, people: Lake) -> None:
        report = synced(people)
        with pytest.raises(SnapshotError, match="vectors of space 'default' are damaged or gone") as caught:
            open_version(people.layout, SPACE, report.table, 999)
        assert "memlake repair" in caught.value.remedy

    def test_a_table_that_is_not_there_is_a_snapshot_error(self, people: Lake) -> None:
        with pytest.raises(SnapshotError, match="damaged or gone"):
            open_version(people.layout, SPACE, "passages-nothing", 1)


class TestProblems:
    @pytest.mark.parametrize("value", [float("inf"), 0.0, 2.0])
    def test_a_vector_that_is_no_unit_vector_is_named(self, people: Lake, value: float) -> None:
        first = synced(people)
        assert vector_problems(people.layout, PASSAGES, SPACE, first.table, first.version) == []
        table = table_of(people)
        row = next(row for row in held(table).values() if row["path"] == "ada.md")
        table.delete("path = 'ada.md'")
        bad = np.zeros(64, dtype=np.float32)
        bad[0] = value
        table.add(pa.Table.from_pylist([{**row, "vector": bad.tolist()}], schema=table.schema))
        problems = vector_problems(people.layout, PASSAGES, SPACE, first.table, table.version)
        assert problems == [f"passage {row['passage_id']} of ada.md has no usable vector"]


class TestTheLayer:
    def test_what_it_held_is_noted_for_the_snapshot(self, workspace: Workspace, people: Lake) -> None:
        refresh_served(people)
        first = state_of(people)["digest of vectors of default"]
        report = refresh_table(people, SPACE)
        assert (report.processed, report.untouched, report.removed) == (0, 4, 0)
        workspace.delete("ada.md")
        lake = prepared(workspace)
        report = refresh_table(lake, SPACE)
        assert (report.processed, report.untouched, report.removed) == (0, 3, 1)
        assert state_of(lake)["digest of vectors of default"] != first
