"""An independent lexical baseline: BM25 by rank-bm25 over stemmed words without stop words.

It shares nothing with the lake's own full-text index but the passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from memory.stemming import stem, words

STOP_WORDS = frozenset(
    """a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on once
    only or other our ours ourselves out over own same she should so some such than that the their theirs them
    themselves then there these they this those through to too under until up very was we were what when where which
    while who whom why will with would you your yours yourself yourselves""".split()
)


class BM25Baseline:
    """Okapi BM25 with rank-bm25's own parameters over all passages of a space."""

    def __init__(self, passages: Iterable[Mapping[str, Any]]) -> None:
        """``passages`` are rows with passage_id, title and text."""
        from rank_bm25 import BM25Okapi

        rows = sorted(passages, key=lambda row: row["passage_id"])
        self._ids = [row["passage_id"] for row in rows]
        self._index = BM25Okapi([_stems(f"{row['title']} {row['text']}") or [""] for row in rows])

    def rank(self, query: str, k: int) -> list[tuple[str, float]]:
        """The ``k`` best passages with positive scores; ties are in the order of their ids."""
        scores = self._index.get_scores(_stems(query))
        order = np.argsort(-scores, kind="stable")[:k]
        return [(self._ids[row], float(scores[row])) for row in order.tolist() if scores[row] > 0]


def _stems(text: str) -> list[str]:
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
