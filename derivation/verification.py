"""``memlake verify``: compute again what the lake says it holds, compare, and print what differs.

Nothing is believed: passages are cut again from the revisions, mentions found again in the passages, entities and
families aggregated again, the graph compiled again, and every row of the Lance tables is compared with the warehouse.
Vectors are compared with those that were paid for; computing some anew is asked for, since it costs a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from derivation.association import associating, every_association
from derivation.bank import code_problems
from derivation.checks import CHECKS
from derivation.digest import lake_digest
from derivation.duplicates import clustered
from derivation.entities import aggregated
from derivation.event_files import read_again
from derivation.extraction import ExtractionStep
from derivation.facts import aggregated_facts, dated_facts
from derivation.graphs import GRAPH_STEP_NAME, compiled_graph, open_graph
from derivation.lake import Lake, exclusive
from derivation.layers import layer_state
from derivation.memories import Memories
from derivation.memory_facts import dated_memories
from derivation.passages import Passages
from derivation.periods import Periods
from derivation.phrases import wanted_phrases
from derivation.reinforcement import reinforced_rows, reinforced_until
from derivation.resolution import every_neighbour, resolved
from derivation.runner import Derivation
from derivation.snapshot import present_state
from errors import MemlakeError
from memory.bank.storage import load_codec
from memory.conversations.periods import LEVELS
from memory.duplicates import bands, compare, prepare
from memory.segmentation import contextual_text
from warehouse.database import Connection, registered
from warehouse.delta import Scope, Task, Verdict
from warehouse.layout import LakeLayout
from warehouse.searched import KINDS, TableKind
from warehouse.snapshots import Manifest, current_manifest, list_ids, read_expired, read_manifest
from warehouse.vectors import open_latest, open_version, stored_rows, unindexed, wanted_rows

AREAS = {
    "checks": "spans, vectors, orphans and extraction, as before every publication",
    "passages": "cut again from the revisions",
    "memories": "remembered again, or read again in what a model is recorded to have said; periods told again",
    "mentions": "found again in the passages, or in what a model is recorded to have said",
    "entities": "aggregated again",
    "facts": "aggregated and dated again, entities compared and resolved again",
    "reinforcement": "clients' files read again, as far as they were, and summed up again",
    "duplicates": "signed, measured and clustered again",
    "vectors": "every Lance row against the warehouse, the full-text index against the rows",
    "bank": "every code against its vector, encoded again by the codec that serves",
    "graph": "compiled again, and the files against their digest",
    "snapshots": "every kept snapshot opened",
    "model": "a sample of texts embedded again",
}
"""What is looked at, in order."""

_SHOWN = 20
"""Differences of one area that are told; the others are counted."""

_LEAST_COSINE = 0.999
"""Of a vector to the one that is computed anew: batches of another shape round otherwise."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found."""

    digest: str | None
    """Of the canonical dump; ``None`` where a store is too damaged to be read."""
    compared: dict[str, int]
    """How many rows were compared in each area."""
    problems: dict[str, tuple[str, ...]]
    """What differs, by area; areas that are whole are left out."""

    @property
    def whole(self) -> bool:
        return not self.problems


class _Findings:
    """Collects by area, and counts."""

    def __init__(self) -> None:
        self.compared: dict[str, int] = {}
        self.problems: dict[str, list[str]] = {}

    def add(self, area: str, compared: int, problems: Sequence[str]) -> None:
        self.compared[area] = self.compared.get(area, 0) + compared
        if problems:
            self.problems.setdefault(area, []).extend(problems)

    def shown(self) -> dict[str, tuple[str, ...]]:
        cut = {}
        for area, found in self.problems.items():
            more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            cut[area] = (*found[:_SHOWN], *more)
        return cut


@exclusive("verifying the lake")
def verify(lake: Lake, embedded_again: int = 0) -> Verification:
    """Compute the lake again and compare; nothing is changed.

    Args:
        embedded_again: how many texts to embed anew, spread over the lake.

    Raises:
        WarehouseError: the warehouse cannot be read; nothing can be compared with it.
    """
    findings = _Findings()
    digest = None
    for area, look in (
        ("checks", _checks),
        ("passages", _passages),
        ("memories", _memories),
        ("mentions", _mentions),
        ("entities", _entities),
        ("facts", _facts),
        ("reinforcement", _reinforcement),
        ("duplicates", _duplicates),
        ("vectors", _vectors),
        ("bank", _bank),
        ("graph", _graph),
        ("snapshots", _snapshots),
    ):
        lake.progress.start("verify", area, 0)
        try:
            for compared, problems in look(lake):
                findings.add(area, compared, problems)
        except MemlakeError as error:
            findings.add(area, 0, [str(error)])
    if embedded_again:
        findings.add("model", *_embed_again(lake, embedded_again))
    if not findings.problems.get("vectors"):
        digest = lake_digest(lake)
    lake.progress.finish()
    return Verification(digest, findings.compared, findings.shown())


_Look = Iterator[tuple[int, list[str]]]


def _checks(lake: Lake) -> _Look:
    state = present_state(lake)
    for check in CHECKS.values():
        yield 1, list(check(lake, state).problems)


def _passages(lake: Lake) -> _Look:
    yield from _recomputed(lake, Passages(lake))


def _memories(lake: Lake) -> _Look:
    yield from _recomputed(lake, Memories(lake, recorded_only=True))
    for level in LEVELS:
        yield from _recomputed(lake, Periods(lake, level))
    for space in lake.settings.spaces:
        with lake.warehouse.session("comparing memories") as connection:
            rows = dated_memories(connection, space)
            yield rows.height, _differences(connection, "memory_validity", rows, "space", [space])
        links = every_association(lake, space, associating(lake, space))
        with lake.warehouse.session("comparing associations") as connection:
            yield links.height, _differences(connection, "association_neighbours", links, "space", [space])


def _mentions(lake: Lake) -> _Look:
    yield from _recomputed(lake, ExtractionStep(lake, recorded_only=True))


def _recomputed(lake: Lake, derivation: Derivation) -> _Look:
    """What a step gives for everything that it has done, compared with the rows that are there."""
    for owners, outputs, unknown in computed_again(lake, derivation):
        if unknown:
            yield 0, [f"{derivation.step.name}: what a model said of {unknown:,} inputs is not recorded"]
        with lake.warehouse.session("comparing") as connection:
            for table, rows in derivation.tables(outputs).items():
                yield rows.height, _differences(connection, table, rows, *derivation.owned(table, owners))


def computed_again(lake: Lake, derivation: Derivation) -> Iterator[tuple[list[str], Mapping[str, pl.DataFrame], int]]:
    """Run a step on everything that it has done, a batch at a time.

    Gives the inputs' ids, the outputs, and how many inputs could not be computed without asking a model.
    """
    for source in lake.settings.sources:
        scope = Scope(source.space, source.name)
        with lake.warehouse.session("reading the ledger") as connection:
            done = connection.execute(
                "SELECT input_id, input_hash, label FROM ledger WHERE step = $step AND space = $space"
                " AND source = $source AND status = 'done' ORDER BY input_id",
                {"step": derivation.step.name, "space": scope.space, "source": scope.source},
            ).fetchall()
        tasks = [Task(key, content, label, Verdict.STALE) for key, content, label in done]
        size = lake.settings.lake.batch_rows
        for start in range(0, len(tasks), size):
            batch = tasks[start : start + size]
            with lake.warehouse.session("reading inputs") as connection:
                loaded = derivation.load(connection, batch)
            computed = derivation.compute(batch, loaded)
            owners = [outcome.task.input_id for outcome in computed.outcomes]
            yield owners, computed.outputs, len(batch) - len(owners)


def _entities(lake: Lake) -> _Look:
    for space in lake.settings.spaces:
        with lake.warehouse.session("comparing entities") as connection:
            rows = aggregated(connection, space)
            yield rows.height, _differences(connection, "entities", rows, "space", [space])


def _facts(lake: Lake) -> _Look:
    for space in lake.settings.spaces:
        near = every_neighbour(lake, space)
        with lake.warehouse.session("comparing facts") as connection:
            computed = {"facts": aggregated_facts(connection, space), "validity": dated_facts(connection, space)}
            computed["phrases"] = wanted_phrases(connection, lake, space).drop("text")
            computed["neighbours"] = near
            computed["decisions"], computed["resolutions"] = resolved(connection, lake, space)
            for table, rows in computed.items():
                yield rows.height, _differences(connection, table, rows, "space", [space])


def _reinforcement(lake: Lake) -> _Look:
    """Files that the next run would read anew say nothing against the rows that are there."""
    for file, again in read_again(lake):
        with lake.warehouse.session("comparing events") as connection:
            yield again.height, _differences(connection, "events", again, "file", [file])
    for space in lake.settings.spaces:
        with lake.warehouse.session("comparing strengths") as connection:
            until = reinforced_until(connection, space)
            if until is not None:
                again = reinforced_rows(connection, lake, space, until)
                yield again.height, _differences(connection, "reinforcement", again, "space", [space])


def _duplicates(lake: Lake) -> _Look:
    for space in lake.settings.spaces:
        with lake.warehouse.session("reading texts") as connection:
            texts = dict(
                connection.execute(
                    "SELECT md5(text), any_value(text) FROM passages WHERE space = $space GROUP BY ALL ORDER BY ALL",
                    {"space": space},
                ).fetchall()
            )
            signed = dict(
                connection.execute("SELECT text_key, bands FROM signatures WHERE space = $space", {"space": space})
                .fetchall()
            )  # fmt: skip
            pairs = connection.execute(
                "SELECT leader_key, member_key, score, duplicate FROM duplicate_pairs WHERE space = $space"
                " ORDER BY ALL",
                {"space": space},
            ).fetchall()
            rows = clustered(connection, lake, space)
            yield rows.height, _differences(connection, "families", rows, "space", [space])
        computed = dict(zip(texts, bands(list(texts.values())).tolist(), strict=True)) if texts else {}
        wrong = [
            f"signature of text {key}" for key in sorted({*computed, *signed}) if computed.get(key) != signed.get(key)
        ]
        prepared = {key: prepare(texts[key]) for pair in pairs for key in pair[:2] if key in texts}
        for leader, member, score, duplicate in pairs:
            if leader not in prepared or member not in prepared:
                wrong.append(f"pair {leader} {member} of texts that are gone")
                continue
            found = compare(prepared[leader], prepared[member])
            if (found.containment, found.is_duplicate) != (score, duplicate):
                wrong.append(f"pair {leader} {member} is {found.containment:.3f}, not {score:.3f}")
        yield len(computed) + len(pairs), wrong


def _vectors(lake: Lake) -> _Look:
    identity = lake.embedder_spec.identity
    for space in lake.settings.spaces:
        for kind in KINDS:
            table = open_latest(lake.layout, space, kind.table(identity))
            held = table.search().to_arrow().sort_by(kind.key)
            with lake.warehouse.session("comparing vectors") as connection:
                wanted = wanted_rows(connection, kind, space, identity)
                stored = stored_rows(connection, kind, space, identity, wanted)
            yield held.num_rows, _table_problems(kind, wanted, held, stored, unindexed(table))


def _table_problems(kind: TableKind, wanted: pl.DataFrame, held: pa.Table, stored: pa.Table, left: int) -> list[str]:
    """How a table differs from what the warehouse says."""
    keys = held[kind.key].to_pylist()
    by_key = pl.DataFrame(
        {kind.key: keys, "row_hash": held["row_hash"].to_pylist()}, schema={kind.key: pl.String, "row_hash": pl.String}
    )
    problems = [f"{key} is missing or out of date" for key in _only(kind.key, wanted, by_key)]
    problems += [f"{key} is left over or out of date" for key in _only(kind.key, by_key, wanted)]
    if not problems:
        for column in held.column_names:
            if column != "vector":
                pairs = zip(keys, held[column].to_pylist(), stored[column].to_pylist(), strict=True)
                problems += [f"{key}: {column} is {have!r}, not {want!r}" for key, have, want in pairs if have != want]
        if not kind.is_searched:
            return problems
        have, want = (_matrix(item["vector"].combine_chunks()) for item in (held, stored))
        bad = np.flatnonzero(np.any(have != want, axis=1)).tolist() if len(have) else []
        problems += [f"{keys[row]}: its vector is not the one that was computed" for row in bad]
    if left != 0 and kind.is_searched:
        problems.append(f"the full-text index of the {kind.name} does not cover {left if left > 0 else 'any'} rows")
    return problems


def _only(key: str, left: pl.DataFrame, right: pl.DataFrame) -> list[str]:
    return left.join(right, on=[key, "row_hash"], how="anti")[key].sort().to_list()


def _matrix(column: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    values = column.flatten().to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    return values.astype(np.float32).reshape(len(column), -1)  # type: ignore[arg-type,no-any-return]


def _graph(lake: Lake) -> _Look:
    for space in lake.settings.spaces:
        with lake.warehouse.session("reading the graph") as connection:
            compiled = compiled_graph(connection, lake, space)
            state = layer_state(connection, space, GRAPH_STEP_NAME) or {}
        noted = str(state.get("digest"))
        problems = [] if compiled.digest() == noted else [f"the graph of {space} is out of date"]
        if open_graph(lake, noted).digest() != noted:
            problems.append(f"the files of graph {noted} are not what was written")
        yield compiled.passages + compiled.entities + compiled.edges, problems


def _bank(lake: Lake) -> _Look:
    for space in lake.settings.spaces:
        yield code_problems(lake, space)


def _snapshots(lake: Lake) -> _Look:
    current_manifest(lake.layout)
    read_expired(lake.layout)
    for name in list_ids(lake.layout):
        yield 1, snapshot_problems(lake.layout, name)


def snapshot_problems(layout: LakeLayout, name: str) -> list[str]:
    """Why a kept snapshot cannot be opened, as sentences."""
    try:
        return [problem for problem in _pins(layout, read_manifest(layout, name)) if problem]
    except MemlakeError as error:
        return [str(error)]


def _pins(layout: LakeLayout, manifest: Manifest) -> Iterator[str]:
    from graph.compiled import CompiledGraph

    for space, state in manifest.spaces.items():
        try:
            held = [open_version(layout, space, *pinned).search().to_arrow().num_rows for pinned in state.tables]
            graph = CompiledGraph.load(layout.graph(state.graph))
            if state.bank and load_codec(layout.bank(state.bank)).digest != state.bank:
                yield f"{manifest.snapshot_id}, space {space}: the codec of the bank is not what was written"
        except (MemlakeError, RuntimeError, OSError) as error:
            yield f"{manifest.snapshot_id}, space {space}: {error}"
            continue
        for kind, rows, noted in zip(KINDS, held, (state.passages, state.memories), strict=False):
            if rows != noted:
                yield f"{manifest.snapshot_id}, space {space}: {rows} {kind.name}, not {noted}"
        if graph.entities != state.entities:
            yield f"{manifest.snapshot_id}, space {space}: {graph.entities} entities, not {state.entities}"


def _embed_again(lake: Lake, count: int) -> tuple[int, list[str]]:
    identity = lake.embedder_spec.identity
    with lake.warehouse.session("reading a sample") as connection:
        rows = connection.execute(
            "SELECT p.passage_id, d.title, p.heading, p.text, e.vector FROM passages p"
            " JOIN documents d USING (document_id) JOIN embeddings e ON e.space = p.space"
            " AND e.text_hash = p.text_hash AND e.embedder = $embedder"
            " ORDER BY md5(p.passage_id) LIMIT $count",
            {"embedder": identity, "count": count},
        ).fetchall()
    if not rows:
        return 0, []
    vectors = lake.embedder.encode([contextual_text(title, heading, text) for _, title, heading, text, _ in rows])
    cosines = np.sum(vectors * np.array([row[4] for row in rows], dtype=np.float32), axis=1)
    return len(rows), [
        f"{row[0]}: its vector has cosine {cosine:.4f} to the one computed now"
        for row, cosine in zip(rows, cosines, strict=True)
        if cosine < _LEAST_COSINE
    ]


def _differences(
    connection: Connection, table: str, rows: pl.DataFrame, owner: str, owners: Sequence[str]
) -> list[str]:
    """Rows that are only computed or only stored, each as a sentence."""
    columns = ", ".join(rows.columns)
    stored = f"SELECT {columns} FROM {table} WHERE {owner} IN (SELECT unnest($owners))"
    with registered(connection, "computed_frame", rows):
        computed = f"SELECT {columns} FROM computed_frame"
        missing = connection.execute(f"{computed} EXCEPT {stored} ORDER BY ALL", {"owners": list(owners)}).fetchall()
        extra = connection.execute(f"{stored} EXCEPT {computed} ORDER BY ALL", {"owners": list(owners)}).fetchall()
    return [f"{table}: missing {_short(row)}" for row in missing] + [
        f"{table}: left over {_short(row)}" for row in extra
    ]


def _short(row: Sequence[object]) -> str:
    text = ", ".join(str(value) for value in row)
    return text if len(text) <= 160 else text[:159] + "…"
