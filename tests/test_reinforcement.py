"""From the files of clients to strengths and tiers: exact, whatever happens to files, documents and processes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import Workspace, kept_open, python
from crashing import opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_events import AT, event

from derivation.checks import check_orphans
from derivation.digest import lake_digest
from derivation.erasure import DOCUMENT, SPACE, erase, plan_erasure
from derivation.event_files import event_files, read_events
from derivation.event_status import read_event_status
from derivation.lake import Lake
from derivation.reinforcement import refresh_reinforcement, standing_rows
from derivation.retention import enforce_retention
from derivation.settling import refresh_served
from derivation.verification import verify
from memory.forgetting import EventKind, prior, retention
from retrieval.events import Event
from warehouse import faults

pytestmark = pytest.mark.histories

NOTE = (
    "# Note {number}\n\nAda Lovelace wrote program {number} for the Analytical Engine of Charles Babbage in London.\n"
)
NOW = AT + timedelta(days=1)
CITED, CONFIRMED, REJECTED, RETURNED = (
    EventKind.CITED,
    EventKind.CONFIRMED,
    EventKind.REJECTED,
    EventKind.RETURNED,
)
REINFORCED = "SELECT * FROM reinforcement ORDER BY ALL"
POINTS = [point for point in faults.POINTS if point.startswith(("events.", "reinforcement."))]


def reinforce(lake: Lake) -> None:
    """What the job does."""
    read_events(lake)
    for space in lake.settings.spaces:
        refresh_reinforcement(lake, space)


def note(workspace: Workspace, name: str, *events: Event | bytes) -> Path:
    """Append events, or bytes as they are, to a file of a client."""
    folder = workspace.layout.events
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl"
    with path.open("ab") as handle:
        handle.write(b"".join(item if isinstance(item, bytes) else item.to_line() for item in events))
    return path


def targets(workspace: Workspace) -> dict[str, tuple[str, str]]:
    """Passage and document by path."""
    rows = workspace.rows("SELECT path, passage_id, document_id FROM passages JOIN documents USING (document_id)")
    return {path: (passage, document) for path, passage, document in rows}


def on(workspace: Workspace, path: str, number: int, kind: EventKind = CITED, at: datetime = AT) -> Event:
    """An event on the passage of a document."""
    return about(targets(workspace)[path], number, kind, at)


def about(target: tuple[str, str], number: int, kind: EventKind, at: datetime) -> Event:
    """An event on a passage of a document."""
    return event(number, kind, target_id=target[0], document_id=target[1], at=at)


def strengths(workspace: Workspace) -> dict[str, float]:
    """By path."""
    return dict(workspace.rows("SELECT path, strength FROM reinforcement JOIN documents USING (document_id)"))


def filled(workspace: Workspace) -> Workspace:
    for number in range(4):
        workspace.write(f"note{number}.md", NOTE.format(number=number))
    workspace.build(as_of=AT - timedelta(days=2))
    return workspace


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A lake that is built once: copied, or reinforced by many examples with files of their own."""
    return filled(Workspace(tmp_path_factory.mktemp("shared")))


@pytest.fixture
def closed(shared: Workspace, tmp_path: Path) -> Workspace:
    """A lake of four documents and no events."""
    return copied(shared, tmp_path / "lake")


@pytest.fixture
def built(closed: Workspace) -> Iterator[Workspace]:
    """The same, its warehouse kept open, as nothing in the test rewrites the file."""
    with kept_open(closed.lake()):
        yield closed


def copied(workspace: Workspace, folder: Path) -> Workspace:
    """The same sources and lake elsewhere."""
    shutil.copytree(workspace.folder, folder)
    return opened(folder)


class TestReading:
    def test_what_a_client_records_becomes_a_strength(self, built: Workspace) -> None:
        client = built.client()
        hits = client.search("program 2", k=2)
        client.record("confirmed", hits[:1], "program 2")
        client.record("rejected", hits[1:], "program 2")
        reinforce(built.lake())
        with built.lake().warehouse.session() as connection:
            standing = standing_rows(connection, "default")
        found = {row["target_id"]: (row["strength"], row["tier"]) for row in standing.to_dicts()}
        assert found == {hits[0].passage_id: (2.0, "hot"), hits[1].passage_id: (0.5, "hot")}
        assert standing.columns == ["target_id", "strength", "recalled_at", "tier"]

    def test_only_what_is_new_is_read(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1))
        lake = built.lake(as_of=NOW)
        assert read_events(lake).added == 1
        assert not read_events(lake).any
        note(built, "one", on(built, "note0.md", 2))
        note(built, "two", on(built, "note1.md", 3))
        changes = read_events(lake)
        assert (changes.added, changes.removed) == (2, 0)

    def test_a_line_that_was_begun_waits_for_its_end(self, built: Workspace) -> None:
        line = on(built, "note0.md", 1).to_line()
        note(built, "one", line[:100])
        reinforce(built.lake(as_of=NOW))
        assert strengths(built) == {}
        assert read_event_status(built.lake()).unread_bytes == 100
        note(built, "one", line[100:])
        reinforce(built.lake(as_of=NOW))
        assert strengths(built) == {"note0.md": 1.5}

    def test_what_cannot_be_used_is_left_out_and_counted(self, built: Workspace) -> None:
        gone = event(2, document_id="c" * 32)
        elsewhere = on(built, "note1.md", 3)
        note(
            built,
            "one",
            on(built, "note0.md", 1),
            b"garbage\n\n\xff\xfe\n{}\n",
            gone,
            event(3, target_id=elsewhere.target_id, document_id=elsewhere.document_id, space="vault"),
            on(built, "note0.md", 1),
            on(built, "note2.md", 4, at=NOW + timedelta(days=3)),
        )
        (built.layout.events / "notes.txt").write_text("no file of events")
        (built.layout.events / "folder.jsonl").mkdir()
        reinforce(built.lake(as_of=NOW))
        assert strengths(built) == {"note0.md": 1.5}
        status = read_event_status(built.lake())
        assert (status.unreadable, status.unknown, status.elsewhere, status.repeated) == (3, 1, 1, 1)
        assert [standing.future for standing in status.spaces] == [1]
        assert status.unread_bytes == 0
        reinforce(built.lake(as_of=NOW + timedelta(days=4)))
        assert strengths(built) == {"note0.md": 1.5, "note2.md": 1.5}

    @pytest.mark.parametrize("change", ["cut", "replaced", "grown anew", "emptied", "removed"])
    def test_a_file_that_is_not_what_was_read_is_read_anew(self, built: Workspace, change: str) -> None:
        path = note(built, "one", on(built, "note0.md", 1), on(built, "note1.md", 2, CONFIRMED))
        reinforce(built.lake(as_of=NOW))
        assert strengths(built) == {"note0.md": 1.5, "note1.md": 2.0}
        whole, other = path.read_bytes(), on(built, "note2.md", 3).to_line()
        contents = {
            "cut": whole[: whole.index(b"\n") + 1],
            "replaced": other,
            "grown anew": other + whole + whole,
            "emptied": b"",
        }
        path.unlink()
        if change in contents:
            path.write_bytes(contents[change])
        reinforce(built.lake(as_of=NOW))
        expected = {
            "cut": {"note0.md": 1.5},
            "replaced": {"note2.md": 1.5},
            "grown anew": {"note0.md": 1.5, "note1.md": 2.0, "note2.md": 1.5},
        }
        assert strengths(built) == expected.get(change, {})
        assert not read_events(built.lake(as_of=NOW)).any

    @pytest.mark.histories
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 10_000), portions=st.integers(1, 4))
    def test_in_any_files_portions_and_order_the_strengths_are_the_same(
        self, shared: Workspace, seed: int, portions: int
    ) -> None:
        chance = random.Random(seed)
        passages = sorted(targets(shared).values())
        kinds = list(EventKind)
        events = [
            about(chance.choice(passages), n % 15, chance.choice(kinds), AT - timedelta(hours=n % 15))
            for n in range(20)
        ]
        results = []
        lake = shared.lake(as_of=NOW)
        for number in (1, portions):
            with kept_open(lake):
                shutil.rmtree(lake.layout.events, ignore_errors=True)
                reinforce(lake)
                chance.shuffle(events)
                for portion in range(number):
                    for item in events[portion::number]:
                        note(shared, f"client{chance.randrange(3)}", item)
                    reinforce(lake)
                results.append(shared.rows(REINFORCED))
                shutil.rmtree(lake.layout.events)
                reinforce(lake)
        assert results[0] == results[1] != []


class TestDocuments:
    def test_with_a_document_go_its_events_and_they_return_with_it(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1), on(built, "note1.md", 2))
        reinforce(built.lake(as_of=NOW))
        built.delete("note0.md")
        lake = built.build(as_of=NOW).lake
        assert strengths(built) == {"note1.md": 1.5}
        assert built.column("SELECT count(*) FROM events") == [1]
        reinforce(lake)
        built.write("note0.md", NOTE.format(number=0))
        built.build(as_of=NOW)
        reinforce(lake)
        assert strengths(built) == {"note0.md": 1.5, "note1.md": 1.5}

    @pytest.mark.histories
    @pytest.mark.parametrize("between", [True, False], ids=["read between", "not read between"])
    def test_a_document_that_went_and_returned_is_as_in_a_rebuild(self, built: Workspace, between: bool) -> None:
        note(built, "one", on(built, "note0.md", 1), on(built, "note1.md", 2), event(3, document_id="c" * 32))
        lake = built.lake(as_of=NOW)
        reinforce(lake)
        built.delete("note0.md")
        built.build(as_of=NOW)
        if between:
            reinforce(lake)
        built.write("note0.md", NOTE.format(number=0))
        built.build(as_of=NOW)
        reinforce(lake)
        anew = built.build(as_of=NOW, root=built.folder / "anew").lake
        shutil.copytree(built.layout.events, anew.layout.events)
        reinforce(built.lake(as_of=NOW, root=anew.layout.root))
        assert lake_digest(lake) == lake_digest(anew)
        assert strengths(built) == {"note0.md": 1.5, "note1.md": 1.5}

    def test_a_passage_that_an_edit_took_keeps_its_strength_for_its_return(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1))
        reinforce(built.lake(as_of=NOW))
        built.write("note0.md", "# Note 0\n\nGrace Hopper wrote a compiler at Remington Rand after the war.\n")
        lake = built.build(as_of=NOW).lake
        with lake.warehouse.session() as connection:
            assert standing_rows(connection, "default").is_empty()
        built.write("note0.md", NOTE.format(number=0))
        built.build(as_of=NOW)
        with lake.warehouse.session() as connection:
            assert standing_rows(connection, "default")["strength"].to_list() == [1.5]

    def test_with_a_source_go_its_events(self, workspace: Workspace) -> None:
        workspace.configure([{}, {"name": "other"}])
        workspace.write("a.md", NOTE.format(number=1), source="other")
        filled(workspace)
        note(workspace, "one", on(workspace, "a.md", 1), on(workspace, "note0.md", 2))
        reinforce(workspace.lake(as_of=NOW))
        workspace.configure()
        refresh_served(workspace.lake())
        assert strengths(workspace) == {"note0.md": 1.5}
        assert workspace.column("SELECT source FROM events") == ["notes"]

    def test_memories_have_strengths_too_those_of_many_documents_while_they_are_there(self, built: Workspace) -> None:
        fact, period, (_, document) = "a" * 32, "d" * 32, targets(built)["note0.md"]
        lake = built.lake(as_of=NOW)

        def remember(memory: str, of: str, granularity: str) -> None:
            with lake.warehouse.session() as connection:
                connection.execute(
                    "INSERT INTO memories BY NAME SELECT $id AS memory_id, 'default' AS space, 'notes' AS source,"
                    " $document AS document_id, $granularity AS granularity, 0 AS ordinal, 'text' AS text,"
                    " 'hash' AS text_hash, false AS pooled, 1 AS tokens, '' AS speaker, '' AS subject, '' AS attribute",
                    {"id": memory, "document": of, "granularity": granularity},
                )

        def standing() -> dict[str, float]:
            reinforce(lake)
            with lake.warehouse.session() as connection:
                return dict(standing_rows(connection, "default").select("target_id", "strength").rows())

        note(built, "one", event(1, document_id=document), event(2, CONFIRMED, target_id=period, document_id=""))
        remember(fact, document, "fact")
        assert standing() == {fact: 1.5}
        remember(period, "", "period")
        assert standing() == {fact: 1.5, period: 2.0}
        with lake.warehouse.session() as connection:
            connection.execute("DELETE FROM memories WHERE memory_id = $id", {"id": period})
        assert standing() == {fact: 1.5}
        assert strengths(built) == {"note0.md": 1.5}
        remember(period, "", "period")
        assert standing() == {fact: 1.5, period: 2.0}

    def test_nothing_is_orphaned(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1))
        reinforce(built.lake(as_of=NOW))
        built.delete("note0.md")
        made = built.build(as_of=NOW)
        assert check_orphans(made.lake, made.snapshot).problems == ()


class TestTakingOut:
    def test_an_erasure_takes_the_lines_of_its_document_and_no_other(self, closed: Workspace) -> None:
        erased, kept = on(closed, "note0.md", 1), on(closed, "note1.md", 2)
        path = note(closed, "one", erased, kept, b"garbage\n", erased.to_line()[:150])
        reinforce(closed.lake(as_of=NOW))
        size = path.stat().st_size
        lake = closed.lake(as_of=NOW)
        report = erase(lake, plan_erasure(lake, DOCUMENT, "note0.md"))
        assert report.clean
        assert path.stat().st_size == size
        assert erased.document_id.encode() not in path.read_bytes()
        assert [Event.from_line(line) for line in path.read_bytes().splitlines() if line.strip()] == [kept]
        assert strengths(closed) == {"note1.md": 1.5}
        note(closed, "one", b"\n", on(closed, "note2.md", 3))
        reinforce(lake)
        assert strengths(closed) == {"note1.md": 1.5, "note2.md": 1.5}
        assert read_event_status(lake).unreadable == 0

    def test_an_erasure_of_a_space_takes_every_line_of_it(self, workspace: Workspace) -> None:
        workspace.configure([{}, {"name": "other", "space": "vault"}])
        workspace.write("a.md", NOTE.format(number=1), source="other")
        filled(workspace)
        note(workspace, "one", event(1, space="vault", document_id="c" * 32), on(workspace, "note0.md", 2))
        workspace.configure()
        lake = workspace.lake(as_of=NOW)
        assert erase(lake, plan_erasure(lake, SPACE, "vault")).clean
        [path] = event_files(lake.layout)
        assert [item.event_id for line in path.read_bytes().splitlines() if (item := Event.from_line(line))] == [
            on(workspace, "note0.md", 2).event_id
        ]

    def test_upkeep_takes_the_lines_of_what_no_snapshot_shows(self, built: Workspace) -> None:
        built.configure(retention={"keep_last": 1, "keep_days": 0.0})
        deleted, kept = on(built, "note0.md", 1), on(built, "note1.md", 2)
        path = note(built, "one", deleted, kept)
        first = built.client().snapshot.snapshot_id
        built.delete("note0.md")
        lake = built.build(as_of=NOW).lake
        lake.layout.pin(first).write_text("")
        reinforce(lake)
        assert enforce_retention(lake).events == 0, "a pinned snapshot shows it"
        lake.layout.pin(first).unlink()
        assert enforce_retention(lake).events == 1
        assert deleted.document_id.encode() not in path.read_bytes()
        reinforce(lake)
        assert strengths(built) == {"note1.md": 1.5}
        assert read_event_status(lake).unknown == 0


class TestTiers:
    def cold(self, workspace: Workspace, days: float) -> list[str]:
        """Paths of what is cold so many days after ``AT``."""
        reinforce(workspace.lake(as_of=AT + timedelta(days=days)))
        passages = "cold JOIN passages p ON p.passage_id = target_id JOIN documents d ON d.document_id = p.document_id"
        return workspace.column(f"SELECT path FROM {passages} ORDER BY path")

    def test_what_nobody_recalled_for_long_is_cold_and_hot_again_on_recall(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1), on(built, "note1.md", 2, CONFIRMED))
        assert self.cold(built, 89) == []
        assert self.cold(built, 95) == ["note2.md", "note3.md"]
        assert self.cold(built, 140) == ["note0.md", "note2.md", "note3.md"]
        with built.lake().warehouse.session() as connection:
            of_passages = [key for key, _ in targets(built).values()]
            tiers = standing_rows(connection, "default").filter(pl.col("target_id").is_in(of_passages))
        assert sorted(tiers["tier"].to_list()) == ["cold", "cold", "cold", "hot"]
        assert sorted(tiers["strength"].to_list()) == [1.0, 1.0, 1.5, 2.0]
        note(built, "one", on(built, "note3.md", 3, RETURNED, at=AT + timedelta(days=140)))
        assert self.cold(built, 140) == ["note0.md", "note2.md"]

    def test_a_rejection_does_not_warm(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1), on(built, "note2.md", 2, REJECTED, at=AT + timedelta(days=99)))
        assert self.cold(built, 100) == ["note1.md", "note2.md", "note3.md"]

    def test_where_nobody_records_anything_nothing_is_cold(self, built: Workspace) -> None:
        assert self.cold(built, 4000) == []

    def test_what_was_seen_later_is_cold_later(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1))
        built.write("late.md", NOTE.format(number=9))
        built.build(as_of=AT + timedelta(days=60))
        assert "late.md" not in self.cold(built, 145)
        assert "late.md" in self.cold(built, 155)

    def test_spaces_do_not_mix(self, workspace: Workspace) -> None:
        workspace.configure([{}, {"name": "other", "space": "vault"}])
        workspace.write("a.md", NOTE.format(number=1), source="other")
        filled(workspace)
        note(workspace, "one", on(workspace, "note0.md", 1))
        assert "a.md" not in self.cold(workspace, 500)
        with workspace.lake().warehouse.session() as connection:
            assert standing_rows(connection, "vault").is_empty()


class TestExactness:
    def test_verify_finds_what_was_changed_by_hand(self, built: Workspace) -> None:
        note(built, "one", on(built, "note0.md", 1), on(built, "note1.md", 2))
        lake = built.lake(as_of=NOW)
        reinforce(lake)
        refresh_served(lake)
        found = verify(lake)
        assert found.whole, found.problems
        assert found.compared["reinforcement"] == 4
        with lake.warehouse.session() as connection:
            connection.execute("UPDATE reinforcement SET strength = 9 WHERE strength = 1.5")
        assert "reinforcement: left over" in " ".join(verify(lake).problems["reinforcement"])
        with lake.warehouse.session() as connection:
            connection.execute("UPDATE events SET kind = 'confirmed'")
        assert "events: missing" in " ".join(verify(lake).problems["reinforcement"])

    def test_lines_that_are_not_read_yet_are_no_difference(self, built: Workspace) -> None:
        path = note(built, "one", on(built, "note0.md", 1))
        lake = built.lake(as_of=NOW)
        reinforce(lake)
        refresh_served(lake)
        note(built, "one", on(built, "note1.md", 2))
        note(built, "two", on(built, "note1.md", 3))
        assert verify(lake).whole
        path.unlink()
        assert verify(lake).whole, "the next run reads what is there"

    def test_without_events_scores_stay_as_they_are(self, built: Workspace) -> None:
        lake = built.lake(as_of=NOW)
        before = lake_digest(lake)
        reinforce(lake)
        assert lake_digest(lake) == before
        with lake.warehouse.session() as connection:
            assert standing_rows(connection, "default").is_empty()
        assert prior(np.ones(3), retention(np.ones(3), np.arange(3.0), 30.0), 0.5).tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.histories
    def test_killed_anywhere_the_next_run_converges(self, closed: Workspace) -> None:
        passages = sorted(targets(closed).values())

        def events(numbers: Sequence[int], kind: EventKind) -> list[Event]:
            return [about(passages[number % 4], number, kind, AT) for number in numbers]

        note(closed, "one", *events(range(8), CITED))
        reinforce(closed.lake(as_of=NOW))
        note(closed, "one", *events(range(8, 12), REJECTED))
        note(closed, "two", *events(range(12, 20), CONFIRMED))
        copies = {point: copied(closed, closed.folder.with_name(point)) for point in POINTS}
        ended = killed_at({point: copy.config for point, copy in copies.items()})
        assert ended == dict.fromkeys(POINTS, "-9")
        reinforce(closed.lake(as_of=NOW))
        expected = closed.rows(REINFORCED)
        assert len(expected) == 4
        for point, copy in copies.items():
            reinforce(copy.lake(as_of=NOW))
            assert copy.rows(REINFORCED) == expected, point


def killed_at(configs: dict[str, Path]) -> dict[str, str]:
    """Reinforce each lake in a process that is killed at its point; how it ended."""
    code = f"""
import os, signal, sys
sys.path.insert(0, "tests")
from pathlib import Path
from test_reinforcement import NOW, Lake, faults, reinforce
from warehouse.settings import load_settings

def die(at):
    faults.arm(lambda point: os.kill(os.getpid(), signal.SIGKILL) if point == at else None)

for point, config in {[(point, str(config)) for point, config in configs.items()]!r}:
    pid = os.fork()
    if pid == 0:
        die(point)
        reinforce(Lake(load_settings(Path(config)), as_of=NOW))
        os._exit(0)
    print(point, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    process = python(code, PYTHONWARNINGS="ignore")
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    return dict(line.split() for line in printed.splitlines())
