"""Builds and upkeep from the command line: plan first, then the same Dagster jobs that schedules and the UI run.

With nothing to do neither Dagster nor a model is loaded. Every run is recorded in the lake's Dagster instance, so that
lineage and history in the UI are whole whoever started the work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from derivation.lake import Lake
from derivation.planning import BuildPlan, plan_build
from derivation.progress import StepReport
from pipelines.runs import failures, job_runner
from warehouse.files import size_of
from warehouse.snapshots import current_id


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
    errors: list[str] = []
    with job_runner(lake) as runner:
        changed = [item.source for item in plan.sources if not item.empty]
        if len(changed) == 1:
            return failures(runner.run("refresh_and_publish", changed[0]), changed[0])
        for source in changed:
            errors += failures(runner.run("refresh_source", source), source)
        if not errors:
            errors += failures(runner.run("publish"))
    return errors


def reinforce(lake: Lake) -> list[str]:
    """Run the job that reads the events of clients; what failed, as sentences.

    Raises:
        SettingsError: this process has built a lake with other sources before.
    """
    with job_runner(lake) as runner:
        return failures(runner.run("reinforce"))


@dataclass(frozen=True, slots=True)
class MaintenanceStep:
    """What became of one store."""

    store: str
    bytes_before: int
    bytes_after: int
    why: str


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """What upkeep did."""

    steps: tuple[MaintenanceStep, ...]
    errors: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    seconds: float


def maintain(lake: Lake) -> MaintenanceResult:
    """Run the upkeep job: compact, publish what was compacted, expire, sweep.

    Raises:
        SettingsError: this process has built a lake with other sources before.
    """
    started = time.perf_counter()
    before = size_of(lake.layout.root)
    if not lake.warehouse.exists:
        return MaintenanceResult((), (), before, before, 0.0)
    with job_runner(lake) as runner:
        result = runner.run("maintain")
    steps = []
    for event in result.get_asset_materialization_events():
        metadata = event.step_materialization_data.materialization.metadata
        if "bytes_before" in metadata:
            expired = f"{metadata['expired'].value} snapshots expired" if "expired" in metadata else ""
            steps.append(
                MaintenanceStep(
                    store=str(event.step_key),
                    bytes_before=int(str(metadata["bytes_before"].value)),
                    bytes_after=int(str(metadata["bytes_after"].value)),
                    why=expired or str(metadata["reasons"].value),
                )
            )
    return MaintenanceResult(
        steps=tuple(steps),
        errors=tuple(failures(result)),
        bytes_before=before,
        bytes_after=size_of(lake.layout.root),
        seconds=time.perf_counter() - started,
    )
