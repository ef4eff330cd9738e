"""The compressed bank: codecs, their versions, searching codes, reranking, drift, and what is saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import BankError
from memory.bank.codec import Codec, Codes, Vectors
from memory.bank.index import BankIndex
from memory.bank.learning import DEAD_BELOW
from memory.bank.ranking import best
from memory.bank.report import kept, needs_reencoding, report
from memory.bank.residual import SIFTED_LEAST, ResidualCodec
from memory.bank.rotation import balanced
from memory.bank.scalar import ExactCodec, PcaInt8Codec
from memory.bank.storage import load_codec, load_codes, save_codec, save_codes

D = 24


def clustered(n: int, seed: int = 0, dimensions: int = D, topics: int = 12, spread: float = 0.3) -> Vectors:
    """Unit vectors around some directions, whose spread falls from dimension to dimension, as embeddings' does."""
    chance = np.random.default_rng(seed)
    scale = 1 / np.sqrt(1 + np.arange(dimensions))
    centres = chance.standard_normal((topics, dimensions)) * scale
    vectors = centres[chance.integers(0, topics, n)] + spread * chance.standard_normal((n, dimensions)) * scale
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def codecs() -> list[Codec]:
    return [
        ExactCodec(D),
        PcaInt8Codec(D, 8),
        ResidualCodec(D, blocks=6, stages=1),
        ResidualCodec(D, blocks=1, stages=3),
        ResidualCodec(D, blocks=2, stages=4),
        ResidualCodec(D, blocks=5, stages=2),  # 24 is no multiple of 5
    ]


every_codec = pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.identity)


@every_codec
def test_a_score_is_the_inner_product_with_the_decoded_vector(codec: Codec) -> None:
    vectors, queries = clustered(600), clustered(5, seed=9)
    codec = codec.learn(vectors)
    codes = codec.encode(vectors)
    assert codes.array.dtype == np.uint8 and codes.array.shape == (600, codec.bytes)
    found = codec.search(codes, queries, 600)
    products = queries @ codec.decode(codes).T
    for query, (rows, scores) in enumerate(zip(found.rows, found.scores, strict=True)):
        assert sorted(rows) == list(range(600))
        assert np.abs(scores - products[query][rows]).max() < 1e-4
        assert (np.diff(scores) <= 0).all()


@every_codec
def test_equal_batches_give_equal_codecs_and_other_batches_others(codec: Codec) -> None:
    first, second = clustered(400), clustered(300, seed=1)
    one, other = codec.learn(first).learn(second), codec.learn(first).learn(second)
    assert one.digest == other.digest
    assert (one.encode(second).array == other.encode(second).array).all()
    if codec.kind != "exact":
        assert len({codec.digest, codec.learn(first).digest, one.digest, codec.learn(second).digest}) == 4
    assert codec.learn(first).learn(second[:0]).digest == codec.learn(first).digest


@every_codec
def test_a_code_does_not_depend_on_the_vectors_beside_it(codec: Codec) -> None:
    vectors = clustered(300)
    codec = codec.learn(vectors)
    together = codec.encode(vectors).array
    alone = np.concatenate([codec.encode(vectors[row : row + 1]).array for row in range(300)])
    assert (together == alone).all()
    assert (codec.encode(vectors[::-1]).array[::-1] == together).all()


@every_codec
def test_what_is_saved_is_what_is_loaded(codec: Codec, tmp_path: Path) -> None:
    vectors = clustered(400)
    codec = codec.learn(vectors)
    codes = codec.encode(vectors)
    save_codec(codec, tmp_path / "codec")
    save_codec(codec, tmp_path / "codec")  # replaces
    save_codes(codes, tmp_path / "codes")
    loaded, stored = load_codec(tmp_path / "codec"), load_codes(tmp_path / "codes")
    assert (loaded.digest, loaded.identity, stored.version) == (codec.digest, codec.identity, codes.version)
    assert (loaded.encode(vectors).array == codes.array).all()
    ours, theirs = codec.search(codes, vectors[:3], 7), loaded.search(stored, vectors[:3], 7)
    assert (ours.rows == theirs.rows).all() and (ours.scores == theirs.scores).all()
    later = clustered(200, seed=5)
    assert loaded.learn(later).digest == codec.learn(later).digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec", "codes"]


@every_codec
@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_few_vectors_are_a_bank_too(codec: Codec, n: int) -> None:
    codec = codec.learn(clustered(5))
    vectors = clustered(n)
    codes = codec.encode(vectors)
    found = codec.search(codes, clustered(2, seed=3), 10)
    assert found.rows.shape == found.scores.shape == (2, n)
    assert codec.decode(codes).shape == (n, D)
    assert codec.search(codes, vectors[:0], 10).rows.shape[0] == 0
    assert report(codec, vectors).vectors == n


@every_codec
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_equal_vectors_are_told_apart_by_their_rows_only(codec: Codec, value: float) -> None:
    vectors = np.full((40, D), value, np.float32)
    codec = codec.learn(vectors).learn(vectors)
    codes = codec.encode(vectors)
    assert (codes.array == codes.array[0]).all()
    assert np.abs(codec.decode(codes) - vectors).max() < 1e-5
    assert codec.search(codes, vectors[:1], 4).rows.tolist() == [[0, 1, 2, 3]]


@every_codec
def test_only_allowed_rows_are_found(codec: Codec) -> None:
    vectors = clustered(500)
    codec = codec.learn(vectors)
    codes = codec.encode(vectors)
    allowed = np.random.default_rng(2).random(500) < 0.2
    everything = codec.search(codes, vectors[:4], 500)
    found = codec.search(codes, vectors[:4], 10, allowed)
    for all_rows, rows in zip(everything.rows, found.rows, strict=True):
        assert rows.tolist() == [row for row in all_rows if allowed[row]][:10]
    assert codec.search(codes, vectors[:4], 10, np.zeros(500, np.bool_)).rows.shape == (4, 0)
    assert codec.search(codes, vectors[:4], 999, allowed).rows.shape == (4, allowed.sum())
    with pytest.raises(BankError, match="mask"):
        codec.search(codes, vectors[:4], 10, allowed[:-1])


@pytest.mark.parametrize("codec", codecs()[1:], ids=lambda codec: codec.identity)
def test_codes_of_another_version_are_refused(codec: Codec) -> None:
    vectors = clustered(300)
    old = codec.learn(vectors)
    codes = old.encode(vectors)
    new = old.learn(clustered(300, seed=4))
    for use in (lambda: new.search(codes, vectors, 3), lambda: new.decode(codes), lambda: BankIndex(new, codes)):
        with pytest.raises(BankError, match="version"):
            use()
    assert old.search(codes, vectors[:1], 1).rows.shape == (1, 1)  # the old codec still reads them
    with pytest.raises(BankError, match="version"):
        old.search(Codes(codes.array[:, :-1], codes.version), vectors, 3)


@every_codec
def test_vectors_that_do_not_fit_are_refused(codec: Codec) -> None:
    codec = codec.learn(clustered(50))
    with pytest.raises(BankError, match="dimensions"):
        codec.encode(clustered(3, dimensions=7))
    with pytest.raises(BankError, match="finite"):
        codec.learn(np.full((2, D), np.nan, np.float32))


@pytest.mark.parametrize("codec", codecs()[1:], ids=lambda codec: codec.identity)
def test_a_codec_that_has_learnt_nothing_says_so(codec: Codec) -> None:
    with pytest.raises(BankError, match="yet"):
        codec.encode(clustered(3))


def test_shapes_that_compress_nothing_are_refused() -> None:
    for size in (0, D + 1):
        with pytest.raises(BankError):
            ResidualCodec.of_size(D, size)
        with pytest.raises(BankError):
            PcaInt8Codec(D, size)
    shapes = [ResidualCodec.of_size(384, size) for size in (16, 64, 24, 7)]
    assert [(codec.stages, codec.blocks) for codec in shapes] == [(1, 16), (4, 16), (2, 12), (1, 7)]


def test_more_codes_leave_a_smaller_error() -> None:
    vectors = clustered(2_000)
    for family in (
        [ResidualCodec(D, blocks, 1) for blocks in (1, 2, 4, 8)],
        [ResidualCodec(D, 2, stages) for stages in (1, 2, 4)],
        [PcaInt8Codec(D, count) for count in (4, 8, 16, 24)],
    ):
        errors = []
        for codec in family:
            codec = codec.learn(vectors)
            errors.append(float(((codec.decode(codec.encode(vectors)) - vectors) ** 2).sum(axis=1).mean()))
        assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 2


def test_learning_on_goes_towards_what_is_new() -> None:
    old, new = clustered(1_000), clustered(1_000, seed=8)
    for codec in (ResidualCodec.of_size(D, 8), PcaInt8Codec(D, 8)):
        first = codec.learn(old)
        later = first
        for _ in range(30):
            later = later.learn(new)

        def error(codec: Codec) -> float:
            return float(((codec.decode(codec.encode(new)) - new) ** 2).sum(axis=1).mean())

        assert error(later) < 0.8 * error(first)


def test_resets_revive_dead_codes_when_the_stream_drifts() -> None:
    old = clustered(600, topics=3)
    new = clustered(1_200, seed=21, topics=3, spread=0.5)
    recalls, dead = {}, {}
    for resets in (True, False):
        codec = ResidualCodec(D, blocks=2, stages=1, resets=resets).learn(old)
        for turn in range(500):
            part = turn % 6 * 200
            codec = codec.learn(new[part : part + 200])
        figures = report(codec, new)
        recalls[resets] = figures.recall
        dead[resets] = int((codec.learnt[0].usage < DEAD_BELOW).sum())
    assert dead[True] == 0 and dead[False] > 100
    assert recalls[True] > recalls[False] + 0.05


def test_reranking_orders_by_the_originals() -> None:
    vectors, queries = clustered(800), clustered(6, seed=7)
    codec = ResidualCodec.of_size(D, 4).learn(vectors)
    codes = codec.encode(vectors)
    asked: list[int] = []

    def originals(rows: np.ndarray) -> Vectors:
        asked.append(len(rows))
        return vectors[rows]

    exact = ExactCodec(D)
    truth = exact.search(exact.encode(vectors), queries, 10)
    index = BankIndex(codec, codes, originals, candidates=100)
    found = index.search(queries, 10)
    assert asked == [100] * 6 and index.resident_bytes == 3_200
    assert kept(found.rows, truth.rows) > kept(BankIndex(codec, codes).search(queries, 10).rows, truth.rows)
    products = queries @ vectors.T
    assert all((np.abs(products[at][rows] - found.scores[at]) < 1e-5).all() for at, rows in enumerate(found.rows))
    everything = BankIndex(codec, codes, originals, candidates=800).search(queries, 10)
    assert (everything.rows == truth.rows).all()
    few = BankIndex(codec, codes, originals).search(queries, 10, np.arange(800) < 3)
    assert few.rows.shape == (6, 3)


def test_sifting_many_codes_finds_what_a_full_search_finds() -> None:
    n = SIFTED_LEAST * 3
    vectors = clustered(n, dimensions=64, topics=60)
    queries = clustered(20, seed=3, dimensions=64, topics=60)
    codec = ResidualCodec.of_size(64, 32).learn(vectors[:3_000])
    codes = codec.encode(vectors)
    found = codec.search(codes, queries, 10)
    products = queries @ codec.decode(codes).T
    assert kept(found.rows, np.argsort(-products, axis=1)[:, :10]) > 0.99
    allowed = np.arange(n) % 2 == 0
    masked = codec.search(codes, queries, 10, allowed)
    assert (masked.rows % 2 == 0).all()
    products[:, ~allowed] = -np.inf
    assert kept(masked.rows, np.argsort(-products, axis=1)[:, :10]) > 0.99


@given(st.lists(st.integers(-3, 3), max_size=40), st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_the_best_are_in_order_of_score_then_row(values: list[int], k: int) -> None:
    scores = np.array(values, np.float32)
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:k]
    assert best(scores, k).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 5_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_best_of_many_are_those_of_sorting_all(seed: int, k: int, levels: int, rising: bool) -> None:
    scores = np.random.default_rng(seed).integers(0, levels, 20_000).astype(np.float32)
    if rising:
        scores.sort()  # a sample at a stride is a fair one here, and the worst one in the next line
        scores[::64] += levels
    assert best(scores, k).tolist() == np.lexsort((np.arange(len(scores)), -scores))[:k].tolist()


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_rotation_keeps_inner_products(n: int, dimensions: int, blocks: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, dimensions)).astype(np.float32)
    rotation = balanced(vectors, blocks)
    assert rotation.shape[1] % blocks == 0 and rotation.shape[1] >= dimensions
    assert np.abs(rotation @ rotation.T - np.eye(dimensions)).max() < 1e-5


def test_balanced_blocks_vary_equally() -> None:
    vectors = np.random.default_rng(0).standard_normal((4_000, 16)).astype(np.float32) * 2.0 ** -np.arange(16)
    logs = np.log(np.var(vectors @ balanced(vectors, 4), axis=0)).reshape(4, 4).sum(axis=1)
    plain = np.log(np.var(vectors, axis=0)).reshape(4, 4).sum(axis=1)
    assert np.ptp(logs) < 0.2 * np.ptp(plain)


def test_a_report_counts_what_the_codes_do() -> None:
    vectors = clustered(3_000)
    codec = ResidualCodec(D, blocks=3, stages=2).learn(vectors)
    figures = report(codec, vectors)
    codes = codec.encode(vectors)
    assert (figures.version, figures.vectors, figures.bytes) == (codec.digest, 3_000, 6)
    assert figures.error == pytest.approx(float(((codec.decode(codes) - vectors) ** 2).sum(axis=1).mean()))
    assert 100 < figures.least_perplexity <= figures.perplexity <= 256
    assert figures.recall < figures.reranked_recall and figures.reranked_recall > 0.95
    one = ResidualCodec(D, blocks=3, stages=2).learn(np.zeros((10, D), np.float32))
    collapsed = report(one, vectors)
    assert collapsed.perplexity == 1.0 and collapsed.dead == 6 * 255
    exact = report(ExactCodec(D), vectors)
    assert (exact.error, exact.recall, exact.perplexity, exact.dead) == (0.0, 1.0, 0.0, 0)


def test_reencoding_is_asked_for_after_a_drift_and_not_without_one() -> None:
    stream = clustered(4_000)
    codec = ResidualCodec(D, blocks=2, stages=4).learn(stream[:2_000])
    baseline = report(codec, stream[2_000:3_000])
    assert needs_reencoding(report(codec, stream[3_000:]), baseline) == ""
    drifted = clustered(1_000, seed=33)
    assert needs_reencoding(report(codec, drifted), baseline)
    later = codec
    for _ in range(100):
        later = later.learn(drifted)
    assert needs_reencoding(report(later, drifted), baseline) == ""


@pytest.mark.parametrize("damage", ["no folder", "no array", "other array", "other format", "no json", "other kind"])
def test_a_damaged_bank_is_refused(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "codec"
    save_codec(ResidualCodec.of_size(D, 4).learn(clustered(100)), folder)
    meta = folder / "codec.json"
    if damage == "no folder":
        folder = tmp_path / "none"
    elif damage == "no array":
        (folder / "books.npy").unlink()
    elif damage == "other array":
        np.save(folder / "books.npy", np.zeros((4, 1, 256, D), np.float32))
    elif damage == "no json":
        meta.write_text("{", encoding="utf-8")
    else:
        values = json.loads(meta.read_text(encoding="utf-8"))
        values |= {"format": 99} if damage == "other format" else {"kind": "magic"}
        meta.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(BankError, match="again"):
        load_codec(folder)
    with pytest.raises(BankError, match="again"):
        load_codes(folder)


def test_the_bank_is_imported_without_numba() -> None:
    code = "import sys, memory.bank.index, memory.bank.storage, memory.bank.report; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1]).returncode == 0
