"""Codebooks of one stage, learnt batch by batch: moving averages of what chose each code, and resets of dead codes.

A code is the mean of the vectors that chose it, old batches weighing less and less (van den Oord et al., "Neural
Discrete Representation Learning", 2017, appendix A.1); usage is the share of vectors that choose it. A code that hardly
any vector chooses any more is dead and becomes a random vector of the current batch (MBC, arXiv 2601.00756), with the
usage of a code like any other. Nothing here depends on anything but the batches, their order and the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CODES = 256
"""As many as a byte names; the 512 of MBC would need nine bits."""

DECAY = 0.99
"""Of usage and sums a batch (MBC)."""
DEAD_BELOW = 1e-4
"""Usage, as a share of the vectors, below which a code is dead (MBC)."""
LLOYD_ROUNDS = 8
"""Over the first batch, which begins the codebooks; more gain nothing that later batches would not."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The codebooks of all blocks at one stage, with the averages that they come from."""

    books: NDArray[np.float32]
    """Of shape ``(blocks, 256, width)``."""
    usage: NDArray[np.float64]
    """Of shape ``(blocks, 256)``: the share of vectors that choose each."""
    sums: NDArray[np.float64]
    """Of the shape of the books: usage times mean."""


def begin(residuals: NDArray[np.float32], blocks: int, generator: np.random.Generator) -> Stage:
    """Codebooks of one batch: Lloyd's algorithm from random vectors of it; a code without a vector gets another."""
    parts = by_block(residuals, blocks)
    books = np.ascontiguousarray(parts[:, generator.integers(0, len(residuals), CODES)])
    usage = np.full(books.shape[:2], 1 / CODES)
    for _ in range(LLOYD_ROUNDS):
        counts, sums = _chosen(residuals, books)
        books = np.divide(sums, counts[:, :, None], out=books.astype(np.float64), where=counts[:, :, None] > 0)
        books = books.astype(np.float32)
        usage = counts / len(residuals)
        _revive(books, usage, parts, np.flatnonzero(counts == 0), generator)
    return Stage(books, usage, books * usage[:, :, None])


def adapt(stage: Stage, residuals: NDArray[np.float32], generator: np.random.Generator, resets: bool) -> Stage:
    """The stage after one more batch of what earlier stages left."""
    counts, sums = _chosen(residuals, stage.books)
    usage = DECAY * stage.usage + (1 - DECAY) * counts / len(residuals)
    averages = DECAY * stage.sums + (1 - DECAY) * sums / len(residuals)
    # A code that nobody chose stays where it is: rounding must not move it.
    moved = np.divide(averages, usage[:, :, None], out=np.zeros_like(averages), where=usage[:, :, None] > 0)
    books = np.where(counts[:, :, None] > 0, moved.astype(np.float32), stage.books)
    if resets:
        dead = np.flatnonzero(usage < DEAD_BELOW)
        _revive(books, usage, by_block(residuals, len(books)), dead, generator)
        revived = np.unravel_index(dead, usage.shape)
        averages[revived] = books[revived] * usage[revived][:, None]
    return Stage(books, usage, averages)


def by_block(residuals: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
    """A view of shape ``(blocks, n, width)``."""
    return residuals.reshape(len(residuals), blocks, -1).transpose(1, 0, 2)


def quantise(residuals: NDArray[np.float32], books: NDArray[np.float32], codes: NDArray[np.uint8], first: int) -> None:
    """Write the codes of one stage from column ``first`` on, and leave in ``residuals`` what the stage cannot say."""
    from memory.bank.kernels import by_blocks, nearest

    turned = np.ascontiguousarray(books.transpose(0, 2, 1))
    halves = np.ascontiguousarray((books.astype(np.float64) ** 2).sum(axis=2) / 2, dtype=np.float32)
    by_blocks(lambda start, end: nearest(residuals, turned, halves, codes, first, start, end), len(residuals))


def _chosen(
    residuals: NDArray[np.float32], books: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many vectors choose each code, and their sum."""
    from memory.bank.kernels import gather

    codes = np.empty((len(residuals), len(books)), np.uint8)
    quantise(residuals.copy(), books, codes, 0)
    counts, sums = np.zeros(books.shape[:2]), np.zeros(books.shape)
    gather(residuals, codes, 0, counts, sums)
    return counts, sums


def _revive(
    books: NDArray[np.float32],
    usage: NDArray[np.float64],
    parts: NDArray[np.float32],
    dead: NDArray[np.intp],
    generator: np.random.Generator,
) -> None:
    """Make each dead code, named by its flat place, a random vector of the batch."""
    blocks, codes = np.unravel_index(dead, usage.shape)
    books[blocks, codes] = parts[blocks, generator.integers(0, parts.shape[1], len(dead))]
    usage[blocks, codes] = 1 / CODES
