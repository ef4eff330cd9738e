"""Searching fusion settings on questions with gold, by Optuna's TPE (Akiba et al., "Optuna", KDD 2019).

The candidates of every question are found once; a trial only ranks them again. What is searched is one set of settings
for all datasets at once: the objective is the mean over datasets of each one's own metric, so a dataset of a thousand
questions says no more than one of a hundred.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from errors import MissingExtra, NotComparable, SettingsError
from evaluation.dataset import Dataset, Question
from evaluation.matching import GoldFinder, Located, Shown, fact_ranks, gold_ranks
from evaluation.metrics import fact_metrics, recall_at, retrieval_metrics
from evaluation.run import DEPTH, OpenClient, Progress
from evaluation.statistics import Comparison, compare, holm
from retrieval import CHANNELS
from retrieval.search import Search
from warehouse.sections import FusionSettings

_SEED = 20_26

RANGES: Mapping[str, tuple[float, float] | tuple[int, int]] = {
    "dense_weight": (0.0, 2.0),
    "lexical_weight": (0.0, 2.0),
    "judged": (5, 50),
    "coverage_weight": (0.0, 1.0),
    "graph_weight": (0.0, 1.0),
    "seed_passages": (5, 50),
    "entity_share": (0.0, 0.9),
    "hop_weight": (0.0, 1.0),
    "hop_passages": (3, 30),
}
"""What is searched, and where; whole numbers where both ends are."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its candidates and its gold."""

    question_id: str
    search: Search
    number: int
    gold: tuple[Located, ...]
    facts: tuple[Located, ...]


@dataclass
class TuningSet:
    """A dataset whose questions can be ranked again and again."""

    dataset: Dataset
    questions: Sequence[Question]
    open_client: OpenClient
    _asked: list[_Asked] = field(default_factory=list, init=False)
    _passages: dict[str, Shown] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        by_space: dict[str, list[Question]] = {}
        for question in self.questions:
            if question.gold:
                by_space.setdefault(question.space, []).append(question)
        for space, mine in sorted(by_space.items()):
            client = self.open_client(space, "")
            rows = client.passages()
            finder = GoldFinder(rows)
            self._passages |= {
                row["passage_id"]: Shown(
                    row["passage_id"], (row["source"], row["path"]), row["char_start"], row["char_end"]
                )
                for row in rows
            }
            search = client.batch([question.text for question in mine], DEPTH)
            for number, question in enumerate(mine):
                gold = tuple(filter(None, map(finder.locate, question.gold)))
                facts = tuple(filter(None, map(finder.locate, question.facts)))
                if gold:
                    self._asked.append(_Asked(question.question_id, search, number, gold, facts))

    @property
    def question_ids(self) -> list[str]:
        """The questions that can be scored by the dataset's metric."""
        of_facts = self.dataset.metric.startswith("fact_")
        return [item.question_id for item in self._asked if item.facts or not of_facts]

    def values(self, fusion: FusionSettings, wanted: frozenset[str]) -> dict[str, float]:
        """The dataset's metric of each of the wanted questions under these settings."""
        return {item.question_id: self._value(item, fusion) for item in self._asked if item.question_id in wanted}

    def _value(self, item: _Asked, fusion: FusionSettings) -> float:
        ranked = item.search.rank(item.number, DEPTH, CHANNELS, fusion)
        shown = [self._passages[key] for one in ranked.shown for key in (one.key, *one.others)]
        name = self.dataset.metric
        if name.startswith("fact_"):
            return fact_metrics(fact_ranks(item.facts, shown))[name]
        ranks = gold_ranks(item.gold, shown, self.dataset.unit)
        kind, _, cutoff = name.partition("@")
        return recall_at(ranks, int(cutoff)) if kind == "recall" else retrieval_metrics(ranks)[name]

    def require_metric(self) -> None:
        """Raises NotComparable where no question has the dataset's metric, before anything is searched."""
        known = {*retrieval_metrics([1]), *(fact_metrics([1]) if any(item.facts for item in self._asked) else ())}
        if self.dataset.metric not in known:
            raise NotComparable(
                f"{self.dataset.name} cannot be tuned for {self.dataset.metric}.", f"Known: {', '.join(sorted(known))}."
            )


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search came to."""

    before: FusionSettings
    settings: FusionSettings
    """Found on all questions; what is written."""
    held_out: Mapping[str, Comparison]
    """Dataset to the gain on questions that the settings had not been chosen by, over all folds together; corrected
    over the datasets."""
    folds: tuple[FusionSettings, ...]
    """What was found without each of the folds."""
    trials: int

    def settings_text(self) -> str:
        """As a settings file."""
        values = self.settings.model_dump(mode="json")
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
        lines = [f"{name} = {json.dumps(value)}" for name, value in rounded.items()]
        return "\n".join(["[retrieval.fusion]", *lines]) + "\n"

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "settings": self.settings.model_dump(),
            "before": self.before.model_dump(),
            "trials": self.trials,
            "folds": [fold.model_dump() for fold in self.folds],
            "held_out": {
                name: {
                    "metric": item.metric,
                    "gain": item.difference.value,
                    "low": item.difference.low,
                    "high": item.difference.high,
                    "questions": item.difference.count,
                    "p": item.p,
                    "p_corrected": item.p_corrected,
                }
                for name, item in self.held_out.items()
            },
        }


def tune(sets: Sequence[TuningSet], before: FusionSettings, trials: int, folds: int, progress: Progress) -> Tuned:
    """Search without each fold in turn and measure on it; then search on all questions.

    Args:
        before: the settings to improve on, tried first.

    Raises:
        SettingsError: a dataset has too few questions.
        MissingExtra: Optuna is not installed.
    """
    for item in sets:
        item.require_metric()
        if min(len(_fold(item, number, folds)) for number in range(folds)) == 0:
            raise SettingsError(
                f"{item.dataset.name} has too few questions for {folds} folds.", "Take fewer folds, or more questions."
            )
    progress.start("tuning", "fusion settings", trials * (folds + 1))
    parts = [{item.dataset.name: _fold(item, number, folds) for item in sets} for number in range(folds)]
    found = []
    then: dict[str, dict[str, float]] = {item.dataset.name: {} for item in sets}
    now: dict[str, dict[str, float]] = {item.dataset.name: {} for item in sets}
    for held_out in parts:
        chosen = _search(sets, held_out, before, trials, progress)
        found.append(chosen)
        for item in sets:
            name = item.dataset.name
            then[name] |= item.values(before, held_out[name])
            now[name] |= item.values(chosen, held_out[name])
    settings = _search(sets, dict.fromkeys(then, frozenset()), before, trials, progress)
    progress.finish()
    gains = {
        item.dataset.name: compare(
            item.dataset.metric,
            {"tuned": now[item.dataset.name], "before": then[item.dataset.name]},
            "tuned",
            ["before"],
        )[0]
        for item in sets
        if then[item.dataset.name]
    }
    corrected = holm({name: gain.p for name, gain in gains.items()})
    judged = {name: replace(gain, p_corrected=corrected[name]) for name, gain in gains.items()}
    return Tuned(before, settings, judged, tuple(found), trials)


def _search(
    sets: Sequence[TuningSet],
    left_out: Mapping[str, frozenset[str]],
    before: FusionSettings,
    trials: int,
    progress: Progress,
) -> FusionSettings:
    try:
        import optuna
    except ImportError:
        raise MissingExtra("tuning", "evaluation") from None
    wanted = {item.dataset.name: frozenset(item.question_ids) - left_out[item.dataset.name] for item in sets}

    def objective(trial: optuna.Trial) -> float:
        proposed = {
            name: trial.suggest_int(name, low, high)
            if isinstance(low, int) and isinstance(high, int)
            else trial.suggest_float(name, low, high)
            for name, (low, high) in RANGES.items()
        }
        fusion = before.model_copy(update=proposed)
        means = [np.mean(list(item.values(fusion, wanted[item.dataset.name]).values())) for item in sets]
        progress.advance(1)
        return float(np.mean(means))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=_SEED))
    study.enqueue_trial({name: getattr(before, name) for name in RANGES})
    study.optimize(objective, n_trials=trials)
    return before.model_copy(update=study.best_params)


def _fold(item: TuningSet, number: int, folds: int) -> frozenset[str]:
    """The questions of a fold: by a hash of their ids, so that a new question moves no other."""
    return frozenset(
        key for key in item.question_ids if int(hashlib.sha256(key.encode()).hexdigest(), 16) % folds == number
    )
