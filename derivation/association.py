"""Links of memories to earlier ones: each new one is compared with all, once, and the lists that it enters are mended.

Earlier is who comes first by the date of its document, undated ones before all, and then by id: a function of the data,
not of when it arrived. A memory's list holds its nearest earlier ones, so it changes only where a new memory enters it
or where it loses one; lists that lost one are sought anew among all. The ledger knows which memories the lists were
made of. So the lists equal, to the last digit, those that are made at once (:func:`every_association`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from memory.association import higher_component, linked, nearest_earlier
from memory.granularity import Granularity
from warehouse.database import Changes, Connection, bump_generation, frame, replace_rows
from warehouse.delta import Outcome, Plan, Scope, Status, Step, forget, plan_step, record

ASSOCIATION_STEP_NAME = "association"
CODE_VERSION = "1"

ASSOCIATING = (Granularity.EPISODE, Granularity.SUMMARY)
"""Granularities that are linked, all with all: what stands for a topic or a session."""
NEIGHBOURS = 16
"""How many earlier memories are kept of each; what MemGAS's mixture is fitted to."""

_LINKABLE = """
SELECT m.memory_id, m.text_hash, m.granularity, e.vector, coalesce(d.document_date, DATE '0001-01-01') AS day
FROM memories m
JOIN embeddings e ON e.space = m.space AND e.text_hash = m.text_hash AND e.embedder = $embedder
LEFT JOIN documents d USING (document_id)
WHERE m.space = $space AND list_contains($granularities, m.granularity)
"""
_INPUTS = (
    f"SELECT memory_id AS input_id, day || ' ' || text_hash AS input_hash, granularity AS label FROM ({_LINKABLE})"
)
_MEMORIES = f"SELECT memory_id, vector FROM ({_LINKABLE}) ORDER BY day, memory_id"
_DISTURBED = """
SELECT DISTINCT memory_id FROM association_neighbours
WHERE space = $space AND embedder = $embedder AND neighbour_id IN (SELECT unnest($ids))
"""
_LISTS = """
SELECT memory_id, neighbour_id, score FROM association_neighbours
WHERE space = $space AND embedder = $embedder AND memory_id IN (SELECT unnest($ids))
"""
_OTHER_EMBEDDERS = "DELETE FROM association_neighbours WHERE space = $space AND embedder <> $embedder RETURNING 1"
_COUNT = "SELECT count(*) FROM association_neighbours WHERE space = $space AND embedder = $embedder"

_PAIRS = {"row": pl.Int64, "column": pl.Int64, "score": pl.Float64}
"""A memory and an earlier one, by their places in the order of all."""

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Memories:
    """The memories of a space that are linked, the earliest first."""

    ids: list[str]
    vectors: NDArray[np.float32]

    @property
    def places(self) -> Places:
        return np.arange(len(self.ids))

    def places_of(self, ids: Collection[str]) -> Places:
        """Where those of `ids` that are there stand, ascending."""
        wanted = set(ids)
        return np.array([at for at, memory in enumerate(self.ids) if memory in wanted], np.int64)

    def pairs(self, rows: Places, columns: Places) -> pl.DataFrame:
        """The nearest earlier ones among `columns` of each of `rows`, as :data:`_PAIRS`."""
        near = nearest_earlier(self.vectors[rows], rows, self.vectors[columns], columns, NEIGHBOURS)
        return pl.DataFrame({"row": rows[near.rows], "column": columns[near.columns], "score": near.scores}, _PAIRS)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What a run has to do, by places in the order of all memories."""

    memories: _Memories
    new: Places
    anew: Places
    """New ones, and those whose lists hold a memory that is gone or has changed."""
    later: Places
    """The others that come after a new one, which may enter their lists."""
    lists: pl.DataFrame
    """The lists of ``later``, as :data:`_PAIRS`."""
    touched: list[str]
    """Ids of ``anew`` and of what is gone."""


def associating(lake: Lake, space: str) -> frozenset[Granularity]:
    """The granularities of a space that are associated; none where the settings leave that out."""
    wanted = lake.settings.memory.of_space(space) if lake.settings.memory.associations else ()
    return frozenset(ASSOCIATING) & {Granularity(name) for name in wanted}


def association_step(lake: Lake, granularities: Collection[Granularity] = ASSOCIATING) -> Step:
    """The step; another embedder or other granularities link all anew."""
    parameters = {
        "embedder": lake.embedder_spec.identity,
        "granularities": sorted(granularities),
        "neighbours": NEIGHBOURS,
    }
    return Step(ASSOCIATION_STEP_NAME, CODE_VERSION, parameters)


@exclusive("associating memories")
def refresh_association(lake: Lake, space: str, granularities: Collection[Granularity] = ASSOCIATING) -> StepReport:
    """Bring the links of the memories of a space up to date; one without a vector is left out until it has one."""
    started = time.perf_counter()
    step, scope = association_step(lake, granularities), Scope(space)
    lake.progress.start(step.name, space, 1)
    of_space = {"space": space, "embedder": lake.embedder_spec.identity}
    asked = {**of_space, "granularities": list(granularities)}
    with lake.warehouse.session("planning association") as connection:
        plan = plan_step(connection, step, scope, _INPUTS, asked)
        work = None if plan.empty else _work(connection, plan, asked, of_space)
        total = _count(connection, of_space)
    if work is None:
        return conclude_global(lake, step, total, Changes(), started)
    with lake.warehouse.released():
        entered = _entered(work)
        pairs = pl.concat([work.memories.pairs(work.anew, work.memories.places), entered])
        rows = _links(pairs, work.memories.ids, of_space)
    touched = {*work.touched, *(work.memories.ids[at] for at in entered["row"].unique())}
    with lake.warehouse.session("writing association") as connection:
        changes = Changes(removed=len(connection.execute(_OTHER_EMBEDDERS, of_space).fetchall()))
        keys = ["embedder", "memory_id", "neighbour_id"]
        changes += replace_rows(connection, "association_neighbours", keys, rows, "memory_id", sorted(touched))
        record(connection, step, scope, [Outcome(task, Status.DONE) for task in plan.tasks])
        forget(connection, step, scope, plan.removed)
        if changes.any:
            bump_generation(connection)
        total = _count(connection, of_space)
    return conclude_global(lake, step, total, changes, started)


def every_association(lake: Lake, space: str, granularities: Collection[Granularity] = ASSOCIATING) -> pl.DataFrame:
    """The rows of ``association_neighbours`` as the vectors of a space give them now, all compared with all."""
    of_space = {"space": space, "embedder": lake.embedder_spec.identity}
    with lake.warehouse.session("reading memories") as connection:
        memories = _memories(connection, {**of_space, "granularities": list(granularities)})
    return _links(memories.pairs(memories.places, memories.places), memories.ids, of_space)


def _count(connection: Connection, of_space: dict[str, str]) -> int:
    row = connection.execute(_COUNT, of_space).fetchone()
    assert row is not None
    return int(row[0])


def _memories(connection: Connection, asked: Mapping[str, object]) -> _Memories:
    rows = connection.sql(_MEMORIES, params=dict(asked)).to_arrow_table()
    if not rows.num_rows:
        return _Memories([], np.zeros((0, 0), np.float32))
    values = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return _Memories(rows["memory_id"].to_pylist(), values.reshape(rows.num_rows, -1))


def _work(connection: Connection, plan: Plan, asked: Mapping[str, object], of_space: Mapping[str, object]) -> _Work:
    memories = _memories(connection, asked)
    new_ids = {task.input_id for task in plan.tasks}
    changed = new_ids.union(plan.removed)
    disturbed = frame(connection, _DISTURBED, {**of_space, "ids": list(changed)})["memory_id"].to_list()
    new, anew = memories.places_of(new_ids), memories.places_of(new_ids.union(disturbed))
    later = np.setdiff1d(memories.places[new[0] :] if len(new) else new, anew)
    lists = frame(connection, _LISTS, {**of_space, "ids": [memories.ids[at] for at in later]})
    at = pl.DataFrame({"id": memories.ids, "place": memories.places}, {"id": pl.String, "place": pl.Int64})
    placed = lists.join(at, left_on="memory_id", right_on="id").join(at, left_on="neighbour_id", right_on="id")
    pairs = placed.select(row="place", column="place_right", score="score")
    return _Work(memories, new, anew, later, pairs, sorted(changed.union(disturbed)))


def _entered(work: _Work) -> pl.DataFrame:
    """The whole lists, as :data:`_PAIRS`, of those of ``later`` that a new memory enters."""
    found = work.memories.pairs(work.later, work.new)
    held = work.lists.group_by("row").agg(size=pl.len(), least=pl.col("score").min())
    entering = found.join(held, on="row", how="left").filter(
        pl.col("size").is_null() | (pl.col("size") < NEIGHBOURS) | (pl.col("score") >= pl.col("least"))
    )
    kept = work.lists.join(entering, on="row", how="semi")
    both = pl.concat([kept, entering.select(*_PAIRS)]).sort("row", -pl.col("score"), "column")
    return both.filter(pl.int_range(pl.len()).over("row") < NEIGHBOURS)


def _links(pairs: pl.DataFrame, ids: Sequence[str], of_space: Mapping[str, str]) -> pl.DataFrame:
    """The rows of ``association_neighbours`` for whole lists of pairs."""
    ordered = pairs.sort("row", -pl.col("score"), "column")
    rows = ordered["row"].rank("dense").to_numpy().astype(np.int64) - 1
    place = ordered.select(pl.int_range(pl.len()).over("row")).to_series().to_numpy()
    scores = np.full((int(rows.max(initial=-1)) + 1, NEIGHBOURS), np.nan)
    scores[rows, place] = ordered["score"].to_numpy()
    probabilities = higher_component(scores)[rows, place]
    named = np.array(ids, dtype=object)
    return pl.DataFrame(
        {
            "memory_id": named[ordered["row"].to_numpy()].tolist(),
            "neighbour_id": named[ordered["column"].to_numpy()].tolist(),
            "space": [of_space["space"]] * ordered.height,
            "embedder": [of_space["embedder"]] * ordered.height,
            "score": ordered["score"],
            "probability": probabilities,
            "linked": linked(probabilities),
        },
        {
            "memory_id": pl.String,
            "neighbour_id": pl.String,
            "space": pl.String,
            "embedder": pl.String,
            "score": pl.Float64,
            "probability": pl.Float64,
            "linked": pl.Boolean,
        },
    )
