"""Lance's quantised indexes behind the bank's search interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memory.bank.codec import Vectors
from memory.bank.index import BankIndex, VectorIndex
from memory.bank.report import kept
from memory.bank.scalar import ExactCodec
from retrieval.quantised import LanceIndex, LanceKind, build_lance_index

N, D = 600, 32


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    values = np.random.default_rng(0).standard_normal((N, D)) / np.sqrt(1 + np.arange(D))
    unit: Vectors = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize("kind", list(LanceKind))
def test_an_index_of_lance_finds_what_exact_search_finds(kind: LanceKind, vectors: Vectors, tmp_path: Path) -> None:
    index: VectorIndex = build_lance_index(tmp_path, vectors, kind, partitions=2, probes=2, size=16)
    exact = ExactCodec(D)
    truth = BankIndex(exact, exact.encode(vectors)).search(vectors[:8], 10)
    found = index.search(vectors[:8], 10)
    assert kept(found.rows, truth.rows) > 0.95
    assert found.rows[:, 0].tolist() == list(range(8))
    products = vectors[:8] @ vectors.T
    assert all((np.abs(products[at][rows] - found.scores[at]) < 1e-4).all() for at, rows in enumerate(found.rows))
    assert index.resident_bytes > 0


def test_an_index_of_lance_finds_only_allowed_rows(vectors: Vectors, tmp_path: Path) -> None:
    index = build_lance_index(tmp_path, vectors, LanceKind.IVF_PQ, partitions=2, probes=2, size=16)
    allowed = np.zeros(N, np.bool_)
    allowed[[3, 5, 99]] = True
    assert sorted(index.search(vectors[:1], 10, allowed).rows[0].tolist()) == [3, 5, 99]
    assert index.search(vectors[:1], 10, np.zeros(N, np.bool_)).rows.shape == (1, 0)
    plain = LanceIndex(index.table, index.folder, D, probes=2, reranked=False)
    assert plain.search(vectors[:2], 10).rows.shape == (2, 10)
