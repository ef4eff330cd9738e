"""Snapshots: immutable manifests and one pointer; publishing and rolling back are one swap each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import pytest
from conftest import Built, Workspace, build_lake, kept_open, refresh_source, run_checks

from derivation.checks import CheckResult
from derivation.gate import GATE
from derivation.settling import refresh_served
from derivation.snapshot import latest_candidate, make_candidate, needs_snapshot, publish, record_checks, rollback
from errors import CheckFailed, SettingsError, SnapshotError, UnknownName
from warehouse.layout import LakeLayout
from warehouse.snapshots import (
    Manifest,
    SpaceState,
    ancestry,
    current_id,
    current_manifest,
    list_ids,
    manifest_as_of,
    parse_moment,
    point_current,
    read_manifest,
    snapshot_id,
    write_manifest,
)
from warehouse.vectors import connect

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _open(workspace: Workspace) -> Iterator[None]:
    with kept_open(workspace.lake()):
        yield


def manifest(number: int, parent: str | None = None) -> Manifest:
    as_of = MONDAY + number * DAY
    return Manifest(
        snapshot_id=snapshot_id(as_of, f"{number:08x}"),
        as_of=as_of,
        created_at=as_of,
        parent=parent,
        embedder={"provider": "hashing", "model": "m", "dimensions": None},
        steps={"passages": "f1"},
        spaces={"home": SpaceState("passages-m", number, "g", "d", 1, 2, 3, 4)},
    )


@pytest.fixture
def layout(tmp_path: Path) -> LakeLayout:
    return LakeLayout(tmp_path / "lake")


@pytest.fixture
def history(layout: LakeLayout) -> list[Manifest]:
    """Three published snapshots, a day apart, oldest first."""
    made: list[Manifest] = []
    for number in range(3):
        made.append(manifest(number, made[-1].snapshot_id if made else None))
        write_manifest(layout, made[-1])
        point_current(layout, made[-1].snapshot_id)
    return made


class TestManifests:
    def test_what_is_written_is_read(self, layout: LakeLayout) -> None:
        written = manifest(1, "parent")
        write_manifest(layout, written)
        assert read_manifest(layout, written.snapshot_id) == written
        assert Manifest.from_json(written.to_json()) == written

    def test_the_file_is_the_same_for_the_same_content(self) -> None:
        one = replace(manifest(1), steps={"a": "1", "b": "2"})
        other = replace(manifest(1), steps={"b": "2", "a": "1"})
        assert one.to_json() == other.to_json()

    def test_ids_sort_by_time_and_tell_contents_apart(self) -> None:
        assert snapshot_id(MONDAY, "abcdef0123") == "20260302T120000-abcdef01"
        assert snapshot_id(MONDAY, "b" * 32) < snapshot_id(MONDAY + DAY, "a" * 32)

    def test_an_unambiguous_beginning_is_enough(self, layout: LakeLayout, history: list[Manifest]) -> None:
        assert read_manifest(layout, "20260303") == history[1]
        assert read_manifest(layout, history[2].snapshot_id) == history[2]
        for name in ("2026", "", "20260309"):
            with pytest.raises(UnknownName):
                read_manifest(layout, name)

    def test_an_unknown_id_names_the_nearest(self, layout: LakeLayout, history: list[Manifest]) -> None:
        wanted = history[1].snapshot_id
        with pytest.raises(UnknownName, match=f"Did you mean '{wanted}'"):
            read_manifest(layout, wanted[:-1] + "9")

    @pytest.mark.parametrize("text", ["", "{", "{}", "[]", "5", '{"format": 1}', '{"format": 1, "spaces": []}'])
    def test_a_damaged_one_is_named(self, layout: LakeLayout, history: list[Manifest], text: str) -> None:
        layout.manifest(history[2].snapshot_id).write_text(text)
        with pytest.raises(SnapshotError, match="cannot be read") as caught:
            current_manifest(layout)
        assert history[2].snapshot_id in str(caught.value)
        assert "repair" in caught.value.remedy
        assert read_manifest(layout, history[1].snapshot_id) == history[1]

    def test_one_of_a_newer_memlake_is_refused(self, layout: LakeLayout) -> None:
        record = {**json.loads(manifest(1).to_json()), "format": 2}
        layout.snapshots.mkdir(parents=True)
        layout.manifest("future").write_text(json.dumps(record))
        with pytest.raises(SnapshotError, match="newer memlake"):
            read_manifest(layout, "future")

    def test_an_unknown_space_names_the_nearest(self) -> None:
        assert manifest(1).space("home").version == 1
        with pytest.raises(UnknownName, match="Did you mean 'home'"):
            manifest(1).space("hme")


class TestThePointer:
    def test_nothing_is_published_at_first(self, layout: LakeLayout) -> None:
        assert current_id(layout) is None
        assert list_ids(layout) == []
        with pytest.raises(SnapshotError, match="Nothing is published"):
            current_manifest(layout)

    def test_writing_a_manifest_publishes_nothing(self, layout: LakeLayout, history: list[Manifest]) -> None:
        write_manifest(layout, manifest(9, history[2].snapshot_id))
        assert current_manifest(layout) == history[2]
        assert len(list_ids(layout)) == 4

    def test_a_pointer_to_nothing_is_named(self, layout: LakeLayout, history: list[Manifest]) -> None:
        point_current(layout, "20260101T000000-gone")
        with pytest.raises(SnapshotError, match="names the snapshot '20260101T000000-gone', which does not exist"):
            current_manifest(layout)

    @pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\0", b"\0\0\0\0"])
    def test_a_damaged_pointer_is_a_snapshot_error(
        self, layout: LakeLayout, history: list[Manifest], content: bytes
    ) -> None:
        layout.current.write_bytes(content)
        with pytest.raises(SnapshotError):
            current_manifest(layout)

    def test_no_half_written_file_is_left(self, layout: LakeLayout, history: list[Manifest]) -> None:
        files = {path.name for path in layout.root.rglob("*") if path.is_file()}
        assert files == {"CURRENT", *(f"{item.snapshot_id}.json" for item in history)}


class TestAsOf:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-03-02", datetime(2026, 3, 2, 23, 59, 59, 999999, UTC)),
            (date(2026, 3, 2), datetime(2026, 3, 2, 23, 59, 59, 999999, UTC)),
            ("20260302", datetime(2026, 3, 2, 23, 59, 59, 999999, UTC)),
            ("2026-03-02T12:00:00", MONDAY),
            ("2026-03-02T12:00:00Z", MONDAY),
            ("2026-03-02T14:00:00+02:00", MONDAY),
            (datetime(2026, 3, 2, 12), MONDAY),
            (MONDAY, MONDAY),
        ],
    )
    def test_a_date_means_its_end_and_a_time_is_utc(self, text: str | date | datetime, moment: datetime) -> None:
        assert parse_moment(text) == moment

    @pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-13-01T00:00:00", "02.03.2026"])
    def test_what_is_no_date_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(SnapshotError, match="2026-01-31"):
            parse_moment(text)

    def test_the_latest_that_was_known_then(self, layout: LakeLayout, history: list[Manifest]) -> None:
        assert manifest_as_of(layout, MONDAY) == history[0]
        assert manifest_as_of(layout, MONDAY + DAY - timedelta(seconds=1)) == history[0]
        assert manifest_as_of(layout, MONDAY + DAY) == history[1]
        assert manifest_as_of(layout, parse_moment("2026-03-03")) == history[1]
        assert manifest_as_of(layout, MONDAY + 99 * DAY) == history[2]

    def test_before_the_history_is_an_error_that_says_when_it_begins(
        self, layout: LakeLayout, history: list[Manifest]
    ) -> None:
        with pytest.raises(SnapshotError, match=r"as of 2026-03-01 23:59; the history begins at 2026-03-02 12:00"):
            manifest_as_of(layout, parse_moment("2026-03-01"))

    def test_a_history_ends_where_an_ancestor_is_not_kept(self, layout: LakeLayout, history: list[Manifest]) -> None:
        layout.manifest(history[0].snapshot_id).unlink()
        assert list(ancestry(layout)) == [history[2], history[1]]


def three_days(workspace: Workspace) -> list[Built]:
    """A lake with a snapshot on each of three days; the note says which day it is."""
    built = []
    for number in range(3):
        workspace.write("note.md", f"# Ada Lovelace\n\nAda Lovelace wrote {number} letters to Charles Babbage.\n")
        built.append(workspace.build(as_of=MONDAY + number * DAY))
    return built


class TestPublishing:
    def test_each_build_that_changes_something_publishes_on_top(self, workspace: Workspace) -> None:
        built = three_days(workspace)
        assert all(item.published for item in built)
        assert [item.snapshot.parent for item in built] == [None, built[0].id, built[1].id]
        assert [item.snapshot_id for item in ancestry(workspace.layout)] == [item.id for item in built[::-1]]

    def test_unchanged_content_makes_no_new_snapshot(self, workspace: Workspace) -> None:
        first = three_days(workspace)[-1]
        content = workspace.layout.manifest(first.id).read_bytes()
        workspace.path("note.md").touch()
        again = workspace.build(as_of=MONDAY + 9 * DAY)
        assert (again.id, again.published, again.embedded) == (first.id, False, 0)
        assert len(list_ids(workspace.layout)) == 3
        assert workspace.layout.manifest(first.id).read_bytes() == content
        assert workspace.rows("SELECT count(*), max(status) FROM snapshots") == [(3, "published")]
        with again.lake.warehouse.session() as connection:
            assert not needs_snapshot(connection, again.lake)

    def test_a_failed_check_holds_it_back(self, workspace: Workspace) -> None:
        first = three_days(workspace)[-1]
        workspace.write("more.md", "# Grace Hopper\n\nGrace Hopper found a moth.\n")
        lake = workspace.lake()
        refresh_source(lake, lake.settings.sources[0])
        refresh_served(lake)
        candidate = make_candidate(lake)
        run_checks(lake, candidate)
        record_checks(lake, candidate, [CheckResult("spans", ("a passage is off",))])
        with pytest.raises(CheckFailed, match=f"{candidate.snapshot_id} is held back; checks that failed: spans"):
            publish(lake, candidate)
        assert current_id(workspace.layout) == first.id
        assert candidate.snapshot_id not in list_ids(workspace.layout)
        record_checks(lake, candidate, [CheckResult("spans", ())])
        assert publish(lake, candidate), "once the check passes, it is published"
        assert current_id(workspace.layout) == candidate.snapshot_id

    @pytest.mark.parametrize("skipped", sorted(GATE))
    def test_a_check_that_did_not_run_holds_it_back(self, workspace: Workspace, skipped: str) -> None:
        workspace.write("note.md", "# Ada Lovelace\n\nAda Lovelace wrote letters.\n")
        lake = workspace.lake()
        refresh_source(lake, lake.settings.sources[0])
        refresh_served(lake)
        candidate = make_candidate(lake)
        for name in GATE:
            if name != skipped:
                record_checks(lake, candidate, [CheckResult(name, ())])
        with pytest.raises(CheckFailed, match=f"did not run: {skipped}"):
            publish(lake, candidate)
        assert current_id(workspace.layout) is None

    def test_the_verdicts_of_an_earlier_candidate_do_not_count(self, workspace: Workspace) -> None:
        built = three_days(workspace)[-1]
        candidate = make_candidate(built.lake)
        assert candidate.snapshot_id == built.id
        with pytest.raises(CheckFailed, match="did not run"):
            publish(built.lake, candidate)

    def test_a_state_older_than_the_published_one_is_refused(self, workspace: Workspace) -> None:
        last = three_days(workspace)[-1]
        workspace.write("note.md", "# Ada Lovelace\n\nSomething else.\n")
        with pytest.raises(SettingsError, match=f"before the published snapshot {last.id}"):
            workspace.build(as_of=MONDAY)
        assert current_id(workspace.layout) == last.id

    def test_there_is_no_candidate_before_the_first_build(self, workspace: Workspace) -> None:
        with pytest.raises(SnapshotError, match="no candidate"):
            latest_candidate(workspace.lake())

    def test_the_latest_candidate_is_the_one_made_last(self, workspace: Workspace) -> None:
        last = three_days(workspace)[-1]
        assert latest_candidate(last.lake) == last.snapshot

    def test_what_it_pins_is_tagged(self, workspace: Workspace) -> None:
        for built in three_days(workspace):
            state = built.snapshot.space("default")
            tags = connect(workspace.layout, "default").open_table(state.table).tags
            assert tags.get_version(built.id) == state.version

    def test_a_time_in_another_zone_is_kept_in_utc(self, workspace: Workspace) -> None:
        workspace.write("note.md", "# Ada Lovelace\n\nAda Lovelace wrote letters.\n")
        built = workspace.build(as_of=MONDAY.astimezone(timezone(timedelta(hours=5))))
        assert built.id.startswith("20260302T120000-")
        assert workspace.column("SELECT as_of FROM snapshots") == [MONDAY.replace(tzinfo=None)]
        assert workspace.column("SELECT seen_at FROM documents") == [MONDAY.replace(tzinfo=None)]

    def test_going_back_and_forth_within_a_second_keeps_a_finite_history(self, workspace: Workspace) -> None:
        built = []
        for text in ("one letter", "two letters", "one letter"):
            workspace.write("note.md", f"# Ada Lovelace\n\nAda Lovelace wrote {text}.\n")
            built.append(workspace.build(as_of=MONDAY))
        ids = [item.snapshot_id for item in islice(ancestry(workspace.layout), 10)]
        assert len(ids) == len(set(ids)), "no snapshot is its own ancestor"
        assert current_id(workspace.layout) == built[2].id

    def test_a_published_manifest_is_never_changed(self, workspace: Workspace) -> None:
        kept: dict[str, bytes] = {}
        for text in ("one letter", "two letters", "one letter"):
            workspace.write("note.md", f"# Ada Lovelace\n\nAda Lovelace wrote {text}.\n")
            workspace.build(as_of=MONDAY)
            for name in list_ids(workspace.layout):
                content = workspace.layout.manifest(name).read_bytes()
                assert kept.setdefault(name, content) == content


class TestCrashes:
    def test_between_manifest_and_pointer_the_old_one_stays_readable(self, workspace: Workspace) -> None:
        first = three_days(workspace)[-1]
        workspace.write("note.md", "# Ada Lovelace\n\nAda Lovelace wrote no letter.\n")
        lake = workspace.lake(as_of=MONDAY + 5 * DAY)
        refresh_source(lake, lake.settings.sources[0])
        refresh_served(lake)
        candidate = make_candidate(lake)
        run_checks(lake, candidate)
        write_manifest(lake.layout, candidate)  # and here the process dies

        assert current_manifest(workspace.layout) == first.snapshot
        assert "2 letters" in workspace.client().search("letters")[0].text
        again = workspace.build(as_of=MONDAY + 6 * DAY)
        assert again.published
        assert again.snapshot.parent == first.id
        assert "no letter" in workspace.client().search("letter")[0].text

    def test_between_pointer_and_note_the_next_build_only_notes_it(self, workspace: Workspace) -> None:
        workspace.write("note.md", "# Ada Lovelace\n\nAda Lovelace wrote a letter.\n")
        lake = workspace.lake(as_of=MONDAY)
        refresh_source(lake, lake.settings.sources[0])
        refresh_served(lake)
        candidate = make_candidate(lake)
        run_checks(lake, candidate)
        write_manifest(lake.layout, candidate)
        point_current(lake.layout, candidate.snapshot_id)  # and here the process dies
        with lake.warehouse.session() as connection:
            assert needs_snapshot(connection, lake)
        again = workspace.build(as_of=MONDAY + DAY)
        assert (again.id, again.published) == (candidate.snapshot_id, False)
        with lake.warehouse.session() as connection:
            assert not needs_snapshot(connection, lake)


class TestRollingBack:
    def test_readers_see_the_older_state_and_builds_change_nothing(self, workspace: Workspace) -> None:
        built = three_days(workspace)
        client = workspace.client()
        assert "2 letters" in client.search("letters")[0].text
        assert rollback(workspace.lake(), built[0].id[:8]) == built[0].snapshot
        assert "0 letters" in client.search("letters")[0].text
        assert [item.snapshot_id for item in ancestry(workspace.layout)] == [built[0].id]
        lake = workspace.lake()
        with lake.warehouse.session() as connection:
            assert not needs_snapshot(connection, lake), "a rollback is no change"

    def test_what_was_rolled_back_is_not_in_the_history_of_the_next_build(self, workspace: Workspace) -> None:
        built = three_days(workspace)
        rollback(workspace.lake(), built[0].id)
        workspace.write("note.md", "# Ada Lovelace\n\nAda Lovelace wrote many letters.\n")
        new = workspace.build(as_of=MONDAY + 5 * DAY)
        assert new.snapshot.parent == built[0].id
        assert [item.snapshot_id for item in ancestry(workspace.layout)] == [new.id, built[0].id]
        client = workspace.client()
        assert "0 letters" in client.search("letters", as_of="2026-03-05")[0].text, "not the one rolled back"
        assert "many letters" in client.search("letters", as_of="2026-03-07")[0].text
        assert "1 letters" in workspace.client(snapshot=built[1].id).search("letters")[0].text, "it can still be pinned"

    def test_to_an_unknown_snapshot_changes_nothing(self, workspace: Workspace) -> None:
        built = three_days(workspace)
        with pytest.raises(UnknownName):
            rollback(workspace.lake(), "2027")
        assert current_id(workspace.layout) == built[2].id

    def test_what_was_rolled_back_can_be_published_again(self, workspace: Workspace) -> None:
        built = three_days(workspace)
        rollback(workspace.lake(), built[1].id)
        lake = workspace.lake(as_of=MONDAY + 4 * DAY)
        snapshot, published = build_lake(lake)
        assert published
        assert snapshot.spaces == built[2].snapshot.spaces
        assert snapshot.parent == built[1].id
