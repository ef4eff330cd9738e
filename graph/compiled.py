"""The compiled graph of one space: CSR arrays that memory-map, and the tables that name their nodes.

Passages and entities are nodes. Three kinds of edges, each from a typed table with a unique key, are weighted here, at
compile time: a passage mentions an entity (by inverse document frequency), two entities are synonyms, two entities are
the ends of a fact. Facts carry no weight in the walk by default, since a passage ties their ends already; they stand
beside it with their passages and vectors (``graph.facts``). After HippoRAG (arXiv 2405.14831) and
HippoRAG 2 (arXiv 2502.14802), whose incremental graph adds synonym edges again at each call. The arrays are a function
of the warehouse's rows alone, in an order that depends on ids alone, so equal rows give the same folder, which is named
by the digest of its content.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from errors import SnapshotError
from graph.walk import Walk

CODE_VERSION = "2"

_MIN_CAP = 10
"""An entity in at most this many passages is kept however small the space is."""

_META = "graph.json"
_TABLES = ("entity_table", "fact_table", "synonym_table")

SUPERSEDED_WEIGHT = 0.25
"""Of a fact that another has superseded: nothing is deleted on contradiction, and what is outdated weighs less."""

LIST_SEPARATOR = "\x1f"
"""Between the names in a column that holds several."""


@dataclass(frozen=True, slots=True)
class GraphParameters:
    """What shapes a graph besides the rows."""

    max_share: float = 0.1
    """An entity in a larger share of the passages carries no edges."""
    fact_weight: float = 0.0
    """Of an edge between the ends of a fact, times the logarithm of the passages that state it."""
    neighbour_weight: float = 0.0
    """Of an edge between names that are near in meaning, times their cosine; stated synonyms weigh 1."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGraph:
    """Nodes ``0 … passages-1`` are passages in the order of their ids, the following ones entities by key hash."""

    passage_keys: NDArray[np.bytes_]
    """``(passages,)`` of ``S32``: passage ids, ascending."""
    name_hashes: NDArray[np.uint64]
    """``(names,)``: hashes of the keys that an entity goes by, ascending; homonyms share one."""
    name_rows: NDArray[np.int32]
    """``(names,)``: the entity of each."""
    specificity: NDArray[np.float32]
    """``(entities,)``: inverse document frequency in (0, 1]; 1 for an entity of a single passage, 0 for one of none."""
    frequency: NDArray[np.int32]
    """``(entities,)``: how many passages an entity is in; 0 where it carries no edge to one."""
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
    walk_weights: NDArray[np.float32]
    walk_degree: NDArray[np.float64]
    """The arrays of ``walk()``."""
    fact_subject: NDArray[np.int32]
    fact_object: NDArray[np.int32]
    """``(facts,)``: entities at the ends, in the order of ``fact_table``."""
    fact_weight: NDArray[np.float32]
    """``(facts,)``: 1, and less for a fact that another has superseded."""
    support_indptr: NDArray[np.int64]
    support_indices: NDArray[np.int32]
    support_spans: NDArray[np.int32]
    """Fact-passage pairs as CSR over facts, and ``(pairs, 2)`` the evidence's span in the passage."""
    stated_indptr: NDArray[np.int64]
    stated_indices: NDArray[np.int32]
    """The same pairs as CSR over passages: which facts a passage states."""
    entity_table: pl.DataFrame
    """``entity_id, key, name, kind, aliases``, a row an entity."""
    fact_table: pl.DataFrame
    """``fact_id, predicate, passages, valid_from, valid_until, superseded_by``, a row a fact, by id."""
    synonym_table: pl.DataFrame
    """``low, high, method, score``: pairs of entities by their rows, each once."""
    embedder: str
    """What the facts' vectors are of; empty where they have none."""
    fact_vectors: NDArray[np.float32]
    """``(facts, dimensions)``, or ``(0, 0)``; no part of the digest, since batches round."""

    @property
    def passages(self) -> int:
        return len(self.passage_keys)

    @property
    def entities(self) -> int:
        return len(self.specificity)

    @property
    def facts(self) -> int:
        return len(self.fact_subject)

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

    def entity_rows(self, keys: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Rows (node minus ``passages``) of each key that an entity of the graph goes by; several for homonyms."""
        if not len(self.name_hashes) or not keys:
            return {}
        hashes = key_hashes(keys)
        first = np.searchsorted(self.name_hashes, hashes, side="left")
        last = np.searchsorted(self.name_hashes, hashes, side="right")
        return {
            key: tuple(self.name_rows[begin:end].tolist())
            for key, begin, end in zip(keys, first.tolist(), last.tolist(), strict=True)
            if begin < end
        }

    def linked_rows(self, keys: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """As :meth:`entity_rows`, without entities that carry no edge to a passage, and keys that only they go by."""
        rows = {key: tuple(r for r in found if self.frequency[r]) for key, found in self.entity_rows(keys).items()}
        return {key: found for key, found in rows.items() if found}

    def walk(self) -> Walk:
        """The walk over passages and entities."""
        return Walk(self.walk_indptr, self.walk_indices, self.walk_weights, self.walk_degree)

    def digest(self) -> str:
        """Of all the content; equal graphs have equal digests."""
        digest = hashlib.blake2b(self.embedder.encode(), digest_size=16)
        for name, array in self._arrays().items():
            if name != "fact_vectors":
                digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        for name in _TABLES:
            digest.update(getattr(self, name).write_csv(quote_style="non_numeric").encode())
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
            for name in _TABLES:
                getattr(self, name).write_ipc(temporary / f"{name}.arrow")
            sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
            (temporary / _META).write_text(json.dumps({"embedder": self.embedder, "sizes": sizes}), encoding="utf-8")
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
            parts: dict[str, Any] = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
            parts |= {name: pl.read_ipc(folder / f"{name}.arrow") for name in _TABLES}
            embedder = str(_read_meta(folder)["embedder"])
        except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
            raise SnapshotError(
                f"The graph {folder} is damaged or gone: {error}.", "Build it anew with: memlake repair"
            ) from error
        return cls(**parts, embedder=embedder)

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        return {name: getattr(self, name) for name in _ARRAYS}


_ARRAYS = tuple(field.name for field in fields(CompiledGraph) if field.name not in (*_TABLES, "embedder"))


def _read_meta(folder: Path) -> Mapping[str, Any]:
    meta: Mapping[str, Any] = json.loads((folder / _META).read_text(encoding="utf-8"))
    return meta


def _is_whole(folder: Path) -> bool:
    """Whether every file of a graph is there in the size that was written."""
    try:
        sizes = _read_meta(folder)["sizes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError, KeyError):
        return False


def key_hashes(keys: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits that stand for an entity's key in the arrays, of each key."""
    hashes = b"".join([hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys])
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


@dataclass(frozen=True, slots=True)
class GraphRows:
    """The rows of one space that a graph is compiled from, in orders that depend on ids alone.

    Every column that names a row does so by its number in the frame that holds it.
    """

    passage_ids: pl.Series
    """Ascending."""
    entities: pl.DataFrame
    """``entity_id, entity_key, name, kind, aliases``: those that stand for themselves, ascending by id."""
    names: pl.DataFrame
    """``key, entity``: what each goes by besides its own key, each pair once."""
    incidence: pl.DataFrame
    """``passage, entity, titled``, each pair once, in any order."""
    synonyms: pl.DataFrame
    """``low, high, method, score``, each pair once."""
    facts: pl.DataFrame
    """``fact_id, subject, predicate, object, passages, valid_from, valid_until, superseded_by``, ascending by id."""
    supports: pl.DataFrame
    """``fact, passage, char_start, char_end``, ascending."""
    embedder: str = ""
    fact_vectors: NDArray[np.float32] | None = None
    """``(facts, dimensions)``."""


def compile_graph(of: GraphRows, parameters: GraphParameters) -> CompiledGraph:
    """Compile one space. Kept are the entities that a passage mentions, or that are the end of a fact."""
    n = len(of.passage_ids)
    rows, columns = _int(of.incidence["passage"]), _int(of.incidence["entity"])
    titled = of.incidence["titled"].to_numpy().astype(bool)
    frequency = np.bincount(columns, minlength=of.entities.height)
    common = frequency > max(_MIN_CAP, parameters.max_share * n)
    frequency = np.where(common, 0, frequency)
    stated = np.zeros(of.entities.height, dtype=bool)
    subject, obj = _int(of.facts["subject"]), _int(of.facts["object"])
    stated[subject] = stated[obj] = True
    kept = (frequency > 0) | stated

    hashes = key_hashes(of.entities["entity_key"].to_list())
    order = np.flatnonzero(kept)[np.argsort(hashes[kept], kind="stable")]
    renumbered = np.full(of.entities.height, -1, dtype=np.int64)
    renumbered[order] = np.arange(len(order))
    frequency = frequency[order]
    carries = frequency > 0
    rarity = np.log((n + 1) / np.maximum(frequency, 1)) / np.log(n + 1) if n else np.zeros(len(order))
    specificity = np.where(carries, rarity, 0.0).astype(np.float32)

    inside = ~common[columns]
    rows, columns, titled = rows[inside], renumbered[columns[inside]], titled[inside]
    by_place = np.lexsort((columns, rows))
    rows, columns, titled = rows[by_place], columns[by_place], titled[by_place]
    by_entity = np.lexsort((rows, columns))
    name_hashes, name_rows = _names(hashes, of.names, renumbered)
    synonyms = _synonyms(of.synonyms, renumbered)
    low, high = _int(synonyms["low"]), _int(synonyms["high"])
    subject, obj = renumbered[subject], renumbered[obj]
    stated_in, stating, weight = _int(of.supports["fact"]), _int(of.supports["passage"]), _fact_weights(of.facts)
    edges = [
        Edges(rows, columns + n, specificity[columns]),
        Edges(low + n, high + n, _synonym_weights(synonyms, parameters)).where(carries[low] & carries[high]),
        Edges(subject + n, obj + n, parameters.fact_weight * weight * np.log1p(of.facts["passages"].to_numpy())).where(
            carries[subject] & carries[obj] & (subject != obj)
        ),
    ]
    edges = [edge.where(edge.weights > 0) for edge in edges]
    walk = _walk(n + len(order), edges)
    vectors = of.fact_vectors if of.fact_vectors is not None else np.zeros((0, 0), np.float32)
    return CompiledGraph(
        passage_keys=np.array([key.encode() for key in of.passage_ids], dtype="S32"),
        name_hashes=name_hashes,
        name_rows=name_rows,
        specificity=specificity,
        frequency=frequency.astype(np.int32),
        incidence_indptr=_indptr(rows, n),
        incidence_indices=columns.astype(np.int32),
        incidence_titled=titled,
        postings_indptr=_indptr(columns, len(order)),
        postings_indices=rows[by_entity].astype(np.int32),
        postings_titled=titled[by_entity],
        walk_indptr=walk.indptr,
        walk_indices=walk.indices,
        walk_weights=walk.weights,
        walk_degree=walk.degree,
        fact_subject=subject.astype(np.int32),
        fact_object=obj.astype(np.int32),
        fact_weight=weight,
        support_indptr=_indptr(stated_in, of.facts.height),
        support_indices=stating.astype(np.int32),
        support_spans=of.supports.select("char_start", "char_end").to_numpy().astype(np.int32),
        stated_indptr=_indptr(stating, n),
        stated_indices=stated_in[np.lexsort((stated_in, stating))].astype(np.int32),
        entity_table=of.entities[order].select("entity_id", "name", "kind", "aliases", key="entity_key"),
        fact_table=of.facts.select("fact_id", "predicate", "passages", "valid_from", "valid_until", "superseded_by"),
        synonym_table=synonyms,
        embedder=of.embedder,
        fact_vectors=np.asarray(vectors, dtype=np.float32),
    )


@dataclass(frozen=True, slots=True)
class Edges:
    """Undirected edges between nodes; parallel ones add up."""

    heads: NDArray[np.int64]
    tails: NDArray[np.int64]
    weights: NDArray[np.float32]

    def where(self, kept: NDArray[np.bool_]) -> Edges:
        """Some of them."""
        return Edges(self.heads[kept], self.tails[kept], self.weights[kept])


def _walk(n: int, edges: Iterable[Edges]) -> Walk:
    """The walk over ``n`` nodes along these edges, both ways."""
    heads = np.concatenate([part for edge in edges for part in (edge.heads, edge.tails)])
    tails = np.concatenate([part for edge in edges for part in (edge.tails, edge.heads)])
    data = np.concatenate([part for edge in edges for part in (edge.weights, edge.weights)])
    return Walk.of(sparse.csr_array(sparse.coo_array((data.astype(np.float64), (heads, tails)), shape=(n, n))))


def _names(
    own: NDArray[np.uint64], others: pl.DataFrame, renumbered: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Hashes of names, ascending, and the rows that they stand for; those of entities that are left out go."""
    hashes = np.concatenate([own, key_hashes(others["key"].to_list())])
    rows = np.concatenate([renumbered, renumbered[_int(others["entity"])]])
    hashes, rows = hashes[rows >= 0], rows[rows >= 0]
    order = np.lexsort((rows, hashes))
    return hashes[order], rows[order].astype(np.int32)


def _synonyms(synonyms: pl.DataFrame, renumbered: NDArray[np.int64]) -> pl.DataFrame:
    """``low, high, method, score``, ascending; those of entities that are left out go."""
    ends = np.stack([renumbered[_int(synonyms["low"])], renumbered[_int(synonyms["high"])]], axis=1)
    numbered = synonyms.select(
        pl.Series("low", ends.min(axis=1), dtype=pl.Int32),
        pl.Series("high", ends.max(axis=1), dtype=pl.Int32),
        "method",
        "score",
    )
    return numbered.filter(pl.col("low") >= 0).sort("low", "high")


def _synonym_weights(synonyms: pl.DataFrame, parameters: GraphParameters) -> NDArray[np.float32]:
    """Names that a text states to be one thing's, or that are spelt alike, weigh 1, whatever a count of them says."""
    near = (synonyms["method"] == "embedding").to_numpy()
    return np.where(near, parameters.neighbour_weight * synonyms["score"].to_numpy(), 1.0).astype(np.float32)


def _fact_weights(facts: pl.DataFrame) -> NDArray[np.float32]:
    superseded = facts["superseded_by"].is_not_null().to_numpy()
    return np.where(superseded, SUPERSEDED_WEIGHT, 1.0).astype(np.float32)


def _int(column: pl.Series) -> NDArray[np.int64]:
    return column.to_numpy().astype(np.int64)


def _indptr(sorted_rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """CSR's row pointers for entries of these rows."""
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(sorted_rows, minlength=n), out=indptr[1:])
    return indptr
