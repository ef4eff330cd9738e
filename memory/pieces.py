"""Pieces of a passage, and the vectors of whatever is made of them: late chunking.

A transformer gives a vector for each token, of which a passage's vector is the mean. The mean over the tokens of one
sentence, or of one turn of a chat, is a vector of that piece in its context, at no further cost (Günther et al., "Late
Chunking", arXiv 2409.04701). What is made of several pieces, such as an episode of turns, has the mean of theirs.

A passage's pieces depend on its text and its kind alone, so an edit elsewhere in the document costs
nothing here either.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.blocks import CODE, TABLE
from memory.segmentation import sentences

CODE_VERSION = "1"

Piece = tuple[int, int]
"""Characters of a passage, from its start, without white space around."""

_PARAGRAPHS = re.compile(r"\S(?:.|\n(?!\s*\n))*")
_DIALOGUE = "dialogue"


def pieces(text: str, kind: str) -> list[Piece]:
    """The turns of a dialogue, the sentences of prose, and code or a table whole; nothing of an empty text."""
    if kind in (CODE, TABLE):
        found: Sequence[Piece] = [(0, len(text))]
    elif kind == _DIALOGUE:
        found = [match.span() for match in _PARAGRAPHS.finditer(text)]
    else:
        found = list(sentences(text, 0, len(text)))
    trimmed = (_trimmed(text, start, end) for start, end in found)
    return [piece for piece in trimmed if piece[0] < piece[1]]


def _trimmed(text: str, start: int, end: int) -> Piece:
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), end - (len(body) - len(body.rstrip()))


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage with its pieces."""

    text_hash: str
    start: int
    """Of the passage, in the revision."""
    pieces: Sequence[Piece]


Part = tuple[str, int, int]
"""The hash of a passage's text, the number of a piece of it, and how many characters of that are taken."""


def parts_of(spans: Sequence[tuple[int, int]], cuts: Sequence[Cut]) -> list[Part]:
    """The pieces that spans of a revision are made of, in order.

    Args:
        cuts: every passage of the revision, in order.
    """
    laid = [
        (cut.start + first, cut.start + last, cut.text_hash, number)
        for cut in cuts
        for number, (first, last) in enumerate(cut.pieces)
    ]
    ends = [last for _, last, _, _ in laid]
    found: list[Part] = []
    for start, end in spans:
        for first, last, text_hash, number in laid[bisect_right(ends, start) :]:
            if first >= end:
                break
            found.append((text_hash, number, min(end, last) - max(start, first)))
    return found


def pooled(weights: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector of what is made of these pieces; zero where they have none.

    Args:
        weights: of each piece, such as the characters of it that are taken, shape ``(n,)``.
        vectors: of the pieces, shape ``(n, dimensions)``.
    """
    total = weights.astype(np.float64) @ vectors.astype(np.float64)
    norm = np.linalg.norm(total)
    mean: NDArray[np.float32] = (total / norm if norm > 0 else total).astype(np.float32)
    return mean
