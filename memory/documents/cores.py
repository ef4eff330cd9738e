"""Extractive cores: the one to three sentences that say most of what a chunk says.

A core is whole units of its chunk in their order (the head of one where none is short enough). It has at most
:data:`LARGEST_CORE` tokens and :data:`LARGEST_SHARE` of the chunk, except where the chunk itself is tiny.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory.blocks import CODE, TABLE
from memory.documents.chunking import cosines
from memory.documents.units import HEADING, Units
from memory.static import WORD

LARGEST_CORE = 60
"""Tokens of a core."""
LARGEST_SHARE = 0.3
"""Of the chunk's tokens, what the first sentence of a core may take."""
USUAL_SHARE = 0.22
"""Of the chunk's tokens, what a core of several sentences may take."""
SENTENCES = 3

_TINY = 20
"""Tokens that a core may have, however small its chunk is."""

_REACH = 12
"""Units of a chunk farther apart than this are not compared: the cost stays linear in the document."""

_AT_ONCE = 4_096
"""Pairs that are compared together, which bounds the memory that they take."""

_LEAST_SIMILARITY = 0.2
"""Cosine below which two units have no edge, as in LexRank."""

_SIGNATURE = re.compile(
    r"^\s*(?:export |public |private |protected |static |async |abstract |final |pub )*"
    r"(?:def|class|func|fn|function|interface|struct|enum|trait|impl|type|module|package|namespace|create)\b",
    re.IGNORECASE,
)
_RULE_LINE = re.compile(r"^(?:\W|_)*$|^\s*(?:```|~~~)")
"""A line of marks only, or the fence of a listing."""

Core = tuple[tuple[int, int], ...]
"""Spans of a core's sentences."""


@dataclass(frozen=True, slots=True)
class SimilarPairs:
    """The edges of a document's sentence graph."""

    pairs: NDArray[np.int64]
    """(edges, 2) units."""
    weights: NDArray[np.float64]
    """(edges,) cosines."""


def similar_pairs(units: Units) -> SimilarPairs:
    """Pairs of similar sentences that are near each other; headings, code and tables have no edges."""
    spoken = np.array([kind not in (HEADING, CODE, TABLE) for kind in units.kinds], dtype=bool)
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    weights = [np.zeros(0)]
    for distance in range(1, min(_REACH, len(units) - 1) + 1):
        candidates = np.flatnonzero(spoken[:-distance] & spoken[distance:])
        for first in range(0, len(candidates), _AT_ONCE):
            left = candidates[first : first + _AT_ONCE]
            similar = cosines(units.sums[left], units.sums[left + distance])
            near = similar >= _LEAST_SIMILARITY
            pairs.append(np.column_stack((left[near], left[near] + distance)))
            weights.append(np.round(similar[near], 6))
    return SimilarPairs(np.concatenate(pairs), np.concatenate(weights))


def extract_cores(units: Units, starts: Sequence[int], graph: SimilarPairs) -> list[Core]:
    """The core of each chunk, at least one span each.

    Args:
        starts: the units that chunks begin with (:mod:`memory.documents.chunking`).
    """
    ends = [*starts[1:], len(units)]
    scores = centralities(len(units), starts, graph)
    return [_core(units, first, last, scores) for first, last in zip(starts, ends, strict=True)]


def centralities(count: int, starts: Sequence[int], graph: SimilarPairs) -> NDArray[np.float64]:
    """PageRank of each unit in the graph of similar units of its chunk (LexRank, Erkan and Radev 2004).

    The chunks' graphs are ranked as one: they have no edges between them, and within each the order is its own.
    """
    import igraph

    chunk = np.zeros(count, dtype=np.int64)
    chunk[list(starts[1:])] = 1
    chunk = np.cumsum(chunk)
    inside = chunk[graph.pairs[:, 0]] == chunk[graph.pairs[:, 1]]
    joined = igraph.Graph(n=count, edges=graph.pairs[inside], directed=False)
    ranks = joined.pagerank(directed=False, weights=graph.weights[inside].tolist())
    return np.round(np.array(ranks) * count, 6)


def _core(units: Units, first: int, last: int, scores: NDArray[np.float64]) -> Core:
    inside = range(first, last)
    tokens = units.tokens
    size = int(tokens[first:last].sum())
    usual = min(LARGEST_CORE, max(USUAL_SHARE * size, _TINY))
    largest = min(LARGEST_CORE, max(LARGEST_SHARE * size, _TINY))
    spoken = (unit for unit in inside if units.kinds[unit] not in (HEADING, CODE, TABLE))
    sentences = [unit for unit in spoken if _says_something(units, unit)]
    by_rank = sorted(sentences, key=lambda unit: (-scores[unit], unit))
    order = by_rank or _telling_lines(units, inside)
    if len(order) == 1:
        largest = LARGEST_CORE
    chosen: list[int] = []
    total = 0
    for unit in order:
        if total + tokens[unit] <= (usual if chosen else largest) and len(chosen) < SENTENCES:
            chosen.append(unit)
            total += int(tokens[unit])
    if not chosen:
        return (_head(units, order[0], largest),)
    return tuple((int(units.spans[unit, 0]), int(units.spans[unit, 1])) for unit in sorted(chosen))


def _telling_lines(units: Units, inside: range) -> list[int]:
    """Of code and tables, lines in the order of what they tell: signatures and header rows, then from the top."""
    lines = [unit for unit in inside if units.kinds[unit] != HEADING] or list(inside)
    text = [units.text[units.spans[unit, 0] : units.spans[unit, 1]] for unit in lines]
    telling = [unit for unit in lines if _says_something(units, unit)] or lines
    signatures = [unit for unit, line in zip(lines, text, strict=True) if _SIGNATURE.match(line)]
    return [*signatures, *(unit for unit in telling if unit not in set(signatures))]


def _says_something(units: Units, unit: int) -> bool:
    return not _RULE_LINE.match(units.text[units.spans[unit, 0] : units.spans[unit, 1]])


def _head(units: Units, unit: int, limit: float) -> tuple[int, int]:
    """The first words of a unit that is too long to be a core; at least one."""
    start, end = (int(place) for place in units.spans[unit])
    share = limit / max(int(units.tokens[unit]), 1)
    words = [match.end() for match in WORD.finditer(units.text, start, end)]
    if not words:
        return start, start + max(int((end - start) * share), 1)
    return start, words[max(int(len(words) * share) - 1, 0)]
