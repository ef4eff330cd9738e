"""What a mean over questions is worth: intervals, paired tests, corrections, effect sizes. All seeds are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
RESAMPLES = 9_999
_SEED = 20_26
_BATCH = 500
"""Resamples held in memory at once."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean (or share) with its bootstrap interval; all three are ``None`` where there is nothing to average."""

    value: float | None
    low: float | None
    high: float | None
    count: int


NOTHING = Estimate(None, None, None, 0)


def mean_intervals(columns: Values, confidence: float = CONFIDENCE) -> list[Estimate]:
    """Means, and percentile bootstrap intervals over questions (Efron and Tibshirani, 1993).

    Args:
        columns: ``(questions, metrics)``; all columns see the same resamples.
    """
    count = len(columns)
    if not count:
        return [NOTHING] * columns.shape[1]
    chance = np.random.default_rng(_SEED)
    drawn = [
        chance.multinomial(count, np.full(count, 1 / count), size=min(_BATCH, RESAMPLES - done)) @ columns / count
        for done in range(0, RESAMPLES, _BATCH)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)
    means = columns.mean(axis=0)
    return [Estimate(float(mean), float(lo), float(hi), count) for mean, lo, hi in zip(means, low, high, strict=True)]


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """As :func:`mean_intervals`, of one column."""
    return mean_intervals(np.asarray(values, dtype=np.float64).reshape(-1, 1), confidence)[0]


def share_interval(of: Sequence[bool], among: Sequence[bool], confidence: float = CONFIDENCE) -> Estimate:
    """The share of questions with ``among`` that have ``of``, with its interval; for precision and recall."""
    return mean_interval([float(hit) for hit, counted in zip(of, among, strict=True) if counted], confidence)


def paired_p_value(differences: Values, alternative: str = "two-sided") -> float:
    """Permutation test of the mean of paired differences, by random sign flips (exact for few questions).

    Args:
        differences: ``(questions,)``, one system minus another.
        alternative: ``greater`` asks whether the mean is above zero.
    """
    from scipy.stats import permutation_test

    changed = differences[differences != 0]  # a difference of 0 is the same under either sign
    if not len(changed):
        return 1.0
    if len(changed) == 1:
        changed = np.append(changed, 0.0)  # SciPy wants two
    result = permutation_test(
        (changed,),
        lambda sample, axis: np.sum(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        alternative=alternative,
        rng=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values of a family of tests: Holm, "A simple sequentially rejective multiple test procedure", 1979."""
    ordered = sorted(p_values.items(), key=lambda item: (item[1], item[0]))
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, (name, p) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * p))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One system against another on the same questions."""

    system: str
    baseline: str
    metric: str
    difference: Estimate
    p: float
    p_corrected: float
    """By Holm over the comparisons that were made together."""
    effect: float | None
    """Mean difference over its standard deviation (Cohen's d of paired samples); ``None`` where that is zero."""
    wins: int
    losses: int
    ties: int

    @property
    def significant(self) -> bool:
        """At a corrected level of 5 %."""
        return self.p_corrected < SIGNIFICANCE


def compare(
    metric: str, values: Mapping[str, Mapping[str, float]], system: str, baselines: Sequence[str]
) -> list[Comparison]:
    """A system against each of the baselines, all of these tests being one family.

    Args:
        values: system to question to value; the caller has seen to it that the questions are the same.
    """
    questions = sorted(values[system])
    mine = np.array([values[system][key] for key in questions])
    differences = {name: mine - np.array([values[name][key] for key in questions]) for name in baselines}
    raw = {name: paired_p_value(change) for name, change in differences.items()}
    corrected = holm(raw)
    return [
        Comparison(
            system=system,
            baseline=name,
            metric=metric,
            difference=mean_interval(change.tolist()),
            p=raw[name],
            p_corrected=corrected[name],
            effect=_effect(change),
            wins=int((change > 0).sum()),
            losses=int((change < 0).sum()),
            ties=int((change == 0).sum()),
        )
        for name, change in differences.items()
    ]


def _effect(differences: Values) -> float | None:
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / spread if spread > 0 else None
