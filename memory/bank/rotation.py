"""An orthogonal basis in which blocks of coordinates are equally hard to quantise.

Principal components are dealt out to the blocks so that the product of variances is the same in each: the closed form
of optimised product quantisation (Ge et al., "Optimized Product Quantization", 2013, section 4). Without it, the blocks
of a MiniLM embedding keep far less at the same size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-12
"""Variance below which a direction says nothing."""


def principal(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances in falling order, and the directions as columns, each with its largest entry positive."""
    values = vectors.astype(np.float64)
    values -= values.mean(axis=0)
    return components(values.T @ values / max(len(values), 1))


def components(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same of a covariance."""
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    return variances, directions * np.sign(directions[largest, np.arange(directions.shape[1])])


def balanced(vectors: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
    """A rotation of shape ``(dimensions, blocks * width)`` whose blocks of columns have balanced variances.

    Where the dimensions are no multiple of the blocks, the last columns of some blocks are zero.
    """
    variances, directions = principal(vectors)
    dimensions = len(variances)
    width = -(-dimensions // blocks)
    weights = np.log(np.maximum(variances, _LEAST)) - np.log(_LEAST)
    dealt: list[list[int]] = [[] for _ in range(blocks)]
    load = np.zeros(blocks)
    for component in range(dimensions):
        block = min((block for block in range(blocks) if len(dealt[block]) < width), key=lambda block: load[block])
        dealt[block].append(component)
        load[block] += weights[component]
    rotation = np.zeros((dimensions, blocks * width), np.float32)
    for block, chosen in enumerate(dealt):
        rotation[:, block * width : block * width + len(chosen)] = directions[:, chosen]
    return rotation
