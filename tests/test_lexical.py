"""The lexical channel is BM25, as the independent implementation of rank-bm25 has it."""

from __future__ import annotations

import random

import pytest
from conftest import Workspace
from rank_bm25 import BM25Okapi

_WORDS = "zorbal quintor mevlan drasco plimut korvan tessum gradol".split()
_K1, _B = 1.2, 0.75


@pytest.mark.parametrize("word", _WORDS[:3])
def test_scores_of_a_word_are_those_of_bm25_but_for_its_weight(workspace: Workspace, word: str) -> None:
    """One word's scores may differ by one factor, its inverse document frequency, of which there are many forms."""
    chance = random.Random(7)
    texts = {}
    for number in range(12):
        texts[f"{number}.txt"] = " ".join(chance.choices(_WORDS, k=chance.randint(4, 40)))
        workspace.write(f"{number}.txt", texts[f"{number}.txt"])
    workspace.build()
    hits = workspace.client().search(word, k=12, channels=["lexical"])

    client = workspace.client()
    view = client._view(None)  # the scores before they are scaled
    [(_, found)] = view.table.search([(None, word)], 12, None)
    by_id = {hit.passage_id: hit.location.path for hit in hits}
    # A passage is searched with its title, which is here its file's name.
    oracle = BM25Okapi([[path.removesuffix(".txt"), *text.split()] for path, text in texts.items()], k1=_K1, b=_B)
    expected = dict(zip(texts, oracle.get_scores([word]), strict=True))
    ratios = [score / expected[by_id[key]] for key, score in zip(found.ids, found.scores.tolist(), strict=True)]
    assert len(ratios) == sum(word in text.split() for text in texts.values())
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-3)
