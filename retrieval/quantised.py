"""Lance's own quantised indexes behind the bank's search interface, so that both stand in one measured table.

An index is built once over a table of vectors and searched in so many of its partitions; a row is known by its number.
Lance quantises what it has, when it is built, and knows no drift: after one it is built anew.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from errors import InvalidQuery
from memory.bank.codec import Allowed, Hits, Vectors, checked
from memory.bank.index import candidates_of
from memory.bank.ranking import best, hits

if TYPE_CHECKING:
    from lancedb.table import Table

_TABLE = "vectors"
_ROUNDS = 10
_SAMPLE_RATE = 64
"""Of learning: Lance's own 50 rounds over 256 vectors a code take minutes for fifty thousand vectors."""


class LanceKind(StrEnum):
    """What Lance quantises a vector to."""

    IVF_PQ = "ivf-pq"
    """Product quantisation in partitions, a byte a block."""
    IVF_RQ = "ivf-rq"
    """RaBitQ in partitions: a bit a dimension."""
    IVF_SQ = "ivf-sq"
    """A byte a dimension in partitions."""
    HNSW_SQ = "hnsw-sq"
    """A byte a dimension, and a graph of neighbours in each partition."""


@dataclass(frozen=True, slots=True, eq=False)
class LanceIndex:
    """A Lance table of vectors with its index."""

    table: Table
    folder: Path
    dimensions: int
    probes: int
    """Partitions that are searched."""
    reranked: bool = True
    """Whether the best candidates are scored again on the originals, which the table holds."""

    @property
    def resident_bytes(self) -> int:
        """Size of the index's files, which Lance keeps in its cache."""
        return sum(path.stat().st_size for path in self.folder.rglob("_indices/**/*") if path.is_file())

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        """The k best rows for each query that Lance finds, the best first.

        Raises:
            InvalidQuery: Lance found fewer rows for one query than for another.
        """
        total = self.table.count_rows()
        candidates = max(k, candidates_of(total))
        found = []
        for query in checked(queries, self.dimensions):
            asked: Any = self.table.search(query)
            asked = asked.distance_type("dot").nprobes(self.probes).limit(k)
            if self.reranked:
                asked = asked.refine_factor(-(-candidates // k))
            if allowed is not None:
                numbers = ",".join(map(str, np.flatnonzero(allowed))) or "-1"
                asked = asked.where(f"row IN ({numbers})", prefilter=True)
            table = asked.select(["row", "_distance"]).to_arrow()
            rows = table["row"].to_numpy().astype(np.int64)
            scores = 1 - table["_distance"].to_numpy().astype(np.float32)
            order = np.argsort(rows)
            places = order[best(scores[order], k)]
            found.append((rows[places], scores[places]))
        if len({len(rows) for rows, _ in found}) > 1:
            raise InvalidQuery("The partitions that were searched hold too few rows.", "Search more partitions.")
        return hits(found)


def build_lance_index(
    folder: Path, vectors: Vectors, kind: LanceKind, partitions: int, probes: int, size: int = 64, reranked: bool = True
) -> LanceIndex:
    """Write the vectors to a Lance table in ``folder`` and index them.

    ``size`` is the bytes of a code of product quantisation; the other kinds have their own. 256 vectors are the fewest
    that Lance learns from.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")
    import lancedb
    from lancedb.index import HnswSq, IvfPq, IvfRq, IvfSq

    dimensions = vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns = {"row": pa.array(np.arange(len(vectors))), "vector": pa.FixedSizeListArray.from_arrays(flat, dimensions)}
    table = lancedb.connect(str(folder)).create_table(_TABLE, pa.table(columns), mode="overwrite")
    options: dict[str, Any] = {
        "distance_type": "dot",
        "num_partitions": partitions,
        "max_iterations": _ROUNDS,
        "sample_rate": _SAMPLE_RATE,
    }
    config: Any
    match kind:
        case LanceKind.IVF_PQ:
            config = IvfPq(num_sub_vectors=size, **options)
        case LanceKind.IVF_RQ:
            config = IvfRq(**options)
        case LanceKind.IVF_SQ:
            config = IvfSq(**options)
        case LanceKind.HNSW_SQ:
            config = HnswSq(**options)
    table.create_index("vector", config=config)
    return LanceIndex(table, folder, dimensions, min(probes, partitions), reranked)
