"""Which entities are the same: one verdict a candidate pair, with its reason.

``same`` pairs are merged, ``similar`` ones get a synonym edge, ``different`` ones are kept apart. A wrong merge costs
more than a missed one, so every rule merges only on what it can show: equal letters, a statement in a text, or near
vectors together with nearly equal letters. The verdicts are a function of the set of rows, whatever their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl
from rapidfuzz.fuzz import ratio

from graph.candidates import EXACT_KINDS, PAIRS, letters, numbers, same_key, spelled_alike, stated

CODE_VERSION = "1"

DECISIONS = {**PAIRS, "verdict": pl.String, "reason": pl.String}

SAME, SIMILAR, DIFFERENT = "same", "similar", "different"
_BEST_FIRST = {SAME: 0, SIMILAR: 1, DIFFERENT: 2}
_METHODS = {"key": 0, "spelling": 1, "acronym": 2, "alias": 3, "embedding": 4, "conflict": 5}

NAME_RATIO = 0.92
"""Near vectors merge names that are at least so much alike (rapidfuzz's ratio of the keys, in [0, 1]) …"""
WORD_RATIO = 0.8
"""… and word by word so much: not North and South, not Hepatitis A and B."""

SHARED_CONTEXT = 0.1
"""Contexts agree where so large a share of the smaller one is in the other one."""
CLEAR_CONTEXT = 0.5
"""Among several meanings one is meant where its context agrees so much, and no other one's agrees."""

_ALONE = frozenset({"person", "date", "number", "quantity"})
"""Types that contradict every other type; a place contradicts all but an organisation (a country may be both)."""
_NEUTRAL = frozenset({"other", "unknown", "misc"})
_EXACT = frozenset({"date", "number", "quantity", "identifier"})
"""Types of entities that are the same only where their keys are equal."""


@dataclass(frozen=True, slots=True)
class _Entity:
    key: str
    name: str
    type: str
    exact: bool
    letters: str

    @property
    def words(self) -> list[str]:
        return self.key.split()

    @property
    def numbers(self) -> tuple[str, ...]:
        return numbers(self.name)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is known about entities besides their names."""

    overlap: dict[tuple[str, str], float]
    """Of contexts, by pair; 0 where they share nothing."""
    rivals: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By (ambiguous entity, one meaning): ids of its other meanings."""

    def of(self, one: str, other: str) -> float:
        return self.overlap.get((min(one, other), max(one, other)), 0.0)

    def tells(self, ambiguous: str, meaning: str) -> bool:
        """Whether the contexts say that `meaning` is meant, and not one of its rivals."""
        others = self.rivals.get((ambiguous, meaning), [])
        return self.of(ambiguous, meaning) >= CLEAR_CONTEXT and all(
            self.of(ambiguous, rival) < SHARED_CONTEXT for rival in others
        )


def decide(
    entities: pl.DataFrame,
    acronyms: pl.DataFrame,
    aliases: pl.DataFrame,
    near: pl.DataFrame,
    contexts: pl.DataFrame,
) -> pl.DataFrame:
    """One verdict a pair, as :data:`DECISIONS`, ascending by pair; where methods differ, the best verdict stands.

    Besides the candidates, pairs that one entity would bring together though their types or numbers contradict are
    ``different`` by method ``conflict``.

    Args:
        entities: ``entity_id, entity_key, name, kind, type``, of one space, a row a key and type; type "" is unknown.
        acronyms: ``short_id, long_id, supports``: stated in brackets.
        aliases: ``left_id, right_id, supports``: stated as another name.
        near: from :func:`graph.candidates.neighbours`.
        contexts: ``entity_id, other_key``: what is named in the same passages.
    """
    pairs = pl.concat(
        [
            same_key(entities),
            spelled_alike(entities),
            stated(acronyms, "short_id", "long_id", "acronym"),
            stated(aliases, "left_id", "right_id", "alias"),
            near.select(pl.col(name).cast(kind) for name, kind in PAIRS.items()),
        ]
    )
    pairs = pairs.join(entities, left_on="left_id", right_on="entity_id", how="semi")
    pairs = pairs.join(entities, left_on="right_id", right_on="entity_id", how="semi")
    known = _entities(entities, {*pairs["left_id"], *pairs["right_id"]})
    evidence = _Evidence(_overlaps(pairs, entities, contexts), _rivals(pairs, acronyms, known))
    shorts = set(zip(acronyms["short_id"], acronyms["long_id"], strict=True))

    best: dict[tuple[str, str], tuple[int, int, str, float, str, str]] = {}
    for left, right, method, score in pairs.iter_rows():
        short, long = (left, right) if (left, right) in shorts else (right, left)
        verdict, reason = _verdict(known, evidence, method, short, long)
        row = (_BEST_FIRST[verdict], _METHODS[method], method, score, verdict, reason)
        best[left, right] = min(best.get((left, right), row), row)
    for pair, reason in _conflicts(known, (pair for pair, row in best.items() if row[4] == SAME)):
        best.setdefault(pair, (2, _METHODS["conflict"], "conflict", 1.0, DIFFERENT, reason))
    return pl.DataFrame([(*pair, *row[2:]) for pair, row in sorted(best.items())], schema=DECISIONS, orient="row")


def _entities(entities: pl.DataFrame, wanted: set[str]) -> dict[str, _Entity]:
    known = {}
    rows = entities.filter(pl.col("entity_id").is_in(sorted(wanted)))
    for entity, key, name, kind, type_ in rows.select("entity_id", "entity_key", "name", "kind", "type").iter_rows():
        kept = type_.casefold().replace("organization", "organisation")
        kept = "" if kept in _NEUTRAL else kept
        exact = kind in EXACT_KINDS or kept in _EXACT or not any(ch.isalpha() for ch in name)
        type_ = kept or ("date" if kind == "date" else "")
        known[entity] = _Entity(key, name, type_, exact, letters(kind, key, name))
    return known


def _verdict(known: dict[str, _Entity], evidence: _Evidence, method: str, one: str, other: str) -> tuple[str, str]:
    """Verdict and reason; for an acronym, `one` is the short form."""
    a, b = known[one], known[other]
    reason = _contradiction(a, b)
    if reason:
        return DIFFERENT, reason
    if method == "key":
        if a.type == b.type or (a.exact and b.exact):
            return SAME, "equal keys"
        return _by_context(evidence, one, other)
    spelt = a.letters == b.letters
    said = method in ("acronym", "alias")
    if a.exact or b.exact:
        return (SIMILAR, "an identifier, written otherwise") if spelt or said else (DIFFERENT, "identifiers differ")
    if a.numbers != b.numbers and not said:
        return DIFFERENT, "numbers differ"
    if method == "spelling":
        return (SAME, "same letters") if a.type == b.type else _by_context(evidence, one, other)
    if _part_of_name(a, b):
        return SIMILAR, "a part of a name"
    if method == "acronym" and evidence.rivals.get((one, other)) and not evidence.tells(one, other):
        return SIMILAR, "an acronym of several names"
    if method == "acronym" and b.name[:1].islower():
        return SIMILAR, "an acronym of common words"
    if said:
        return SAME, f"stated {method}"
    if not _letters_agree(a, b):
        return SIMILAR, "near in meaning"
    if a.type != b.type or a.type in ("", "person"):
        agreed = evidence.of(one, other) >= SHARED_CONTEXT
        return (SAME, "near, nearly the same letters and context") if agreed else (SIMILAR, "nearly the same letters")
    return SAME, "near, and nearly the same letters"


def _contradiction(a: _Entity, b: _Entity) -> str:
    """Why two entities cannot be the same whatever else is known; "" where nothing speaks against it."""
    if a.type and b.type and a.type != b.type:
        types = {a.type, b.type}
        if types & _ALONE or ("place" in types and "organisation" not in types):
            return f"a {min(types)} is no {max(types)}"
    if a.key != b.key and a.numbers and b.numbers and a.numbers != b.numbers:
        return "numbers differ"
    return ""


def _by_context(evidence: _Evidence, one: str, other: str) -> tuple[str, str]:
    """Equal letters under different types: merged where the contexts agree, and with one of several meanings only."""
    overlap = evidence.of(one, other)
    if evidence.rivals.get((one, other)) or evidence.rivals.get((other, one)):
        clear = all(evidence.tells(*pair) for pair in ((one, other), (other, one)) if evidence.rivals.get(pair))
        return (SAME, "contexts tell which one") if clear else (SIMILAR, "a name of several things")
    if overlap >= SHARED_CONTEXT:
        return SAME, "equal letters, contexts agree"
    return (SIMILAR, "contexts hardly agree") if overlap > 0 else (DIFFERENT, "contexts share nothing")


def _part_of_name(a: _Entity, b: _Entity) -> bool:
    """Whether one is a lone first or last word of the other, and both may be persons."""
    short, long = sorted((a.words, b.words), key=len)
    if {a.type, b.type} - {"", "person"} or len(short) != 1 or len(long) < 2:
        return False
    return short[0] in (long[0], long[-1])


def _letters_agree(a: _Entity, b: _Entity) -> bool:
    """Whether names differ by no more than variants of spelling, which are within words.

    What differs at the end of a word is its inflection, and another name: a plural, Austria and Austrian.
    """
    left, right = a.words, b.words
    return (
        len(left) == len(right)
        and ratio(a.key, b.key) >= 100 * NAME_RATIO
        and all(one == other or _one_word(one, other) for one, other in zip(left, right, strict=True))
    )


def _one_word(one: str, other: str) -> bool:
    inflected = one.startswith(other) or other.startswith(one)
    ends = (one[0], one[-1]) == (other[0], other[-1])
    return ends and not inflected and ratio(one, other) >= 100 * WORD_RATIO


def _overlaps(pairs: pl.DataFrame, entities: pl.DataFrame, contexts: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Overlap coefficient of the contexts of each pair, |A ∩ B| / min(|A|, |B|), where they share anything."""
    keys = entities.select("entity_id", "entity_key")
    named = contexts.select("entity_id", "other_key").unique().join(keys, on="entity_id")
    named = named.filter(pl.col("other_key") != pl.col("entity_key"))
    sizes = named.group_by("entity_id").agg(size=pl.len())
    # The smaller context of a pair is laid out, the larger one only looked up.
    sized = (
        pairs.select("left_id", "right_id")
        .unique()
        .join(sizes.rename({"entity_id": "left_id", "size": "left"}), on="left_id")
        .join(sizes.rename({"entity_id": "right_id", "size": "right"}), on="right_id")
        .with_columns(
            small=pl.when(pl.col("left") <= pl.col("right")).then("left_id").otherwise("right_id"),
            large=pl.when(pl.col("left") <= pl.col("right")).then("right_id").otherwise("left_id"),
            size=pl.min_horizontal("left", "right"),
        )
    )
    both = (
        sized.join(named, left_on="small", right_on="entity_id")
        .join(named, left_on=["large", "other_key"], right_on=["entity_id", "other_key"])
        .group_by("left_id", "right_id")
        .agg(overlap=pl.len() / pl.col("size").first())
    )
    return {(left, right): overlap for left, right, overlap in both.iter_rows()}


def _rivals(pairs: pl.DataFrame, acronyms: pl.DataFrame, known: dict[str, _Entity]) -> dict[tuple[str, str], list[str]]:
    """By (ambiguous entity, meaning) the other meanings: long forms of an acronym, types of an untyped name."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for short, long in acronyms.select("short_id", "long_id").iter_rows():
        if short != long and short in known and long in known:
            meanings[short].add(long)
    found: dict[tuple[str, str], list[str]] = {}
    for short, longs in meanings.items():
        for one in longs:
            others = [other for other in longs if not _one_name(known[one], known[other])]
            if others:
                found[short, one] = sorted(others)
    typed: dict[str, set[str]] = defaultdict(set)
    for left, right in pairs.filter(pl.col("method").is_in(["key", "spelling"]))["left_id", "right_id"].iter_rows():
        for one, other in ((left, right), (right, left)):
            if not known[one].type and known[other].type:
                typed[one].add(other)
    for name, things in typed.items():
        for one in things:
            others = [other for other in things if _contradiction(known[one], known[other])]
            if others:
                found[name, one] = sorted({*others, *found.get((name, one), [])})
    return found


def _one_name(a: _Entity, b: _Entity) -> bool:
    """Whether two long forms are one name, so that an acronym of both is not ambiguous."""
    return a.numbers == b.numbers and (a.letters == b.letters or _letters_agree(a, b))


def _conflicts(known: dict[str, _Entity], same: Iterable[tuple[str, str]]) -> list[tuple[tuple[str, str], str]]:
    """Pairs that are the same as a third and contradict each other, each once, with the reason."""
    partners: dict[str, set[str]] = defaultdict(set)
    for left, right in same:
        partners[left].add(right)
        partners[right].add(left)
    found = {}
    for around in partners.values():
        members = sorted(around)
        for at, one in enumerate(members):
            for other in members[at + 1 :]:
                reason = _contradiction(known[one], known[other])
                if reason:
                    found[one, other] = reason
    return sorted(found.items())
