"""What a build would do, told without doing it and without loading a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derivation.documents import Listing, list_source, plan_documents
from derivation.embeddings import missing_texts
from derivation.extraction import ExtractionStep
from derivation.lake import Lake
from derivation.memories import Memories
from derivation.memory_vectors import count_missing
from derivation.passages import Passages
from derivation.retirement import retired_scopes
from derivation.runner import Derivation
from derivation.snapshot import needs_snapshot
from errors import MemlakeError
from warehouse.database import Connection
from warehouse.delta import Plan, Scope, Verdict, plan_step
from warehouse.sections import SourceSettings

_STEP_VERDICTS = (Verdict.NEW, Verdict.CHANGED, Verdict.STALE, Verdict.FAILED, Verdict.REMOVED)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The inputs of one step by verdict."""

    step: str
    counts: dict[str, int]
    untouched: int

    @property
    def empty(self) -> bool:
        return not any(self.counts.values())


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a build would do for one source, or why it could not be told."""

    source: str
    space: str
    steps: tuple[StepPlan, ...]
    error: str | None = None

    @property
    def empty(self) -> bool:
        return all(step.empty for step in self.steps)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would do."""

    sources: tuple[SourcePlan, ...]
    retired: tuple[str, ...]
    publishes: bool
    """Whether a snapshot would be made even if no source had work."""

    @property
    def empty(self) -> bool:
        return all(plan.empty for plan in self.sources) and not self.retired and not self.publishes


def plan_build(lake: Lake, names: Sequence[str] = ()) -> BuildPlan:
    """Plan the named sources, or all of them.

    Documents are judged by their source's listing. The steps after them are judged by what the warehouse holds now:
    passages and memories of documents that are yet to be read are not among them.

    Raises:
        UnknownName: a name is no source.
    """
    chosen = [lake.settings.source(name) for name in names] or list(lake.settings.sources)
    listings = {source.name: _listed(source) for source in chosen}
    with lake.warehouse.session("planning a build") as connection:
        plans = []
        for source in chosen:
            listing = listings[source.name]
            if isinstance(listing, str):
                plans.append(SourcePlan(source.name, source.space, (), listing))
                continue
            scope = Scope(source.space, source.name)
            missing = {
                "embeddings": missing_texts(connection, lake, scope).height,
                "memory_embeddings": count_missing(connection, lake, scope),
            }
            vectors = [StepPlan(step, {Verdict.NEW.value: count}, 0) for step, count in missing.items()]
            steps = [
                _counted("documents", plan_documents(connection, source, listing, lake.retry_quarantined)),
                *(_planned(connection, lake, derivation, scope) for derivation in (Passages(lake), Memories(lake))),
                *vectors,
                _planned(connection, lake, ExtractionStep(lake), scope),
            ]
            plans.append(SourcePlan(source.name, source.space, tuple(steps)))
        retired = tuple(scope.source for scope in retired_scopes(connection, lake))
        return BuildPlan(tuple(plans), retired, needs_snapshot(connection, lake))


def _listed(source: SourceSettings) -> Listing | str:
    try:
        return list_source(source)
    except MemlakeError as error:
        return str(error)


def _planned(connection: Connection, lake: Lake, derivation: Derivation, scope: Scope) -> StepPlan:
    inputs = derivation.inputs(scope)
    todo = plan_step(connection, derivation.step, scope, inputs.sql, inputs.parameters, lake.retry_quarantined)
    return _counted(derivation.step.name, todo)


def _counted(step: str, todo: Plan) -> StepPlan:
    counts = {verdict.value: todo.count(verdict) for verdict in _STEP_VERDICTS}
    return StepPlan(step, counts, todo.untouched)
