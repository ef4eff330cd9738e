"""How far to trust each granularity with a question: by how sharply its similarities to the question fall.

For each granularity `g` with the `n` best similarities `s` of its memories, `n` at most `judged`:

1. ``p = softmax(s / T)``, ``T = temperature · spread``, with one ``spread`` for all granularities: the root of the mean
   of their variances. So only differences between similarities count, and in units of the question's own: to add a
   number to those of one granularity changes nothing, nor does to multiply all, as another embedder might.
2. ``H = −Σ p log p``, the entropy; ``peak(g) = 1 − H / log n``, 0 where all are equal and 1 where one stands alone. One
   memory alone is no peak, since there is nothing that it stands out from: 0, as where nothing was found.
3. ``weight(g) = peak(g) / Σ peak``. Where none has a peak, those that found something weigh the same; where nothing was
   found, all do.

After MemGAS (arXiv 2505.19549), whose published code weighs by ``(1 − H) / Σ(1 − H)``. The entropy of n alternatives
reaches log n, above 1 nat from three on; then numerator and sum turn negative, and the flattest granularity gets the
highest weight. Over log n the entropy stays in [0, 1], and the order of the weights is that of the peaks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

JUDGED = 20
"""So many of the best memories of a granularity tell how sharply it answers."""
TEMPERATURE = 1.0
"""In spreads of the similarities."""
_EQUAL = 1e-12
"""Similarities that differ by no more than so much of the greatest are equal: the rest is rounding."""


def granularity_weights(
    similarities: Mapping[str, NDArray[np.float32]], temperature: float = TEMPERATURE, judged: int = JUDGED
) -> dict[str, float]:
    """The weight of each granularity for one question; they sum to 1.

    Args:
        similarities: of memories to the question, by granularity, in any order; empty where nothing was found.
        temperature: above 0; the lower, the more the few best count.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, not {temperature}")
    best = {name: np.sort(np.asarray(found, np.float64))[::-1][:judged] for name, found in similarities.items()}
    variances = [found.var() for found in best.values() if len(found) > 1]
    spread = math.sqrt(math.fsum(variances) / len(variances)) if variances else 0.0
    peaks = {name: peakedness(found, temperature * spread) for name, found in best.items()}
    total = math.fsum(peaks.values())
    if total > 0:
        return {name: peak / total for name, peak in peaks.items()}
    equal = {name: float(len(found) > 0) for name, found in best.items()}
    if not any(equal.values()):
        equal = dict.fromkeys(best, 1.0)
    return {name: share / sum(equal.values()) for name, share in equal.items()}


def peakedness(similarities: NDArray[np.float64], temperature: float) -> float:
    """How sharply similarities fall: one minus the entropy of their softmax over its greatest, in [0, 1].

    0 for fewer than two similarities, for equal ones, and at a temperature of 0, which is that of equal ones.
    """
    if len(similarities) < 2 or np.ptp(similarities) <= _EQUAL * np.abs(similarities).max() or temperature <= 0:
        return 0.0
    shares = np.exp((similarities - similarities.max()) / temperature)
    shares /= shares.sum()
    shares = shares[shares > 0]
    entropy = float(-(shares * np.log(shares)).sum())
    return min(max(1.0 - entropy / math.log(len(similarities)), 0.0), 1.0)
