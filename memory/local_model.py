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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
        self, texts: Sequence[str], vectors: NDArray[np.float32], on_batch: Callable[[Sequence[int]], None]
    ) -> None:
        """Write the vector of ``texts[i]`` to row i of ``vectors``, as the model gives it.

        ``on_batch`` is called with the rows of each batch that is done, from the calling thread.
        """
        batches = list(self._batches(texts))

        def run(rows: list[int]) -> NDArray[np.float32]:
            return self._forward([texts[row] for row in rows])

        workers = min(self._processors, len(batches))
        if workers <= 1:
            results: Iterator[NDArray[np.float32]] = map(run, batches)
            self._collect(batches, results, vectors, on_batch)
            return
        import torch

        try:
            threads = self._processors // workers
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
                self._collect(batches, pool.map(run, batches), vectors, on_batch)
        finally:
            torch.set_num_threads(self._processors)  # threads that start later would inherit the workers' number

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

    def _forward(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            with self._tokenizing:
                features = self._model.preprocess(texts, prompt=self._prompt)
            computed: NDArray[np.float32] = self._model(features)["sentence_embedding"].float().numpy()
        return computed

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
