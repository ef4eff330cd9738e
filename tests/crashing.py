"""Killing a process at a named point of the write path, while another one queries, and what must hold afterwards.

One lake is built as a template, and its sources are changed. Each crash gets a copy of it. A fork server, which has
imported everything and opened nothing, forks the process that is killed; a reader process follows the published
snapshot of whichever lake it is told. ``pytest --crash-table`` prints what became of each crash.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from conftest import REPOSITORY, Workspace, build_lake, kept_open, python

from derivation.digest import lake_digest
from derivation.erasure import DOCUMENT, erase, plan_erasure
from derivation.graphs import GRAPH_STEP_NAME
from derivation.lake import Lake
from derivation.layers import TABLE_LAYERS, layer_state
from derivation.repair import repair
from derivation.retention import enforce_retention
from derivation.snapshot import publish_present
from derivation.upkeep import maintain_table, maintain_warehouse
from derivation.verification import verify
from errors import SnapshotError, UnknownName
from retrieval.client import MemoryClient
from warehouse import faults
from warehouse.compaction import named_data_files, table_path, tables, version_files
from warehouse.database import migrations
from warehouse.layout import LakeLayout
from warehouse.scanning import find_in_files
from warehouse.snapshots import current_manifest, list_ids, read_manifest

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "Ludmila Quistgaard of the Zarathrustic Foundry confessed to the heliotrope embezzlement in Trondheim."
NOTE = (
    "# Note {number}\n\nIn note {number} Ada Lovelace wrote program {word} for the Analytical Engine of Charles "
    "Babbage in London, while Grace Hopper looked for a moth in relay {number} of the Mark II at Harvard University.\n"
)
PAIR = "# Pair {which}\n\nThe ledger of Port Hallin, half {which} of a pair, is in its edition {edition}.\n"
LETTER = (
    "# Letter\n\nDear Ada, the cards of the loom arrived on Tuesday from Lyon by the slow coach, and Joseph Jacquard "
    "asks that the silk be paid before the end of the month, since his weavers will not wait for the Analytical Engine "
    "to be finished, nor will the bank of Turin lend us any more upon the good name of Luigi Menabrea.\n"
)
SNAPSHOTS = 8
"""Of the template; each leaves a small file in its table that stays in use, and one more makes a build merge them."""

QUERIES = ("Analytical Engine of Charles Babbage", "which edition is the ledger of Port Hallin in", "moth in the relay")


# --- what is killed -------------------------------------------------------------------------------------------------


def maintain(lake: Lake) -> None:
    """What the upkeep job does, without Dagster."""
    for space in lake.settings.spaces:
        maintain_table(lake, space)
    publish_present(lake)
    enforce_retention(lake)
    maintain_warehouse(lake)


def erase_secret(lake: Lake) -> None:
    """Erase one document, or go on with it; nothing where it is gone for good."""
    try:
        plan = plan_erasure(lake, DOCUMENT, "secret.md")
    except UnknownName:
        return
    assert erase(lake, plan).clean


OPERATIONS: Mapping[str, Callable[[Lake], object]] = {
    "build": build_lake,
    "build of an old file": build_lake,
    "maintain": maintain,
    "erase": erase_secret,
    "repair": repair,
}


@dataclass(frozen=True)
class Crash:
    """Where a process is killed, doing what."""

    point: str
    operation: str = "build"
    reach: int = 1
    """The how manieth time that the point is reached."""

    def __str__(self) -> str:
        return f"{self.point}-{self.reach}-{self.operation.replace(' ', '_')}"


_REACHED_BY = {
    "migrate.": "build of an old file",
    "retention.": "maintain",
    "compaction.": "maintain",
    "erase.": "erase",
    "repair.": "repair",
}

_AGAIN = (
    Crash("files.written", reach=2),
    Crash("documents.committed", reach=2),
    Crash("documents.written", reach=2),
    Crash("step.computed", reach=2),
    Crash("step.written", reach=2),
    Crash("step.committed", reach=2),
    Crash("step.removing", reach=2),
    Crash("embeddings.committed", reach=2),
    Crash("vectors.merged", reach=2),
    Crash("graph.renamed", reach=2),
    Crash("layers.noted", reach=2),
    Crash("checks.recorded", reach=2),
    Crash("retention.cleaned", "maintain", reach=2),
    Crash("publish.pointed", "maintain"),
    Crash("files.written", "maintain", reach=3),
    Crash("vectors.merged", "erase"),
    Crash("publish.manifested", "erase"),
    Crash("retention.unlisted", "erase"),
    Crash("retention.untagged", "erase"),
    Crash("compaction.copied", "erase"),
    Crash("compaction.replaced", "erase"),
    Crash("publish.tagged", "repair"),
    Crash("vectors.merged", "repair"),
)
"""Points that are reached more than once, or on another way, with another state of the lake."""


_LATE = ("vectors.", "graph.", "layers.", "candidate.", "checks.", "publish.")
"""Points near the end of a build. It keeps the warehouse open until there, which takes a fifth of the time, and leaves
what it has committed in the write-ahead log alone."""


ELSEWHERE = ("replies.", "batches.", "events.", "reinforcement.", "bank.")
"""Points that a build does not reach: the tests of budgets, of reinforcement and of the bank in a lake kill there."""


def points() -> list[str]:
    """Those that a lake without a language model and without events reaches."""
    return [point for point in faults.POINTS if not point.startswith(ELSEWHERE)]


def crashes() -> list[Crash]:
    """One for every point, by the operation that reaches it, and those of ``_AGAIN``."""
    first = []
    for point in points():
        operation = next((name for prefix, name in _REACHED_BY.items() if point.startswith(prefix)), "build")
        first.append(Crash(point, operation))
    return [*first, *_AGAIN]


def serve_crashes() -> None:
    """The fork server: reads a crash a line, answers how the process ended, a line each."""
    warnings.filterwarnings("ignore", message="lancedb fork support")
    import lancedb  # noqa: F401  # imported, and never called here: what it starts lazily would not survive a fork

    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                _die(Path(task["config"]), Crash(task["point"], task["operation"], task["reach"]))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _die(config: Path, crash: Crash) -> None:
    reached = 0

    def kill(point: str) -> None:
        nonlocal reached
        reached += point == crash.point
        if reached == crash.reach:
            os.kill(os.getpid(), signal.SIGKILL)

    lake = Lake.from_file(config)
    faults.arm(kill)
    late = crash.operation == "build" and crash.point.startswith(_LATE)
    with kept_open(lake) if late else nullcontext():
        OPERATIONS[crash.operation](lake)


# --- who reads meanwhile --------------------------------------------------------------------------------------------


Answer = list[Any]
"""A query, and for each of its hits the passage, the path and the text; lists, as JSON gives them back."""


@dataclass
class Reading:
    """What the reader saw."""

    queries: int = 0
    snapshots: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    known: list[Answer] = field(default_factory=list)

    def know(self, client: MemoryClient) -> None:
        """What the snapshot of ``client`` answers, which may be gone before the reader can open it again."""
        self.known += _answers(client)


def serve_readings() -> None:
    """The reader: ``config`` begins to query a lake without pause, an empty line ends it and gets the findings."""
    os.nice(19)  # without pause, and without taking the time of those it looks at
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line.strip()) for line in sys.stdin], daemon=True).start()
    print("ready", flush=True)
    while True:
        config = lines.get()
        _read_until(config, lines)


def _read_until(config: str, lines: queue.Queue[str]) -> None:
    settings_file = Path(config)
    count, problems = 0, []
    expected: dict[str, list[Answer] | None] = {}
    answers: dict[str, Answer] = {}
    client, told = None, False
    while lines.empty():
        try:
            if client is None:
                client = MemoryClient.open(settings_file)
            found = _answers(client)
            answers.update((repr(answer), answer) for answer in found)
            count += len(found)
            now = client.snapshot.snapshot_id
            if now not in expected:
                expected[now] = None
                with suppress(
                    SnapshotError, UnknownName
                ):  # it is gone already: what it answers is known from elsewhere
                    pinned = MemoryClient.open(settings_file, snapshot=now)
                    expected[now] = _answers(pinned)
        except Exception:
            problems.append(traceback.format_exc())
            break
        if not told:
            print("reading", flush=True)
            told = True
    if not told:
        print("reading", flush=True)
    lines.get()
    for _, hits in answers.values():
        editions = {text.rpartition(" ")[2] for _, path, text in hits if path.startswith("pair")}
        if len(editions) > 1:
            problems.append(f"of several states: {editions}")
    record = {"queries": count, "answers": list(answers.values()), "expected": expected, "problems": problems}
    print(json.dumps(record), flush=True)


def _answers(client: MemoryClient) -> list[Answer]:
    return [
        [query, [[hit.passage_id, hit.location.path, hit.text] for hit in client.search(query, k=60)]]
        for query in QUERIES
    ]


class Server:
    """A process of this module that answers a line for a line."""

    def __init__(self, function: Callable[[], None]) -> None:
        code = f"import crashing; crashing.{function.__name__}()"
        path = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"
        self.process = python(code, PYTHONPATH=path, OPENAI_API_KEY="sk-of-a-test")
        self.errors: list[str] = []
        threading.Thread(target=self._keep_errors, daemon=True).start()

    def wait_ready(self) -> None:
        assert self.answer() == "ready"

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "".join(self.errors)
        return line.strip()

    def _keep_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Reader(Server):
    """Queries a lake without pause, in a process of its own."""

    def __init__(self) -> None:
        super().__init__(serve_readings)

    @contextmanager
    def reading(self, config: Path) -> Iterator[Reading]:
        """Query while the block runs; afterwards, what came of it."""
        self.say(str(config))
        assert self.answer() == "reading"
        found = Reading()
        try:
            yield found
        finally:
            self.say("")
            record = json.loads(self.answer())
            found.queries, found.snapshots = record["queries"], tuple(record["expected"])
            found.known += [answer for answers in record["expected"].values() for answer in answers or ()]
            unknown = [answer for answer in record["answers"] if answer not in found.known]
            found.problems = (*record["problems"], *(f"in no published snapshot: {answer}" for answer in unknown))


class Killer(Server):
    """Runs an operation until it reaches a point."""

    def __init__(self) -> None:
        super().__init__(serve_crashes)

    def kill_at(self, config: Path, crash: Crash) -> int:
        """How the process ended: minus the signal, 0 where the point was never reached."""
        self.say(
            json.dumps(
                {"config": str(config), "point": crash.point, "operation": crash.operation, "reach": crash.reach}
            )
        )
        return int(self.answer())


# --- the lake -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Template:
    """A lake whose sources have changed since its last build, and the digest of a lake built from them at once."""

    folder: Path
    digest: str

    def copy(self, folder: Path) -> Workspace:
        """The same lake elsewhere; its files are other files, so that all are read again and found to be as before."""
        shutil.copytree(self.folder, folder)
        return opened(folder)


def opened(folder: Path) -> Workspace:
    """A workspace that is there already."""
    workspace = object.__new__(Workspace)
    workspace.folder, workspace.config = folder, folder / "memlake.toml"
    from memory.embedding import HashingEmbedder

    workspace.embedder = HashingEmbedder(64, Lake.from_file(workspace.config).embedder_spec.identity)
    return workspace


_SECTIONS: dict[str, dict[str, Any]] = {
    "lake": {"batch_rows": 4},
    "retention": {"keep_last": 1, "keep_days": 0},
    "upkeep": {"small_fragments": 1, "growth": 1.0},
}


def make_template(folder: Path) -> Template:
    """Eight snapshots of two sources; then additions, edits, deletions, a repetition, a new space, a source less."""
    workspace = Workspace(folder)
    workspace.configure([{}, {"name": "former"}], **_SECTIONS)
    workspace.write("old.md", NOTE.format(number=99, word="of the former source"), source="former")
    for which in range(2):
        workspace.write(f"pair-{which}.md", PAIR.format(which=which, edition=1))
    workspace.write("secret.md", f"# Confession\n\n{SECRET}\n")
    workspace.write("letter.md", LETTER)
    for number in range(8):
        workspace.write(f"note{number}.md", NOTE.format(number=number, word="one"))
    for number in range(SNAPSHOTS):
        workspace.write(f"kept{number}.md", NOTE.format(number=60 + number, word="five"))
        workspace.build(as_of=START + timedelta(hours=number))

    workspace.configure([{}, {"name": "fresh", "space": "other"}], **_SECTIONS)
    for number in range(5):
        workspace.write(f"note{number}.md", NOTE.format(number=number, word="two"))
        workspace.write(f"new{number}.md", NOTE.format(number=20 + number, word="three"))
    for which in range(2):
        workspace.write(f"pair-{which}.md", PAIR.format(which=which, edition=2))
    for name in ("secret.md", "note5.md", "note6.md"):
        workspace.delete(name)
    workspace.rename("note7.md", "moved.md")
    workspace.write("letter-again.md", LETTER.replace("Tuesday", "Friday"))
    for number in range(2):
        workspace.write(f"fresh{number}.md", NOTE.format(number=40 + number, word="four"), source="fresh")
    anew = workspace.build_anew()
    digest = lake_digest(anew)
    shutil.rmtree(anew.layout.root)
    return Template(folder, digest)


def prepare(workspace: Workspace, crash: Crash) -> None:
    """What an operation needs besides: a file of before the last migration, or damage."""
    if crash.operation == "build of an old file":
        _undo_migrations(workspace.layout)
    if crash.operation == "repair":
        oldest = read_manifest(workspace.layout, list_ids(workspace.layout)[0])
        graph = workspace.layout.graph(oldest.space("default").graph)
        next(graph.glob("*.npy")).write_bytes(b"damaged")


def _undo_migrations(layout: LakeLayout) -> None:
    """The warehouse as the first migration alone left it, with the same rows."""
    version, name, sql = migrations()[0]
    newer = layout.warehouse.with_name("newer.duckdb")
    layout.warehouse.replace(newer)
    with duckdb.connect(str(layout.warehouse)) as connection:
        connection.execute(
            "CREATE TABLE schema_migrations ("
            "version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
        )
        connection.execute(sql)
        connection.execute("INSERT INTO schema_migrations VALUES (?, ?, now() AT TIME ZONE 'UTC')", [version, name])
        connection.execute(f"ATTACH '{newer}' AS newer (READ_ONLY)")
        columns = connection.execute(
            "SELECT table_name, string_agg(column_name, ', ') FROM duckdb_columns() JOIN duckdb_tables()"
            " USING (database_name, table_name) WHERE database_name = current_database() AND NOT duckdb_tables.internal"
            " AND table_name <> 'schema_migrations' GROUP BY table_name"
        ).fetchall()
        for table, names in columns:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} BY NAME SELECT {names} FROM newer.{table}")
        connection.execute(  # steps that came with later migrations, as their tables did
            "DELETE FROM ledger WHERE step IN ('memories', 'association') OR starts_with(step, 'periods-')"
        )
    newer.unlink()


# --- what must hold afterwards --------------------------------------------------------------------------------------


def converge(workspace: Workspace, crash: Crash, reading: Reading | None = None) -> Lake:
    """The next ordinary run: what was interrupted, where a person would call it again, a build, and retention.

    Each snapshot that is published on the way and may be swept is told to ``reading``.
    """
    reading = reading or Reading()
    reading.know(MemoryClient.open(workspace.config))
    lake = workspace.lake()
    if crash.operation in ("erase", "repair"):
        OPERATIONS[crash.operation](lake)  # not with the warehouse kept open: it swaps the file
        reading.know(MemoryClient.open(workspace.config))
    with kept_open(lake):
        build_lake(lake)
        enforce_retention(lake)
    return lake


def assert_converged(lake: Lake, digest: str) -> None:
    """The lake is whole, equal to the rebuild, shows it to readers, and keeps nothing that no snapshot needs."""
    with kept_open(lake):
        verification = verify(lake)
        assert verification.whole, verification.problems
        assert verification.digest == digest
        with lake.warehouse.session("looking") as connection:
            layers = {
                space: [layer_state(connection, space, layer) or {} for layer in (*TABLE_LAYERS, GRAPH_STEP_NAME)]
                for space in lake.settings.spaces
            }
            (waiting,) = connection.execute("SELECT count(*) FROM erasures WHERE finished_at IS NULL").fetchone() or ()
    assert waiting == 0
    manifest = current_manifest(lake.layout)
    for space, (*searched, graph) in layers.items():
        state = manifest.space(space)
        present = [(table["table"], table["version"]) for table in searched]
        assert (list(state.tables), state.graph) == (present, graph["digest"]), "what is published is the present"
    assert leftovers(lake) == []


_ROOT = frozenset(
    "warehouse.duckdb work.lock work.lock.json warehouse.lock warehouse.lock.json vectors graphs snapshots CURRENT"
    " expired.json erasures.jsonl".split()
)


def leftovers(lake: Lake) -> list[str]:
    """Files and folders of a lake that neither a kept snapshot nor the present state needs."""
    layout = lake.layout
    kept = [read_manifest(layout, name) for name in list_ids(layout)]
    states = [(space, state) for item in kept for space, state in item.spaces.items()]
    graphs = {state.graph for _, state in states}
    left = [item.name for item in layout.root.iterdir() if item.name not in _ROOT]
    left += [item.name for item in layout.graphs.iterdir() if item.name not in graphs]
    left += [item.name for item in layout.snapshots.iterdir() if item.suffix not in (".json", ".pinned")]
    for space, name in tables(layout):
        pinned = {version for of, state in states for table, version in state.tables if (of, table) == (space, name)}
        folder = table_path(layout, space, name)
        left += [f"version {version} of {space}" for version in version_files(layout, space, name).keys() - pinned]
        needed = set().union(*(named_data_files(layout, space, name, version) for version in pinned))
        left += [str(path) for path in folder.glob("data/*") if path.name not in needed]
        left += [str(path) for path in folder.rglob("*.tmp*")]
    return left


def files_with(layout: LakeLayout, text: str) -> list[Path]:
    """Files of a lake whose bytes hold ``text``."""
    files = [path for path in layout.root.rglob("*") if path.is_file()]
    return sorted(find_in_files(files, [text.encode()]))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and all output of a process, once it has ended."""
    out, errors = process.communicate()
    return process.returncode, out + errors
