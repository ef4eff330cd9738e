"""Entities that are one: stars around a leader, and the user's word above every decision.

A member joins only a leader that it was itself decided to be the same as, so no chain of decisions is longer than two;
entities that the user merged count as one. A pair that is split or decided to be different is never in one cluster,
not even through a third. The clusters are a function of the sets of rows: taking an override back restores what was.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import polars as pl

CLUSTERS = {"entity_id": pl.String, "canonical_id": pl.String, "method": pl.String, "score": pl.Float64}
LEADER, OVERRIDE = "leader", "override"


@dataclass(slots=True)
class _Groups:
    """Entities that the user merged, as a partition with pairs that must stay apart."""

    of: dict[str, str] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    apart: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By entity: those that must not be in its cluster."""

    def group(self, entity: str) -> str:
        return self.of.get(entity, entity)

    def together(self, entity: str) -> set[str]:
        return self.members.get(self.group(entity), {entity})

    def clash(self, one: str, other: str) -> bool:
        """Whether a pair across the groups of two entities must stay apart."""
        others = self.together(other)
        return any(not self.apart[member].isdisjoint(others) for member in self.together(one) if member in self.apart)

    def merge(self, one: str, other: str) -> None:
        joined = self.together(one) | self.together(other)
        name = min(joined)
        self.members[name] = joined
        self.of.update(dict.fromkeys(joined, name))

    def split(self, one: str, other: str) -> None:
        self.apart[one].add(other)
        self.apart[other].add(one)


def clusters(entities: pl.DataFrame, decisions: pl.DataFrame, overrides: pl.DataFrame) -> pl.DataFrame:
    """A row an entity, ascending, as :data:`CLUSTERS`: who stands for it, and by which method and score it joined.

    The leader of a cluster, which stands for itself, is the one in most passages, then of the longest name, then of the
    smallest id.

    Args:
        entities: ``entity_id, name, passages``.
        decisions: from :func:`graph.resolution.decide`.
        overrides: ``left_id, right_id, verdict, number``: the user's `merge` or `split`. Where they contradict each
            other, also through a third entity, the higher number wins. One that names no known entity says nothing.
    """
    ranked = entities.sort(
        pl.col("passages"), pl.col("name").str.len_chars(), pl.col("entity_id"), descending=[True, True, False]
    )
    rank = {entity: at for at, entity in enumerate(ranked["entity_id"])}
    groups = _heard(overrides, rank)
    edges: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)
    for left, right, method, score, verdict in decisions.select(
        "left_id", "right_id", "method", "score", "verdict"
    ).iter_rows():
        if left not in rank or right not in rank or groups.group(left) == groups.group(right):
            continue
        if verdict == "same":
            edges[left][right] = edges[right][left] = (score, method)
        elif verdict == "different":
            groups.split(left, right)

    joined: dict[str, tuple[str, str, float]] = {}
    for leader in sorted({*edges, *groups.of}, key=rank.__getitem__):
        if leader in joined:
            continue
        core = groups.together(leader)
        joined.update(dict.fromkeys(core, (leader, OVERRIDE, 1.0)))
        inside = set(core)
        for entity, score, method in _followers(core, edges, rank):
            if entity in joined or any(groups.clash(entity, member) for member in inside):
                continue
            band = groups.together(entity)
            inside |= band
            joined.update(dict.fromkeys(band, (leader, OVERRIDE, 1.0)))
            joined[entity] = (leader, method, score)
        joined[leader] = (leader, LEADER, 1.0)
    rows = [(entity, *joined.get(entity, (entity, LEADER, 1.0))) for entity in sorted(rank)]
    return pl.DataFrame(rows, schema=CLUSTERS, orient="row")


def _heard(overrides: pl.DataFrame, rank: dict[str, int]) -> _Groups:
    """The overrides that stand: the latest first, each unless it contradicts those that stand already."""
    groups = _Groups()
    said = overrides.select("number", "left_id", "right_id", "verdict").rows()
    for _, left, right, verdict in sorted(said, reverse=True):
        if left not in rank or right not in rank or left == right:
            continue
        if verdict == "merge" and not groups.clash(left, right):
            groups.merge(left, right)
        elif verdict == "split" and groups.group(left) != groups.group(right):
            groups.split(left, right)
    return groups


def _followers(
    core: set[str], edges: dict[str, dict[str, tuple[float, str]]], rank: dict[str, int]
) -> list[tuple[str, float, str]]:
    """Who was decided to be the same as one of `core`, with its best score and that method; the surest first."""
    best: dict[str, tuple[float, str]] = {}
    for member in core:
        for entity, (score, method) in edges.get(member, {}).items():
            # Of equal scores the method that is first by name, so that the order of rows does not matter.
            if entity not in best or (-score, method) < (-best[entity][0], best[entity][1]):
                best[entity] = (score, method)
    order = sorted(best, key=lambda entity: (-best[entity][0], rank[entity]))
    return [(entity, *best[entity]) for entity in order]
