"""The command line: every command, its JSON, its exit codes and its messages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from warehouse.settings import load_settings

COMMANDS = (
    ["init"],
    ["plan"],
    ["build"],
    ["ui"],
    ["status"],
    ["search"],
    ["ask"],
    ["events"],
    ["memories", "show"],
    ["memories", "candidates"],
    ["memories", "export"],
    ["snapshots", "list"],
    ["snapshots", "show"],
    ["snapshots", "diff"],
    ["snapshots", "rollback"],
    ["snapshots", "pin"],
    ["snapshots", "unpin"],
    ["verify"],
    ["maintain"],
    ["erase"],
    ["repair"],
    ["eval", "hipporag"],
)
_MAIN = "from pipelines.cli import main; main()"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _lay_out(folder: Path) -> Path:
    """A settings file with the hashing embedder, and three documents."""
    documents = folder / "documents"
    documents.mkdir()
    (documents / "harbour.md").write_text("# Harbour\n\nThe harbour master of Port Hallin is Ana Reyes.\n")
    (documents / "lamp.txt").write_text("The lamp of Gull Point was lit in 1911 and turned by a clockwork.\n")
    (documents / "ferry.md").write_text("# Ferry\n\nThe ferry *Petrel* leaves Port Hallin at 07:15.\n")
    (folder / "memlake.toml").write_text(
        '[lake]\nroot = "lake"\n[embedding]\nprovider = "hashing"\ndimensions = 64\n'
        '[answer]\nmin_similarity = 0.2\n[[sources]]\nname = "documents"\nurl = "documents"\n'
    )
    return folder


def _run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``memlake`` in a process of its own, as a user runs it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MEMLAKE_")}
    environment["COLUMNS"] = "200"
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lake to be built."""
    return _lay_out(tmp_path)


@pytest.fixture(scope="module")
def built_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that is built; tests only read it."""
    folder = _lay_out(tmp_path_factory.mktemp("built"))
    assert _run(folder, "build").returncode == 0
    return folder


@pytest.fixture
def memlake(folder: Path) -> Run:
    """Runs ``memlake`` in ``folder``."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return _run(cwd or folder, *arguments)

    return run


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("duckdb", "lancedb", "torch", "dagster", "polars", "pyarrow", "sentence_transformers", "pydantic_settings")
    code = f"import sys, pipelines.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="memlake")
    assert done.exit_code == 0
    assert f"memlake {' '.join(command)}" in done.output


def test_what_commands_return_and_cite_is_noted_where_the_settings_ask_for_it(
    built_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(built_folder, folder)
    with (folder / "memlake.toml").open("a") as settings:
        settings.write("[events]\nenabled = true\n")
    assert _run(folder, "search", "harbour master", "-k", "2").returncode == 0
    cited = len(_json(_run(folder, "ask", "Who is the harbour master of Port Hallin?", "--json"))["citations"])
    assert cited > 0
    before = _json(_run(folder, "events", "--json"))
    assert (before["files"], before["kinds"]) == (2, {})
    assert before["unread_bytes"] > 0
    told = _run(folder, "events", "--read")
    assert told.returncode == 0, told.stderr
    assert f"returned 2, cited {cited}" in told.stdout
    assert "unread: 0 B" in told.stdout
    assert "Left out" not in told.stdout


def test_a_lake_from_init_to_rollback(memlake: Run, folder: Path) -> None:
    assert not _json(memlake("plan", "--json"))["empty"]
    assert not (folder / "lake" / "vectors").exists(), "a plan does nothing"

    first = _json(memlake("build", "--as-of", "2026-01-01", "--json"))
    assert first["published"]
    assert {step["step"] for step in first["steps"]} >= {"documents", "passages", "embeddings", "mentions", "vectors"}
    assert _json(memlake("plan", "--json"))["empty"]
    again = _json(memlake("build", "--json"))
    assert (again["published"], again["steps"]) == (False, [])

    (folder / "documents" / "harbour.md").write_text("# Harbour\n\nThe harbour master of Port Hallin is Jon Berg.\n")
    (folder / "documents" / "lamp.txt").unlink()
    second = _json(memlake("build", "--as-of", "2026-02-01", "--json"))
    assert second["published"]

    difference = _json(memlake("snapshots", "diff", first["snapshot"], second["snapshot"], "--json"))
    assert difference[0]["changed"] == ["documents: harbour.md"]
    assert difference[0]["removed"] == ["documents: lamp.txt"]

    hits = _json(memlake("search", "Who is the harbour master of Port Hallin?", "-k", "1", "--json"))["hits"]
    assert "Jon Berg" in hits[0]["text"]
    assert hits[0]["location"]["path"] == "harbour.md"
    assert hits[0]["span"]["end"] > hits[0]["span"]["start"]
    then = _json(memlake("search", "harbour master Port Hallin", "-k", "1", "--as-of", "2026-01-15", "--json"))["hits"]
    assert "Ana Reyes" in then[0]["text"]

    rolled = _json(memlake("snapshots", "rollback", first["snapshot"], "--json"))
    assert rolled == {"published": first["snapshot"], "before": second["snapshot"]}
    answer = _json(memlake("ask", "Who is the harbour master of Port Hallin?", "--json"))
    assert "Ana Reyes" in answer["answer"]
    assert answer["citations"][0]["path"] == "harbour.md"
    listed = _json(memlake("snapshots", "list", "--json"))
    assert [item["published"] for item in listed] == [True, False]
    shown = _json(memlake("snapshots", "show", first["snapshot"], "--json"))
    assert shown["spaces"]["default"]["documents"] == 3


def test_output_for_people_names_paths_spans_and_ranks(built_folder: Path) -> None:
    found = _run(built_folder, "search", "clockwork lamp", "-k", "1").stdout
    assert "lamp.txt" in found
    assert "characters 0-" in found
    assert "lexical 1" in found
    status = _run(built_folder, "status").stdout
    assert "documents" in status
    assert "Published" in status


def test_bad_documents_make_a_partial_success_that_status_explains(memlake: Run, folder: Path) -> None:
    (folder / "documents" / "broken.pdf").write_bytes(b"%PDF-1.7\nnot a pdf at all")
    (folder / "documents" / "empty.md").write_text("")
    built = memlake("build", "--json")
    assert built.returncode == 3
    record = json.loads(built.stdout)
    assert record["published"]
    assert record["failed_inputs"] == 2
    quarantine = _json(memlake("status", "--json"))["quarantine"]
    assert {item["label"] for item in quarantine} == {"broken.pdf", "empty.md"}
    assert all(item["label"] in item["error"] and item["remedy"] for item in quarantine)
    assert memlake("build").returncode == 0, "known bad documents do not fail every later build"
    assert memlake("build", "--retry").returncode == 3


def test_a_source_that_does_not_answer_stops_nothing_else(memlake: Run, folder: Path) -> None:
    file = folder / "memlake.toml"
    file.write_text(file.read_text() + '[[sources]]\nname = "gone"\nurl = "nowhere"\n')
    built = memlake("build")
    assert built.returncode == 3
    assert "gone" in built.stdout
    assert "Published" in built.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build", "--source", "documnts"], 2, "Did you mean 'documents'?"),
        (["search", "lamp", "--channel", "dens"], 2, "Did you mean 'dense'?"),
        (["search", "  "], 2, "The query is empty."),
        (["search", "lamp", "--space", "defualt"], 2, "Did you mean 'default'?"),
        (["snapshots", "show", "19990101"], 2, "There is no snapshot named '19990101'."),
        (["snapshots", "rollback", "19990101"], 2, "There is no snapshot named '19990101'."),
        (["search", "lamp", "--as-of", "1999-01-01"], 1, "the history begins at"),
        (["search", "lamp", "--as-of", "yesterday"], 1, "'yesterday' is no date."),
        (["init"], 2, "exists already"),
        (["eval", "hipporag", "none.json", "none.json"], 2, "none.json cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_give_one_line_and_an_exit_code(
    built_folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = _run(built_folder, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrong_settings_file_is_named_with_the_nearest_key(memlake: Run, folder: Path) -> None:
    (folder / "memlake.toml").write_text('[lake]\nrot = "lake"\n')
    done = memlake("status")
    assert done.returncode == 2
    assert "memlake.toml: unknown key 'lake.rot', did you mean 'root'?" in done.stderr


def test_without_a_settings_file_init_is_named(memlake: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = memlake("status", cwd=tmp_path_factory.mktemp("empty"))
    assert done.returncode == 2
    assert "memlake init" in done.stderr


def test_searching_before_the_first_build_says_what_to_do(memlake: Run) -> None:
    done = memlake("search", "lamp")
    assert done.returncode == 1
    assert "memlake build" in done.stderr


def test_init_writes_a_file_that_loads(memlake: Run, folder: Path) -> None:
    done = memlake("init", "other", "--documents", "texts")
    assert done.returncode == 0
    settings = load_settings(folder / "other" / "memlake.toml")
    assert settings.sources[0].url == str(folder / "other" / "texts")


def test_a_failed_check_holds_the_snapshot_back_and_says_so(memlake: Run, folder: Path) -> None:
    first = _json(memlake("build", "--json"))["snapshot"]
    import duckdb

    with duckdb.connect(str(folder / "lake" / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE passages SET char_start = char_start + 1, char_end = char_end + 1 WHERE ordinal = 0")
    (folder / "documents" / "new.md").write_text("# New\n\nA new buoy was moored off Gull Point.\n")
    done = memlake("build")
    assert done.returncode == 1
    assert "Check 'spans' failed" in done.stdout
    assert f"Still published: {first}" in done.stdout
    assert "spans" in memlake("status").stdout


@pytest.mark.histories
def test_a_lake_is_kept_in_shape_from_the_command_line(memlake: Run, folder: Path) -> None:
    first = _json(memlake("build", "--json"))["snapshot"]
    assert memlake("snapshots", "pin", first, "--note", "the audit").returncode == 0
    (kept,) = _json(memlake("snapshots", "list", "--json"))
    assert kept["pinned"]
    assert memlake("snapshots", "unpin", first).returncode == 0
    found = _json(memlake("verify", "--embed", "2", "--dump", str(folder / "dump.jsonl"), "--json"))
    assert found["whole"]
    tables = {json.loads(line)[0] for line in (folder / "dump.jsonl").read_text().splitlines()}
    assert {"documents", "passages", "embeddings", "vectors of default", "graph of default"} <= tables

    stores = {step["store"]: step for step in _json(memlake("maintain", "--json"))["steps"]}
    assert set(stores) == {
        "compact_vectors_default",
        "compact_memory_vectors_default",
        "kept_snapshots",
        "compact_warehouse",
    }
    assert stores["compact_warehouse"]["bytes_before"] >= stores["compact_warehouse"]["bytes_after"] > 0

    asked = memlake("erase", "ferry.md")
    assert (asked.returncode, "This takes 1 document" in asked.stdout) == (1, True), "nobody has said yes"
    erased = _json(memlake("erase", "ferry.md", "--yes", "--json"))
    assert (erased["clean"], erased["documents"], erased["needles"] > 0) == (True, 1, True)
    assert "Petrel" not in memlake("search", "ferry Petrel").stdout
    assert memlake("erase", "ferry.md", "--source", "documents", "--readmit").returncode == 0
    assert memlake("erase", "nowhere.md", "--yes").returncode == 2

    shutil.rmtree(folder / "lake" / "vectors")
    broken = memlake("search", "lamp")
    assert (broken.returncode, "memlake repair" in broken.stderr) == (1, True)
    assert memlake("verify").returncode == 1
    assert _json(memlake("repair", "--yes", "--json"))["published"]
    assert "Gull Point" in memlake("search", "lamp").stdout
