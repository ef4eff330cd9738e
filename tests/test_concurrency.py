"""Several processes on one lake: each is correct, or waits and says for whom; a reader never notices."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from conftest import REPOSITORY, Workspace, build_lake, kept_open, python, refresh_source
from crashing import QUERIES, START, Reader, Reading, ended

from derivation.digest import lake_digest
from derivation.documents import refresh_documents
from derivation.gate import GATE
from derivation.lake import Lake
from derivation.retention import enforce_retention
from derivation.settling import refresh_served
from derivation.snapshot import check_candidate, make_candidate, publish_latest
from derivation.verification import verify
from pipelines.runs import prepare_home
from retrieval import MemoryClient
from testing.server import OpenAIServer
from warehouse.snapshots import ancestry, current_manifest

pytestmark = pytest.mark.histories

SOURCES = ("alpha", "beta", "gamma", "delta")
DOCUMENTS = 3
_CLI = "import sys; sys.argv[1:] = {arguments!r}; from pipelines.cli import main; main()"
_LOCKED = re.compile(r"database is locked|Conflicting lock|Could not set lock|Traceback", re.IGNORECASE)
"""What no user may see."""


class GatedServer(OpenAIServer):
    """Embeds; once closed, it keeps whoever asks for documents waiting until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.embedded: Counter[str] = Counter()

    def _embeddings(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not set(body["input"]) & set(QUERIES):
            self.asked.set()
            assert self.gate.wait(120)
            self.embedded.update(body["input"])
        return super()._embeddings(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    with GatedServer() as running:
        yield running
        running.gate.set()


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Those that a test starts; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    made = Reader()
    try:
        made.wait_ready()
        yield made
    finally:
        made.stop()


@pytest.fixture
def four(workspace: Workspace, server: GatedServer) -> Workspace:
    """A published lake of four sources, whose documents have all changed since."""
    embedding = {"provider": "openai", "model": "test-model", "base_url": server.url, "dimensions": 16}
    workspace.configure([{"name": name} for name in SOURCES], embedding=embedding)
    write_sources(workspace, "one")
    lake = Lake.from_file(workspace.config)
    with kept_open(lake):
        build_lake(lake)
    write_sources(workspace, "two")
    server.embedded.clear()
    server.asked.clear()
    return workspace


def write_sources(workspace: Workspace, edition: str) -> None:
    for source in SOURCES:
        for number in range(DOCUMENTS):
            text = f"Ada Lovelace wrote page {number} of {source} about the Analytical Engine, edition {edition}."
            workspace.write(f"note{number}.md", f"# Page {number} of {source}\n\n{text}\n", source=source)


def cli(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    """``memlake`` in a process of its own, as a user runs it."""
    code = _CLI.format(arguments=[*arguments, "--config", str(workspace.config)])
    return python(code, COLUMNS="200", PYTHONWARNINGS="ignore")


def dagster(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    """A run as the UI or a backfill starts it: another process, the same instance."""
    home = prepare_home(Lake.from_file(workspace.config).settings.dagster.home)
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(home),
            "MEMLAKE_CONFIG": str(workspace.config),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """The first line of a process's messages that holds ``wanted``."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if wanted in line:
            return line
    pytest.fail(f"it never said '{wanted}': {''.join(seen)}")


def assert_done(process: subprocess.Popen[str]) -> None:
    code, output = ended(process)
    assert code == 0, output
    assert not _LOCKED.search(output), output


def assert_whole(workspace: Workspace, server: GatedServer, reading: Reading) -> None:
    """The lake equals one that is built at once, every text was paid for once, and nobody who read noticed."""
    lake = Lake.from_file(workspace.config)
    assert set(server.embedded.values()) == {1}, "each text once"
    assert len(server.embedded) == DOCUMENTS * len(SOURCES)
    verification = verify(lake)
    assert verification.whole, verification.problems
    anew = workspace.lake(root=workspace.folder / "anew", embedder=lake.embedder)
    with kept_open(anew):
        build_lake(anew)
    assert lake_digest(anew) == verification.digest
    assert reading.problems == ()
    assert reading.queries > 0
    hits = MemoryClient.open(workspace.config).search("page of alpha", k=60)
    assert {hit.text.rpartition(" ")[2] for hit in hits} == {"two."}


def instance(workspace: Workspace) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(Lake.from_file(workspace.config).settings.dagster.home))


def claimed_slots(opened: dg.DagsterInstance) -> int:
    storage = opened.event_log_storage
    return sum(len(storage.get_concurrency_info(pool).claimed_slots) for pool in storage.get_concurrency_keys())


# --- whole processes ------------------------------------------------------------------------------------------------


def test_two_builds_at_once(
    four: Workspace, server: GatedServer, reader: Reader, processes: list[subprocess.Popen[str]]
) -> None:
    with reader.reading(four.config) as reading:
        server.gate.clear()
        first = cli(four, "build")
        processes.append(first)
        assert server.asked.wait(120)
        second = cli(four, "build")
        processes.append(second)
        said = read_until(second, "Waiting for")
        server.gate.set()
        assert_done(first)
        assert_done(second)
    assert re.search(r"Waiting for the Dagster run \w+ \(refresh_source alpha\)", said), said
    assert_whole(four, server, reading)
    with instance(four) as opened:
        assert claimed_slots(opened) == 0


def test_a_build_while_the_ui_runs_a_source(
    four: Workspace, server: GatedServer, reader: Reader, processes: list[subprocess.Popen[str]]
) -> None:
    with reader.reading(four.config) as reading:
        server.gate.clear()
        layers = "documents,passages,embeddings,mentions"
        run = dagster(
            four, "asset", "materialize", "-m", "pipelines.definitions", "--select", layers, "--partition", "beta"
        )
        processes.append(run)
        assert server.asked.wait(120)
        build = cli(four, "build")
        processes.append(build)
        read_until(build, "Waiting for")
        server.gate.set()
        code, output = ended(run)
        assert code == 0, output
        assert_done(build)
    assert_whole(four, server, reading)


_PARALLEL = """
import sys
import dagster as dg
from pipelines.definitions import defs

LAYERS = dg.AssetSelection.assets("documents", "passages", "embeddings")

def job():
    parallel = dg.define_asset_job("parallel", LAYERS, executor_def=dg.multiprocess_executor)
    return dg.Definitions.merge(defs(), dg.Definitions(jobs=[parallel])).resolve_job_def("parallel")

def run(source):
    forks = {"forkserver": {"preload_modules": ["pipelines.definitions"]}}
    config = {"execution": {"config": {"max_concurrent": 2, "start_method": forks}}}
    tags = {"dagster/partition": source}
    with dg.DagsterInstance.get() as instance:
        with dg.execute_job(dg.reconstructable(job), instance=instance, run_config=config, tags=tags) as result:
            sys.exit(0 if result.success else 1)
"""


def test_four_sources_in_parallel_under_the_multiprocess_executor(
    four: Workspace, server: GatedServer, reader: Reader, processes: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    home = prepare_home(Lake.from_file(four.config).settings.dagster.home)
    (tmp_path / "parallel_job.py").write_text(_PARALLEL)
    with reader.reading(four.config) as reading:
        path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests", tmp_path)))
        instance_of = {"DAGSTER_HOME": str(home), "MEMLAKE_CONFIG": str(four.config)}
        processes += [
            python(f"import parallel_job; parallel_job.run({source!r})", PYTHONPATH=path, **instance_of)
            for source in SOURCES
        ]
        for process in processes:
            assert_done(process)
        lake = Lake.from_file(four.config)
        with kept_open(lake):
            build_lake(lake)
    assert_whole(four, server, reading)
    with instance(four) as opened:
        assert claimed_slots(opened) == 0
        assert [run.status for run in opened.get_runs()] == [dg.DagsterRunStatus.SUCCESS] * len(SOURCES)


def test_processes_that_open_a_new_instance_at_once_leave_it_with_one_schema(
    workspace: Workspace, processes: list[subprocess.Popen[str]]
) -> None:
    home = Lake.from_file(workspace.config).settings.dagster.home
    processes += [
        python(
            "from pathlib import Path\n"
            "import dagster as dg\n"
            "from pipelines.runs import prepare_home\n"
            f"with dg.DagsterInstance.from_config(str(prepare_home(Path({str(home)!r})))) as instance:\n"
            "    instance.get_runs_count()\n"
        )
        for _ in range(3)
    ]
    for process in processes:
        assert_done(process)


def test_a_killed_build_does_not_block_the_next(
    four: Workspace, server: GatedServer, reader: Reader, processes: list[subprocess.Popen[str]]
) -> None:
    with reader.reading(four.config) as reading:
        server.gate.clear()
        killed = cli(four, "build")
        processes.append(killed)
        assert server.asked.wait(120)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        with instance(four) as opened:
            assert claimed_slots(opened) == 1
            [left] = opened.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        server.gate.set()
        following = cli(four, "build")
        processes.append(following)
        assert_done(following)
    with instance(four) as opened:
        assert claimed_slots(opened) == 0
        run = opened.get_run_by_id(left.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.FAILURE
    assert reading.problems == ()
    assert verify(Lake.from_file(four.config)).whole


def test_who_waits_for_another_process_says_for_whom(four: Workspace, processes: list[subprocess.Popen[str]]) -> None:
    holder = python(
        "import sys\n"
        "from derivation.lake import Lake\n"
        "sys.argv = ['counter', 'of', 'sheep']\n"
        "with Lake.from_file().working('counting sheep'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.readline()\n",
        MEMLAKE_CONFIG=str(four.config),
    )
    processes.append(holder)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    build = cli(four, "build")
    processes.append(build)
    said = read_until(build, "Waiting for")
    who = f"Waiting for process {holder.pid} on {socket.gethostname()} (counter of sheep), counting sheep, since "
    assert said.startswith(who)
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert_done(build)


# --- between the steps of a run -------------------------------------------------------------------------------------

GAPS = ("documents", "vectors", "candidate", "checks")


@pytest.mark.parametrize("gap", GAPS)
def test_what_another_process_reads_between_the_steps_of_a_run_mixes_no_states(workspace: Workspace, gap: str) -> None:
    for name in ("ada", "grace"):
        workspace.write(f"{name}.md", f"# {name}\n\n{name} Lovelace wrote to Charles Babbage in edition 1.\n")
    workspace.build()
    workspace.write("ada.md", "# ada\n\nada Lovelace wrote to Charles Babbage in edition 2.\n")
    lake, other = workspace.lake(), workspace.lake()

    def intrude(at: str) -> None:
        """Another process reads a changed document, and stops."""
        if at == gap:
            workspace.write("grace.md", "# grace\n\ngrace Lovelace wrote to Luigi Menabrea in edition 3.\n")
            refresh_documents(other, other.settings.source("notes"))

    refresh_source(lake, lake.settings.source("notes"))
    intrude("documents")
    refresh_served(lake)
    intrude("vectors")
    make_candidate(lake)
    intrude("candidate")
    candidate, results = check_candidate(lake)
    assert len(results) == len(GATE)
    assert all(result.passed for result in results)
    intrude("checks")
    assert publish_latest(lake) == (candidate, True)
    assert current_manifest(lake.layout) == candidate

    editions = sorted(hit.text.rpartition(" ")[2] for hit in workspace.client().search("Lovelace wrote", k=9))
    assert editions == (["1.", "2."] if gap == "checks" else ["2.", "3."])
    built = workspace.build()
    assert built.published == (gap == "checks")
    assert verify(built.lake).whole
    workspace.assert_equals_rebuild(built.lake)


def test_a_candidate_that_another_build_pins_before_the_publication_is_checked_and_published(
    workspace: Workspace,
) -> None:
    workspace.write("ada.md", "# Ada\n\nAda Lovelace wrote to Charles Babbage.\n")
    first = workspace.build(as_of=START)
    workspace.write("grace.md", "# Grace\n\nGrace Hopper found a moth in the Mark II.\n")
    lake = workspace.lake(as_of=START + timedelta(seconds=1))
    other = workspace.lake(as_of=START + timedelta(seconds=2))
    refresh_source(lake, lake.settings.source("notes"))
    refresh_served(lake)
    make_candidate(lake)
    mine, _ = check_candidate(lake)
    theirs = make_candidate(other)
    assert theirs != mine
    assert publish_latest(lake) == (theirs, True)
    check_candidate(other)
    assert publish_latest(other) == (theirs, False)
    assert [link.snapshot_id for link in ancestry(lake.layout)] == [theirs.snapshot_id, first.id]


def test_retention_takes_nothing_from_under_a_reader(workspace: Workspace, reader: Reader) -> None:
    workspace.configure(retention={"keep_last": 1, "keep_days": 0})
    for number in range(12):
        workspace.write(f"note{number}.md", f"# Note {number}\n\nThe Analytical Engine of Charles Babbage, {number}.\n")
    workspace.build()
    with reader.reading(workspace.config) as reading:
        for edition in range(12):
            workspace.write("note0.md", f"# Note 0\n\nThe Analytical Engine of Charles Babbage, edition {edition}.\n")
            assert workspace.build().published
            reading.know(workspace.client())
            enforce_retention(workspace.lake())
    assert reading.problems == ()
    assert len(reading.snapshots) > 1
