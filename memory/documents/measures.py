"""How good a candidate outline is: proxies of the two measures of MoM (arXiv 2510.14252), and their rank fusion.

The paper asks an evaluator model for both. Without one, the clarity of boundaries is measured by the distance of static
vectors across them, and the completeness of cores by how well their vectors and words cover their chunks. Both are
proxies and named so; they compare candidates of one document, and mean little from document to document.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memory.documents.chunking import cosines
from memory.documents.units import Units
from memory.static import Reading

_NEAR = 4
"""Units on either side of a boundary that are compared, whatever the chunks' size: long texts are more alike."""

_RANK_CONSTANT = 60
"""Of reciprocal rank fusion (Cormack et al. 2009)."""

_LEAST_CORE = 3
"""Tokens that a core is taken to have at least: the paper's log|c| is 0 at 1, and below 1 at 2."""


def clarity_proxy(units: Units, starts: Sequence[int]) -> float:
    """Mean cosine distance across the boundaries of a chunking, in [0, 2]; 0 where there is no boundary.

    In place of 1/(n-1) Σ P(boundary | a_i, a_{i+1}); a boundary with no known word on a side has distance 0.
    """
    if len(starts) < 2:
        return 0.0
    edges = [*starts, len(units)]
    before = [units.sums[max(edges[at], edges[at + 1] - _NEAR) : edges[at + 1]] for at in range(len(starts) - 1)]
    behind = [units.sums[edges[at] : min(edges[at + 1], edges[at] + _NEAR)] for at in range(1, len(starts))]
    distances = 1.0 - cosines(_summed(before), _summed(behind), empty=1.0)
    return round(float(distances.mean()), 6)


def completeness_proxy(units: Units, starts: Sequence[int], cores: Reading) -> float:
    """How well cores cover their chunks, shorter ones valued more; in [0, 1).

    In place of 1/n Σ 1 / (PPL(a_i | c_i) · log|c_i|): 1/PPL becomes the mean of two shares, the cosine of core and
    chunk, and what the words that the core has weigh among the words of the chunk.

    Args:
        cores: the cores' texts, one a chunk.
    """
    if not len(starts):
        return 0.0
    likeness = np.clip(cosines(np.add.reduceat(units.sums, list(starts), axis=0), cores.sums()), 0.0, 1.0)
    shares = (likeness + covered_words(units, starts, cores)) / 2
    sizes = np.log(np.maximum(cores.tokens, _LEAST_CORE))
    return round(float((shares / sizes).mean()), 6)


def covered_words(units: Units, starts: Sequence[int], cores: Reading) -> NDArray[np.float64]:
    """For each chunk, the weight of the occurrences of words that its core has, too, over that of all; in [0, 1]."""
    place = {word: number for number, word in enumerate(units.reading.words)}
    renamed = np.array([place.get(word, -1) for word in cores.words], dtype=np.int64)
    words = units.reading.occurrences
    ends = [*starts[1:], len(units)]
    covered = np.zeros(len(starts))
    said = np.zeros(len(units.reading.words) + 1, dtype=bool)  # the last is for words that the document has not
    for chunk, (first, last) in enumerate(zip(starts, ends, strict=True)):
        present = words.indices[words.indptr[first] : words.indptr[last]]
        core = renamed[cores.occurrences.indices[cores.occurrences.indptr[chunk] : cores.occurrences.indptr[chunk + 1]]]
        said[core] = True
        weights = units.reading.weights[present].astype(np.float64)
        total = float(weights.sum())
        if total > 0:
            covered[chunk] = float(weights[said[present]].sum()) / total
        said[core] = False
    return covered


def rank_fusion(measures: Sequence[Sequence[float]]) -> list[float]:
    """Reciprocal rank fusion: for each candidate the sum over the measures of 1 / (60 + its rank).

    Args:
        measures: one sequence a measure, a value a candidate, higher is better; equal values share the better rank.
    """
    fused = [0.0] * len(measures[0])
    for values in measures:
        for at, value in enumerate(values):
            rank = 1 + sum(other > value for other in values)
            fused[at] += 1.0 / (_RANK_CONSTANT + rank)
    return [round(value, 9) for value in fused]


def _summed(groups: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack([group.sum(axis=0) for group in groups])
