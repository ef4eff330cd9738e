"""Coverage weighs the question's words by how few passages have them, and wants them in one sentence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.coverage import Sentences, coverage, sentence_stems, stems

WORDS = st.sampled_from(["apple", "pear", "plum", "fig"])
PASSAGES = st.lists(st.lists(st.frozensets(WORDS), min_size=1, max_size=3).map(tuple), max_size=5)


def test_words_in_one_sentence_cover_more_than_the_same_words_apart() -> None:
    together = sentence_stems("", "", "Maria adopted a dog. It rained.")
    apart = sentence_stems("", "", "Maria came. She adopted. A dog barked.")
    neither = sentence_stems("", "", "It rained.")
    first, second, third = coverage(stems("Which dog did Maria adopt?"), [together, apart, neither]).tolist()
    assert (first, third) == (1.0, 0.0)
    assert 0 < second < first


def test_the_title_belongs_to_every_sentence() -> None:
    assert sentence_stems("Seattle", "Climate", "It snows. Rarely.") == (
        stems("Seattle Climate it snows"),
        stems("Seattle Climate rarely"),
    )


@given(st.frozensets(WORDS), PASSAGES)
def test_coverage_is_the_formula(question: frozenset[str], passages: list[Sentences]) -> None:
    frequency = {word: sum(any(word in sentence for sentence in one) for one in passages) for word in question}
    raw = [
        max(sum(math.log((len(passages) + 1) / frequency[word]) for word in sentence & question) for sentence in one)
        for one in passages
    ]
    peak = max(raw, default=0.0)
    expected = [value / peak if peak > 0 else 0.0 for value in raw]
    assert coverage(question, passages).tolist() == pytest.approx(expected, abs=1e-6)
