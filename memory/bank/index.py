"""Searching a bank: the best by codes, then, where the originals can be read, the best of these by the originals.

Whatever finds the nearest vectors of a query stands behind ``VectorIndex``, so that a user can choose from a measured
table: a codec with its codes, or an index of a database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memory.bank.codec import Allowed, Codec, Codes, Hits, Vectors, check_version, checked
from memory.bank.ranking import best, hits

CANDIDATES_LEAST = 200
CANDIDATES_SHARE = 1_000
"""One code in so many is reranked on its original, and no fewer than so many: the more there are, the more come between
a memory and its query. Measured; see the benchmarks' README."""

Originals = Callable[[NDArray[np.int64]], Vectors]
"""The original vectors of some rows, in their order, of shape ``(len(rows), dimensions)``."""


def candidates_of(codes: int) -> int:
    """How many of so many codes are reranked."""
    return max(CANDIDATES_LEAST, codes // CANDIDATES_SHARE)


class VectorIndex(Protocol):
    """Finds the rows whose vectors have the largest inner product with a query's."""

    @property
    def resident_bytes(self) -> int:
        """Memory that a search needs to be fast, without the originals."""

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        """The k best rows for each query, the best first."""


@dataclass(frozen=True, slots=True, eq=False)
class BankIndex:
    """A codec with the codes that it wrote. Without ``originals`` the codes are all there is: the resident tier."""

    codec: Codec
    codes: Codes
    originals: Originals | None = None
    candidates: int | None = None
    """Codes that are reranked; by default ``candidates_of`` as many as there are."""

    def __post_init__(self) -> None:
        check_version(self.codes, self.codec)

    @property
    def resident_bytes(self) -> int:
        return self.codes.array.nbytes

    def search(self, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        """With originals, the best ``candidates`` by code are scored again, and the k best of these returned.

        Raises:
            BankError: the queries have other dimensions, or the mask is of other codes.
        """
        if self.originals is None:
            return self.codec.search(self.codes, queries, k, allowed)
        asked = checked(queries, self.codec.dimensions)
        candidates = candidates_of(len(self.codes)) if self.candidates is None else self.candidates
        nearest = self.codec.search(self.codes, asked, max(k, candidates), allowed)
        return hits([self._reranked(query, rows, k) for query, rows in zip(asked, nearest.rows, strict=True)])

    def _reranked(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        assert self.originals is not None
        rows = np.sort(rows)  # so that equal scores come in the order of rows
        scores = (checked(self.originals(rows), len(query)) @ query).astype(np.float32)
        places = best(scores, k)
        return rows[places], scores[places]
