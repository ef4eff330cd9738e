"""Which entities of a space are the same: neighbours for new ones, verdicts as rows, and who stands under whose name.

Verdicts and clusters are functions of all entities, of what texts state and of the user's overrides, computed anew and
merged, so that they are the same whatever order the entities came in. Only the neighbours in meaning are kept from run
to run: each new entity is compared with all, once, never all with all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.overrides import MERGE, read_overrides
from derivation.phrases import embeds_phrases
from derivation.progress import StepReport
from derivation.runner import conclude_global
from graph.candidates import neighbours
from graph.clusters import LEADER, OVERRIDE, clusters
from graph.extraction import TYPES
from graph.resolution import CODE_VERSION, DECISIONS, DIFFERENT, SAME, decide
from warehouse.database import Changes, Connection, bump_generation, frame, registered, replace_rows
from warehouse.delta import Step
from warehouse.faults import reach

RESOLUTION_STEP_NAME = "resolution"

_ALIASES = ("also known as", "formerly known as", "née", "nicknamed", "abbreviated as", "stands for")
"""Predicates by which a text says that two names are one thing's."""

_NEW = """
SELECT p.owner_id, e.vector FROM phrases p
JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder
WHERE p.space = $space AND p.kind = 'entity' AND ($all OR p.owner_id NOT IN (
    SELECT entity_id FROM compared WHERE embedder = $embedder AND space = $space))
ORDER BY p.owner_id
"""
_FORGOTTEN = (
    "DELETE FROM neighbours WHERE space = $space AND (embedder <> $embedder OR score < $similarity"
    " OR left_id NOT IN (SELECT owner_id FROM phrases WHERE kind = 'entity')"
    " OR right_id NOT IN (SELECT owner_id FROM phrases WHERE kind = 'entity'))",
    "DELETE FROM compared WHERE space = $space AND (embedder <> $embedder OR similarity <> $similarity"
    " OR entity_id NOT IN (SELECT owner_id FROM phrases WHERE kind = 'entity'))",
)

_ENTITIES = """
SELECT entity_id, entity_key, name, kind, passages, CASE WHEN list_contains($types, kind) THEN kind ELSE '' END AS type
FROM entities WHERE space = $space
"""
_ACRONYMS = """
SELECT short_id, long_id, count(*) AS supports FROM acronyms WHERE space = $space GROUP BY ALL ORDER BY ALL
"""
_ALIASED = """
SELECT subject_id AS left_id, object_id AS right_id, count(*) AS supports FROM supports
WHERE space = $space AND list_contains($aliases, lower(predicate)) GROUP BY ALL ORDER BY ALL
"""
_NEAR = """
SELECT left_id, right_id, 'embedding' AS method, score FROM neighbours
WHERE space = $space AND embedder = $embedder AND score >= $threshold ORDER BY ALL
"""
_CONTEXTS = """
WITH asked AS (
    SELECT short_id AS entity_id FROM acronyms WHERE space = $space
    UNION SELECT long_id FROM acronyms WHERE space = $space
    UNION SELECT entity_id FROM entities WHERE space = $space
        AND entity_key IN (SELECT entity_key FROM entities WHERE space = $space GROUP BY 1 HAVING count(*) > 1)
    UNION SELECT left_id FROM neighbours WHERE space = $space UNION SELECT right_id FROM neighbours WHERE space = $space
),
places AS (SELECT DISTINCT passage_id, entity_id FROM mentions JOIN asked USING (entity_id) WHERE space = $space)
SELECT DISTINCT p.entity_id, m.entity_key AS other_key
FROM mentions m JOIN places p ON m.passage_id = p.passage_id AND m.entity_id <> p.entity_id WHERE m.space = $space
"""


def resolution_step(lake: Lake) -> Step:
    """The step; the overrides are the lake's, not the step's."""
    parameters = {"synonym_similarity": lake.settings.graph.synonym_similarity}
    return Step(RESOLUTION_STEP_NAME, CODE_VERSION, parameters if embeds_phrases(lake) else {})


@exclusive("resolving entities")
def refresh_resolution(lake: Lake, space: str) -> StepReport:
    """Bring the verdicts on the entities of a space up to date."""
    started = time.perf_counter()
    step = resolution_step(lake)
    lake.progress.start(step.name, space, 1)
    _compare(lake, space)
    with lake.warehouse.session("resolving entities") as connection:
        decisions, resolutions = resolved(connection, lake, space)
        changes = replace_rows(connection, "decisions", ["left_id", "right_id"], decisions, "space", [space])
        changes += replace_rows(connection, "resolutions", ["entity_id"], resolutions, "space", [space])
        reach("resolution.written")
        if changes.any:
            bump_generation(connection)
    return conclude_global(lake, step, decisions.height + resolutions.height, changes, started)


def resolved(connection: Connection, lake: Lake, space: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of ``decisions`` and ``resolutions`` as the entities of a space and what is stated of them give now."""
    of_space = {"space": space}
    entities = frame(connection, _ENTITIES, {**of_space, "types": list(TYPES)})
    near = {**of_space, "embedder": lake.embedder_spec.identity, "threshold": lake.settings.graph.synonym_similarity}
    decisions = decide(
        entities,
        frame(connection, _ACRONYMS, of_space),
        frame(connection, _ALIASED, {**of_space, "aliases": list(_ALIASES)}),
        frame(connection, _NEAR, near),
        frame(connection, _CONTEXTS, of_space),
    )
    overrides = read_overrides(lake.layout, space)
    paired = pl.concat([pairs[side] for pairs in (decisions, overrides) for side in ("left_id", "right_id")])
    # Who is in no pair stands for itself, and ranking all takes longer than the rest.
    grouped = clusters(entities.filter(pl.col("entity_id").is_in(paired.implode())), decisions, overrides)
    members = grouped.filter(pl.col("entity_id") != pl.col("canonical_id"), pl.col("method") != LEADER)
    named = pl.lit(space).alias("space")
    return (
        _overridden(decisions, entities, overrides).select(
            "left_id", "right_id", named, "method", "score", "verdict", "reason"
        ),
        members.select("entity_id", named, "canonical_id", "method", "score"),
    )


def _overridden(decisions: pl.DataFrame, entities: pl.DataFrame, overrides: pl.DataFrame) -> pl.DataFrame:
    """The decisions with a person's word in place of the rules', where both entities are known."""
    known = entities["entity_id"].to_list()
    said = overrides.filter(pl.col("left_id").is_in(known), pl.col("right_id").is_in(known)).select(
        "left_id",
        "right_id",
        method=pl.lit(OVERRIDE),
        score=pl.lit(1.0),
        verdict=pl.when(pl.col("verdict") == MERGE).then(pl.lit(SAME)).otherwise(pl.lit(DIFFERENT)),
        reason="reason",
    )
    ruled = decisions.join(said, on=["left_id", "right_id"], how="anti")
    return pl.concat([ruled, said.select(pl.col(name).cast(kind) for name, kind in DECISIONS.items())])


def every_neighbour(lake: Lake, space: str) -> pl.DataFrame:
    """The rows of ``neighbours`` as the vectors of a space give them now, all compared with all."""
    with lake.warehouse.session("reading phrases") as connection:
        ids, vectors = _vectors(connection, space, lake.embedder_spec.identity, every=True)
    return _found(lake, space, ids, vectors, [], vectors[:0])


def _found(
    lake: Lake,
    space: str,
    new_ids: list[str],
    new_vectors: NDArray[np.float32],
    ids: list[str],
    vectors: NDArray[np.float32],
) -> pl.DataFrame:
    near = neighbours(new_ids, new_vectors, ids, vectors, lake.settings.graph.synonym_similarity)
    embedder = pl.lit(lake.embedder_spec.identity).alias("embedder")
    return near.select("left_id", "right_id", pl.lit(space).alias("space"), embedder, "score")


def _compare(lake: Lake, space: str) -> Changes:
    """Find the neighbours of entities that were never compared, and forget those of entities that are gone.

    Another embedder or threshold compares all anew.
    """
    embedder, similarity = lake.embedder_spec.identity, lake.settings.graph.synonym_similarity
    with lake.warehouse.session("reading phrases") as connection:
        for statement in _FORGOTTEN:
            connection.execute(statement, {"space": space, "embedder": embedder, "similarity": similarity})
        new_ids, new_vectors = _vectors(connection, space, embedder, every=False)
        ids, vectors = _vectors(connection, space, embedder, every=True) if new_ids else ([], new_vectors)
    if not new_ids:
        return Changes()
    with lake.warehouse.released():
        rows = _found(lake, space, new_ids, new_vectors, ids, vectors)
    done = pl.DataFrame({"entity_id": new_ids}).with_columns(
        space=pl.lit(space), embedder=pl.lit(embedder), similarity=pl.lit(similarity)
    )
    with (
        lake.warehouse.session("writing neighbours") as connection,
        registered(connection, "pairs_frame", rows),
        registered(connection, "done_frame", done),
    ):
        connection.execute("INSERT INTO neighbours SELECT * FROM pairs_frame ON CONFLICT DO NOTHING")
        connection.execute("INSERT INTO compared SELECT * FROM done_frame ON CONFLICT DO NOTHING")
    return Changes(added=rows.height)


def _vectors(connection: Connection, space: str, embedder: str, every: bool) -> tuple[list[str], NDArray[np.float32]]:
    rows = connection.sql(_NEW, params={"space": space, "embedder": embedder, "all": every}).to_arrow_table()
    if not rows.num_rows:
        return [], np.zeros((0, 0), np.float32)
    values = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return rows["owner_id"].to_pylist(), values.reshape(rows.num_rows, -1)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on two names, for a person."""

    left: str
    right: str
    verdict: str
    method: str
    score: float
    reason: str


def list_decisions(lake: Lake, space: str, verdict: str | None, limit: int) -> list[Decision]:
    """Verdicts of a space, those on the most frequent names first; ``verdict`` of ``None`` gives all."""
    with lake.warehouse.session("reading decisions") as connection:
        rows = connection.execute(
            "SELECT l.name, r.name, d.verdict, d.method, d.score, d.reason FROM decisions d"
            " JOIN entities l ON l.entity_id = d.left_id JOIN entities r ON r.entity_id = d.right_id"
            " WHERE d.space = $space AND ($verdict IS NULL OR d.verdict = $verdict)"
            " ORDER BY l.passages + r.passages DESC, l.name, r.name LIMIT $limit",
            {"space": space, "verdict": verdict, "limit": limit},
        ).fetchall()
    return [Decision(*row) for row in rows]
