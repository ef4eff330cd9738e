"""What goes wrong stays where it went wrong: bad files wait in quarantine, and the next run completes a broken one."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from conftest import Workspace, python, refresh_source
from fpdf import FPDF
from numpy.typing import NDArray
from pypdf import PdfReader, PdfWriter

from derivation.documents import refresh_documents
from errors import SourceUnavailable
from memory.embedding import HashingEmbedder
from warehouse.snapshots import current_id

GOOD = "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage in London.\n"
OTHER = "# Grace Hopper\n\nGrace Hopper found a moth in the Mark II.\n"


def pdf(text: str, password: str | None = None) -> bytes:
    document = FPDF()
    document.add_page()
    document.set_font("helvetica", size=12)
    document.multi_cell(0, text=text)
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(bytes(document.output()))))
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def quarantined(workspace: Workspace) -> dict[str, str]:
    """Path to reason of what the ledger keeps in quarantine; each has a remedy."""
    rows = workspace.rows("SELECT label, error, remedy FROM ledger WHERE status = 'quarantined' ORDER BY label")
    assert all(remedy for _, _, remedy in rows)
    return {label: error for label, error, _ in rows}


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "binary": ("photo.md", lambda: b"\x89PNG\r\n\x1a\n" + b"\0\1\2\3" * 500, "photo.md"),
    "empty": ("empty.md", lambda: b"", "empty"),
    "blank": ("blank.txt", lambda: b" \n\t\n", "no text"),
    "encrypted": ("secret.pdf", lambda: pdf("Ada Lovelace", password="x"), "encrypted"),
    "not what it says": ("fake.pdf", lambda: b"%PDF-1.7\nnothing", "fake.pdf"),
    "oversized": ("big.txt", lambda: b"word " * 20_001, "more than 100,000 bytes"),
}


class TestBadFiles:
    @pytest.mark.parametrize("kind", BAD)
    def test_one_is_kept_in_quarantine_and_the_others_are_not_affected(self, workspace: Workspace, kind: str) -> None:
        name, content, reason = BAD[kind]
        workspace.configure([{"max_bytes": 100_000}])
        workspace.write("ada.md", GOOD)
        workspace.write(name, content())
        workspace.write("zoe.md", OTHER)
        built = workspace.build()
        assert built.published
        assert workspace.paths() == ["ada.md", "zoe.md"]
        found = quarantined(workspace)
        assert list(found) == [name]
        assert name in found[name]
        assert reason in found[name]
        documents = next(report for report in built.lake.reports if report.step == "documents")
        assert (documents.processed, documents.failed) == (3, 1)

    def test_it_waits_without_being_read_again(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.write("empty.md", "")
        workspace.build()
        again = next(report for report in workspace.build().lake.reports if report.step == "documents")
        assert (again.processed, again.untouched) == (0, 2)
        assert workspace.column("SELECT attempts FROM ledger WHERE status = 'quarantined'") == [1]

    def test_it_is_read_again_on_request(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.write("empty.md", "")
        workspace.build()
        again = next(r for r in workspace.build(retry_quarantined=True).lake.reports if r.step == "documents")
        assert (again.processed, again.failed, again.untouched) == (1, 1, 1)
        assert workspace.column("SELECT attempts FROM ledger WHERE status = 'quarantined'") == [2]

    def test_a_mended_file_leaves_quarantine(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.write("grace.pdf", pdf("Grace Hopper found a moth.", password="x"))
        workspace.build()
        assert list(quarantined(workspace)) == ["grace.pdf"]
        workspace.write("grace.pdf", pdf("Grace Hopper found a moth."))
        built = workspace.build()
        assert built.embedded == 2, "a passage and an outline"
        assert quarantined(workspace) == {}
        assert workspace.paths() == ["ada.md", "grace.pdf"]
        workspace.assert_equals_rebuild(built.lake)

    def test_a_document_that_becomes_bad_loses_its_passages(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.write("grace.md", OTHER)
        workspace.build()
        workspace.write("grace.md", "")
        built = workspace.build()
        assert workspace.paths() == ["ada.md"]
        assert not any("moth" in hit.text for hit in workspace.client().search("moth"))
        workspace.assert_equals_rebuild(built.lake)

    def test_a_deleted_bad_file_leaves_quarantine(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.write("empty.md", "")
        workspace.build()
        workspace.delete("empty.md")
        workspace.build()
        assert quarantined(workspace) == {}

    def test_a_broken_link_is_kept_in_quarantine(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        workspace.path("link.md").symlink_to(workspace.path("nothing.md"))
        workspace.build()
        assert quarantined(workspace) == {"link.md": "link.md: it is a broken link."}
        workspace.write("nothing.md", OTHER)
        workspace.build()
        assert quarantined(workspace) == {}
        assert workspace.paths() == ["ada.md", "link.md", "nothing.md"]

    def test_a_file_from_outside_is_not_read(self, workspace: Workspace) -> None:
        outside = workspace.folder / "outside.md"
        outside.write_text(OTHER)
        workspace.write("ada.md", GOOD)
        workspace.path("link.md").symlink_to(outside)
        workspace.build()
        assert workspace.paths() == ["ada.md"]
        assert "out of the source" in quarantined(workspace)["link.md"]

    def test_a_source_of_bad_files_alone_publishes_an_empty_snapshot(self, workspace: Workspace) -> None:
        workspace.write("empty.md", "")
        built = workspace.build()
        assert built.published
        assert built.snapshot.space("default").documents == 0


class TestBadRecords:
    def test_a_bad_line_costs_itself(self, workspace: Workspace) -> None:
        workspace.configure([{"kind": "jsonl"}])
        lines = [
            json.dumps({"id": "1", "title": "Ada", "text": "Ada Lovelace wrote letters."}),
            "{ this is not JSON",
            json.dumps({"id": "3", "title": "Nobody"}),
            json.dumps({"id": "1", "text": "The same id again."}),
            json.dumps({"id": "5", "title": "Grace", "text": "Grace Hopper found a moth."}),
        ]
        workspace.write("tickets.jsonl", "\n".join(lines))
        built = workspace.build()
        assert workspace.paths() == ["tickets.jsonl#1", "tickets.jsonl#5"]
        found = quarantined(workspace)
        assert sorted(found) == ["tickets.jsonl#3", "tickets.jsonl#line 2", "tickets.jsonl#line 4"]
        assert "not valid JSON" in found["tickets.jsonl#line 2"]
        assert "no text" in found["tickets.jsonl#3"]
        assert "was there before" in found["tickets.jsonl#line 4"]
        assert next(report for report in built.lake.reports if report.step == "documents").failed == 3

        workspace.write("tickets.jsonl", "\n".join([lines[0], lines[4]]))
        workspace.build()
        assert quarantined(workspace) == {}

    def test_a_record_is_read_again_on_request_after_the_limit_was_raised(self, workspace: Workspace) -> None:
        workspace.configure([{"kind": "jsonl", "max_chars": 30}])
        long = {"id": "1", "title": "Ada", "text": "Ada Lovelace wrote to Charles Babbage in London."}
        short = {"id": "2", "title": "Grace", "text": "Grace Hopper."}
        workspace.write("tickets.jsonl", "\n".join(map(json.dumps, (long, short))))
        workspace.build()
        assert "raise max_chars" in workspace.column("SELECT remedy FROM ledger WHERE status = 'quarantined'")[0]
        workspace.configure([{"kind": "jsonl", "max_chars": 3000}])
        workspace.build(retry_quarantined=True)
        assert workspace.paths() == ["tickets.jsonl#1", "tickets.jsonl#2"]

    def test_a_damaged_array_keeps_what_was_read_before_the_damage(self, workspace: Workspace) -> None:
        workspace.configure([{"kind": "jsonl"}])
        records = [{"id": str(n), "title": f"Ada {n}", "text": f"Ada Lovelace wrote letter {n}."} for n in range(3)]
        workspace.write("tickets.json", json.dumps(records))
        workspace.build()
        workspace.write("tickets.json", json.dumps(records)[:-60])
        built = workspace.build()
        assert workspace.paths() == ["tickets.json#0", "tickets.json#1"]
        assert "reading stopped at item 3" in quarantined(workspace)["tickets.json"]
        workspace.assert_equals_rebuild(built.lake)


class TestAMissingSource:
    def test_nothing_is_deleted(self, workspace: Workspace) -> None:
        workspace.write("ada.md", GOOD)
        built = workspace.build()
        before = workspace.rows("SELECT * FROM documents")
        shutil.move(workspace.source_folder(), workspace.folder / "away")
        with pytest.raises(SourceUnavailable, match="there is no such folder") as caught:
            refresh_documents(workspace.lake(), workspace.lake().settings.sources[0])
        assert "nothing was deleted" in caught.value.remedy
        assert workspace.rows("SELECT * FROM documents") == before
        assert current_id(workspace.layout) == built.id
        shutil.move(workspace.folder / "away", workspace.source_folder())
        assert workspace.build().embedded == 0


class GivesOut(HashingEmbedder):
    """An embedder that fails for good once it has embedded so many texts."""

    def __init__(self, dimensions: int, identity: str, texts: int) -> None:
        super().__init__(dimensions, identity)
        self._left = texts

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        if self.calls + len(texts) > self._left:
            raise RuntimeError("the model died")
        return super().encode(texts, on_progress)


class TestABrokenRun:
    def test_the_next_one_embeds_only_the_rest(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "more"}])
        for number in range(3):
            workspace.write(f"note{number}.md", f"{GOOD}\nLetter {number}.\n")
            workspace.write(f"note{number}.md", f"{OTHER}\nReport {number}.\n", source="more")
        with pytest.raises(RuntimeError, match="the model died"):
            workspace.build(embedder=GivesOut(64, workspace.embedder.identity, texts=5))
        assert current_id(workspace.layout) is None
        built = workspace.build()
        assert built.embedded == len(workspace.texts_held()) - 3, "those of the first source were kept"
        assert built.published
        workspace.assert_equals_rebuild(built.lake)

    def test_batches_before_the_break_are_kept(self, workspace: Workspace) -> None:
        """With vectors of this length a batch is 300 texts."""
        dimensions = 20_000
        workspace.configure([{"kind": "jsonl"}], embedding={"dimensions": dimensions})
        records = [{"id": str(n), "title": "Letter", "text": f"Ada Lovelace wrote letter {n}."} for n in range(320)]
        workspace.write("letters.jsonl", "\n".join(map(json.dumps, records)))
        identity = workspace.lake().embedder_spec.identity
        broken = workspace.lake(embedder=GivesOut(dimensions, identity, texts=310))
        with pytest.raises(RuntimeError, match="the model died"):
            refresh_source(broken, broken.settings.sources[0])
        rest = HashingEmbedder(dimensions, identity)
        lake = workspace.lake(embedder=rest)
        refresh_source(lake, lake.settings.sources[0])
        assert rest.calls == 20
        assert workspace.column("SELECT count(*) FROM embeddings") == [320]

    def test_a_batch_of_the_settings_is_the_most_that_is_lost(self, workspace: Workspace) -> None:
        workspace.configure(lake={"batch_rows": 2}, embedding={"batch_size": 1})
        for number in range(6):
            workspace.write(f"note{number}.md", f"# Note {number}\n\nAda Lovelace wrote letter {number}.\n")
        with pytest.raises(RuntimeError, match="the model died"):
            workspace.build(embedder=GivesOut(64, workspace.embedder.identity, texts=5))
        assert workspace.build().embedded == len(workspace.texts_held()) - 4

    def test_a_killed_process_is_followed_by_one_that_does_the_rest(self, workspace: Workspace) -> None:
        workspace.configure([{"name": "notes"}, {"name": "more"}])
        workspace.write("ada.md", GOOD)
        workspace.write("grace.md", OTHER, source="more")
        process = python(
            "import sys\n"
            "sys.path.insert(0, 'tests')\n"
            "from conftest import refresh_source\n"
            "from derivation.lake import Lake\n"
            "from memory.embedding import HashingEmbedder\n"
            "class Waits(HashingEmbedder):\n"
            "    def encode(self, texts, on_progress=None):\n"
            "        if self.calls:\n"
            "            print('embedding', flush=True)\n"
            "            sys.stdin.readline()\n"
            "        return super().encode(texts, on_progress)\n"
            "lake = Lake.from_file()\n"
            "lake._embedder = Waits(64, lake.embedder_spec.identity)\n"
            "for source in lake.settings.sources:\n"
            "    refresh_source(lake, source)\n",
            MEMLAKE_CONFIG=str(workspace.config),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "embedding\n"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        built = workspace.build()
        assert built.embedded == len(workspace.texts_held()) - 1
        workspace.assert_equals_rebuild(built.lake)
