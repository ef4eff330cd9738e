"""The blocking checks look at what is stored: each passes on a sound lake and says what is wrong with a damaged one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from conftest import Built, Workspace, kept_open

from derivation.checks import CHECKS, check_extraction, check_orphans, check_spans, check_vectors
from derivation.snapshot import make_candidate
from errors import CheckFailed
from warehouse.snapshots import Manifest, current_id
from warehouse.vectors import connect


@pytest.fixture
def built(workspace: Workspace) -> Iterator[Built]:
    """A sound lake of two sources in two spaces."""
    workspace.configure([{"name": "notes"}, {"name": "vault", "space": "vault"}])
    workspace.write("ada.md", "# Ada Lovelace\n\nAda Lovelace knew the Analytical Engine (AE) of Charles Babbage.\n")
    workspace.write("grace.md", "# Grace Hopper\n\nGrace Hopper found a moth in the Mark II. Größe 10 µm, 中文.\n")
    workspace.write("alan.md", "# Alan Turing\n\nAlan Turing worked at Bletchley Park.\n", source="vault")
    built = workspace.build()
    with kept_open(built.lake):
        yield built


def damage(built: Built, *statements: str) -> None:
    with built.lake.warehouse.session("damaging") as connection:
        for sql in statements:
            touched = connection.execute(sql).fetchall()
            assert touched[0][0] > 0, "the damage was done"


def with_table_version(built: Built, space: str, version: int) -> Manifest:
    """The candidate as it would be with another version of a space's table."""
    states = built.snapshot.spaces
    return replace(built.snapshot, spaces={**states, space: replace(states[space], version=version)})


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_sound_lake_passes(built: Built, name: str) -> None:
    result = CHECKS[name](built.lake, built.snapshot)
    assert (result.name, result.problems) == (name, ())
    assert result.passed


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_an_empty_lake_passes(workspace: Workspace, name: str) -> None:
    empty = workspace.build()
    assert empty.published
    assert CHECKS[name](empty.lake, empty.snapshot).problems == ()


def test_every_check_says_what_it_checks() -> None:
    assert all((check.__doc__ or "").strip() for check in CHECKS.values())


class TestSpans:
    @pytest.mark.parametrize(
        "shift", ["char_start = char_start + 1", "char_end = char_end - 1", "text = upper(text)", "text = text || 'x'"]
    )
    def test_a_passage_that_is_not_its_text_is_named(self, built: Built, shift: str) -> None:
        damage(
            built,
            f"UPDATE passages SET {shift} WHERE document_id ="
            " (SELECT document_id FROM documents WHERE path = 'grace.md')",
        )
        problems = check_spans(built.lake, built.snapshot).problems
        assert any(
            problem.startswith("passage ") and "of grace.md is not the text at" in problem for problem in problems
        )
        assert not any("ada.md" in problem or "alan.md" in problem for problem in problems)

    def test_a_mention_that_is_not_its_surface_is_named(self, built: Built) -> None:
        damage(built, "UPDATE mentions SET char_end = char_end + 1 WHERE surface = 'Bletchley Park'")
        problems = check_spans(built.lake, built.snapshot).problems
        assert any(text.startswith("mention 'Bletchley Park' in alan.md is not the text at") for text in problems)
        assert any(text.startswith("a fact in alan.md names nothing that is mentioned at") for text in problems)

    def test_a_changed_revision_text_is_noticed(self, built: Built) -> None:
        damage(built, "UPDATE revisions SET text = 'X' || text")
        assert len(check_spans(built.lake, built.snapshot).problems) >= 3


class TestVectors:
    def test_a_passage_without_a_vector_is_named(self, built: Built) -> None:
        damage(
            built,
            "DELETE FROM embeddings WHERE text_hash IN (SELECT text_hash FROM passages JOIN documents"
            " USING (document_id) WHERE path = 'ada.md')",
        )
        assert check_vectors(built.lake, built.snapshot).problems == ("ada.md has 1 passages without a vector",)

    def test_a_vector_of_another_embedder_does_not_count(self, built: Built) -> None:
        damage(built, "UPDATE embeddings SET embedder = 'another' WHERE space = 'vault'")
        assert check_vectors(built.lake, built.snapshot).problems == (
            "alan.md has 1 passages without a vector",
            "space vault has 2 memories without a vector",
        )

    @pytest.mark.parametrize("number", [0.0, 3.0, float("inf")])
    def test_a_vector_that_is_of_no_use_is_named(self, built: Built, number: float) -> None:
        state = built.snapshot.space("vault")
        table = connect(built.lake.layout, "vault").open_table(state.table)
        row = table.to_arrow().to_pylist()[0]
        table.delete("true")
        table.add(pa.Table.from_pylist([{**row, "vector": [number] + [0.0] * 63}], schema=table.schema))
        result = check_vectors(built.lake, with_table_version(built, "vault", table.version))
        assert result.problems == (f"passage {row['passage_id']} of alan.md has no usable vector",)


ORPHANS = {
    "revision without a document": ["DELETE FROM documents WHERE path = 'ada.md'"],
    "document without its revision": ["UPDATE documents SET revision_id = 'gone' WHERE path = 'ada.md'"],
    "passage without its revision": ["UPDATE passages SET revision_id = 'gone'"],
    "mention without a passage": ["UPDATE mentions SET passage_id = 'gone' WHERE surface = 'Bletchley Park'"],
    "title without a passage": ["UPDATE titles SET passage_id = 'gone' WHERE surface = 'Alan Turing'"],
    "acronym without a passage": ["UPDATE acronyms SET passage_id = 'gone'"],
    "mention without an entity": ["DELETE FROM entities WHERE name = 'Bletchley Park'"],
    "title without an entity": ["DELETE FROM entities WHERE name = 'Alan Turing'"],
    "entity without a mention": ["INSERT INTO entities VALUES ('e', 'vault', 'ghost', 'Ghost', 'name', 1)"],
    "vector that nothing needs": [
        "INSERT INTO embeddings SELECT space, 'ghost', embedder, vector FROM embeddings LIMIT 1"
    ],
    "passage missing in the vectors of vault": [
        "INSERT INTO passages SELECT * REPLACE ('ghost' AS passage_id) FROM passages WHERE space = 'vault'"
    ],
    "passage missing in the graph of vault": [
        "INSERT INTO passages SELECT * REPLACE ('ghost' AS passage_id) FROM passages WHERE space = 'vault'"
    ],
    "passage left in the vectors of vault": ["DELETE FROM passages WHERE space = 'vault'"],
    "passage left in the graph of vault": ["DELETE FROM passages WHERE space = 'vault'"],
    "pieces that no passage has": ["UPDATE piece_vectors SET text_hash = 'ghost' WHERE space = 'vault'"],
    "memory without its document": ["DELETE FROM documents WHERE path = 'alan.md'"],
    "memory without a span": ["DELETE FROM memory_spans WHERE space = 'vault'"],
    "memory without its parent": ["DELETE FROM memories WHERE granularity = 'outline'"],
    "span without a memory": ["DELETE FROM memories WHERE granularity = 'core'"],
    "span without its revision": ["UPDATE memory_spans SET revision_id = 'gone'"],
    "interval without a memory": ["INSERT INTO memory_validity VALUES ('ghost', 'vault', DATE '2024-01-01', NULL, '')"],
    "link of no memory": ["INSERT INTO association_neighbours VALUES ('ghost', 'm', 'vault', 'any', 1, 1, true)"],
    "link to no memory": ["INSERT INTO association_neighbours VALUES ('m', 'ghost', 'vault', 'any', 1, 1, true)"],
    "outline of no document": ["UPDATE outline_candidates SET document_id = 'gone' WHERE space = 'vault'"],
    "time of no document": [
        "INSERT INTO time_expressions VALUES"
        " ('gone', 'vault', 'vault', 'r', 0, 5, 'today', DATE '2024-01-01', DATE '2024-01-01')"
    ],
    "memory missing in the vectors of vault": [
        "INSERT INTO memories SELECT * REPLACE ('ghost' AS memory_id) FROM memories WHERE space = 'vault'"
        " AND granularity = 'core'",
        "INSERT INTO memory_spans SELECT * REPLACE ('ghost' AS memory_id) FROM memory_spans WHERE space = 'vault'"
        " LIMIT 1",
    ],
    "memory left in the vectors of vault": ["DELETE FROM memories WHERE space = 'vault'"],
}


class TestOrphans:
    @pytest.mark.parametrize("what", ORPHANS)
    def test_what_is_left_over_or_missing_is_named(self, built: Built, what: str) -> None:
        damage(built, *ORPHANS[what])
        problems = check_orphans(built.lake, built.snapshot).problems
        assert any(problem.startswith(f"{what}: ") for problem in problems), problems

    def test_a_passage_of_no_document_is_named(self, built: Built) -> None:
        damage(built, "UPDATE passages SET document_id = 'gone' WHERE space = 'vault'")
        assert not check_orphans(built.lake, built.snapshot).passed, "each passage is of a document"

    def test_a_lance_row_that_somebody_removed_is_named(self, built: Built) -> None:
        state = built.snapshot.space("vault")
        table = connect(built.lake.layout, "vault").open_table(state.table)
        table.delete("true")
        problems = check_orphans(built.lake, with_table_version(built, "vault", table.version)).problems
        assert [problem.split(": ")[0] for problem in problems] == ["passage missing in the vectors of vault"]

    def test_a_lance_row_that_somebody_added_is_named(self, built: Built) -> None:
        state = built.snapshot.space("vault")
        table = connect(built.lake.layout, "vault").open_table(state.table)
        row = table.to_arrow().to_pylist()[0]
        table.add(pa.Table.from_pylist([{**row, "passage_id": "ghost"}], schema=table.schema))
        problems = check_orphans(built.lake, with_table_version(built, "vault", table.version)).problems
        assert problems == ("passage left in the vectors of vault: ghost",)

    def test_a_lance_row_that_is_there_twice_is_named(self, built: Built) -> None:
        state = built.snapshot.space("vault")
        table = connect(built.lake.layout, "vault").open_table(state.table)
        table.add(pa.Table.from_pylist(table.to_arrow().to_pylist(), schema=table.schema))
        assert not check_orphans(built.lake, with_table_version(built, "vault", table.version)).passed


class TestExtraction:
    def test_a_source_with_documents_and_no_passage_is_named(self, built: Built) -> None:
        damage(built, "DELETE FROM passages WHERE source = 'vault'")
        problems = check_extraction(built.lake, built.snapshot).problems
        assert problems == ("source 'vault' has 1 documents and no passage",)

    def test_a_source_with_passages_and_no_entity_is_named(self, built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("derivation.checks._MANY", 1)
        damage(built, "DELETE FROM mentions WHERE source = 'vault'", "DELETE FROM titles WHERE source = 'vault'")
        problems = check_extraction(built.lake, built.snapshot).problems
        assert problems == ("source 'vault' has 1 passages and no entity",)

    def test_a_source_of_which_a_model_said_no_fact_is_named(
        self, built: Built, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("derivation.checks._MANY", 1)
        damage(built, "DELETE FROM supports WHERE source = 'vault'")
        assert check_extraction(built.lake, built.snapshot).passed, "rules may find none"
        monkeypatch.setenv("MEMLAKE_EXTRACTION__PROVIDER", "openai")
        monkeypatch.setenv("MEMLAKE_EXTRACTION__MODEL", "any")
        problems = check_extraction(workspace.lake(), built.snapshot).problems
        assert problems == ("source 'vault' has 1 passages and no fact",)

    def test_a_source_that_names_nobody_does_not_hold_back_the_others(self, built: Built, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "vault", "space": "vault"}, {"name": "lists"}])
        workspace.write("a.txt", "milk, bread and butter\n", source="lists")
        assert workspace.build().published


def test_a_damaged_lake_is_not_published(built: Built, workspace: Workspace) -> None:
    damage(built, "UPDATE passages SET char_start = char_start + 1 WHERE source = 'notes'")
    workspace.write("new.md", "# Barbara Liskov\n\nBarbara Liskov defined a subtype.\n")
    with pytest.raises(CheckFailed, match="failed: spans"):
        workspace.build()
    assert current_id(workspace.layout) == built.id
    assert workspace.client().search("Ada Lovelace")
    assert make_candidate(built.lake).snapshot_id != built.id
