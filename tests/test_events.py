"""Events: lines that do not tear, hold no text, and never break a search."""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace, python
from hypothesis import given
from hypothesis import strategies as st

from derivation.event_files import event_files
from errors import EventsUnwritable, InvalidQuery, UnknownName
from memory.forgetting import EventKind
from retrieval.client import MemoryClient
from retrieval.events import Event, EventWriter

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEX = "0123456789abcdef"
ids = st.text(HEX, min_size=32, max_size=32)


def event(number: int = 0, kind: EventKind = EventKind.CITED, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event_id": f"{number:032x}",
        "kind": kind,
        "space": "default",
        "snapshot_id": "20260302T120000-47b2cccd",
        "target_id": "a" * 32,
        "document_id": "b" * 32,
        "at": AT,
    }
    return Event(**{**fields, **changes})


def written(folder: Path) -> list[Event]:
    """The events of a folder; every line must be one."""
    found = [Event.from_line(line) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]
    return [item for item in found if item is not None or pytest.fail("a line is no event")]


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    for number in range(3):
        workspace.write(f"note{number}.md", f"# Note {number}\n\nAda Lovelace wrote program {number} in London.\n")
    workspace.configure(events={"enabled": True})
    workspace.build()
    return workspace


class TestLines:
    @given(
        kind=st.sampled_from(list(EventKind)),
        keys=st.tuples(ids, ids, ids),
        hashed=st.one_of(st.just(""), ids),
        shift=st.integers(-10_000, 10_000),
    )
    def test_an_event_is_read_as_it_was_written(
        self, kind: EventKind, keys: tuple[str, str, str], hashed: str, shift: int
    ) -> None:
        sent = event(
            0,
            kind,
            event_id=keys[0],
            target_id=keys[1],
            document_id=keys[2],
            query_hash=hashed,
            at=AT + timedelta(microseconds=shift),
        )
        assert Event.from_line(sent.to_line()) == sent

    def test_other_zones_and_dashed_ids_are_read(self) -> None:
        record = json.loads(event().to_line())
        record["at"], record["id"] = "2026-03-02T14:00:00+02:00", "00000000-0000-0000-0000-000000000000"
        assert Event.from_line(json.dumps(record).encode()) == event()

    @pytest.mark.parametrize(
        "changed",
        [
            {"kind": "liked"},
            {"kind": None},
            {"target": "a passage about somebody"},
            {"document": "notes/leaver.md"},
            {"query": "what does Ms Quistgaard earn?"},
            {"id": 7},
            {"at": "yesterday"},
            {"at": "2026-03-02T12:00:00"},
            {"at": "0001-01-01T00:00:00+14:00"},
            {"space": "two words"},
        ],
    )
    def test_what_is_no_event_or_could_be_text_is_refused(self, changed: dict[str, Any]) -> None:
        record = {**json.loads(event().to_line()), **changed}
        assert Event.from_line(json.dumps(record).encode()) is None

    @given(st.binary(max_size=80))
    def test_any_bytes_are_read_without_an_error(self, line: bytes) -> None:
        assert Event.from_line(line) is None

    @pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"null", b'"x"', event().to_line()[:-20], b"[" * 100_000])
    def test_other_json_and_half_a_line_are_no_event(self, line: bytes) -> None:
        assert Event.from_line(line) is None


class TestWriting:
    def test_two_processes_on_one_file_tear_no_line(self, tmp_path: Path) -> None:
        code = f"""
import os
from pathlib import Path
import sys; sys.path.insert(0, "tests")
from test_events import event
from retrieval.events import EventWriter
writer = EventWriter(Path({str(tmp_path / "events")!r}))
children = []
for child in range(2):
    pid = os.fork()
    if pid == 0:
        for batch in range(200):
            first = child * 100_000 + batch * 50
            writer.note([event(first + number) for number in range(1 + batch % 50)])
            writer.flush()
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
        process = python(code)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        assert len(list((tmp_path / "events").iterdir())) == 1
        found = written(tmp_path / "events")
        each = sum(1 + batch % 50 for batch in range(200))
        assert len({item.event_id for item in found}) == len(found) == 2 * each

    def test_what_waits_is_written_together(self, tmp_path: Path) -> None:
        writer = EventWriter(tmp_path / "events")
        writer.note([event(1)])
        assert not (tmp_path / "events").exists()
        writer.note([event(number) for number in range(2, 400)])
        assert len(written(tmp_path / "events")) == 399

    def test_after_half_a_line_the_next_one_begins_anew(self, tmp_path: Path) -> None:
        writer = EventWriter(tmp_path / "events")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
        try:
            with pytest.raises(EventsUnwritable, match="only a part"):
                writer.write([event(1)])
            with pytest.raises(EventsUnwritable, match="too large"):
                writer.write([event(1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.write([event(2)])
        [path] = (tmp_path / "events").iterdir()
        assert [Event.from_line(line) for line in path.read_bytes().splitlines()] == [None, event(2)]


class TestTheClient:
    def test_it_notes_what_it_is_told(self, built: Workspace) -> None:
        client = built.client()
        hits = client.search("program 1")
        client.close()
        assert client.record("confirmed", [hits[0], hits[0], hits[1].passage_id], "Program  ONE") == 2
        assert client.record("rejected", []) == 0
        told = [item for item in written(built.layout.events) if item.kind is EventKind.CONFIRMED]
        assert [item.target_id for item in told] == [hits[0].passage_id, hits[1].passage_id]
        assert [item.document_id for item in told] == [hits[0].span.document_id, hits[1].span.document_id]
        assert {item.snapshot_id for item in told} == {client.snapshot.snapshot_id}
        assert client.record("cited", hits[:1], "program one") == 1
        last = [item for item in written(built.layout.events) if item.kind is EventKind.CITED][-1]
        assert last.query_hash == told[0].query_hash != ""

    def test_no_text_of_a_query_or_passage_is_noted(self, built: Workspace) -> None:
        with built.client() as client:
            client.record("cited", client.search("who is Lovelace?"), "who is Lovelace?")
        lines = b"".join(path.read_bytes() for path in event_files(built.layout))
        assert b"ovelace" not in lines
        assert b"note1" not in lines

    def test_an_unknown_kind_or_passage_is_refused(self, built: Workspace) -> None:
        client = built.client()
        with pytest.raises(InvalidQuery, match="Known: returned, cited, confirmed, rejected"):
            client.record("liked", [])
        with pytest.raises(UnknownName, match="holds no passage"):
            client.record("cited", ["f" * 32])
        with pytest.raises(UnknownName):
            client.record("cited", ["x' OR true --"])

    @pytest.mark.parametrize("ask", [MemoryClient.search, lambda client, query: client.search_many([query, query])])
    def test_a_search_notes_what_it_returned(self, built: Workspace, ask: Callable[..., Any]) -> None:
        with built.client() as client:
            result = ask(client, "program 1")
        hits = result if not isinstance(result[0], list) else [hit for each in result for hit in each]
        noted = written(built.layout.events)
        assert [item.target_id for item in noted] == [hit.passage_id for hit in hits]
        assert {item.kind for item in noted} == {EventKind.RETURNED}

    def test_an_answer_notes_what_it_cites(self, built: Workspace) -> None:
        built.configure(events={"enabled": True}, answer={"min_similarity": -1.0})
        with built.client() as client:
            answer = client.ask("Who wrote program 1?")
        assert answer.citations
        noted = written(built.layout.events)
        assert {item.target_id for item in noted} == {citation.hit.passage_id for citation in answer.citations}
        assert {item.kind for item in noted} == {EventKind.CITED}

    def test_by_default_nothing_is_noted(self, built: Workspace) -> None:
        built.configure()
        with built.client() as client:
            client.search("program 1")
            client.ask("Who wrote program 1?")
        assert not built.layout.events.exists()

    def test_hashes_of_queries_can_be_left_out(self, built: Workspace) -> None:
        built.configure(events={"enabled": True, "query_hashes": False})
        with built.client() as client:
            client.search("program 1")
        assert {item.query_hash for item in written(built.layout.events)} == {""}

    def test_where_nothing_can_be_written_searching_goes_on_and_says_so_once(
        self, built: Workspace, caplog: pytest.LogCaptureFixture
    ) -> None:
        built.layout.events.write_text("a file where the folder should be")
        client = built.client()
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert client.search("program 1")
                client.close()
        assert sum("cannot be written" in message for message in caplog.messages) == 1
        with pytest.raises(EventsUnwritable, match="events"):
            client.record("cited", client.search("program 1")[:1])

    def test_what_waits_is_written_when_the_client_is_gone(self, built: Workspace) -> None:
        client = built.client()
        client.search("program 1")
        assert not built.layout.events.exists()
        del client
        assert written(built.layout.events)
