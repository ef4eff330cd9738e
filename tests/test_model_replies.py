"""What a model said is paid for once, whatever happens to documents and settings, and goes with its document."""

from __future__ import annotations

import json

import pytest
from conftest import Workspace, kept_open, refresh_source
from modelled import (
    ADA,
    asked,
    calls,
    configure,
    entities_reply,
    statuses,
    triples_reply,
    write_all,
)

from derivation import model_extraction
from derivation.digest import lake_digest
from derivation.erasure import DOCUMENT, erase, plan_erasure
from derivation.replies import absorb_replies
from derivation.verification import verify
from models.prompts import Prompt, load_prompt
from testing.server import OpenAIServer

LONG = "# Ada Lovelace\n\n" + "\n\n".join(
    f"## Letter {number}\n\nIn 18{number} Ada Lovelace wrote to Charles Babbage about number {number}. "
    + "The letter tells of wheels and cards and of much else that was of no use to anybody. " * 12
    for number in range(40, 44)
)

pytestmark = pytest.mark.histories
"""Many small builds."""


def replayed(workspace: Workspace, server: OpenAIServer) -> int:
    """Build and verify; gives the calls that it took."""
    before = calls(server)
    built = workspace.build()
    found = verify(built.lake)
    assert found.whole, found.problems
    return calls(server) - before


class TestNothingIsPaidForTwice:
    def test_by_a_second_build(self, workspace: Workspace, server: OpenAIServer) -> None:
        configure(workspace, server)
        write_all(workspace)
        assert replayed(workspace, server) == 6
        assert replayed(workspace, server) == 0

    def test_after_an_edit_elsewhere_in_a_document(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server)
        workspace.write("ada.md", LONG)
        workspace.build()
        (passages,) = workspace.column("SELECT count(*) FROM passages")
        assert passages >= 4
        workspace.write("ada.md", LONG.replace("about number 42", "about the number 42"))
        assert replayed(workspace, server) == 2, "one passage has changed"

    def test_after_a_move(self, workspace: Workspace, server: OpenAIServer) -> None:
        configure(workspace, server)
        write_all(workspace)
        workspace.build()
        workspace.rename("ada.md", "people/countess.md")
        assert replayed(workspace, server) == 0

    def test_for_one_text_in_two_documents_and_sources(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server, sources=[{}, {"name": "more"}])
        for path, source in (("ada.md", "notes"), ("copy.md", "notes"), ("again.md", "more")):
            workspace.write(path, ADA, source)
        assert replayed(workspace, server) == 2
        workspace.delete("ada.md")
        assert replayed(workspace, server) == 0

    def test_for_one_text_under_two_headings(self, workspace: Workspace, server: OpenAIServer) -> None:
        text = "In 1843 Ada Lovelace wrote to Charles Babbage."
        configure(workspace, server, sources=[{"kind": "jsonl"}])
        workspace.write("a.jsonl", f'{{"id": "1", "title": "Letters", "text": "{text}"}}')
        workspace.build()
        with workspace.lake().warehouse.session("another heading") as connection:
            hashes = connection.execute("UPDATE passages SET heading = 'B', text_hash = 'b' RETURNING 1").fetchall()
        assert len(hashes) == 1
        before = calls(server)
        lake = workspace.lake()
        with kept_open(lake):
            refresh_source(lake, lake.settings.sources[0])
        assert calls(server) == before
        assert set(workspace.column("SELECT text_hash FROM model_replies")) >= {"b"}

    def test_after_a_detour_by_the_rules(self, workspace: Workspace, server: OpenAIServer) -> None:
        write_all(workspace)
        workspace.build()
        configure(workspace, server)
        assert replayed(workspace, server) == 6
        digest = lake_digest(workspace.lake())
        workspace.configure()
        assert replayed(workspace, server) == 0
        assert lake_digest(workspace.lake()) != digest
        configure(workspace, server)
        assert replayed(workspace, server) == 0
        assert lake_digest(workspace.lake()) == digest

    def test_after_a_setting_that_changes_no_reply(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server)
        write_all(workspace)
        workspace.build()
        configure(workspace, server, extraction={"concurrency": 4, "attempts": 1, "repairs": 0, "timeout_seconds": 5})
        assert replayed(workspace, server) == 0


class TestAChangedPrompt:
    @pytest.mark.parametrize(
        ("way", "changed", "again"),
        [
            ("two", "named_entities", ["named_entities", "triples"]),
            ("two", "triples", ["triples"]),
            ("two", "entities_and_triples", []),
            ("one", "entities_and_triples", ["entities_and_triples"]),
            ("one", "triples", []),
        ],
    )
    def test_makes_exactly_its_rows_stale(
        self,
        workspace: Workspace,
        server: OpenAIServer,
        monkeypatch: pytest.MonkeyPatch,
        way: str,
        changed: str,
        again: list[str],
    ) -> None:
        configure(workspace, server, extraction={"calls": way})
        workspace.write("ada.md", ADA)
        workspace.build()
        before = calls(server)

        def load(name: str) -> Prompt:
            prompt = load_prompt(name)
            return Prompt(name, f"{prompt.system}\nBe brief.") if name == changed else prompt

        monkeypatch.setattr(model_extraction, "load_prompt", load)
        if changed == "named_entities":  # other names make another second request
            server.replies.append(entities_reply("Charles Babbage"))
        built = workspace.build()
        assert asked(server)[before:] == again
        step = next(report for report in built.lake.reports if report.step == "mentions")
        assert step.processed == (1 if again else 0)
        monkeypatch.undo()


class TestWhatIsKept:
    def test_of_a_document_that_is_gone_is_nothing(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server)
        write_all(workspace)
        workspace.build()
        workspace.delete("ada.md")
        workspace.build()
        replies = workspace.column("SELECT reply FROM model_replies")
        assert len(replies) == 4
        assert not any("Babbage" in reply for reply in replies)

    def test_an_erasure_finds_no_reply_left(self, workspace: Workspace, server: OpenAIServer) -> None:
        secret = "In 1843 Ludmila Quistgaard confessed to the heliotrope embezzlement in Trondheim."
        configure(workspace, server)
        write_all(workspace)
        workspace.build()
        workspace.write("secret.md", f"# Confession\n\n{secret}\n")
        server.respond = lambda body: (
            entities_reply("Ludmila Quistgaard", secret)
            if "<entities" not in str(body["messages"][1])
            else triples_reply((secret, "is", "Trondheim"))
        )
        workspace.build()
        assert any(secret in reply for reply in workspace.column("SELECT reply FROM model_replies"))
        lake = workspace.lake()
        report = erase(lake, plan_erasure(lake, DOCUMENT, "secret.md"))
        assert report.clean, report.hits
        assert workspace.column("SELECT count(*) FROM model_replies") == [6]
        assert workspace.column("SELECT count(*) FROM model_replies WHERE contains(reply, 'Quistgaard')") == [0]
        for path in workspace.layout.root.rglob("*"):
            assert not path.is_file() or b"heliotrope" not in path.read_bytes(), path

    def test_a_late_reply_about_an_erased_document_does_not_come_in(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server)
        workspace.write("ada.md", ADA)
        workspace.build()
        kept = workspace.rows("SELECT * FROM model_replies ORDER BY ALL")
        lake = workspace.lake()
        row = workspace.rows("SELECT * FROM model_calls LIMIT 1")[0]
        names = "call_id run_id step space source input_id request_key model prompt_name prompt_version started_at"
        names += " latency_ms prompt_tokens completion_tokens cost attempts outcome error prompt_chars input_chars"
        record = {**dict(zip(names.split(), row, strict=True)), "call_id": "late", "text_hash": "gone", "reply": "Ada"}
        record["started_at"] = record["started_at"].isoformat()
        lines = [json.dumps(record, default=str), '{"cut off in the middle of Grüße'.encode()[:-3].decode("latin-1")]
        lake.layout.replies.write_bytes("\n".join(lines).encode("latin-1"))
        assert absorb_replies(lake) == 1
        assert workspace.column("SELECT count(*) FROM model_calls WHERE call_id = 'late'") == [1]
        assert workspace.rows("SELECT * FROM model_replies ORDER BY ALL") == kept

    @pytest.mark.parametrize("mark", ["\u2028", "\x85", "\n", "\r", "\x1c", "é", "北"])
    def test_any_character_survives_the_journal(
        self,
        workspace: Workspace,
        server: OpenAIServer,
        mark: str,
    ) -> None:
        configure(workspace, server, extraction={"calls": "one"})
        reply = f'{{"entities": [{{"name": "Ada Lovelace", "type": ""}}],{" " if mark < " " else ""} "triples": []}}'
        server.replies.append(f"Here {mark} is: {reply}")
        workspace.write("ada.md", ADA)
        assert replayed(workspace, server) == 1
        assert workspace.column("SELECT reply FROM model_replies") == [f"Here {mark} is: {reply}"]
        assert statuses(workspace) == {"ada.md": "done"}
