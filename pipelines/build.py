"""A build from the command line: plan first, then the same Dagster jobs that schedules and the UI run.

With nothing to do neither Dagster nor a model is loaded. Every run is recorded in the lake's Dagster instance, so that
lineage and history in the UI are whole whoever started the work.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from derivation.lake import Lake
from derivation.planning import BuildPlan, plan_build
from derivation.progress import StepReport
from errors import SettingsError
from warehouse.snapshots import current_id

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did."""

    plan: BuildPlan
    reports: tuple[StepReport, ...]
    errors: tuple[str, ...]
    """What stopped a source or the publication, a sentence each."""
    failed_inputs: int
    snapshot: str | None
    """The published snapshot after the build."""
    published: bool
    """Whether this build published it."""
    seconds: float

    @property
    def did_nothing(self) -> bool:
        return self.plan.empty and not self.errors

    @property
    def stopped(self) -> bool:
        """Whether the build failed as a whole: there was something to publish and it was not."""
        return bool(self.errors) and not self.published


def build(lake: Lake, sources: Sequence[str] = ()) -> BuildResult:
    """Bring the lake up to date and publish a snapshot.

    A source that does not answer is reported and left as it was; the others go on.

    Raises:
        UnknownName: a name is no source.
        SettingsError: this process has built a lake with other sources before.
    """
    started = time.perf_counter()
    before = current_id(lake.layout)
    plan = plan_build(lake, sources)
    errors = [item.error for item in plan.sources if item.error]
    if not plan.empty:
        errors += _run_jobs(lake, plan)
    after = current_id(lake.layout)
    return BuildResult(
        plan=plan,
        reports=tuple(lake.reports),
        errors=tuple(errors),
        failed_inputs=sum(report.failed for report in lake.reports),
        snapshot=after,
        published=after != before,
        seconds=time.perf_counter() - started,
    )


def _run_jobs(lake: Lake, plan: BuildPlan) -> list[str]:
    if lake.settings.file:
        os.environ["MEMLAKE_CONFIG"] = str(lake.settings.file)  # the partitions are this file's sources

    # LanceDB takes a second to import and is needed after the embedding, which leaves the interpreter idle meanwhile.
    Thread(target=import_module, args=("lancedb",), name="memlake-import", daemon=True).start()

    import dagster as dg

    from assets.partitions import source_partitions
    from pipelines.definitions import defs

    if source_partitions.get_partition_keys() != [source.name for source in lake.settings.sources]:
        raise SettingsError(
            "This process has loaded the Dagster definitions of a lake with other sources.",
            "Build each lake in a process of its own.",
        )
    errors: list[str] = []
    definitions = defs()
    with dg.DagsterInstance.from_config(str(prepare_home(lake.settings.dagster.home))) as instance:

        def execute(job: str, partition: str | None = None) -> list[str]:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config=_QUIET,
                resources={"lake": lake},
                tags={"memlake/started_by": "command line"},
                raise_on_error=False,
            )
            return _failures(result)

        for item in plan.sources:
            if not item.empty:
                errors += [f"{item.source}: {message}" for message in execute("refresh_source", item.source)]
        if not errors:
            errors += execute("publish")
    return errors


def prepare_home(home: Path) -> Path:
    """The lake's DAGSTER_HOME, with our ``dagster.yaml`` in it unless the user has put one there."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        with resources.as_file(resources.files("pipelines") / "dagster.yaml") as template:
            shutil.copyfile(template, home / "dagster.yaml")
    return home


def _failures(result: ExecuteInProcessResult) -> list[str]:
    """The failed steps of a run as sentences; a failed check counts by its problem, not by its traceback."""
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
        if failure.user_failure_data:
            messages.append(str(failure.user_failure_data.description))
        elif failure.error:
            cause = failure.error.cause or failure.error
            messages.append(f"{event.step_key}: {cause.message.strip()}")
    return messages or ["The run failed; see it in the UI: memlake ui"]
