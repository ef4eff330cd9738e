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
from retrieval import CHANNELS, PASSAGE, Hit
from retrieval.families import Shown
from retrieval.search import Ranked, Search
from warehouse.sections import GRANULARITIES, FusionSettings
from warehouse.settings import load_settings, unknown_name

RRF_CONSTANT = 60
"""Of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

FUSED, PASSAGES, RRF, BM25 = "fused", "passages", "rrf", "bm25"
_WITHOUT = "without-"
_SNAPSHOT = "snapshot:"
_LAYERS = {
    "aspects": "aspect_weight",
    "pieces": "piece_weight",
    "memories": "memory_weight",
    "time": "time_weight",
}
"""What retrieval has besides passages, and the setting that weighs it."""
_PASSAGES_ALONE = dict.fromkeys(_LAYERS.values(), 0.0)

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
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fusion settings that differ from those, by name."""
    granularity: str = PASSAGE
    """What is ranked: passages, or the memories of a granularity."""

    def fused_by(self, base: FusionSettings) -> FusionSettings:
        """The fusion settings that it ranks by, where ``base`` are the evaluated ones."""
        return (self.fusion or base).model_copy(update=dict(self.changes))


_CHANNEL_SETS: dict[str, tuple[str, ...]] = {
    FUSED: CHANNELS,
    **{name: (name,) for name in CHANNELS},
    **{f"{_WITHOUT}{name}": tuple(other for other in CHANNELS if other != name) for name in CHANNELS},
}

DEFAULT: dict[str, System] = {
    **{name: System(name, channels) for name, channels in _CHANNEL_SETS.items()},
    PASSAGES: System(PASSAGES, changes=_PASSAGES_ALONE),
    RRF: System(RRF, ("dense", "lexical")),
    BM25: System(BM25, ("lexical",)),
}
"""The systems of an evaluation that names none; ``fused`` first."""

BUILT_IN: dict[str, System] = {
    **DEFAULT,
    **{f"{_WITHOUT}{name}": System(f"{_WITHOUT}{name}", changes={weight: 0.0}) for name, weight in _LAYERS.items()},
    **{f"{_WITHOUT}{name}": System(f"{_WITHOUT}{name}", changes={"left_out": (name,)}) for name in GRANULARITIES},
    **{f"{name}s": System(f"{name}s", granularity=name) for name in GRANULARITIES},
    **{
        f"{name}s-{channel}": System(f"{name}s-{channel}", (channel,), granularity=name)
        for name in GRANULARITIES
        for channel in ("dense", "lexical")
    },
}
"""Every built-in system by name."""


def parse_systems(names: Sequence[str]) -> tuple[System, ...]:
    """Systems by name; all built-in ones without any. ``name=file.toml`` is a variant by that file's fusion settings,
    ``name=snapshot:ID`` one by another snapshot.

    Raises:
        UnknownName: a name is not built in.
        SettingsError: a variant's name is taken, or its file is missing or wrong.
    """
    if not names:
        return tuple(DEFAULT.values())
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

    def hits(self, system: System, search: Search, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best ``k`` results for each of the queries that are in ``search``, in its order."""
        if system.granularity != PASSAGE:
            fusion = system.fused_by(self.fusion)
            return [
                search.rank_units(number, system.granularity, k, system.channels, fusion)
                for number in range(len(queries))
            ]
        return search.hits([self.rank(system, search, number, query, k) for number, query in enumerate(queries)])

    def rank(self, system: System, search: Search, number: int, query: str, k: int) -> Ranked:
        """The best ``k`` passages for the query that is ``number`` in ``search``."""
        if system.name == BM25:
            return _alone(self._baseline().rank(query, k))
        if system.name == RRF:
            found = search.candidates[number]
            return _alone(reciprocal_rank_fusion([found.dense.ids, found.lexical.ids])[:k])
        return search.rank(number, k, system.channels, system.fused_by(self.fusion))

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
