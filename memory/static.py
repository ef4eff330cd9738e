"""Cheap vectors of sentences: weighted means of the bundled model's word embeddings, without running the model.

A text's vector depends on the text alone, bit for bit, whatever else is in the call: sums run over its own words in
their order, and nothing is computed from a batch. Words are weighted by smooth inverse frequency (Arora et al. 2017),
their frequency read off their place in the vocabulary, which is in falling order of use (Zipf's law, as model2vec
does). The common component that SIF takes away is not: it would have to come from a batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memory.embedding import bundled_model_path, unit_rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and Han: every character counts as a word, as the model's tokenizer has it."""
_MARKS = (
    "!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965"
    "\u2000-\u206f\u2190-\u2bff\u2e00-\u2e7f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_MARKS}{_UNSPACED}]+")
"""A word: a character of a script without spaces, or a run of what is neither white space nor punctuation."""
_MARK = re.compile(f"[{_MARKS}]")

_SMOOTHING = 1e-4
"""The constant a of SIF, weight = a / (a + frequency)."""

_CHARACTER_RANK = 100.0
"""Place among the words, by use, that a single character is taken to have."""

_LONGEST_WORD = 100
"""Characters of a word that are read; the model's tokenizer takes longer ones for unknown."""

_KEPT_WORDS = 200_000
"""Words whose pieces are remembered, at most."""

_AT_ONCE = 4_096
"""Texts that are encoded together, which bounds the memory that a call takes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Texts as counts of words, with what each word means and weighs."""

    words: tuple[str, ...]
    """Distinct ones in lower case, in the order in which they first appear."""
    occurrences: Any
    """SciPy's CSR matrix (texts, words) of ones, an entry an occurrence, in the order of the text."""
    weights: NDArray[np.float32]
    """(words,) in [0, 1]: small where a word is common everywhere."""
    vectors: NDArray[np.float32]
    """(words, dimensions), each scaled by its weight."""
    tokens: NDArray[np.int64]
    """(texts,) tokens as the model counts them, to within a few in a hundred."""

    def part(self, first: int, last: int) -> Reading:
        """The texts from ``first`` to ``last`` (exclusive)."""
        if (first, last) == (0, len(self.tokens)):
            return self
        return replace(self, occurrences=self.occurrences[first:last], tokens=self.tokens[first:last])

    def sums(self) -> NDArray[np.float32]:
        """(texts, dimensions) sums of the weighted vectors of the words of each text; add up for joined texts."""
        summed: NDArray[np.float32] = self.occurrences @ self.vectors
        return summed


class StaticVectors:
    """The word embeddings of one model."""

    def __init__(self, table: NDArray[np.float32], vocabulary: Sequence[str], tokenizer: Tokenizer) -> None:
        """``table``: (pieces, dimensions), row i the vector of ``vocabulary[i]``, in falling order of use."""
        self._weights = _smooth_inverse_frequency(vocabulary)
        self._table = table
        self._tokenizer = tokenizer
        self._whole = {piece: place for place, piece in enumerate(vocabulary)}
        self._pieces: dict[str, tuple[int, ...]] = {}

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._table.shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of shape ``(len(texts), dimensions)``, of unit length; zero where a text has no known word."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _AT_ONCE):
            part = texts[start : start + _AT_ONCE]
            vectors[start : start + len(part)] = unit_rows(self.read(part).sums())
        return vectors

    def read(self, texts: Sequence[str]) -> Reading:
        """The words of each text; memory is that of the distinct ones' vectors."""
        from scipy.sparse import csr_matrix

        found = [WORD.findall(text.lower()) for text in texts]
        starts = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(words) for words in found], out=starts[1:])
        place: dict[str, int] = {}
        columns = np.fromiter((place.setdefault(word, len(place)) for words in found for word in words), dtype=np.int64)
        words = tuple(place)
        pieces = self._pieces_of(words)
        sizes = np.fromiter((len(ids) for ids in pieces), dtype=np.int64, count=len(words))
        ids = np.fromiter((piece for each in pieces for piece in each), dtype=np.int64, count=int(sizes.sum()))
        ends = np.concatenate(([0], np.cumsum(sizes)))
        weights = self._word_weights(ids, ends, sizes)
        shares = np.repeat(weights / np.maximum(sizes, 1), sizes).astype(np.float32)
        vectors = csr_matrix((shares, ids, ends), shape=(len(words), len(self._table))) @ self._table
        occurrences = csr_matrix(
            (np.ones(len(columns), dtype=np.float32), columns, starts), shape=(len(texts), len(words))
        )
        marks = np.fromiter((len(_MARK.findall(text)) for text in texts), dtype=np.int64, count=len(texts))
        tokens = marks + np.rint(occurrences @ np.maximum(sizes, 1)).astype(np.int64)
        return Reading(words, occurrences, weights, vectors, tokens)

    def _word_weights(
        self, ids: NDArray[np.int64], ends: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """A word of one piece weighs what that does; one of several pieces is rare; one of none is unknown."""
        weights = (sizes > 1).astype(np.float32)
        single = sizes == 1
        weights[single] = self._weights[ids[ends[:-1][single]]]
        return weights

    def _pieces_of(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of the pieces of each word that have a vector of their own."""
        known = self._pieces
        missing = [word for word in words if word not in known]
        if len(known) + len(missing) > _KEPT_WORDS:
            known = self._pieces = {}
            missing = list(words)
        foreign = [word for word in missing if not word.isascii()]
        for word in missing:
            if word.isascii():
                known[word] = self._with_vector(self._wordpieces(word))
        if foreign:
            cut = [word[:_LONGEST_WORD] for word in foreign]
            encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
            for word, encoding in zip(foreign, encodings, strict=True):
                known[word] = self._with_vector(encoding.ids)
        return [known[word] for word in words]

    def _with_vector(self, ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(piece for piece in ids if self._weights[piece] > 0)

    def _wordpieces(self, word: str) -> list[int]:
        """Longest match first, as the tokenizer does it for one word of ASCII, which needs no normalising."""
        found: list[int] = []
        start, word = 0, word[:_LONGEST_WORD]
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._whole.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return []
            found.append(piece)
            start = end
        return found


def _smooth_inverse_frequency(vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """A weight a piece: a / (a + its frequency) by Zipf's law; 0 for special and unused ones and for punctuation.

    The vocabulary has single characters before its words, in no order of use; they weigh as much as a common word.
    """
    first_word = next(at for at, piece in enumerate(vocabulary) if piece == "the")
    harmonic = float(np.sum(1.0 / np.arange(1, len(vocabulary) - first_word + 1)))
    ranks = np.maximum(np.arange(len(vocabulary)) - first_word + 1, 1).astype(np.float64)
    ranks[:first_word] = _CHARACTER_RANK
    weights = _SMOOTHING / (_SMOOTHING + 1.0 / (ranks * harmonic))
    for at, piece in enumerate(vocabulary):
        special = piece.startswith("[") and piece.endswith("]")
        if special or not any(char.isalnum() for char in piece):
            weights[at] = 0.0
    return weights.astype(np.float32)


@lru_cache(maxsize=1)
def static_vectors() -> StaticVectors:
    """Those of the bundled model, read once a process.

    Raises:
        ModelError: the model is not installed, or not the known one.
    """
    from safetensors import safe_open
    from tokenizers import Tokenizer

    folder = bundled_model_path()
    with safe_open(str(folder / "model.safetensors"), "numpy") as weights:
        table: NDArray[np.float32] = weights.get_tensor("embeddings.word_embeddings.weight")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab()
    return StaticVectors(table, sorted(ids, key=ids.__getitem__), tokenizer)
