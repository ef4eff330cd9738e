"""Running our Dagster jobs from the command line: in this process, recorded in the lake's own instance.

A process that is killed leaves its run as "started" and its place in a pool taken. Nobody else would ever free them, so
whoever comes next ends the runs of processes that are gone. The lake itself needs no such care: its locks are the
operating system's and die with their holder.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from filelock import FileLock

from derivation.lake import Lake
from errors import SettingsError

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions, ExecuteInProcessResult

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_STEPS_OF_A_SOURCE = ("documents", "passages", "memories", "embeddings", "mentions")

_STARTED_BY, _PROCESS = "memlake/started_by", "memlake/process"
_COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Executes jobs on one lake."""

    lake: Lake
    definitions: Definitions
    instance: DagsterInstance

    def run(self, job: str, partition: str | None = None) -> ExecuteInProcessResult:
        """One run of a job, to its end; a failure is in the result."""
        self._tell_what_is_waited_for()
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partition,
            run_config=_QUIET,
            resources={"lake": self.lake},
            tags={_STARTED_BY: _COMMAND_LINE, _PROCESS: _this_process()},
            raise_on_error=False,
        )

    def _tell_what_is_waited_for(self) -> None:
        """Dagster waits for a place in a pool without a word."""
        for run_id in sorted(_runs_in_pools(self.instance)):
            run = self.instance.get_run_by_id(run_id)
            if run:
                of = run.tags.get("dagster/partition", "")
                self.lake.progress.wait(
                    f"Waiting for the Dagster run {run_id[:8]} ({run.job_name} {of}".rstrip() + ")."
                )


@contextmanager
def job_runner(lake: Lake) -> Iterator[JobRunner]:
    """Open the lake's Dagster instance.

    Raises:
        SettingsError: this process has loaded the definitions of a lake with other sources before.
    """
    if lake.settings.file:
        os.environ["MEMLAKE_CONFIG"] = str(lake.settings.file)  # the partitions are this file's sources

    # These take a second to import and are needed after the embedding, which leaves the interpreter idle meanwhile.
    Thread(target=_import_ahead, name="memlake-import", daemon=True).start()

    import dagster as dg
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from assets.partitions import source_partitions
    from pipelines.definitions import defs

    if source_partitions.get_partition_keys() != [source.name for source in lake.settings.sources]:
        raise SettingsError(
            "This process has loaded the Dagster definitions of a lake with other sources.",
            "Build each lake in a process of its own.",
        )
    if not event.contains(Engine, "connect", _spare_the_disk):
        event.listen(Engine, "connect", _spare_the_disk)
    with dg.DagsterInstance.from_config(str(prepare_home(lake.settings.dagster.home))) as instance:
        end_dead_runs(instance)
        yield JobRunner(lake, defs(), instance)


def _spare_the_disk(connection: object, _record: object) -> None:
    """Let SQLite flush at checkpoints only: Dagster's records, in some three hundred commits a run, are not the truth.

    They stay whole when a process dies; a power cut may lose the last of them.
    """
    if type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA synchronous = NORMAL")  # type: ignore[attr-defined]


def _import_ahead() -> None:
    for name in ("lancedb", "datasketch"):
        import_module(name)


def prepare_home(home: Path) -> Path:
    """The lake's DAGSTER_HOME, with our ``dagster.yaml`` in it unless the user has put one there, and its databases.

    Dagster creates its tables when an instance is first opened, and two processes that do so at once leave it with a
    schema of two versions, which no later process can open. So they are created here, by one process.
    """
    home.mkdir(parents=True, exist_ok=True)
    prepared = home / ".memlake-prepared"
    if prepared.exists():
        return home
    with FileLock(str(home / ".memlake-prepared.lock")):
        if not (home / "dagster.yaml").exists():
            with resources.as_file(resources.files("pipelines") / "dagster.yaml") as template:
                shutil.copyfile(template, home / "dagster.yaml")
        if not prepared.exists():
            from dagster import DagsterInstance

            with DagsterInstance.from_config(str(home)):
                prepared.touch()
    return home


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """End the command line's runs whose process is gone, free the places of ended runs in pools; returns their ids."""
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    ended = []
    for run in instance.get_runs(filters=RunsFilter(statuses=unfinished, tags={_STARTED_BY: _COMMAND_LINE})):
        if not _is_alive(run.tags.get(_PROCESS, "")):
            instance.report_run_failed(run, "The process of this run is gone; the next build goes on where it stopped.")
            ended.append(run.run_id)
    for run_id in _runs_in_pools(instance):
        found = instance.get_run_by_id(run_id)
        if found is None or found.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended


def failures(result: ExecuteInProcessResult, source: str = "") -> list[str]:
    """The failed steps of a run as sentences; a failed check counts by its problem, not by its traceback.

    A step of one source is told with the name of that ``source``.
    """
    if result.success:
        return []
    messages = [
        f"Check '{item.check_name}' failed: {item.description}."
        for item in result.get_asset_check_evaluations()
        if not item.passed
    ]
    for event in result.all_events:
        if not event.is_step_failure or (event.step_key == "snapshot_gate" and messages):
            continue
        failure = event.step_failure_data
        of = f"{source}: " if source and event.step_key in _STEPS_OF_A_SOURCE else ""
        if failure.user_failure_data:
            messages.append(f"{of}{failure.user_failure_data.description}")
        elif failure.error:
            cause = failure.error.cause or failure.error
            messages.append(f"{of}{event.step_key}: {cause.message.strip()}")
    return messages or ["The run failed; see it in the UI: memlake ui"]


def _runs_in_pools(instance: DagsterInstance) -> set[str]:
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return set()
    pools = [storage.get_concurrency_info(pool) for pool in storage.get_concurrency_keys()]
    return {slot.run_id for pool in pools for slot in pool.claimed_slots}


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_alive(process: str) -> bool:
    """Whether a process of this machine is there; one of another machine, or without a name, is taken to be."""
    host, _, number = process.rpartition(":")
    if host != socket.gethostname() or not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
