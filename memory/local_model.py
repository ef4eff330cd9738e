"""A sentence-transformers model on the processor, over many texts at once.

A text's vector depends on the text and the model only, up to float rounding, whatever else is in the call: texts are
sorted by their number of tokens, batched, and each batch is a task of its own. The tasks run side by side, a processor
each, in place of one task on all processors: no operation waits for the slowest of them, and where other work holds a
processor, only its own task is late. Memory is that of one batch a processor, besides texts and vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Span = tuple[int, int]
"""Characters of a text."""

_NO_SPANS = np.empty((0, 0), dtype=np.float32)

_BATCH_TOKENS = 400
"""Tokens of a batch, its padding counted. What a larger one computes does not fit a processor's cache; a smaller one
leaves the multiplication of matrices short of rows (all-MiniLM-L6-v2, short names, one core: 496 texts/s in batches of
150, 566 of 300, 523 of 600, 421 of 1,200)."""

_COUNTED_AT_ONCE = 2_000
"""Texts that are tokenized together to learn their lengths."""

_CHARS_A_TOKEN = 4
"""What a model is assumed to need where its tokenizer is not one of transformers'."""


class LocalModel:
    """Runs a loaded model over texts; may be shared by threads."""

    def __init__(self, model: SentenceTransformer, batch_size: int) -> None:
        import torch

        from memory.packed_linear import pack_linear_layers

        self._model = model.eval()
        pack_linear_layers(self._model)
        self._batch_size = batch_size
        self._processors = torch.get_num_threads()
        self._prompt = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None
        self._tokenizing = threading.Lock()  # a tokenizer refuses a second user while it changes its padding

    def encode(
        self,
        texts: Sequence[str],
        vectors: NDArray[np.float32],
        on_batch: Callable[[Sequence[int]], None],
        spans: Sequence[Sequence[Span]] = (),
    ) -> list[NDArray[np.float32]]:
        """Write the vector of ``texts[i]`` to row i of ``vectors``, as the model gives it.

        Args:
            on_batch: called with the rows of each batch that is done, from the calling thread.
            spans: characters of each text whose vectors are wanted, too; nothing for none.

        Returns:
            The mean of the token vectors of each span, ``(len(spans[i]), dimensions)`` a text; the text's own vector
            for a span behind what the model reads. Empty without ``spans``.
        """
        batches = list(self._batches(texts))
        pooled: list[NDArray[np.float32]] = [_NO_SPANS] * len(spans)

        def run(rows: list[int]) -> NDArray[np.float32]:
            computed, tokens = self._forward([texts[row] for row in rows])
            if spans:
                offsets = self._offsets([texts[row] for row in rows], tokens.shape[1])
                for place, row in enumerate(rows):
                    pooled[row] = _means(tokens[place], offsets[place], spans[row], computed[place])
            return computed

        workers = min(self._processors, len(batches))
        if workers <= 1:
            results: Iterator[NDArray[np.float32]] = map(run, batches)
            self._collect(batches, results, vectors, on_batch)
            return pooled
        import torch

        try:
            threads = self._processors // workers
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
                self._collect(batches, pool.map(run, batches), vectors, on_batch)
        finally:
            torch.set_num_threads(self._processors)  # threads that start later would inherit the workers' number
        return pooled

    @staticmethod
    def _collect(
        batches: list[list[int]],
        results: Iterator[NDArray[np.float32]],
        vectors: NDArray[np.float32],
        on_batch: Callable[[Sequence[int]], None],
    ) -> None:
        for rows, computed in zip(batches, results, strict=True):
            vectors[rows] = computed[:, : vectors.shape[1]]
            on_batch(rows)

    @property
    def tells_offsets(self) -> bool:
        """Whether the tokenizer knows where in a text its tokens are."""
        return bool(getattr(getattr(self._model[0], "tokenizer", None), "is_fast", False))

    def _forward(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of the texts, and of their tokens."""
        import torch

        with torch.inference_mode():
            with self._tokenizing:
                features = self._model.preprocess(texts, prompt=self._prompt)
            computed = self._model(features)
        vectors: NDArray[np.float32] = computed["sentence_embedding"].float().numpy()
        tokens = computed.get("token_embeddings")  # a model without a transformer has none
        return vectors, _NO_SPANS[np.newaxis] if tokens is None else tokens.float().numpy()

    def _offsets(self, texts: list[str], tokens: int) -> NDArray[np.int64]:
        """First and last character of each token, ``(len(texts), tokens, 2)``; equal where it is none of the text."""
        prompt = self._prompt or ""
        longest = self._model.max_seq_length or tokens
        with self._tokenizing:
            tokenizer: Any = self._model[0].tokenizer
            found = tokenizer(
                [prompt + text for text in texts],
                truncation=True,
                max_length=longest,
                return_offsets_mapping=True,
                return_attention_mask=False,
                verbose=False,
            )["offset_mapping"]
        offsets = np.zeros((len(texts), tokens, 2), dtype=np.int64)
        for row, places in enumerate(found):
            offsets[row, : len(places)] = np.asarray(places[:tokens]) - len(prompt)
        return offsets

    def _batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Rows of ``texts``, longest first; equally long ones in their order."""
        if len(texts) == 1:
            yield [0]
            return
        lengths = self._lengths(texts)
        order = sorted(range(len(texts)), key=lambda row: (-lengths[row], row))
        start = 0
        while start < len(order):
            fitting = max(_BATCH_TOKENS // lengths[order[start]], 1)
            yield order[start : start + min(self._batch_size, fitting)]
            start += min(self._batch_size, fitting)

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, at least 1; those that the model would cut are not counted."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = getattr(self._model[0], "tokenizer", None)
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            longest = self._model.max_seq_length or _BATCH_TOKENS
            return [min(len(text) // _CHARS_A_TOKEN + 1, longest) for text in texts]
        lengths: list[int] = []
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            part = list(texts[start : start + _COUNTED_AT_ONCE])
            with self._tokenizing:
                ids = tokenizer(part, truncation=True, return_attention_mask=False, verbose=False)["input_ids"]
            lengths += [max(len(each), 1) for each in ids]
        return lengths


def _means(
    tokens: NDArray[np.float32], offsets: NDArray[np.int64], spans: Sequence[Span], own: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The mean of the tokens that lie in each span; the text's ``own`` vector where none does."""
    means = np.empty((len(spans), tokens.shape[1]), dtype=np.float32)
    for row, (start, end) in enumerate(spans):
        inside = (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > offsets[:, 0])
        means[row] = tokens[inside].mean(axis=0) if inside.any() else own
    return means
