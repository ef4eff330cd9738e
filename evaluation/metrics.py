"""Metrics of one question, from the ranks at which its gold was found.

nDCG, MRR and MAP are computed by ir-measures (Macdonald, MacAvaney and Ounis, "Streamlining Evaluation with
ir-measures", ECIR 2022) on pytrec_eval, exact match and F1 by torchmetrics after SQuAD's own script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CUTOFFS = (1, 2, 5, 10, 20)
FACT_CUTOFFS = (5, 10, 20)
FRESH_CUTOFFS = (5, 10)
NDCG_CUTOFF = 10

_CITATION = re.compile(r"\s*\[\d+(?:[,;\s]+\d+)*\]")


def recall_at(ranks: Sequence[int], k: int) -> float:
    """Share of the gold found at rank ``k`` or before; a rank of 0 means that it was not found.

    Raises:
        ValueError: there is no gold, so that no share is defined.
    """
    if not ranks:
        raise ValueError("recall needs at least one piece of gold")
    return sum(0 < rank <= k for rank in ranks) / len(ranks)


def retrieval_metrics(ranks: Sequence[int]) -> dict[str, float]:
    """Recall@k, all-Recall@k (1 where all gold is found), nDCG@10, MRR and MAP."""
    metrics = {f"recall@{k}": recall_at(ranks, k) for k in CUTOFFS}
    metrics |= {f"all_recall@{k}": float(metrics[f"recall@{k}"] == 1.0) for k in CUTOFFS[1:]}
    return metrics | _ranked_metrics(ranks)


def _ranked_metrics(ranks: Sequence[int]) -> dict[str, float]:
    """By ir-measures; where one passage holds several pieces of gold, they take consecutive ranks."""
    import ir_measures
    from ir_measures import AP, RR, nDCG

    wanted = {nDCG @ NDCG_CUTOFF: f"ndcg@{NDCG_CUTOFF}", RR: "mrr", AP: "map"}
    judged = [ir_measures.Qrel("q", f"gold {number}", 1) for number in range(len(ranks))]
    found = sorted((rank, number) for number, rank in enumerate(ranks) if rank)
    listed: list[str] = []
    at = 0
    for rank, number in found:
        listed += [f"other {place}" for place in range(at + 1, rank)]
        listed.append(f"gold {number}")
        at = max(at, rank)
    run = [ir_measures.ScoredDoc("q", item, -place) for place, item in enumerate(listed)]
    scored = {wanted[value.measure]: float(value.value) for value in ir_measures.iter_calc(list(wanted), judged, run)}
    return {name: scored.get(name, 0.0) for name in wanted.values()}


def fact_metrics(ranks: Sequence[int]) -> dict[str, float]:
    """Share of the quoted sentences that one of the first k passages holds whole."""
    return {f"fact_recall@{k}": recall_at(ranks, k) for k in FACT_CUTOFFS}


def freshness_metrics(current: Sequence[int], outdated: Sequence[int]) -> dict[str, float]:
    """Whether what is current is among the first k, and whether what is outdated is there without it before.

    Args:
        current: ranks of the gold that holds now, 0 where it was not found.
        outdated: ranks of what held before.
    """
    metrics = {}
    for k in FRESH_CUTOFFS:
        fresh = min((rank for rank in current if 0 < rank <= k), default=0)
        stale = min((rank for rank in outdated if 0 < rank <= k), default=0)
        metrics[f"freshness@{k}"] = float(fresh > 0)
        metrics[f"staleness@{k}"] = float(stale > 0 and not 0 < fresh < stale)
    return metrics


def answer_metrics(answer: str, accepted: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 against the best of the accepted answers, in [0, 1]; citation numbers do not count."""
    from torchmetrics.functional.text import squad

    scored = squad(
        [{"prediction_text": _CITATION.sub("", answer), "id": "q"}],
        [{"answers": {"text": list(accepted), "answer_start": [0] * len(accepted)}, "id": "q"}],
    )
    return {"em": float(scored["exact_match"]) / 100, "f1": float(scored["f1"]) / 100}
