"""How well a codec still fits what is stored, and whether its memories are to be encoded again.

Three figures tell a drift: codes that nobody chooses (a codebook's perplexity falls and codes are dead), vectors that
the codes say badly (the error rises), and what it comes to, neighbours that the codes no longer find.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.bank.codec import Codec, Vectors, checked
from memory.bank.index import BankIndex, candidates_of
from memory.bank.learning import CODES, DEAD_BELOW
from memory.bank.scalar import ExactCodec

NEIGHBOURS = 10
SAMPLE = 200
"""Vectors that serve as queries where none are given."""

LOST_RECALL = 0.02
"""Recall after reranking this much below the baseline's: a memory is lost in every fifth list of ten."""
MORE_ERROR = 1.25
"""Times the baseline's error; between two halves of one corpus it differs by a twentieth."""
LESS_PERPLEXITY = 0.75
"""Times the baseline's perplexity: a quarter of the codes no longer tell anything apart."""


@dataclass(frozen=True, slots=True)
class BankReport:
    """What a codec makes of some vectors."""

    version: str
    vectors: int
    bytes: int
    """Of a memory's code."""
    error: float
    """Mean squared distance of a vector from its decoded one."""
    perplexity: float
    """Mean over the codebooks: 2 to the entropy of their codes, 256 at most; 0 for a codec without codebooks."""
    least_perplexity: float
    dead: int
    """Codes, of all codebooks, that fewer than ``DEAD_BELOW`` of the vectors choose."""
    recall: float
    """Share of the exact ten nearest that are among the ten best by codes alone."""
    reranked_recall: float
    """The same after reranking the best ``candidates`` on the originals."""
    candidates: int


def report(
    codec: Codec,
    vectors: Vectors,
    queries: Vectors | None = None,
    candidates: int | None = None,
    seed: int = 0,
) -> BankReport:
    """Measure a codec on vectors, with queries or else with some of the vectors, which then do not find themselves.

    Exact search is part of it: some seconds for a hundred thousand vectors.

    Raises:
        BankError: the codec has learnt nothing yet, or other dimensions.
    """
    rows = checked(vectors, codec.dimensions)
    candidates = candidates_of(len(rows)) if candidates is None else candidates
    codes = codec.encode(rows)
    counts = _counts(codes.array[:, : codec.codebooks])
    perplexities = _perplexities(counts) if len(rows) else np.zeros(codec.codebooks)
    recall = [1.0, 1.0]
    if len(rows) > 1:
        recall = _recall(codec, rows, queries, candidates, seed)
    return BankReport(
        version=codec.digest,
        vectors=len(rows),
        bytes=codec.bytes,
        error=float(((codec.decode(codes) - rows) ** 2).sum(axis=1).mean()) if len(rows) else 0.0,
        perplexity=float(perplexities.mean()) if codec.codebooks else 0.0,
        least_perplexity=float(perplexities.min()) if codec.codebooks else 0.0,
        dead=int((counts < max(DEAD_BELOW * len(rows), 1)).sum()),
        recall=recall[0],
        reranked_recall=recall[1],
        candidates=candidates,
    )


def needs_reencoding(now: BankReport, baseline: BankReport) -> str:
    """Why a codec that has learnt since should take over and all be encoded again; empty where nothing says so.

    ``baseline`` is the report of the same codec when it began to serve, on vectors that it had not learnt from, which
    it says better than others; ``now`` is its report on as many of what has come since.
    """
    if now.reranked_recall < baseline.reranked_recall - LOST_RECALL:
        return f"recall after reranking fell from {baseline.reranked_recall:.3f} to {now.reranked_recall:.3f}"
    if now.error > MORE_ERROR * baseline.error:
        return f"the reconstruction error rose from {baseline.error:.4f} to {now.error:.4f}"
    if now.perplexity < LESS_PERPLEXITY * baseline.perplexity:
        return f"perplexity fell from {baseline.perplexity:.0f} to {now.perplexity:.0f}"
    return ""


def kept(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of the true rows that were found, over all lines."""
    if not truth.size:
        return 1.0
    return float(np.mean([np.isin(line, other).mean() for line, other in zip(truth, found, strict=True)]))


def _recall(codec: Codec, rows: Vectors, queries: Vectors | None, candidates: int, seed: int) -> list[float]:
    """By codes alone, and after reranking."""
    exact = ExactCodec(codec.dimensions)
    asked, own = queries, np.empty(0, np.int64)
    if asked is None:
        own = np.sort(np.random.default_rng(seed).permutation(len(rows))[: min(SAMPLE, len(rows) // 2)])
        asked = rows[own]
    stored = np.delete(rows, own, axis=0)
    codes = codec.encode(stored)
    truth = exact.search(exact.encode(stored), asked, NEIGHBOURS).rows
    plain = BankIndex(codec, codes)
    reranking = BankIndex(codec, codes, lambda places: stored[places], candidates)
    return [kept(index.search(asked, NEIGHBOURS).rows, truth) for index in (plain, reranking)]


def _counts(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many choose each code, of shape ``(codebooks, 256)``."""
    counts = [np.bincount(column, minlength=CODES) for column in codes.T]
    return np.array(counts, np.int64).reshape(codes.shape[1], CODES)


def _perplexities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = counts / counts.sum(axis=1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    perplexities: NDArray[np.float64] = np.exp(-(shares * logs).sum(axis=1))
    return perplexities
