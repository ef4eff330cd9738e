"""Memories as results: the turns, facts, episodes or outline items that answer a question, in place of passages.

``score = own + passage + parent / 2``: how the memory itself was found, how the best passage that it leads to was
ranked by everything that ranks passages, and how the memory that it is a part of was found; each over its best. So a
turn profits from the words around it and from the topic of its episode. With one channel a memory stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from retrieval.memories import Memories, MemoryScores
from retrieval.scoring import Scores

_PARENT_SHARE = np.float32(0.5)


def rank_units(
    memories: Memories, found: MemoryScores, granularity: str, passages: Mapping[str, float], k: int
) -> list[tuple[int, float]]:
    """Rows and scores of the best ``k`` memories of a granularity, best first; ties are in the order of their ids.

    Args:
        passages: id to score of the ranked passages; empty to leave them out.
    """
    rows = np.flatnonzero(memories.granularities == granularity)
    if not len(rows):
        return []
    score = _over_best(found.scores[rows])
    if passages:
        leading = np.array(
            [max((passages.get(key, 0.0) for key in memories.led_to(row)), default=0.0) for row in rows.tolist()]
        )
        parents = memories.parents[rows]
        above = np.where(parents >= 0, found.scores[parents], np.float32(0))
        score = score + _over_best(leading) + _PARENT_SHARE * _over_best(above)
    order = np.argsort(-score, kind="stable")[:k]
    return [(int(rows[at]), float(score[at])) for at in order.tolist() if score[at] > 0]


def _over_best(scores: Scores) -> Scores:
    peak = scores.max(initial=0.0)
    return scores / peak if peak > 0 else scores


def best_units(
    memories: Memories, found: MemoryScores, passages: Sequence[str], least: float
) -> dict[str, list[tuple[int, float]]]:
    """For each passage the best memory of each granularity that leads to it, best first, from a score of ``least``."""
    best: dict[str, dict[str, tuple[int, float]]] = {key: {} for key in passages}
    wanted = set(passages)
    for row in memories.leading_to(passages).tolist():
        score, name = float(found.scores[row]), str(memories.granularities[row])
        if score < least or name not in found.weights:
            continue
        for key in memories.led_to(row):
            if key in wanted and score > best[key].get(name, (row, 0.0))[1]:
                best[key][name] = (row, score)
    return {key: sorted(of.values(), key=lambda item: (-item[1], item[0])) for key, of in best.items()}
