"""Coverage: how much of a question the best sentence of a passage holds.

BM25 counts words anywhere in a passage; a passage that answers tends to have them together. Each word of the question
weighs by how few of the compared passages have it, so no list of stop words is needed and what all of them share says
nothing: with n passages of which ``df(w)`` hold the word w,

``coverage(p) = max over the sentences s of p of Σ over the question's words w in s of log((n + 1) / df(w))``,

divided by the best passage's. Title and headings belong to every sentence.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memory.stemming import stem, words

Sentences = tuple[frozenset[str], ...]
"""A passage as the stems of each of its sentences."""

_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")


def stems(text: str) -> frozenset[str]:
    """The stems of all words of a text."""
    return frozenset(map(stem, words(text)))


def sentence_stems(title: str, headings: str, text: str) -> Sentences:
    """A passage by its sentences, each together with the title and the headings."""
    above = stems(f"{title} {headings}")
    return tuple(stems(sentence) | above for sentence in _BREAK.split(text))


def coverage(question: frozenset[str], passages: Sequence[Sentences]) -> NDArray[np.float32]:
    """Coverage of a question by each of the passages: the best is 1; all zero where none holds any of its words."""
    held = [[sentence & question for sentence in sentences] for sentences in passages]
    frequency = Counter(word for sentences in held for word in frozenset().union(*sentences))
    weight = {word: math.log((len(passages) + 1) / count) for word, count in frequency.items()}
    # fsum: the order of a set changes from one process to the next, and with it the last bit of a plain sum.
    best = [max((math.fsum(weight[word] for word in words) for words in sentences), default=0.0) for sentences in held]
    covered = np.array(best, dtype=np.float32)
    peak = covered.max(initial=0.0)
    return covered / peak if peak > 0 else covered
