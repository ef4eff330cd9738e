"""Which snapshots are kept, and that what nobody names any more is gone from the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from conftest import Built, Workspace

from derivation.retention import enforce_retention, expiring
from derivation.snapshot import publish_present, rollback
from derivation.upkeep import maintain_table, maintain_warehouse, measure_table
from errors import SnapshotError
from memory.embedding import HashingEmbedder
from warehouse.compaction import tables
from warehouse.files import size_of
from warehouse.snapshots import ancestry, current_id, list_ids, manifest_as_of, pin, pinned, unpin

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTE = "# Note\n\nAda Lovelace wrote program number {} for the Analytical Engine of Charles Babbage.\n"


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


def builds(workspace: Workspace, count: int, first: int = 0) -> list[Built]:
    made = []
    for number in range(first, first + count):
        workspace.write("ada.md", NOTE.format(number))
        made.append(workspace.build(as_of=hour(number)))
    return made


@pytest.fixture
def strict(workspace: Workspace) -> Workspace:
    """Keeps the last two snapshots, however young the others are."""
    workspace.configure(retention={"keep_last": 2, "keep_days": 0})
    return workspace


def test_the_last_ones_are_kept_and_can_be_read(strict: Workspace) -> None:
    made = builds(strict, 4)
    report = enforce_retention(strict.lake())
    assert report.expired == (made[0].id, made[1].id)
    assert list_ids(strict.layout) == [made[2].id, made[3].id]
    assert "program number 2" in strict.client().search("program", as_of=hour(2))[0].text
    with pytest.raises(SnapshotError, match=r"no longer kept \(retention\)"):
        manifest_as_of(strict.layout, hour(1))
    assert [link.snapshot_id for link in ancestry(strict.layout)] == [built.id for built in made[::-1]]


def test_young_ones_are_kept(workspace: Workspace) -> None:
    workspace.configure(retention={"keep_last": 1, "keep_days": 1})
    builds(workspace, 3)
    assert expiring(workspace.lake()) == []


def test_a_pinned_one_is_kept_and_those_after_it_go(strict: Workspace) -> None:
    made = builds(strict, 5)
    pin(strict.layout, made[0].id, "the audit of March")
    assert pinned(strict.layout) == {made[0].id: "the audit of March"}
    enforce_retention(strict.lake())
    assert list_ids(strict.layout) == [made[0].id, made[3].id, made[4].id]
    assert "program number 0" in strict.client(snapshot=made[0].id).search("program")[0].text
    health = measure_table(strict.lake(), "default")
    assert health is not None
    assert health.versions == 3
    assert health.prunable == 0
    assert unpin(strict.layout, made[0].id)
    enforce_retention(strict.lake())
    assert list_ids(strict.layout) == [made[3].id, made[4].id]


def test_the_published_one_is_kept_after_a_rollback(strict: Workspace) -> None:
    made = builds(strict, 4)
    rollback(strict.lake(), made[0].id)
    enforce_retention(strict.lake())
    assert list_ids(strict.layout) == [made[0].id, made[2].id, made[3].id]
    assert "program number 0" in strict.client().search("program")[0].text


def test_graphs_and_versions_that_nobody_names_go(strict: Workspace) -> None:
    builds(strict, 4)
    before = len(list(strict.layout.graphs.iterdir()))
    report = enforce_retention(strict.lake())
    assert report.graphs == before - len(list(strict.layout.graphs.iterdir()))
    assert report.versions > 0
    assert len(list(strict.layout.graphs.iterdir())) <= 2
    assert report.bytes_after < report.bytes_before
    again = enforce_retention(strict.lake())
    assert (again.expired, again.versions, again.graphs) == ((), 0, 0)


def test_a_build_goes_on_after_the_sweep(strict: Workspace) -> None:
    builds(strict, 4)
    enforce_retention(strict.lake())
    last = builds(strict, 2, first=4)[-1]
    strict.assert_equals_rebuild(last.lake)
    assert last.embedded == 1


class TestAFormerEmbedder:
    def test_its_table_and_vectors_stay_as_long_as_a_snapshot_has_it(self, strict: Workspace) -> None:
        (old,) = builds(strict, 1)
        strict.configure(retention={"keep_last": 2, "keep_days": 0}, embedding={"dimensions": 32})
        smaller = HashingEmbedder(32, strict.lake().embedder_spec.identity)
        new = strict.build(as_of=hour(1), embedder=smaller)
        enforce_retention(strict.lake(embedder=smaller))
        assert list_ids(strict.layout) == [old.id, new.id]
        assert len(tables(strict.layout)) == 6, "passages, memories and codes, each for two embedders"
        assert "program" in strict.client(snapshot=old.id).search("program")[0].text
        for number in (2, 3):
            strict.write("ada.md", NOTE.format(number))
            strict.build(as_of=hour(number), embedder=smaller)
        report = enforce_retention(strict.lake(embedder=smaller))
        assert len(report.tables) == 3
        assert report.vectors == 1, "the passage has changed, so its vector went with it; its outline is the same"
        assert len(tables(strict.layout)) == 3
        for table in ("embeddings", "piece_vectors"):
            assert strict.column(f"SELECT DISTINCT embedder FROM {table}") == [smaller.identity]


class TestCompaction:
    def test_a_table_is_left_alone_below_the_thresholds(self, workspace: Workspace) -> None:
        builds(workspace, 2)
        done = maintain_table(workspace.lake(), "default")
        assert done.done == ()
        assert done.bytes_before == done.bytes_after

    def test_many_small_files_become_one_and_answer_alike(self, workspace: Workspace) -> None:
        workspace.configure(upkeep={"small_fragments": 2}, retention={"keep_last": 1, "keep_days": 0})
        for number in range(6):
            workspace.write(f"note{number}.md", NOTE.format(number))
            last = workspace.build(as_of=hour(number))
        lake = workspace.lake(as_of=hour(9))
        before = measure_table(lake, "default")
        hits = [(hit.text, hit.score) for hit in workspace.client().search("program number 3")]
        assert before is not None
        assert before.fragments > 2
        done = maintain_table(lake, "default")
        assert done.done == (f"{before.fragments} fragments",)
        published = publish_present(lake)
        assert published.as_of == last.snapshot.as_of, "the same content, seen when it was seen first"
        enforce_retention(lake)
        after = measure_table(lake, "default")
        assert after is not None
        assert (after.fragments, after.deleted_rows, after.unindexed_rows, after.prunable) == (1, 0, 0, 0)
        assert after.bytes < before.bytes
        assert [(hit.text, hit.score) for hit in workspace.client().search("program number 3")] == hits
        assert current_id(workspace.layout) == published.snapshot_id
        workspace.assert_equals_rebuild(workspace.build(as_of=hour(10)).lake)

    def test_deleted_rows_are_left_behind(self, workspace: Workspace) -> None:
        for number in range(20):
            workspace.write(f"note{number}.md", NOTE.format(number))
        workspace.build(as_of=hour(0))
        for number in range(12):
            workspace.delete(f"note{number}.md")
        workspace.build(as_of=hour(1))
        lake = workspace.lake(as_of=hour(2))
        before = measure_table(lake, "default")
        assert before is not None
        assert before.deleted_rows == 12
        assert maintain_table(lake, "default").done == ("12 deleted rows",)
        after = measure_table(lake, "default")
        assert after is not None
        assert after.deleted_rows == 0
        assert after.rows == 8

    def test_the_warehouse_is_compacted_when_it_has_grown(self, workspace: Workspace) -> None:
        for number in range(40):
            workspace.write(f"note{number}.md", (NOTE.format(number) + "Words and words. " * 50) * 20)
        workspace.build(as_of=hour(0))
        first = maintain_warehouse(workspace.lake())
        assert first.done == ("never compacted before",)
        assert maintain_warehouse(workspace.lake()).done == ()
        for number in range(39):
            workspace.delete(f"note{number}.md")
        built = workspace.build(as_of=hour(1))
        before = size_of(workspace.layout.warehouse)
        done = maintain_warehouse(workspace.lake())
        assert len(done.done) == 1
        assert done.bytes_after < before
        workspace.assert_equals_rebuild(built.lake)
