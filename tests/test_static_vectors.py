"""Static vectors: a text's depends on the text alone, common words weigh little, unknown ones nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.embedding import EmbedderSpec, token_counter
from memory.static import StaticVectors, static_vectors

TEXTS = [
    "The ferry leaves the harbour at noon.",
    "Boats sail from the port every midday.",
    "Enzymes break proteins into amino acids.",
    "今天天气很好。",
    "ذهبت إلى السوق",
    "",
    "— … !",
]


@pytest.fixture(scope="module")
def vectors() -> StaticVectors:
    return static_vectors()


def test_rows_have_unit_length_and_texts_without_words_have_zero_rows(vectors: StaticVectors) -> None:
    made = vectors.encode(TEXTS)
    assert made.shape == (len(TEXTS), 384) and made.dtype == np.float32
    assert np.allclose(np.linalg.norm(made, axis=1), [1, 1, 1, 1, 1, 0, 0], atol=1e-6)


def test_nothing_in_gives_nothing_out(vectors: StaticVectors) -> None:
    assert vectors.encode([]).shape == (0, 384)


@settings(max_examples=25, deadline=None)
@given(others=st.lists(st.sampled_from(TEXTS) | st.text(max_size=30), max_size=8), at=st.integers(0, 8))
def test_a_vector_is_the_same_to_the_bit_whatever_else_is_in_the_call(others: list[str], at: int) -> None:
    alone = static_vectors().encode([TEXTS[0]])[0]
    texts = [*others[:at], TEXTS[0], *others[at:]]
    assert np.array_equal(static_vectors().encode(texts)[min(at, len(others))], alone)


def test_texts_on_one_subject_are_nearer_than_texts_on_two(vectors: StaticVectors) -> None:
    ferry, boats, enzymes = vectors.encode(TEXTS[:3])
    assert ferry @ boats > 2 * max(ferry @ enzymes, 0.05)


def test_function_words_hardly_move_a_vector(vectors: StaticVectors) -> None:
    plain, padded = vectors.encode(["glacier meltwater", "it is of the glacier and to the meltwater"])
    assert plain @ padded > 0.9


def test_many_calls_and_large_ones_agree(vectors: StaticVectors) -> None:
    texts = [f"Report {number} on the harbour" for number in range(5_000)]
    together = vectors.encode(texts)
    assert np.array_equal(together[4_999], vectors.encode(texts[4_999:])[0])


def test_tokens_are_counted_about_as_the_model_counts_them(vectors: StaticVectors) -> None:
    count = token_counter(EmbedderSpec("sentence-transformers", "all-MiniLM-L6-v2"))
    counted = vectors.read(TEXTS[:5]).tokens
    assert np.all(np.abs(counted - np.array(count(TEXTS[:5]))) <= 2)


def test_sums_of_parts_add_up_to_the_whole(vectors: StaticVectors) -> None:
    one, other, whole = vectors.read(["cold water", "warm air", "cold water warm air"]).sums()
    assert np.allclose(one + other, whole, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
    | st.sampled_from(" ".join(TEXTS[:3]).split())
)
def test_words_of_ascii_are_parted_as_the_tokenizer_parts_them(word: str) -> None:
    count = token_counter(EmbedderSpec("sentence-transformers", "all-MiniLM-L6-v2"))
    bare = word.lower().rstrip(".")
    assert static_vectors().read([bare]).tokens.tolist() == count([bare])
