"""A local model's vectors are those of sentence-transformers, however texts are batched and spread over processors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import nn

from memory import packed_linear
from memory.embedding import BUNDLED_MODEL, EmbedderSpec, bundled_model_path, open_embedder, unit_rows
from memory.local_model import LocalModel
from memory.packed_linear import pack_linear_layers

TEXTS = ["Harbour", "", "灯台", "Ana Reyes built the pier of Grimmelund in 1971.", "pier " * 300, "buoy\nNitrile rings"]
TEXTS += [f"station {number} measures {'turbidity ' * (number % 7)}" for number in range(40)]


@pytest.fixture(scope="module")
def oracle() -> SentenceTransformer:
    return SentenceTransformer(str(bundled_model_path()), device="cpu")


@pytest.fixture(scope="module")
def expected(oracle: SentenceTransformer) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = oracle.encode(TEXTS, normalize_embeddings=True)
    return vectors


@pytest.fixture
def threads() -> Iterator[None]:
    """Gives the number of threads back that a test has changed."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def vectors_of(model: LocalModel, texts: Sequence[str], dimensions: int = 384) -> NDArray[np.float32]:
    vectors = np.empty((len(texts), dimensions), dtype=np.float32)
    done: list[int] = []
    model.encode(texts, vectors, done.extend)
    assert sorted(done) == list(range(len(texts)))
    return unit_rows(vectors)


@pytest.mark.parametrize(("processors", "batch_size"), [(1, 128), (2, 128), (5, 3)])
def test_vectors_are_those_of_sentence_transformers(
    expected: NDArray[np.float32], threads: None, processors: int, batch_size: int
) -> None:
    torch.set_num_threads(processors)
    model = LocalModel(SentenceTransformer(str(bundled_model_path()), device="cpu"), batch_size)
    assert (vectors_of(model, TEXTS) * expected).sum(axis=1).min() > 0.99999
    assert torch.get_num_threads() == processors


def test_the_default_prompt_is_put_before_each_text(oracle: SentenceTransformer) -> None:
    asked = SentenceTransformer(
        str(bundled_model_path()), device="cpu", prompts={"ask": "question: "}, default_prompt_name="ask"
    )
    texts = TEXTS[:10]
    expected = oracle.encode([f"question: {text}" for text in texts], normalize_embeddings=True)
    assert (vectors_of(LocalModel(asked, 128), texts) * expected).sum(axis=1).min() > 0.99999


def test_a_model_without_a_transformer_is_run_as_well() -> None:
    tokenizer = Tokenizer.from_file(str(bundled_model_path() / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=12)], device="cpu")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(vectors_of(LocalModel(model, 128), TEXTS, 12), expected, atol=1e-5)


def test_equal_texts_are_embedded_once_and_batches_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    given_texts: list[list[str]] = []
    preprocess = SentenceTransformer.preprocess
    shapes: list[tuple[int, int]] = []

    def watched(self: SentenceTransformer, inputs: list[str], **options: object) -> object:
        features = preprocess(self, inputs, **options)
        given_texts.append(inputs)
        shapes.append(tuple(features["input_ids"].shape))
        return features

    embedder = open_embedder(EmbedderSpec("sentence-transformers", BUNDLED_MODEL, batch_size=40))
    monkeypatch.setattr(SentenceTransformer, "preprocess", watched)
    steps: list[int] = []
    vectors = embedder.encode(TEXTS + TEXTS, steps.append)
    np.testing.assert_array_equal(vectors[: len(TEXTS)], vectors[len(TEXTS) :])
    assert sum(steps) == 2 * len(TEXTS)
    assert sorted(text for batch in given_texts for text in batch) == sorted(set(TEXTS))
    assert all(rows == 1 or (rows <= 40 and rows * longest <= 400) for rows, longest in shapes)
    assert len(shapes) < len(set(TEXTS)) / 4


def test_a_model_is_shared_by_threads(expected: NDArray[np.float32]) -> None:
    model = LocalModel(SentenceTransformer(str(bundled_model_path()), device="cpu"), 16)
    short = np.array([row for row, text in enumerate(TEXTS) if len(text) < 100])
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: vectors_of(model, [TEXTS[row] for row in short]), range(3)))
    assert all((vectors * expected[short]).sum(axis=1).min() > 0.99999 for vectors in results)


def test_a_failing_model_is_heard_and_leaves_the_threads_as_they_were(
    threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(2)
    tokenizer = Tokenizer.from_file(str(bundled_model_path() / "tokenizer.json"))
    broken = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=12)], device="cpu")
    model = LocalModel(broken, 2)

    def fail(features: object) -> object:
        raise ArithmeticError("no vector")

    monkeypatch.setattr(broken, "forward", fail)
    with pytest.raises(ArithmeticError, match="no vector"):
        vectors_of(model, TEXTS, 12)
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert [torch.get_num_threads(), *seen] == [2, 2]


class TestPackedLinear:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.booleans(), st.integers(0, 2**31))
    def test_a_layer_computes_the_same(self, inside: int, outside: int, rows: int, bias: bool, seed: int) -> None:
        torch.manual_seed(seed)
        layer = nn.Linear(inside, outside, bias=bias)
        flat, strided = torch.randn(rows, inside), torch.randn(rows, 3, inside)[:, 1]
        deep = torch.randn(2, rows, inside)
        with torch.inference_mode():
            expected = [layer(each) for each in (flat, strided, deep)]
            assert pack_linear_layers(nn.Sequential(layer)) == 1
            for each, result in zip((flat, strided, deep), expected, strict=True):
                torch.testing.assert_close(layer(each), result, rtol=1e-4, atol=1e-5)

    def test_weights_stay_where_they_are_looked_for(self) -> None:
        model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert pack_linear_layers(model) == 2
        after = model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_layers_of_another_precision_or_class_are_left(self) -> None:
        class Scaled(nn.Linear):
            def forward(self, rows: torch.Tensor) -> torch.Tensor:
                return super().forward(rows) * 2

        assert pack_linear_layers(nn.Sequential(nn.Linear(4, 3).bfloat16(), Scaled(4, 3))) == 0

    def test_a_large_model_and_a_processor_without_the_operation_are_left(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = nn.Sequential(nn.Linear(4, 3))
        monkeypatch.setattr(packed_linear, "_MOST_BYTES", 47)
        assert pack_linear_layers(model) == 0
        monkeypatch.setattr(packed_linear, "_MOST_BYTES", 48)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert pack_linear_layers(model) == 0
        monkeypatch.undo()
        assert pack_linear_layers(model) == 1
