"""Codecs whose bytes are no choices among codes: the vectors themselves, and principal components at 8 bits each.

Cutting embeddings to their principal components and storing these at 8 bits is the plain way to compress them (arXiv
2505.00105), and the one to beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from errors import BankError
from memory.bank.codec import Allowed, Codes, Hits, Vectors, check_allowed, check_version, checked, digest_of
from memory.bank.ranking import best, hits
from memory.bank.rotation import components

DECAY = 0.99
"""Of mean and covariance a batch, once there are as many batches as it remembers."""
_LEVELS = 127
_REACH = 4.0
"""Standard deviations that the levels span; what is farther out is cut."""
_ROWS = 8_192
"""Of the exact search at a time, which bounds its memory."""


@dataclass(frozen=True, eq=False)
class ExactCodec:
    """Float32 as it is: the reference for recall, and what a bank is without compression."""

    dimensions: int

    kind = "exact"
    codebooks = 0

    @property
    def bytes(self) -> int:
        return 4 * self.dimensions

    @property
    def identity(self) -> str:
        return f"{self.kind}-of-{self.dimensions}"

    @cached_property
    def digest(self) -> str:
        return digest_of(self.identity, {})

    def learn(self, batch: Vectors) -> Self:
        checked(batch, self.dimensions)
        return self

    def encode(self, vectors: Vectors) -> Codes:
        rows = checked(vectors, self.dimensions)
        return Codes(rows.view(np.uint8).reshape(len(rows), self.bytes), self.digest)

    def decode(self, codes: Codes) -> Vectors:
        check_version(codes, self)
        return codes.array.view(np.float32)

    def search(self, codes: Codes, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        check_allowed(allowed, codes)
        vectors, asked = self.decode(codes), checked(queries, self.dimensions)
        rows = np.arange(len(codes)) if allowed is None else np.flatnonzero(allowed)
        scores = np.empty((len(asked), len(rows)), np.float32)
        for start in range(0, len(rows), _ROWS):
            part = vectors[start : start + _ROWS] if allowed is None else vectors[rows[start : start + _ROWS]]
            scores[:, start : start + _ROWS] = asked @ part.T
        places = [best(line, k) for line in scores]
        return hits([(rows[place], line[place]) for place, line in zip(places, scores, strict=True)])

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"dimensions": self.dimensions}, {}

    @classmethod
    def of_state(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(**values)


@dataclass(frozen=True, eq=False)
class PcaInt8Codec:
    """The first ``kept`` principal components, a signed byte each. Means and covariances follow the stream."""

    dimensions: int
    kept: int
    batches: int = 0
    mean: NDArray[np.float64] | None = None
    covariance: NDArray[np.float64] | None = None

    kind = "pca-int8"
    codebooks = 0

    def __post_init__(self) -> None:
        if not 1 <= self.kept <= self.dimensions:
            raise BankError(
                f"{self.kept} components of {self.dimensions} dimensions cannot be kept.", "Keep at most as many."
            )

    @property
    def bytes(self) -> int:
        return self.kept

    @property
    def identity(self) -> str:
        return f"{self.kind}-{self.kept}-of-{self.dimensions}"

    @cached_property
    def digest(self) -> str:
        return digest_of(self.identity, self.state()[1])

    @cached_property
    def _basis(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean, directions of shape ``(dimensions, kept)``, and the size of a level in each."""
        if self.mean is None or self.covariance is None:
            raise BankError("The codec has no components yet.", "Let it learn a batch of vectors first.")
        variances, directions = components(self.covariance)
        steps = _REACH * np.sqrt(variances[: self.kept]) / _LEVELS
        steps = np.maximum(steps, np.finfo(np.float32).tiny)
        return (
            self.mean.astype(np.float32),
            np.ascontiguousarray(directions[:, : self.kept], dtype=np.float32),
            steps.astype(np.float32),
        )

    def learn(self, batch: Vectors) -> Self:
        vectors: NDArray[np.float64] = checked(batch, self.dimensions).astype(np.float64)
        if not len(vectors):
            return self
        mean: NDArray[np.float64] = vectors.mean(axis=0)
        covariance = (vectors - mean).T @ (vectors - mean) / len(vectors)
        if self.mean is not None and self.covariance is not None:
            weight = max(1 / (self.batches + 1), 1 - DECAY)
            apart = mean - self.mean
            covariance = (1 - weight) * self.covariance + weight * covariance
            covariance += weight * (1 - weight) * np.outer(apart, apart)
            mean = self.mean + weight * apart
        return type(self)(self.dimensions, self.kept, self.batches + 1, mean, covariance)

    def encode(self, vectors: Vectors) -> Codes:
        from memory.bank.kernels import by_blocks, rotate

        rows = checked(vectors, self.dimensions)
        mean, directions, steps = self._basis
        turned = np.empty((len(rows), self.kept), np.float32)
        by_blocks(lambda start, end: rotate(rows, directions, turned, start, end), len(rows))
        levels = np.clip(np.rint((turned - mean @ directions) / steps), -_LEVELS, _LEVELS)
        return Codes(levels.astype(np.int8).view(np.uint8), self.digest)

    def decode(self, codes: Codes) -> Vectors:
        check_version(codes, self)
        mean, directions, steps = self._basis
        levels = codes.array.view(np.int8).astype(np.float32)
        return np.asarray(mean + (levels * steps) @ directions.T, dtype=np.float32)

    def search(self, codes: Codes, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        from memory.bank.kernels import by_blocks, weigh

        check_version(codes, self)
        check_allowed(allowed, codes)
        mean, directions, steps = self._basis
        levels = codes.array.view(np.int8)
        rows = np.arange(len(codes))
        if allowed is not None:
            rows = np.flatnonzero(allowed)
            levels = np.ascontiguousarray(levels[rows])
        scores = np.empty(len(rows), np.float32)
        found = []
        for query in checked(queries, self.dimensions):
            weights, constant = (query @ directions) * steps, np.float32(query @ mean)

            def score(
                start: int, end: int, weights: NDArray[np.float32] = weights, constant: np.float32 = constant
            ) -> None:
                weigh(levels, weights, constant, scores, start, end)

            by_blocks(score, len(rows))
            places = best(scores, k)
            found.append((rows[places], scores[places]))
        return hits(found)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        values = {"dimensions": self.dimensions, "kept": self.kept, "batches": self.batches}
        if self.mean is None or self.covariance is None:
            return values, {}
        return values, {"mean": self.mean, "covariance": self.covariance}

    @classmethod
    def of_state(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        return cls(**values, mean=arrays.get("mean"), covariance=arrays.get("covariance"))
