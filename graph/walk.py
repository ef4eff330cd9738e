"""The walk of a graph: its symmetric weighted adjacency, from which every step's chances follow.

From node j the walk goes to node i with chance ``weight(i, j) / degree(j)``. ``weight(i, j) = weight(j, i)`` for all
pairs, and ``degree`` is the sum of a node's weights: the solvers rely on both. They only read the arrays, which may be
memory-mapped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Mass = tuple[NDArray[np.int32], NDArray[np.float64]]
"""Nodes, ascending, and what lies on each; all other nodes have nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """CSR arrays of a symmetric adjacency with positive weights; an edge is in it in both directions, a loop once."""

    indptr: NDArray[np.int64]
    """``(nodes + 1,)``."""
    indices: NDArray[np.int32]
    """``(entries,)``: neighbours of each node."""
    weights: NDArray[np.float32]
    """``(entries,)``, positive."""
    degree: NDArray[np.float64]
    """``(nodes,)``: sum of a node's weights; 0 for an isolated node."""

    @property
    def nodes(self) -> int:
        return len(self.degree)

    @property
    def entries(self) -> int:
        """Twice the edges, a loop counted once."""
        return len(self.indices)

    @classmethod
    def of(cls, adjacency: sparse.csr_array) -> Walk:
        """The walk on a symmetric adjacency; parallel edges are summed, entries that are zero left out."""
        summed = sparse.csr_array(adjacency, dtype=np.float64, copy=True)
        summed.sum_duplicates()
        summed.data = summed.data.astype(np.float32)
        summed.eliminate_zeros()
        summed.sort_indices()
        rows = np.repeat(np.arange(summed.shape[0]), np.diff(summed.indptr))
        return cls(
            summed.indptr.astype(np.int64),
            summed.indices.astype(np.int32),
            summed.data,
            np.bincount(rows, weights=summed.data, minlength=summed.shape[0]).astype(np.float64),
        )
