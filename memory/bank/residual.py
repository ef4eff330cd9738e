"""Product and residual quantisation in one: codes of several stages, each over blocks of a rotated vector.

A stage says what the stages before it left over, so the first bytes of a code are a code themselves. One stage is
product quantisation (Jégou, Douze and Schmid, 2011), one block is residual vector quantisation (Chen, Guan and Wang,
2010). The score of a code is the inner product with the vector
that it decodes to, found by looking up and adding one number a byte. Many codes are first sifted by their first stage.

The rotation is of the first batch and stays; codebooks follow the stream. So let the first batch be some ten thousand
vectors of all kinds. After a strong drift a codec that learns anew, from a sample of what is stored, keeps more than
one that learnt on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from errors import BankError
from memory.bank.codec import Allowed, Codes, Hits, Vectors, check_allowed, check_version, checked, digest_of
from memory.bank.learning import Stage, adapt, begin, quantise
from memory.bank.ranking import best, best_unordered, hits
from memory.bank.rotation import balanced

BLOCKS = 16
"""Of a stage, at most. Measured: at 16 bytes one stage of sixteen blocks keeps as much as four of four and encodes four
times as fast; at 64 four stages of sixteen keep as much as one of 64 and can be sifted."""

SIFTED_SHARE = 50
SIFTED_LEAST = 5_000
"""One code in so many, and no fewer than so many, outlive the sifting by the first stage."""
SIFTED_BYTES = 32
"""Codes this long or longer are sifted; of shorter ones the first stage says too little."""


@dataclass(frozen=True, eq=False)
class ResidualCodec:
    """``stages * blocks`` bytes a vector. One that has learnt nothing yet has no rotation."""

    dimensions: int
    blocks: int
    stages: int
    seed: int = 0
    resets: bool = True
    """Whether dead codes are reset; without, only measurements of what resets are good for."""
    batches: int = 0
    """Learnt so far."""
    rotation: NDArray[np.float32] | None = None
    """Of shape ``(dimensions, blocks * width)``."""
    learnt: tuple[Stage, ...] = ()

    kind = "residual"

    @classmethod
    def of_size(cls, dimensions: int, size: int, seed: int = 0) -> Self:
        """The measured best shape for ``size`` bytes a vector.

        Raises:
            BankError: more bytes than dimensions, or none.
        """
        if not 1 <= size <= dimensions:
            raise BankError(f"{size} bytes for {dimensions} dimensions is no compression.", "Take 16, 32 or 64 bytes.")
        blocks = next(count for count in range(BLOCKS, 0, -1) if size % count == 0)
        return cls(dimensions, blocks, size // blocks, seed)

    @property
    def bytes(self) -> int:
        return self.blocks * self.stages

    @property
    def codebooks(self) -> int:
        return self.bytes

    @property
    def identity(self) -> str:
        return f"{self.kind}-{self.stages}x{self.blocks}-of-{self.dimensions}"

    @cached_property
    def digest(self) -> str:
        if self.rotation is None:
            return digest_of(self.identity, {})
        return digest_of(self.identity, {"rotation": self.rotation, "books": self._books})

    @cached_property
    def _books(self) -> NDArray[np.float32]:
        """Of shape ``(bytes, 256, width)``, in the order of a code's bytes."""
        return np.concatenate([stage.books for stage in self.learnt])

    def learn(self, batch: Vectors) -> Self:
        vectors = checked(batch, self.dimensions)
        if not len(vectors):
            return self
        generator = np.random.default_rng([self.seed, self.batches])
        rotation = balanced(vectors, self.blocks) if self.rotation is None else self.rotation
        residuals = _rotated(vectors, rotation)
        unused = np.empty((len(residuals), self.blocks), np.uint8)
        stages = []
        for number in range(self.stages):
            if self.learnt:
                stage = adapt(self.learnt[number], residuals, generator, self.resets)
            else:
                stage = begin(residuals, self.blocks, generator)
            quantise(residuals, stage.books, unused, 0)
            stages.append(stage)
        return replace(self, rotation=rotation, learnt=tuple(stages), batches=self.batches + 1)

    def encode(self, vectors: Vectors) -> Codes:
        residuals = _rotated(checked(vectors, self.dimensions), self._basis())
        codes = np.empty((len(residuals), self.bytes), np.uint8)
        for number, stage in enumerate(self.learnt):
            quantise(residuals, stage.books, codes, number * self.blocks)
        return Codes(codes, self.digest)

    def decode(self, codes: Codes) -> Vectors:
        check_version(codes, self)
        rotation = self._basis()
        width = rotation.shape[1] // self.blocks
        rotated = np.zeros((len(codes), self.blocks, width), np.float32)
        for at in range(self.bytes):
            rotated[:, at % self.blocks] += self._books[at, codes.array[:, at]]
        decoded: Vectors = rotated.reshape(len(codes), self.blocks * width) @ rotation.T
        return decoded

    def search(self, codes: Codes, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        check_version(codes, self)
        check_allowed(allowed, codes)
        rows = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        rotated = _rotated(checked(queries, self.dimensions), self._basis())
        width = rotated.shape[1] // self.blocks
        found = []
        for query in rotated:
            parts = np.tile(query.reshape(self.blocks, width), (self.stages, 1))
            tables = np.ascontiguousarray(np.einsum("bcw,bw->bc", self._books, parts), dtype=np.float32)
            found.append(self._search_one(codes.array, tables, k, rows))
        return hits(found)

    def _search_one(
        self, codes: NDArray[np.uint8], tables: NDArray[np.float32], k: int, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        searched = len(codes) if rows is None else len(rows)
        kept = max(searched // SIFTED_SHARE, SIFTED_LEAST, k)
        if self.stages > 1 and self.bytes >= SIFTED_BYTES and kept < searched:
            places = best_unordered(_looked_up(codes, tables[: self.blocks], rows), kept)
            rows = places if rows is None else rows[places]
        scores = _looked_up(codes, tables, rows)
        places = best(scores, k)
        return (places if rows is None else rows[places]), scores[places]

    def _basis(self) -> NDArray[np.float32]:
        if self.rotation is None:
            raise BankError("The codec has no codebooks yet.", "Let it learn a batch of vectors first.")
        return self.rotation

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        values = {name: getattr(self, name) for name in ("dimensions", "blocks", "stages", "seed", "resets", "batches")}
        if self.rotation is None:
            return values, {}
        arrays: dict[str, NDArray[Any]] = {"rotation": self.rotation}
        for name in ("books", "usage", "sums"):
            arrays[name] = np.stack([getattr(stage, name) for stage in self.learnt])
        return values, arrays

    @classmethod
    def of_state(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        if not arrays:
            return cls(**values)
        parts = zip(arrays["books"], arrays["usage"], arrays["sums"], strict=True)
        return cls(**values, rotation=arrays["rotation"], learnt=tuple(Stage(*part) for part in parts))


def _rotated(vectors: Vectors, rotation: NDArray[np.float32]) -> NDArray[np.float32]:
    from memory.bank.kernels import by_blocks, rotate

    rotated = np.empty((len(vectors), rotation.shape[1]), np.float32)
    by_blocks(lambda start, end: rotate(vectors, rotation, rotated, start, end), len(vectors))
    return rotated


def _looked_up(
    codes: NDArray[np.uint8], tables: NDArray[np.float32], rows: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Scores of all codes, or of some rows in their order, by as many of the first bytes as there are tables."""
    from memory.bank.kernels import by_blocks, look_up, look_up_rows

    scores = np.empty(len(codes) if rows is None else len(rows), np.float32)
    if rows is None:
        by_blocks(lambda start, end: look_up(codes, tables, scores, start, end), len(scores))
    else:
        by_blocks(lambda start, end: look_up_rows(codes, tables, rows, scores, start, end), len(scores))
    return scores
