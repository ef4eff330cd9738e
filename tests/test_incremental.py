"""Incremental equals rebuild, and nothing is paid for twice: the cases by name; tests/exactness.py takes any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Built, Workspace, kept_open

from derivation.progress import NoProgress
from memory.embedding import HashingEmbedder
from warehouse.vectors import connect

START = datetime(2026, 3, 2, 12, tzinfo=UTC)

SECTIONS = (
    "## Engines\n\nAda Lovelace wrote the first program for the Analytical Engine of Charles Babbage.\n",
    "## Compilers\n\nGrace Hopper wrote a compiler at Remington Rand. A moth was found in the Mark II (MII).\n",
    "## Machines\n\nAlan Turing worked at the Government Code and Cypher School (GCCS) in 1939.\n\n- one\n- two\n",
    "## Paths\n\nEdsger Dijkstra found a shortest path from Rotterdam to Groningen. "
    + "He used no computer. " * 12
    + "\n",
    "## Engines\n\nThe same heading again, in London on 5 May 1843.\n",
)


@pytest.fixture(autouse=True)
def _open(workspace: Workspace) -> Iterator[None]:
    with kept_open(workspace.lake()):
        yield


def build_and_compare(workspace: Workspace, **options: Any) -> Built:
    """Build, compare with a lake built at once, and see that only texts that the lake did not hold were embedded."""
    before = workspace.texts_held()
    built = workspace.build(**options)
    assert built.embedded == len(workspace.texts_held() - before)
    workspace.assert_equals_rebuild(built.lake)
    return built


def jsonl(records: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def ticket(number: int, text: str) -> dict[str, Any]:
    return {"id": f"T-{number}", "title": f"Ticket {number}", "text": text, "date": "2026-02-03"}


TICKETS = [ticket(number, f"Ada Lovelace reports fault {number} of the Analytical Engine.") for number in range(5)]


class TestWhatIsPaidFor:
    def test_an_unchanged_lake_embeds_nothing(self, workspace: Workspace) -> None:
        workspace.write("ada.md", SECTIONS[0])
        assert build_and_compare(workspace).embedded == 2, "a passage and an outline"
        assert build_and_compare(workspace).embedded == 0

    def test_an_edit_embeds_only_what_differs(self, workspace: Workspace) -> None:
        workspace.write("all.md", "# Notes\n\n" + "\n".join(SECTIONS[:4]))
        assert build_and_compare(workspace).embedded >= 4
        new = "## New\n\nA new start in Paris.\n"
        workspace.write("all.md", "# Notes\n\n" + "\n".join([SECTIONS[0], new, *SECTIONS[1:4]]))
        assert build_and_compare(workspace).embedded == 2, "the passage, and the outline that names it"

    def test_a_renamed_file_embeds_nothing(self, workspace: Workspace) -> None:
        workspace.write("ada.md", "# Notes\n\n" + SECTIONS[0])
        build_and_compare(workspace)
        workspace.rename("ada.md", "old/ada-1843.md")
        assert build_and_compare(workspace).embedded == 0
        assert workspace.paths() == ["old/ada-1843.md"]

    def test_a_text_that_moves_to_another_source_is_not_embedded_again(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "archive"}])
        workspace.write("ada.md", "# Notes\n\n" + SECTIONS[0])
        workspace.write("keep.md", SECTIONS[1], source="archive")
        build_and_compare(workspace)
        workspace.path("ada.md").rename(workspace.path("ada.md", "archive"))
        assert build_and_compare(workspace).embedded == 0

    def test_a_text_in_two_documents_is_embedded_once_and_stays_while_one_has_it(self, workspace: Workspace) -> None:
        for name in ("one.md", "two.md"):
            workspace.write(name, "# Notes\n\n" + SECTIONS[0])
        assert build_and_compare(workspace).embedded == 2, "a passage and an outline"
        workspace.delete("one.md")
        assert build_and_compare(workspace).embedded == 0
        workspace.write("three.md", "# Notes\n\n" + SECTIONS[0])
        assert build_and_compare(workspace).embedded == 0
        workspace.delete("two.md")
        workspace.delete("three.md")
        build_and_compare(workspace)
        assert workspace.column("SELECT count(*) FROM embeddings") == [0]

    def test_two_spaces_share_nothing(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "secret", "space": "vault"}])
        for source in ("notes", "secret"):
            workspace.write("ada.md", "# Notes\n\n" + SECTIONS[0], source=source)
        assert build_and_compare(workspace).embedded == 4
        assert workspace.rows("SELECT space, count(*) FROM entities GROUP BY space ORDER BY space") == [
            ("default", count := workspace.column("SELECT count(*) // 2 FROM entities")[0]),
            ("vault", count),
        ]

    def test_another_embedder_embeds_all_anew_and_keeps_the_passages(self, workspace: Workspace) -> None:
        workspace.write("ada.md", SECTIONS[0])
        build_and_compare(workspace)
        passages = workspace.rows("SELECT * FROM passages ORDER BY ALL")
        workspace.configure(embedding={"dimensions": 32})
        smaller = HashingEmbedder(32, workspace.lake().embedder_spec.identity)
        built = workspace.build(embedder=smaller)
        assert smaller.calls == 2
        assert built.published
        assert workspace.rows("SELECT * FROM passages ORDER BY ALL") == passages


class TestSettings:
    def test_smaller_passages_equal_a_lake_cut_that_way(self, workspace: Workspace) -> None:
        workspace.write("all.md", "# Notes\n\n" + "\n".join(SECTIONS))
        build_and_compare(workspace)
        workspace.configure(segmentation={"target_tokens": 16, "max_tokens": 32})
        build_and_compare(workspace)
        assert workspace.column("SELECT max(tokens) <= 32 FROM passages") == [True]

    def test_a_higher_limit_lets_in_what_was_too_long(self, workspace: Workspace) -> None:
        workspace.configure([{"max_chars": 60}])
        workspace.write("short.md", "# Ada\n\nAda Lovelace.\n")
        workspace.write("long.md", SECTIONS[3])
        build_and_compare(workspace)
        assert workspace.paths() == ["short.md"]
        workspace.configure([{"max_chars": 6000}])
        build_and_compare(workspace)
        assert workspace.paths() == ["long.md", "short.md"]

    def test_what_is_newly_excluded_goes(self, workspace: Workspace) -> None:
        workspace.write("ada.md", SECTIONS[0])
        workspace.write("drafts/grace.md", SECTIONS[1])
        build_and_compare(workspace)
        workspace.configure([{"exclude": ["drafts/**"]}])
        build_and_compare(workspace)
        assert workspace.paths() == ["ada.md"]
        assert workspace.column("SELECT count(*) FROM mentions WHERE surface LIKE '%Hopper%'") == [0]

    def test_a_source_that_the_settings_drop_goes_everywhere(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "other"}])
        workspace.write("ada.md", SECTIONS[0])
        workspace.write("grace.md", SECTIONS[1], source="other")
        workspace.write("bad.md", b"", source="other")
        build_and_compare(workspace)
        workspace.configure([{"name": "notes"}])
        built = build_and_compare(workspace)
        assert built.published
        assert workspace.column("SELECT DISTINCT source FROM ledger WHERE source <> ''") == ["notes"]
        assert not any("Hopper" in hit.text for hit in workspace.client().search("Grace Hopper compiler"))

    def test_a_space_whose_last_source_goes_leaves_no_rows(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "secret", "space": "vault"}])
        workspace.write("ada.md", SECTIONS[0])
        workspace.write("grace.md", SECTIONS[1], source="secret")
        build_and_compare(workspace)
        workspace.configure([{"name": "notes"}])
        built = build_and_compare(workspace)
        assert list(built.snapshot.spaces) == ["default"]
        for table in ("documents", "passages", "embeddings", "mentions", "entities", "ledger", "layers"):
            assert workspace.column(f"SELECT count(*) FROM {table} WHERE space = 'vault'") == [0], table

    def test_a_source_that_moves_to_another_space_moves_whole(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "other", "space": "vault"}])
        workspace.write("ada.md", SECTIONS[0])
        workspace.write("grace.md", SECTIONS[1], source="other")
        build_and_compare(workspace)
        workspace.configure([{"name": "notes", "space": "vault"}, {"name": "other", "space": "vault"}])
        built = build_and_compare(workspace)
        assert list(built.snapshot.spaces) == ["vault"]
        assert workspace.column("SELECT DISTINCT space FROM passages") == ["vault"]

    def test_no_source_at_all_leaves_an_empty_lake(self, workspace: Workspace) -> None:
        workspace.write("ada.md", SECTIONS[0])
        workspace.build()
        workspace.configure([])
        built = workspace.build()
        assert built.snapshot.spaces == {}
        for table in ("documents", "passages", "embeddings", "entities", "ledger", "layers"):
            assert workspace.column(f"SELECT count(*) FROM {table}") == [0], table


class TestRecords:
    @pytest.fixture
    def tickets(self, workspace: Workspace) -> Workspace:
        workspace.configure([{"kind": "jsonl"}], lake={"batch_rows": 2})
        workspace.write("tickets.jsonl", jsonl(TICKETS))
        assert build_and_compare(workspace).embedded == 10, "a passage and an outline each"
        return workspace

    def test_an_edited_record_is_embedded_alone(self, tickets: Workspace) -> None:
        edited = [*TICKETS[:2], ticket(2, "Charles Babbage closes it."), *TICKETS[3:]]
        tickets.write("tickets.jsonl", jsonl(edited))
        assert build_and_compare(tickets).embedded == 2

    def test_records_that_change_places_embed_nothing(self, tickets: Workspace) -> None:
        tickets.write("tickets.jsonl", jsonl(TICKETS[::-1]))
        assert build_and_compare(tickets).embedded == 0

    def test_removed_records_go(self, tickets: Workspace) -> None:
        tickets.write("tickets.jsonl", jsonl([TICKETS[0], TICKETS[4]]))
        assert build_and_compare(tickets).embedded == 0
        assert tickets.paths() == ["tickets.jsonl#T-0", "tickets.jsonl#T-4"]

    def test_a_record_that_breaks_goes_and_comes_back(self, tickets: Workspace) -> None:
        lines = jsonl(TICKETS).splitlines(keepends=True)
        tickets.write("tickets.jsonl", "".join([*lines[:3], "{ broken\n", lines[4]]))
        build_and_compare(tickets)
        assert len(tickets.paths()) == 4
        tickets.write("tickets.jsonl", jsonl(TICKETS))
        assert build_and_compare(tickets).embedded == 2
        assert tickets.column("SELECT count(*) FROM ledger WHERE status <> 'done'") == [0]

    def test_a_deleted_file_takes_its_records_along(self, tickets: Workspace) -> None:
        tickets.write("more.jsonl", jsonl([ticket(9, "Grace Hopper reports a moth.")]))
        build_and_compare(tickets)
        tickets.delete("tickets.jsonl")
        build_and_compare(tickets)
        assert tickets.paths() == ["more.jsonl#T-9"]


class TestChats:
    def test_sessions_grow_and_go(self, workspace: Workspace) -> None:
        def session(number: int, *texts: str) -> dict[str, Any]:
            turns = [{"speaker": "Ann" if n % 2 else "Bob", "text": text} for n, text in enumerate(texts)]
            return {"session": f"s{number}", "date": f"2026-02-0{number}", "turns": turns}

        workspace.configure([{"kind": "chat"}], segmentation={"target_tokens": 16, "max_tokens": 32})
        long = [f"Turn {number} about the Analytical Engine in London, spoken slowly." for number in range(4)]
        workspace.write("team.jsonl", jsonl([session(1, *long), session(2, "Hello, Grace Hopper.")]))
        build_and_compare(workspace)
        assert workspace.paths() == ["team.jsonl#s1", "team.jsonl#s2"]
        before = workspace.column("SELECT DISTINCT text_hash FROM passages")
        workspace.write(
            "team.jsonl", jsonl([session(1, *long, "And Alan Turing agrees."), session(2, "Hello, Grace Hopper.")])
        )
        assert build_and_compare(workspace).embedded <= 8, "what was said before is not embedded again"
        new = set(workspace.column("SELECT text_hash FROM passages")).difference(before)
        assert len(new) <= 2, "all else is what tells of the session and of its time"
        workspace.write("team.jsonl", jsonl([session(2, "Hello, Grace Hopper.")]))
        assert build_and_compare(workspace).embedded <= 2, "only what tells of the week and the day that lost a session"
        assert workspace.paths() == ["team.jsonl#s2"]


class TestTitles:
    def test_a_heading_that_moves_into_the_title_equals_a_rebuild(self, workspace: Workspace) -> None:
        filler = "The Analytical Engine in London was never finished by anyone at all. " * 6
        body = f"# Beta Plan\n\n{filler}\n\n{filler}\n"
        workspace.configure(segmentation={"target_tokens": 32, "max_tokens": 48})
        workspace.write("note.md", f"---\ntitle: Alpha Guide\n---\n\n{body}")
        build_and_compare(workspace)
        workspace.write("note.md", f"---\ntitle: Alpha Guide > Beta Plan\n---\n\n{body.replace('# Beta', 'Beta')}")
        build_and_compare(workspace)

    def test_a_new_title_reaches_every_passage(self, workspace: Workspace) -> None:
        workspace.write("note.md", "---\ntitle: Alpha Guide\n---\n\n" + SECTIONS[0] + SECTIONS[1])
        build_and_compare(workspace)
        workspace.write("note.md", "---\ntitle: Omega Guide\n---\n\n" + SECTIONS[0] + SECTIONS[1])
        build_and_compare(workspace)
        assert workspace.column("SELECT DISTINCT surface FROM titles WHERE kind = 'title'") == ["Omega Guide"]


class Interrupted(Exception):
    """The process ends here."""


class StopsAfter(NoProgress):
    """Ends a run when a step has committed its first batches."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def advance(self, units: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise Interrupted


class TestInterruptions:
    @pytest.mark.parametrize("stop_after", range(0, 20, 4))
    def test_a_run_that_stops_between_batches_is_completed_by_the_next(
        self, workspace: Workspace, stop_after: int
    ) -> None:
        workspace.configure(lake={"batch_rows": 1})
        for number, section in enumerate(SECTIONS[:4]):
            workspace.write(f"note{number}.md", f"# Note {number}\n\n{section}")
        with pytest.raises(Interrupted):
            workspace.build(progress=StopsAfter(stop_after))
        workspace.delete("note0.md")
        workspace.write("note1.md", "# Note 1\n\n" + SECTIONS[4])
        workspace.assert_equals_rebuild(workspace.build().lake)

    @pytest.mark.parametrize("then", ["deleted", "shortened", "unchanged"])
    def test_a_file_that_was_read_in_part_leaves_nothing_behind(self, workspace: Workspace, then: str) -> None:
        workspace.configure([{"kind": "jsonl"}], lake={"batch_rows": 2})
        workspace.write("more.jsonl", jsonl([ticket(9, "Grace Hopper reports a moth.")]))
        workspace.write("tickets.jsonl", jsonl(TICKETS))
        with pytest.raises(Interrupted):
            workspace.build(progress=StopsAfter(1))
        if then == "deleted":
            workspace.delete("tickets.jsonl")
        elif then == "shortened":
            workspace.write("tickets.jsonl", jsonl(TICKETS[3:]))
        workspace.assert_equals_rebuild(workspace.build().lake)

    def test_an_interruption_then_a_dropped_source_leaves_nothing_behind(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "tickets", "kind": "jsonl"}], lake={"batch_rows": 2})
        workspace.write("ada.md", SECTIONS[0])
        workspace.write("tickets.jsonl", jsonl(TICKETS), source="tickets")
        with pytest.raises(Interrupted):
            workspace.build(progress=StopsAfter(6))
        assert len(workspace.column("SELECT path FROM documents WHERE source = 'tickets'")) == 4
        workspace.configure([{"name": "notes"}])
        workspace.assert_equals_rebuild(workspace.build().lake)


def test_what_is_deleted_is_found_by_no_query(workspace: Workspace) -> None:
    workspace.write("ada.md", SECTIONS[0])
    workspace.write("grace.md", SECTIONS[1])
    workspace.build()
    client = workspace.client()
    assert any("moth" in hit.text for hit in client.search("moth"))
    workspace.delete("grace.md")
    built = workspace.build()
    assert not any("moth" in hit.text for hit in client.search("moth"))
    state = built.snapshot.space("default")
    table = connect(workspace.layout, "default").open_table(state.table)
    assert not any("moth" in row["text"] for row in table.to_arrow().to_pylist())


def test_lakes_built_in_another_order_are_equal(make_workspace: Callable[[], Workspace]) -> None:
    workspace = make_workspace()
    for number, section in enumerate(SECTIONS):
        workspace.write(f"note{number}.md", section)
        last = workspace.build(as_of=START + number * timedelta(hours=1))
    workspace.assert_equals_rebuild(last.lake)
