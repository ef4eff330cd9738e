"""Which earlier memories a memory is linked to: its nearest ones, and of these the ones that stand out.

After MemGAS (arXiv 2505.19549): a mixture of two Gaussians is fitted to the similarities of a memory to the nearest of
the memories before it, and those that rather belong to the higher component are linked.

Every row of a result depends on its own memory alone, to the last bit, whatever it is computed together with: cosines
are exact sums of fixed-point numbers, and each row's mixture stops by itself. So memories that come one by one get
the links that they would get all at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

LEAST_SCORES = 4
"""Fewer scores than this do not tell two groups apart."""
UNDECIDED = 0.5
"""The probability where the scores tell no two groups apart."""

_DECIMALS = 6
_FIXED_POINT = 2.0**24
_BLOCK_CELLS = 2**23
"""Cosines that are held at once, which bounds the memory."""

_ITERATIONS = 200
_TOLERANCE = 1e-9
"""Gain of the mean log-likelihood of a row at which its mixture stands."""
_VARIANCE_SHARE = 0.01
"""Share of a row's variance that each component has at least, so that none shrinks to a point."""


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """Pairs of a memory and an earlier one, by memory, the best first."""

    rows: Rows
    """Places among the memories that were asked about."""
    columns: Rows
    """Places among the others."""
    scores: Floats
    """Cosines, to six decimals."""


def nearest_earlier(
    vectors: NDArray[np.float32], ranks: Rows, others: NDArray[np.float32], other_ranks: Rows, k: int
) -> Near:
    """For each memory the `k` nearest by cosine of the others with a lower rank; of equally near ones the earlier.

    Cosines are those of the vectors in fixed point of 24 bits: their products are sums of whole numbers below 2^53, so
    they are exact in float64 and the same in blocks of any shape. A vector of zeros has cosine 0 to all.

    Args:
        vectors, ranks: ``(m, d)``, of about unit length, and ``(m,)``, ascending.
        others, other_ranks: ``(n, d)`` and ``(n,)``, ascending; the memories themselves among them do no harm.

    Raises:
        ValueError: vectors and ranks differ in number, or the vectors in dimensions.
    """
    if len(vectors) != len(ranks) or len(others) != len(other_ranks):
        raise ValueError("each vector needs one rank")
    if len(vectors) and len(others) and vectors.shape[1] != others.shape[1]:
        raise ValueError(f"vectors of {vectors.shape[1]} and {others.shape[1]} dimensions are not comparable")
    earlier = np.searchsorted(other_ranks, ranks)
    fixed, shrink = _fixed(others)
    found = []
    first = 0
    while first < len(vectors):
        rows = slice(first, first + max(_BLOCK_CELLS // max(len(others), 1), 1))
        ends = earlier[rows]
        some, some_shrink = _fixed(vectors[rows])
        cosines = some @ fixed[: ends[-1]].T
        cosines *= some_shrink[:, None]
        cosines *= shrink[None, : ends[-1]]
        cosines[np.arange(ends[-1])[None, :] >= ends[:, None]] = -np.inf
        found.append(_best(cosines, k, first))
        first = rows.stop
    parts = zip(*found, strict=True) if found else ([np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)])
    return Near(*(np.concatenate(list(part)) for part in parts))


def _fixed(vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Vectors in fixed point, and the inverse of each one's length, 0 for zeros."""
    fixed = np.rint(vectors.astype(np.float64) * _FIXED_POINT)
    lengths = np.sqrt(np.einsum("ij,ij->i", fixed, fixed))
    return fixed, np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _best(cosines: Floats, k: int, first: int) -> tuple[Rows, Rows, Floats]:
    """The `k` highest of each row, to six decimals, but for those of minus infinity; the first of equal ones."""
    width = cosines.shape[1]
    least = np.partition(cosines, width - k, axis=1)[:, width - k, None] - 10.0**-_DECIMALS if width > k else -np.inf
    rows, columns = np.nonzero((cosines >= least) & np.isfinite(cosines))
    scores = cosines[rows, columns].round(_DECIMALS)
    order = np.lexsort((columns, -scores, rows))
    rows, columns, scores = rows[order], columns[order], scores[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < k
    return rows[kept] + first, columns[kept], scores[kept]


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """One mixture a row, the lower component first; NaN where the scores tell no two groups apart."""

    weights: Floats
    """``(n, 2)``, of sum 1."""
    means: Floats
    """``(n, 2)``, ascending."""
    variances: Floats
    """``(n, 2)``, above 0."""


def fit_mixture(scores: Floats) -> Mixture:
    """A mixture of two Gaussians for each row of scores, by expectation maximisation.

    It starts from the split of the sorted scores with the least squares within both parts, so nothing is drawn. Rows
    of fewer than :data:`LEAST_SCORES` scores, or of equal ones, have no mixture.

    Args:
        scores: ``(n, k)``, NaN where a row has fewer.
    """
    weights, means, variances = (np.full((len(scores), 2), np.nan) for _ in range(3))
    count = np.isfinite(scores).sum(axis=1)
    at = np.flatnonzero(count >= LEAST_SCORES)
    if not len(at):
        return Mixture(weights, means, variances)
    at = at[np.nanmax(scores[at], axis=1) > np.nanmin(scores[at], axis=1)]
    x = np.sort(scores[at], axis=1)  # NaN comes last
    there = np.isfinite(x)
    x = np.where(there, x, 0.0)
    number = count[at].astype(np.float64)
    centre = x.sum(axis=1) / number
    floor = _VARIANCE_SHARE * np.where(there, (x - centre[:, None]) ** 2, 0.0).sum(axis=1) / number
    higher = (np.arange(x.shape[1]) >= _split(x, there, number)[:, None]) & there
    share = higher.astype(np.float64)
    reached = np.full(len(at), -np.inf)
    for _ in range(_ITERATIONS):
        if not len(at):
            break
        weight, mean, variance = _maximised(x, there, share, number, floor)
        weights[at], means[at], variances[at] = weight, mean, variance
        share, likelihood = _expected(x, there, weight, mean, variance)
        likelihood /= number
        goes_on = likelihood - reached > _TOLERANCE
        at, x, there, share = at[goes_on], x[goes_on], there[goes_on], share[goes_on]
        number, floor, reached = number[goes_on], floor[goes_on], likelihood[goes_on]
    swapped = means[:, 0] > means[:, 1]
    for values in (weights, means, variances):
        values[swapped] = values[swapped, ::-1]
    return Mixture(weights, means, variances)


def _split(x: Floats, there: NDArray[np.bool_], number: Floats) -> Rows:
    """Where each row of ascending values parts with the least squares within: how many values are in the lower part."""
    below = np.cumsum(x, axis=1)[:, :-1]
    total = x.sum(axis=1, keepdims=True)
    size = np.arange(1, x.shape[1], dtype=np.float64)[None, :]
    above = number[:, None] - size
    between = below**2 / size + (total - below) ** 2 / np.maximum(above, 1)
    between[~there[:, 1:]] = -np.inf
    best: Rows = np.argmax(between, axis=1) + 1
    return best


def _maximised(
    x: Floats, there: NDArray[np.bool_], share: Floats, number: Floats, floor: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weights, means and variances, lower and higher, that suit the shares of the higher component best."""
    found = []
    for part in (np.where(there, 1 - share, 0.0), share):
        size = np.maximum(part.sum(axis=1), np.finfo(np.float64).tiny)
        mean = (part * x).sum(axis=1) / size
        variance = (part * (x - mean[:, None]) ** 2).sum(axis=1) / size + floor
        found.append((size / number, mean, variance))
    lower, upper = found
    weight, mean, variance = (np.stack(pair, axis=1) for pair in zip(lower, upper, strict=True))
    return weight, mean, variance


def _expected(
    x: Floats, there: NDArray[np.bool_], weights: Floats, means: Floats, variances: Floats
) -> tuple[Floats, Floats]:
    """The share of the higher component in each score, and the log-likelihood of each row."""
    lower, upper = (
        np.log(np.maximum(weights[:, side, None], np.finfo(np.float64).tiny))
        - 0.5 * np.log(2 * np.pi * variances[:, side, None])
        - 0.5 * (x - means[:, side, None]) ** 2 / variances[:, side, None]
        for side in (0, 1)
    )
    both = np.logaddexp(lower, upper)
    return np.where(there, np.exp(upper - both), 0.0), np.where(there, both, 0.0).sum(axis=1)


def higher_component(scores: Floats) -> Floats:
    """The probability, to six decimals, that a score belongs to the higher component of its row's mixture.

    A score outside the two means counts as the nearer mean: where one component is wider than the other, it would
    otherwise claim both ends, and the lowest scores could be linked. So the probability never falls as a score rises.

    Args:
        scores: ``(n, k)``, NaN where a row has fewer.

    Returns:
        ``(n, k)``: NaN where there is no score, :data:`UNDECIDED` where the row has no mixture.
    """
    mixture = fit_mixture(scores)
    told = mixture.means[:, 1] > mixture.means[:, 0]
    probabilities = np.where(np.isfinite(scores), UNDECIDED, np.nan)
    means = mixture.means[told]
    between = np.clip(scores[told], means[:, :1], means[:, 1:])
    there = np.isfinite(between)
    shares, _ = _expected(np.where(there, between, 0.0), there, mixture.weights[told], means, mixture.variances[told])
    probabilities[told] = np.where(there, shares.round(_DECIMALS), np.nan)
    return probabilities


def linked(probabilities: Floats) -> NDArray[np.bool_]:
    """Which scores rather belong to the higher component; none of those that are missing or undecided."""
    return np.nan_to_num(probabilities) > UNDECIDED
