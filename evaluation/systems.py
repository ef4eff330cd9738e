"""The systems that are compared on the same questions: each gives an order of passages for a query.

Built in are all channels fused, each channel alone, each channel left out, reciprocal rank fusion, and BM25 by another
library. Further ones are variants: other fusion settings, or another snapshot of the same lake.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import SettingsError
from evaluation.bm25 import BM25Baseline
from retrieval import CHANNELS
from retrieval.families import Shown
from retrieval.search import Ranked, Search
from warehouse.sections import FusionSettings
from warehouse.settings import load_settings, unknown_name

RRF_CONSTANT = 60
"""Of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

FUSED, RRF, BM25 = "fused", "rrf", "bm25"
_WITHOUT = "without-"
_SNAPSHOT = "snapshot:"

Passages = Callable[[], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class System:
    """One way to rank."""

    name: str
    channels: tuple[str, ...] = CHANNELS
    fusion: FusionSettings | None = None
    """``None`` for the evaluated settings' own."""
    snapshot: str = ""
    """Empty for the snapshot that the run is about."""


_CHANNEL_SETS: dict[str, tuple[str, ...]] = {
    FUSED: CHANNELS,
    **{name: (name,) for name in CHANNELS},
    **{f"{_WITHOUT}{name}": tuple(other for other in CHANNELS if other != name) for name in CHANNELS},
}

BUILT_IN: dict[str, System] = {
    **{name: System(name, channels) for name, channels in _CHANNEL_SETS.items()},
    RRF: System(RRF, ("dense", "lexical")),
    BM25: System(BM25, ("lexical",)),
}
"""Every built-in system by name; ``fused`` first."""


def parse_systems(names: Sequence[str]) -> tuple[System, ...]:
    """Systems by name; all built-in ones without any. ``name=file.toml`` is a variant by that file's fusion settings,
    ``name=snapshot:ID`` one by another snapshot.

    Raises:
        UnknownName: a name is not built in.
        SettingsError: a variant's name is taken, or its file is missing or wrong.
    """
    if not names:
        return tuple(BUILT_IN.values())
    systems = [_parsed(name) for name in dict.fromkeys(names)]
    twice = [name for name, count in Counter(system.name for system in systems).items() if count > 1]
    if twice:
        raise SettingsError(f"Two systems are named '{twice[0]}'.", "Name a variant otherwise.")
    return tuple(systems)


def _parsed(text: str) -> System:
    name, is_variant, what = text.partition("=")
    if not is_variant:
        if name not in BUILT_IN:
            raise unknown_name("system", name, list(BUILT_IN))
        return BUILT_IN[name]
    if not name or name in BUILT_IN:
        raise SettingsError(f"A variant cannot be named '{name}'.", "Give it a name that no built-in system has.")
    if what.startswith(_SNAPSHOT):
        return System(name, snapshot=what.removeprefix(_SNAPSHOT))
    return System(name, fusion=load_settings(Path(what)).retrieval.fusion)


@dataclass
class Ranker:
    """Ranks queries of one space of one snapshot by any system."""

    passages: Passages
    """Every passage of the space, for baselines that keep an index of their own."""
    fusion: FusionSettings
    _bm25: BM25Baseline | None = field(default=None, init=False)

    def rank(self, system: System, search: Search, number: int, query: str, k: int) -> Ranked:
        """The best ``k`` passages for the query that is ``number`` in ``search``."""
        if system.name == BM25:
            return _alone(self._baseline().rank(query, k))
        if system.name == RRF:
            found = search.candidates[number]
            return _alone(reciprocal_rank_fusion([found.dense.ids, found.lexical.ids])[:k])
        return search.rank(number, k, system.channels, system.fusion or self.fusion)

    def _baseline(self) -> BM25Baseline:
        if self._bm25 is None:
            self._bm25 = BM25Baseline(self.passages())
        return self._bm25


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """Ids by the sum of 1 / (60 + rank) over the rankings, best first; ties are in the order of the ids."""
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            scores[key] += 1 / (RRF_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _alone(ranking: Sequence[tuple[str, float]]) -> Ranked:
    """A baseline's order as it is: near-duplicates are not collapsed."""
    return Ranked(tuple(Shown(key, score, (key,)) for key, score in ranking), {})
