"""Personalized PageRank by power iteration over a column-stochastic CSR matrix.

x ← (1 − damping) · reset + damping · (W x + lost · reset), where ``lost`` is the mass at nodes without edges: it goes
back to the reset, as in networkx and igraph. Haveliwala, "Topic-Sensitive PageRank", 2002; damping 0.5 is HippoRAG's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

DAMPING = 0.5
TOLERANCE = 1e-6


def personalized_pagerank(
    walk: sparse.csr_array,
    reset: NDArray[np.float32],
    dangling: NDArray[np.bool_],
    damping: float = DAMPING,
    tolerance: float = TOLERANCE,
) -> NDArray[np.float32]:
    """Scores that sum to 1.

    Args:
        walk: ``(n, n)``, each column sums to 1 or is empty.
        reset: ``(n,)``, not negative, not all zero; need not be normalised.
        dangling: ``(n,)``, true where the column is empty.
        tolerance: bound on the L1 distance to the exact scores.

    Raises:
        ValueError: damping is out of range, or the reset is negative somewhere or zero everywhere.
    """
    if not 0 <= damping < 1:
        raise ValueError("damping must be in [0, 1)")
    total = float(reset.sum())
    if total <= 0 or reset.min() < 0:
        raise ValueError("the reset must be non-negative and have a positive sum")
    start = (reset / total).astype(np.float32)
    scores = start
    # After k rounds what is left to move is at most 2 · damping ** k.
    rounds = int(np.ceil(np.log(tolerance / 2) / np.log(damping))) if damping > 0 else 0
    for _ in range(rounds):
        lost = float(scores[dangling].sum())
        scores = (1 - damping + damping * lost) * start + damping * (walk @ scores)
    return scores
