"""Erasing: from the rows, from every snapshot that shows it, from the bytes; and it does not come back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Workspace

from derivation.erasure import DOCUMENT, SOURCE, SPACE, ErasureReport, erase, plan_erasure, readmit
from derivation.evaluation_records import add_results, begin_run, forget_run
from derivation.evaluations import EvaluationPlan, evaluate_lake
from derivation.lake import Lake
from derivation.progress import NoProgress
from derivation.status import read_status
from errors import SettingsError, SnapshotError, UnknownName
from evaluation.dataset import Dataset, Evidence, GoldUnit, Question
from evaluation.systems import parse_systems
from warehouse.scanning import find_in_files
from warehouse.snapshots import ancestry, list_ids, manifest_as_of

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "Ludmila Quistgaard of the Zarathrustic Foundry confessed to the heliotrope embezzlement in Trondheim."
KEEP = "Ada Lovelace wrote the first program for the Analytical Engine of Charles Babbage in London."


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


def run_erasure(workspace: Workspace, target: str, name: str, source: str = "") -> ErasureReport:
    lake = workspace.lake(as_of=hour(90))
    return erase(lake, plan_erasure(lake, target, name, source))


def files_with(workspace: Workspace, text: str) -> list[Path]:
    files = [path for path in workspace.layout.root.rglob("*") if path.is_file()]
    return sorted(find_in_files(files, [text.encode()]))


@pytest.fixture
def history(workspace: Workspace) -> Workspace:
    """Four snapshots: before the secret, with it, with it beside another document, and after its deletion."""
    filler = [f"# Note {number}\n\n{KEEP} It was note {number} of the engine's many.\n" for number in range(30)]
    for number, text in enumerate(filler):
        workspace.write(f"note{number}.md", text)
    workspace.build(as_of=hour(0))
    workspace.write("secret.md", f"# Confession\n\n{SECRET}\n")
    workspace.build(as_of=hour(1))
    workspace.write("later.md", f"# Later\n\n{KEEP} And a moth.\n")
    workspace.build(as_of=hour(2))
    return workspace


def test_a_document_goes_from_every_snapshot_and_every_file(history: Workspace) -> None:
    before = list_ids(history.layout)
    assert files_with(history, SECRET), "the scan sees it while it is there"
    lake = history.lake(as_of=hour(90))
    plan = plan_erasure(lake, DOCUMENT, "secret.md")
    assert [item.path for item in plan.documents] == ["secret.md"]
    assert plan.snapshots == tuple(before[1:])
    report = erase(lake, plan)
    assert report.clean
    assert report.needles >= 1
    assert report.files_scanned > 10
    assert set(report.snapshots) == set(before[1:])
    assert files_with(history, SECRET) == []
    assert list_ids(history.layout) == sorted([before[0], report.published])
    assert not any("Quistgaard" in hit.text for hit in history.client().search("Quistgaard heliotrope embezzlement"))


def test_the_chain_of_the_past_goes_on_behind_what_was_erased(history: Workspace) -> None:
    before = list_ids(history.layout)
    run_erasure(history, DOCUMENT, "secret.md")
    assert [link.snapshot_id for link in ancestry(history.layout)][1:] == before[::-1]
    assert manifest_as_of(history.layout, hour(0)).snapshot_id == before[0]
    with pytest.raises(SnapshotError, match=r"no longer kept \(erasure\)"):
        manifest_as_of(history.layout, hour(1))
    hits = history.client().search("Analytical Engine", as_of=hour(0))
    assert hits and not any("Quistgaard" in hit.text for hit in hits)


def test_it_is_not_read_again_until_it_is_admitted(history: Workspace) -> None:
    run_erasure(history, DOCUMENT, "secret.md")
    history.write("secret.md", f"# Confession\n\n{SECRET} Again.\n")
    history.build(as_of=hour(91))
    assert "secret.md" not in history.paths()
    assert readmit(history.lake(), "notes", "secret.md")
    assert not readmit(history.lake(), "notes", "secret.md")
    built = history.build(as_of=hour(92))
    assert "secret.md" in history.paths()
    history.assert_equals_rebuild(built.lake)


def test_what_was_deleted_before_goes_from_the_past(history: Workspace) -> None:
    history.delete("secret.md")
    history.build(as_of=hour(3))
    assert files_with(history, SECRET), "kept snapshots pin it"
    report = run_erasure(history, DOCUMENT, "secret.md")
    assert report.clean
    assert files_with(history, SECRET) == []


def test_a_snapshot_that_carries_it_as_a_deleted_row_goes_too(workspace: Workspace) -> None:
    for number in range(30):
        workspace.write(f"note{number}.md", f"# Note {number}\n\n{KEEP} It was note {number} of the engine's many.\n")
    workspace.write("secret.md", f"# Confession\n\n{SECRET}\n")
    shows = workspace.build(as_of=hour(0)).id
    workspace.delete("secret.md")
    carries = workspace.build(as_of=hour(1)).id
    workspace.write("later.md", f"# Later\n\n{KEEP} And a moth.\n")
    workspace.build(as_of=hour(2))
    report = run_erasure(workspace, DOCUMENT, "secret.md")
    assert report.clean
    assert {shows, carries} <= set(report.snapshots)
    assert files_with(workspace, SECRET) == []


def test_text_that_another_document_holds_stays_there(history: Workspace) -> None:
    history.write("shared.md", f"# Shared\n\n{KEEP}\n\n{SECRET}\n")
    history.build(as_of=hour(4))
    report = run_erasure(history, DOCUMENT, "secret.md")
    assert report.clean
    assert report.shared_lines == 1
    assert "shared.md" in history.paths()
    assert any("Quistgaard" in hit.text for hit in history.client().search("Quistgaard heliotrope"))


def test_the_audit_says_what_was_done_and_nothing_of_the_content(history: Workspace) -> None:
    report = run_erasure(history, DOCUMENT, "secret.md")
    ((target, space, source, documents, passages, finished, files),) = history.rows(
        "SELECT target, space, source, document_ids, passages, finished_at, files_scanned FROM erasures"
    )
    assert (target, space, source, passages) == ("document", "default", "notes", 1)
    assert len(documents) == 1
    assert finished is not None
    assert files == report.files_scanned
    noted = [json.loads(line) for line in history.layout.erasures.read_text().splitlines()]
    assert [item["blocked"] for item in noted] == documents
    assert "secret" not in history.layout.erasures.read_text()


def test_a_source_goes_after_it_has_left_the_settings(workspace: Workspace) -> None:
    workspace.configure([{"name": "notes"}, {"name": "people"}])
    workspace.write("ada.md", f"# Ada\n\n{KEEP}\n")
    workspace.write("one.md", f"# One\n\n{SECRET}\n", source="people")
    workspace.write("two.md", f"# Two\n\n{SECRET} Twice.\n", source="people")
    workspace.build(as_of=hour(0))
    with pytest.raises(SettingsError, match="still configured"):
        plan_erasure(workspace.lake(), SOURCE, "people")
    workspace.configure([{"name": "notes"}])
    report = run_erasure(workspace, SOURCE, "people")
    assert report.documents == 2
    assert report.clean
    assert files_with(workspace, SECRET) == []
    assert workspace.paths() == ["ada.md"]


def test_a_space_goes_whole(workspace: Workspace) -> None:
    workspace.configure([{"name": "notes"}, {"name": "people", "space": "vault"}])
    workspace.write("ada.md", f"# Ada\n\n{KEEP}\n")
    workspace.write("one.md", f"# One\n\n{SECRET}\n", source="people")
    workspace.build(as_of=hour(0))
    workspace.configure([{"name": "notes"}])
    report = run_erasure(workspace, SPACE, "vault")
    assert report.clean
    assert files_with(workspace, SECRET) == []
    assert not (workspace.layout.vectors / "vault" / "passages-hashing-bundled-64.lance").exists()
    assert not list(workspace.layout.vectors.glob("vault/*.lance"))


def test_all_records_of_a_file_go_with_it(workspace: Workspace) -> None:
    workspace.configure([{"kind": "jsonl"}])
    records = [{"id": f"T-{n}", "title": f"Ticket {n}", "text": f"{SECRET} Number {n}."} for n in range(3)]
    workspace.write("tickets.jsonl", "".join(json.dumps(item) + "\n" for item in records))
    workspace.write("other.jsonl", json.dumps({"id": "A", "title": "Ada", "text": KEEP}) + "\n")
    workspace.build(as_of=hour(0))
    report = run_erasure(workspace, DOCUMENT, "tickets.jsonl")
    assert report.documents == 3
    assert report.clean
    assert workspace.paths() == ["other.jsonl#A"]


def test_one_record_of_a_file_goes_alone(workspace: Workspace) -> None:
    workspace.configure([{"kind": "jsonl"}])
    records = [{"id": f"T-{n}", "title": f"Ticket {n}", "text": f"{KEEP} Number {n}."} for n in range(2)]
    records.append({"id": "X", "title": "Secret", "text": SECRET})
    workspace.write("tickets.jsonl", "".join(json.dumps(item) + "\n" for item in records))
    workspace.build(as_of=hour(0))
    assert run_erasure(workspace, DOCUMENT, "tickets.jsonl#X").clean
    workspace.write("tickets.jsonl", "".join(json.dumps(item) + "\n" for item in records[::-1]))
    workspace.build(as_of=hour(91))
    assert workspace.paths() == ["tickets.jsonl#T-0", "tickets.jsonl#T-1"]


def test_a_session_goes_from_what_tells_of_its_time(workspace: Workspace) -> None:
    workspace.configure([{"kind": "chat"}])
    told = "I adopted a heliotrope greyhound in Trondheim last week."
    sessions = [
        {"session": "kept", "date": "2026-02-03", "turns": [{"speaker": "Ann", "text": KEEP}]},
        {"session": "gone", "date": "2026-02-04", "turns": [{"speaker": "Ben", "text": told}]},
    ]
    workspace.write("talk.jsonl", "".join(json.dumps(item) + "\n" for item in sessions))
    workspace.build(as_of=hour(0))
    holding = "SELECT DISTINCT granularity FROM memories WHERE contains(text, $told)"
    assert {"period", "summary"} <= set(workspace.column(holding, told=told[:-1]))
    assert run_erasure(workspace, DOCUMENT, "talk.jsonl#gone").clean
    assert workspace.column(holding, told=told[:-1]) == []
    assert files_with(workspace, told[:-1]) == []
    assert workspace.column("SELECT DISTINCT subject FROM memories WHERE attribute = 'day'") == ["2026-02-03"]


def test_a_memory_goes_from_snapshots_that_have_it_as_a_deleted_row(workspace: Workspace) -> None:
    """What an outline says stands in no line of its document."""
    for number in range(12):
        workspace.write(f"note{number}.md", f"# Note {number}\n\n{KEEP} It was note {number}.\n")
    workspace.write("secret.md", f"# Confession\n\n{SECRET}\n")
    workspace.build(as_of=hour(0))
    ((outline, text),) = workspace.rows(
        "SELECT m.text, r.text FROM memories m JOIN revisions r USING (document_id)"
        " JOIN documents d USING (document_id) WHERE granularity = 'outline' AND d.path = 'secret.md'"
    )
    assert outline not in text
    workspace.delete("secret.md")
    later = workspace.build(as_of=hour(1))
    assert files_with(workspace, outline), "the scan sees it while it is there"
    report = run_erasure(workspace, DOCUMENT, "secret.md")
    assert report.clean
    assert later.id in report.snapshots
    assert files_with(workspace, outline) == []


def test_what_is_nowhere_is_an_unknown_name(history: Workspace) -> None:
    with pytest.raises(UnknownName, match=r"has the document 'none.md'"):
        plan_erasure(history.lake(), DOCUMENT, "none.md")


def test_two_sources_with_the_path_must_be_told_apart(workspace: Workspace) -> None:
    workspace.configure([{"name": "notes"}, {"name": "people"}])
    workspace.write("ada.md", f"# Ada\n\n{KEEP}\n")
    workspace.write("ada.md", f"# Ada\n\n{SECRET}\n", source="people")
    workspace.build(as_of=hour(0))
    with pytest.raises(SettingsError, match="notes, people"):
        plan_erasure(workspace.lake(), DOCUMENT, "ada.md")
    assert run_erasure(workspace, DOCUMENT, "ada.md", "people").clean
    assert workspace.rows("SELECT source, path FROM documents") == [("notes", "ada.md")]


def test_an_erasure_that_was_interrupted_goes_on(history: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from warehouse import faults

    class Killed(BaseException):
        pass

    def die(point: str) -> None:
        if point == "erase.published":
            raise Killed

    lake = history.lake(as_of=hour(90))
    plan = plan_erasure(lake, DOCUMENT, "secret.md")
    faults.arm(die)
    try:
        with pytest.raises(Killed):
            erase(lake, plan)
    finally:
        faults.arm(None)
    assert [text.partition(",")[0] for text in read_status(history.lake()).unfinished_erasures] == ["document of notes"]
    again = run_erasure(history, DOCUMENT, "secret.md")
    assert again.clean
    assert again.needles >= 1, "the text is known from the snapshots that still show it"
    assert files_with(history, SECRET) == []
    assert history.column("SELECT count(*) FROM erasures WHERE finished_at IS NULL") == [0]


def test_answers_that_an_evaluation_gave_from_it_go_too(history: Workspace) -> None:
    """A verbatim answer with letters that JSON would have escaped; neither the scan nor a late result keeps it."""
    told = 'Ludmila “Lúdmila” Quistgaard paid Müller "nine" crowns at the café in Zürich.'
    history.write("secret.md", f"# Confession\n\n{told}\n")
    history.build(as_of=hour(3))
    question = Question("q", "Whom did Quistgaard pay nine crowns at the café?", gold=(Evidence("secret.md"),))
    dataset = Dataset("mine", "questions", GoldUnit.DOCUMENT, (history.config,), (), (question,))
    plan = EvaluationPlan(dataset, parse_systems(["fused"]))
    lake = history.lake()
    run = evaluate_lake(lake, plan, lake.warehouse, NoProgress())
    [row] = run.rows
    assert row.answer is not None and told in row.answer.text
    assert history.column("SELECT answer FROM evaluation_results") == [row.answer.text], "as it is, for the scan to see"
    assert run_erasure(history, DOCUMENT, "secret.md").clean
    assert history.column("SELECT answer FROM evaluation_results") == [None]
    forget_run(lake.warehouse, run.record.run_id)
    begin_run(lake.warehouse, run.record)
    add_results(lake.warehouse, run.record.run_id, run.rows)
    assert history.column("SELECT answer FROM evaluation_results") == [None], "a run that was going on meanwhile"


def test_the_rest_equals_a_rebuild(history: Workspace) -> None:
    run_erasure(history, DOCUMENT, "secret.md")
    history.delete("secret.md")
    lake: Lake = history.build(as_of=hour(91)).lake
    history.assert_equals_rebuild(lake)
