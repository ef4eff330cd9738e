"""One state for a snapshot: what happened between a run's steps is caught up with before anything is pinned.

A run's steps take turns with other processes: while one builds the served layers, another may have read documents
whose passages are not cut yet. Whoever pins a snapshot holds the work lock, so nothing moves meanwhile, and first
brings every layer to the present rows. With nothing else going on there is nothing to catch up with, as some queries
tell.
"""

from __future__ import annotations

from derivation.association import associating, refresh_association
from derivation.bank import refresh_bank
from derivation.duplicates import refresh_duplicates
from derivation.embeddings import missing_texts, refresh_embeddings, remove_unused
from derivation.entities import refresh_entities
from derivation.event_files import read_events
from derivation.extraction import ExtractionStep
from derivation.facts import refresh_facts, refresh_validity
from derivation.graphs import graph_step, refresh_graph
from derivation.lake import Lake
from derivation.layers import TABLE_LAYERS, layer_state, refresh_tables, table_step
from derivation.memories import Memories
from derivation.memory_facts import refresh_memory_validity
from derivation.memory_vectors import refresh_memory_embeddings
from derivation.passages import Passages
from derivation.periods import refresh_periods
from derivation.phrases import refresh_phrases
from derivation.progress import StepReport
from derivation.reinforcement import refresh_reinforcement
from derivation.resolution import refresh_resolution
from derivation.retirement import retire_sources
from derivation.runner import run
from warehouse.database import Connection, generation
from warehouse.delta import Scope, Verdict, plan_step


def settle(lake: Lake) -> None:
    """Bring all that is derived up to the documents that the warehouse holds; call it under the work lock."""
    scopes = [Scope(source.space, source.name) for source in lake.settings.sources]
    with lake.warehouse.session("looking for unsettled work") as connection:
        unsettled = [scope for scope in scopes if _has_work(connection, lake, scope)]
    for scope in unsettled:
        refresh_derived(lake, scope)
    with lake.warehouse.session("looking for unsettled layers") as connection:
        current = _layers_are_current(connection, lake)
    if not current:
        refresh_served(lake)


def refresh_derived(lake: Lake, scope: Scope) -> None:
    """What follows from the documents of one source."""
    run(lake, Passages(lake), scope)
    run(lake, Memories(lake), scope)
    refresh_embeddings(lake, scope)
    run(lake, ExtractionStep(lake), scope)


def refresh_served(lake: Lake, rewrite: bool = False) -> None:
    """What follows from all sources together, up to what a snapshot pins; ``rewrite`` as in ``refresh_table``."""
    retire_sources(lake)
    for space in lake.settings.spaces:
        refresh_entities(lake, space)
        refresh_knowledge(lake, space)
        refresh_duplicates(lake, space)
        refresh_remembered(lake, space)
    read_events(lake)
    for space in lake.settings.spaces:
        refresh_reinforcement(lake, space)
        remove_unused(lake, space)
        refresh_bank(lake, space, anew=rewrite)
    for space in lake.settings.spaces:
        refresh_tables(lake, space, rewrite)
        refresh_graph(lake, space)


def refresh_knowledge(lake: Lake, space: str) -> list[StepReport]:
    """Facts, their phrases' vectors, which entities are the same, and for how long each fact holds."""
    return [
        refresh_facts(lake, space),
        refresh_phrases(lake, space),
        refresh_resolution(lake, space),
        refresh_validity(lake, space),
    ]


def refresh_remembered(lake: Lake, space: str) -> list[StepReport]:
    """What follows from all memories of a space: periods, for how long facts hold, and every memory's vector."""
    scopes = [Scope(source.space, source.name) for source in lake.settings.sources if source.space == space]
    return [
        *(report for scope in scopes for report in refresh_periods(lake, scope)),
        refresh_memory_validity(lake, space),
        refresh_memory_embeddings(lake, space),
        refresh_association(lake, space, associating(lake, space)),
    ]


def _has_work(connection: Connection, lake: Lake, scope: Scope) -> bool:
    """Whether a step of this source has inputs that it has not taken; one that failed in passing waits for a build."""
    for derivation in (Passages(lake), Memories(lake), ExtractionStep(lake)):
        inputs = derivation.inputs(scope)
        plan = plan_step(connection, derivation.step, scope, inputs.sql, inputs.parameters)
        if plan.removed or any(task.verdict is not Verdict.FAILED for task in plan.tasks):
            return True
    return missing_texts(connection, lake, scope).height > 0


def _layers_are_current(connection: Connection, lake: Lake) -> bool:
    now = generation(connection)
    for space in lake.settings.spaces:
        for step in (*(table_step(lake, layer) for layer in TABLE_LAYERS), graph_step(lake)):
            state = layer_state(connection, space, step.name) or {}
            if (state.get("generation"), state.get("fingerprint")) != (now, step.fingerprint):
                return False
    return True
