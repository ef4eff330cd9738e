"""The compiled graph of one space: CSR arrays that memory-map, and the tables that name their nodes.

Passages and entities are nodes; an edge joins a passage to an entity that it mentions or whose title names it, and an
acronym to its long form. After HippoRAG (arXiv 2405.14831), with weights by inverse document frequency in place of
extracted facts. The arrays are a function of the warehouse's rows alone, in an order that depends on ids alone, so
equal rows give the same folder, which is named by the digest of its content.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from errors import SnapshotError

CODE_VERSION = "1"

_MIN_CAP = 10
"""An entity in at most this many passages is kept however small the space is."""

_SYNONYM_WEIGHT = 1.0

_META = "graph.json"
_ENTITIES = "entities.arrow"


@dataclass(frozen=True, slots=True)
class GraphParameters:
    """What shapes a graph besides the rows."""

    max_share: float = 0.1
    """An entity in a larger share of the passages is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGraph:
    """Nodes ``0 … passages-1`` are passages in the order of their ids, the following ones entities by key hash.

    ``walk`` is column-stochastic: column j spreads what is at node j over its neighbours.
    """

    passage_keys: NDArray[np.bytes_]
    """``(passages,)`` of ``S32``: passage ids, ascending."""
    entity_hashes: NDArray[np.uint64]
    """``(entities,)``: hashes of the entities' keys, ascending."""
    specificity: NDArray[np.float32]
    """``(entities,)``: inverse document frequency in (0, 1]; 1 for an entity of a single passage."""
    frequency: NDArray[np.int32]
    """``(entities,)``: how many passages an entity is in."""
    incidence_indptr: NDArray[np.int64]
    incidence_indices: NDArray[np.int32]
    incidence_titled: NDArray[np.bool_]
    """Passage-entity pairs as CSR over passages; ``titled`` where the passage's title names the entity."""
    postings_indptr: NDArray[np.int64]
    postings_indices: NDArray[np.int32]
    postings_titled: NDArray[np.bool_]
    """The same pairs as CSR over entities."""
    walk_indptr: NDArray[np.int64]
    walk_indices: NDArray[np.int32]
    walk_data: NDArray[np.float32]
    entity_table: pl.DataFrame
    """``key, name, kind``, a row an entity."""

    @property
    def passages(self) -> int:
        return len(self.passage_keys)

    @property
    def entities(self) -> int:
        return len(self.entity_hashes)

    @property
    def edges(self) -> int:
        """Undirected edges."""
        return len(self.walk_indices) // 2

    def passage_ids(self) -> list[str]:
        """Ids of the passages, in node order."""
        return [key.decode() for key in self.passage_keys]

    def passage_nodes(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Nodes of these passages; an id that the graph does not have gives -1."""
        wanted = np.array([key.encode() for key in ids], dtype="S32")
        at = np.searchsorted(self.passage_keys, wanted)
        inside = np.minimum(at, max(self.passages - 1, 0))
        known = (self.passage_keys[inside] == wanted) if self.passages else np.zeros(len(wanted), bool)
        return np.where(known, at, -1)

    def entity_rows(self, keys: Sequence[str]) -> dict[str, int]:
        """Row (node minus ``passages``) of each key that the graph has."""
        if not self.entities or not keys:
            return {}
        hashes = np.array([key_hash(key) for key in keys], dtype=np.uint64)
        at = np.searchsorted(self.entity_hashes, hashes)
        inside = np.minimum(at, self.entities - 1)
        known = self.entity_hashes[inside] == hashes
        return {key: int(row) for key, row, found in zip(keys, inside, known, strict=True) if found}

    def walk(self) -> sparse.csr_array:
        """The walk matrix, of shape ``(passages + entities,) * 2``."""
        n = self.passages + self.entities
        return sparse.csr_array((self.walk_data, self.walk_indices, self.walk_indptr), shape=(n, n))

    def dangling(self) -> NDArray[np.bool_]:
        """Nodes without edges; as the adjacency is symmetric, an empty row is an empty column."""
        return np.asarray(np.diff(self.walk_indptr) == 0)

    def digest(self) -> str:
        """Of all the content; equal graphs have equal digests."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in self._arrays().items():
            digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        for row in self.entity_table.iter_rows():
            digest.update("\x1f".join(row).encode())
        return digest.hexdigest()

    def save(self, folder: Path, before_rename: Callable[[], None] = lambda: None) -> bool:
        """Write the graph as ``folder``, whole or not at all; returns whether it was not there yet.

        ``before_rename`` is called when all is on the disk under a temporary name.
        """
        if _is_whole(folder):
            return False
        temporary = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.tmp")
        temporary.mkdir(parents=True)
        try:
            for name, array in self._arrays().items():
                np.save(temporary / f"{name}.npy", array)
            self.entity_table.write_ipc(temporary / _ENTITIES)
            sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
            (temporary / _META).write_text(json.dumps(sizes), encoding="utf-8")
            before_rename()
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return True

    @classmethod
    def load(cls, folder: Path) -> CompiledGraph:
        """Open a graph; the arrays are mapped, not read.

        Raises:
            SnapshotError: the folder is missing or damaged.
        """
        if not _is_whole(folder):
            raise SnapshotError(f"The graph {folder} is damaged or gone.", "Build it anew with: memlake repair")
        try:
            arrays = {
                field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r")
                for field in fields(cls)
                if field.name != "entity_table"
            }
            table = pl.read_ipc(folder / _ENTITIES)
        except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
            raise SnapshotError(
                f"The graph {folder} is damaged or gone: {error}.", "Build it anew with: memlake repair"
            ) from error
        return cls(**arrays, entity_table=table)

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "entity_table"}


def _is_whole(folder: Path) -> bool:
    """Whether every file of a graph is there in the size that was written."""
    try:
        sizes = json.loads((folder / _META).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def key_hash(key: str) -> int:
    """64 bits that stand for an entity's key in the arrays."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def compile_graph(
    passage_ids: pl.Series,
    entities: pl.DataFrame,
    incidence: pl.DataFrame,
    synonyms: pl.DataFrame,
    parameters: GraphParameters,
) -> CompiledGraph:
    """Compile one space.

    Args:
        passage_ids: ascending.
        entities: ``entity_id, entity_key, name, kind``, ascending by id.
        incidence: ``passage, entity, titled``: row numbers in the two above, each pair once.
        synonyms: ``short, long``: row numbers in ``entities``.
    """
    n = len(passage_ids)
    rows = incidence["passage"].to_numpy().astype(np.int64)
    columns = incidence["entity"].to_numpy().astype(np.int64)
    titled = incidence["titled"].to_numpy().astype(bool)
    frequency = np.bincount(columns, minlength=entities.height)
    kept = (frequency > 0) & (frequency <= max(_MIN_CAP, parameters.max_share * n))

    keys = entities["entity_key"].to_list()
    hashes = np.array([key_hash(key) for key in keys], dtype=np.uint64)
    order = np.flatnonzero(kept)[np.argsort(hashes[kept], kind="stable")]
    renumbered = np.full(entities.height, -1, dtype=np.int64)
    renumbered[order] = np.arange(len(order))
    frequency = frequency[order]
    specificity = (np.log((n + 1) / np.maximum(frequency, 1)) / np.log(n + 1)).astype(np.float32)

    inside = kept[columns]
    rows, columns, titled = rows[inside], renumbered[columns[inside]], titled[inside]
    by_place = np.lexsort((columns, rows))
    rows, columns, titled = rows[by_place], columns[by_place], titled[by_place]
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])

    short = renumbered[synonyms["short"].to_numpy().astype(np.int64)]
    long = renumbered[synonyms["long"].to_numpy().astype(np.int64)]
    both = (short >= 0) & (long >= 0)
    by_entity = np.lexsort((rows, columns))
    postings_indptr = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(np.bincount(columns, minlength=len(order)), out=postings_indptr[1:])
    walk = _walk(n, len(order), rows, columns, specificity[columns], short[both], long[both])
    table = entities[order.tolist()].select(key="entity_key", name="name", kind="kind")
    return CompiledGraph(
        passage_keys=np.array([key.encode() for key in passage_ids], dtype="S32"),
        entity_hashes=hashes[order],
        specificity=specificity,
        frequency=frequency.astype(np.int32),
        incidence_indptr=indptr,
        incidence_indices=columns.astype(np.int32),
        incidence_titled=titled,
        postings_indptr=postings_indptr,
        postings_indices=rows[by_entity].astype(np.int32),
        postings_titled=titled[by_entity],
        walk_indptr=walk.indptr.astype(np.int64),
        walk_indices=walk.indices.astype(np.int32),
        walk_data=walk.data,
        entity_table=table,
    )


def _walk(
    passages: int,
    entities: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float32],
    short: NDArray[np.int64],
    long: NDArray[np.int64],
) -> sparse.csr_array:
    """The symmetric weighted adjacency with its columns scaled to sum 1; a node without edges has an empty column."""
    n = passages + entities
    heads = np.concatenate([rows, columns + passages, short + passages, long + passages])
    tails = np.concatenate([columns + passages, rows, long + passages, short + passages])
    data = np.concatenate([weights, weights, np.full(2 * len(short), _SYNONYM_WEIGHT, np.float32)])
    adjacency = sparse.coo_array((data.astype(np.float64), (heads, tails)), shape=(n, n)).tocsr()
    adjacency.sum_duplicates()
    adjacency.sort_indices()
    degree = np.asarray(adjacency.sum(axis=0)).ravel()
    scale = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    adjacency.data *= scale[adjacency.indices]
    adjacency.data = adjacency.data.astype(np.float32)
    return adjacency
