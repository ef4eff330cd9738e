"""Candidate, checks, published snapshot.

A candidate pins what the layers hold now. Nothing shows it to a reader until every blocking check has passed and
``publish`` writes its manifest and swaps ``CURRENT``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from derivation.bank import serving_codec
from derivation.canary import accept, check_canary
from derivation.checks import CheckResult
from derivation.duplicates import duplicates_step
from derivation.embeddings import embeddings_step
from derivation.entities import ENTITIES_STEP
from derivation.extraction import extraction_step
from derivation.facts import FACTS_STEP, VALIDITY_STEP
from derivation.gate import GATE
from derivation.graphs import GRAPH_STEP_NAME, graph_step
from derivation.lake import Lake, exclusive
from derivation.layers import (
    BANK_STEP_NAME,
    MEMORY_VECTORS_STEP_NAME,
    TABLE_LAYERS,
    VECTORS_STEP_NAME,
    layer_state,
    table_step,
)
from derivation.memories import memories_step
from derivation.memory_facts import MEMORY_VALIDITY_STEP
from derivation.memory_vectors import memory_embeddings_step
from derivation.passages import Passages
from derivation.periods import Periods
from derivation.phrases import phrases_step
from derivation.resolution import resolution_step
from derivation.settling import settle
from errors import CheckFailed, SettingsError, SnapshotError
from memory.conversations.periods import LEVELS
from warehouse.database import Connection, generation
from warehouse.faults import reach
from warehouse.ids import content_id
from warehouse.snapshots import (
    Manifest,
    SpaceState,
    current_id,
    current_manifest,
    last_expired,
    point_current,
    read_manifest,
    snapshot_id,
    write_manifest,
)
from warehouse.vectors import tag_version

CANDIDATE, PUBLISHED = "candidate", "published"


def recipe(lake: Lake) -> dict[str, str]:
    """The fingerprint of every step that shapes a snapshot besides the sources."""
    steps = [
        Passages(lake).step,
        memories_step(lake),
        embeddings_step(lake),
        extraction_step(lake),
        ENTITIES_STEP,
        FACTS_STEP,
        phrases_step(lake),
        resolution_step(lake),
        VALIDITY_STEP,
        duplicates_step(lake),
        *(Periods(lake, level).step for level in LEVELS),
        MEMORY_VALIDITY_STEP,
        memory_embeddings_step(lake),
        *(table_step(lake, layer) for layer in TABLE_LAYERS),
        graph_step(lake),
    ]
    return {step.name: step.fingerprint for step in steps}


def needs_snapshot(connection: Connection, lake: Lake) -> bool:
    """Whether something changed since a snapshot was last published; a rollback is no change."""
    row = connection.execute(
        "SELECT generation, recipe FROM snapshots WHERE status = $published ORDER BY created_at DESC LIMIT 1",
        {"published": PUBLISHED},
    ).fetchone()
    return row != (generation(connection), _recipe_id(lake))


@exclusive("pinning a snapshot")
def make_candidate(lake: Lake) -> Manifest:
    """Pin the layers of every space; where they equal the published snapshot's, the candidate is that snapshot.

    Raises:
        SettingsError: this state would count as seen before what is published.
        SnapshotError: what is published is damaged.
    """
    settle(lake)
    parent = current_manifest(lake.layout) if current_id(lake.layout) else None
    created_at = datetime.now(UTC)
    with lake.warehouse.session("pinning a snapshot") as connection:
        spaces = {space: _space_state(connection, lake, space) for space in lake.settings.spaces}
        embedder = asdict(lake.embedder_spec)
        if parent and (parent.spaces, parent.embedder) == (spaces, embedder):
            manifest = parent
        else:
            as_of = _as_of(lake, parent, spaces)
            parent_id = parent.snapshot_id if parent else last_expired(lake.layout)
            digest = content_id(
                parent_id or "",
                json.dumps(embedder, sort_keys=True),
                *(state.digest for state in spaces.values()),
            )
            manifest = Manifest(
                snapshot_id=snapshot_id(as_of, digest),
                as_of=as_of,
                created_at=created_at.replace(microsecond=0),
                parent=parent_id,
                embedder=embedder,
                steps=recipe(lake),
                spaces=spaces,
            )
        connection.execute(
            "INSERT INTO snapshots VALUES ($id, $generation, $recipe, $as_of, $created, $status, $manifest, [], [])"
            " ON CONFLICT DO UPDATE SET generation = excluded.generation, recipe = excluded.recipe,"
            " created_at = excluded.created_at, status = excluded.status, manifest = excluded.manifest,"
            " checked = excluded.checked, failures = excluded.failures",
            {
                "id": manifest.snapshot_id,
                "generation": generation(connection),
                "recipe": _recipe_id(lake),
                "as_of": manifest.as_of.replace(tzinfo=None),
                "created": created_at.replace(tzinfo=None),
                "status": CANDIDATE,
                "manifest": manifest.to_json(),
            },
        )
    reach("candidate.pinned")
    return manifest


def _as_of(lake: Lake, parent: Manifest | None, spaces: Mapping[str, SpaceState]) -> datetime:
    """When the state counts as seen; the same content in other files counts as seen when it was seen first."""
    if parent is None:
        return lake.now
    if _content(parent.spaces) == _content(spaces) and parent.embedder == asdict(lake.embedder_spec):
        return parent.as_of
    if lake.now < parent.as_of:
        raise SettingsError(
            f"This state would count as seen at {lake.now:%Y-%m-%d %H:%M:%S} UTC, before the published snapshot "
            f"{parent.snapshot_id} ({parent.as_of:%Y-%m-%d %H:%M:%S}).",
            "If this machine's clock is wrong, correct it. Otherwise give a later --as-of, or roll back first.",
        )
    return lake.now


def _content(spaces: Mapping[str, SpaceState]) -> dict[str, str]:
    return {name: state.digest for name, state in spaces.items()}


def present_state(lake: Lake) -> Manifest:
    """What the layers hold now, as a manifest that is written nowhere."""
    with lake.warehouse.session("reading the layers") as connection:
        spaces = {space: _space_state(connection, lake, space) for space in lake.settings.spaces}
    return Manifest(
        snapshot_id="present",
        as_of=lake.now,
        created_at=lake.now,
        parent=None,
        embedder=asdict(lake.embedder_spec),
        steps=recipe(lake),
        spaces=spaces,
    )


@exclusive("checking a snapshot")
def present_candidate(lake: Lake) -> Manifest:
    """The candidate of the warehouse's present state: the latest, or a new one where another process went on since."""
    with lake.warehouse.session("reading the candidate") as connection:
        row = connection.execute(
            "SELECT manifest, generation FROM snapshots ORDER BY created_at DESC LIMIT 1"
        ).fetchone()
        current = row is not None and row[1] == generation(connection)
    return Manifest.from_json(row[0]) if row and current else make_candidate(lake)


def latest_candidate(lake: Lake) -> Manifest:
    """The candidate that was made last.

    Raises:
        SnapshotError: there is none.
    """
    with lake.warehouse.session("reading the candidate") as connection:
        row = connection.execute("SELECT manifest FROM snapshots ORDER BY created_at DESC LIMIT 1").fetchone()
    if row is None:
        raise SnapshotError("There is no candidate snapshot.", "Build one with: memlake build")
    return Manifest.from_json(row[0])


def layer_versions(lake: Lake, layer: str, counted: str) -> tuple[int, str]:
    """Over all spaces: the sum of one count of a layer, and an id of its content."""
    with lake.warehouse.session(f"reading {layer}") as connection:
        states = [layer_state(connection, space, layer) or {} for space in lake.settings.spaces]
    return sum(int(state.get(counted, 0)) for state in states), content_id(
        *(state.get("digest", "") for state in states)
    )


def record_checks(lake: Lake, candidate: Manifest, results: Sequence[CheckResult]) -> None:
    """Note which blocking checks have run, and which of them failed."""
    with lake.warehouse.session("recording the checks") as connection:
        for result in results:
            connection.execute(
                "UPDATE snapshots SET checked = list_distinct(list_append(checked, $name)),"
                " failures = CASE WHEN $passed THEN list_filter(failures, lambda f: f <> $name)"
                " ELSE list_distinct(list_append(failures, $name)) END WHERE snapshot_id = $id",
                {"id": candidate.snapshot_id, "name": result.name, "passed": result.passed},
            )
            reach("checks.recorded")


@exclusive("checking a snapshot")
def check_candidate(lake: Lake) -> tuple[Manifest, list[CheckResult]]:
    """Run every blocking check on the candidate of the present state, and note the verdicts."""
    candidate = present_candidate(lake)
    results = [check(lake, candidate) for check in GATE.values()]
    record_checks(lake, candidate, results)
    return candidate, results


@exclusive("publishing")
def publish_present(lake: Lake, accepted: str = "") -> Manifest:
    """Pin, check and publish the present state in one go, for what cannot wait for the next build.

    Args:
        accepted: why the state may pass the canary, whatever that says; recorded with what it said.

    Raises:
        CheckFailed: a blocking check failed; the published snapshot stays.
    """
    made = make_candidate(lake)
    if accepted and (held_back := check_canary(lake, made).problems):
        accept(lake, made, f"{accepted}; the canary had said: {held_back[0]}")
    candidate, results = check_candidate(lake)
    problems = [problem for result in results for problem in result.problems]
    if problems:
        raise CheckFailed(
            f"The present state does not pass the checks: {problems[0]}", "memlake status names the checks that failed."
        )
    publish(lake, candidate)
    return candidate


@exclusive("publishing")
def publish_latest(lake: Lake) -> tuple[Manifest, bool]:
    """Publish the candidate that was made last; returns it, and whether it is newly published.

    Between the checks of a run and its publication another process may have pinned a candidate. Publishing the older
    one would put the newer beside the chain, so the newer is checked here and published by whoever comes first.

    Raises:
        SnapshotError: there is no candidate.
        CheckFailed: a blocking check failed; the published snapshot stays.
    """
    candidate = latest_candidate(lake)
    missing, _ = _verdicts(lake, candidate)
    if missing:
        candidate, _ = check_candidate(lake)
    return candidate, publish(lake, candidate)


def _verdicts(lake: Lake, candidate: Manifest) -> tuple[list[str], list[str]]:
    """The blocking checks that have not run on a candidate, and those that failed."""
    with lake.warehouse.session("reading the checks") as connection:
        row = connection.execute(
            "SELECT checked, failures FROM snapshots WHERE snapshot_id = $id", {"id": candidate.snapshot_id}
        ).fetchone()
    checked, failures = row if row else ([], [])
    return sorted(set(GATE) - set(checked)), failures


@exclusive("publishing")
def publish(lake: Lake, candidate: Manifest) -> bool:
    """Make the candidate what readers see; returns whether it was not already.

    Order matters: first protect what it pins, then write its manifest, last swap the pointer. Whatever of this a crash
    leaves undone, the next run does.

    Raises:
        CheckFailed: a blocking check failed or has not run; the published snapshot stays.
    """
    missing, failures = _verdicts(lake, candidate)
    if failures or missing:
        reason = f"failed: {', '.join(sorted(failures))}" if failures else f"did not run: {', '.join(missing)}"
        raise CheckFailed(
            f"The snapshot {candidate.snapshot_id} is held back; checks that {reason}.",
            "See memlake status, or the checks of candidate_snapshot in the UI.",
        )
    is_new = current_id(lake.layout) != candidate.snapshot_id
    if is_new:
        for space, state in candidate.spaces.items():
            for table, version in state.tables:
                tag_version(lake.layout, space, table, version, candidate.snapshot_id)
        reach("publish.tagged")
        write_manifest(lake.layout, candidate)
        reach("publish.manifested")
        point_current(lake.layout, candidate.snapshot_id)
        reach("publish.pointed")
    with lake.warehouse.session("noting the publication") as connection:
        connection.execute(
            "UPDATE snapshots SET status = $published WHERE snapshot_id = $id",
            {"published": PUBLISHED, "id": candidate.snapshot_id},
        )
    return is_new


@exclusive("rolling back")
def rollback(lake: Lake, name: str) -> Manifest:
    """Point ``CURRENT`` at a kept snapshot; the next build that finds a change publishes on top of it.

    Raises:
        UnknownName: no such snapshot.
        SnapshotError: its manifest is damaged.
    """
    manifest = read_manifest(lake.layout, name)
    point_current(lake.layout, manifest.snapshot_id)
    return manifest


def _recipe_id(lake: Lake) -> str:
    return content_id("recipe", json.dumps(recipe(lake), sort_keys=True), *lake.settings.spaces)


def _space_state(connection: Connection, lake: Lake, space: str) -> SpaceState:
    vectors = layer_state(connection, space, VECTORS_STEP_NAME)
    memories = layer_state(connection, space, MEMORY_VECTORS_STEP_NAME)
    graph = layer_state(connection, space, GRAPH_STEP_NAME)
    bank = layer_state(connection, space, BANK_STEP_NAME) or {}
    if vectors is None or memories is None or graph is None:
        raise SnapshotError(f"The layers of space '{space}' were never built.", "Run: memlake build")
    row = connection.execute("SELECT count(*) FROM documents WHERE space = $space", {"space": space}).fetchone()
    assert row is not None
    return SpaceState(
        table=vectors["table"],
        version=vectors["version"],
        graph=graph["digest"],
        digest=content_id(vectors["digest"], memories["digest"], graph["digest"]),
        documents=int(row[0]),
        passages=vectors["rows"],
        entities=graph["entities"],
        edges=graph["edges"],
        memories_table=memories["table"],
        memories_version=memories["version"],
        memories=memories["rows"],
        bank_table=bank.get("table", ""),
        bank_version=bank.get("version", 0),
        bank=serving_codec(connection, space, lake.embedder_spec.identity) if bank.get("rows") else "",
    )
