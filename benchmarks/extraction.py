"""Entities and triples by rules against those that a language model gave for the same passages.

    python benchmarks/extraction.py [--json]

The reference is the recorded output of GPT-3.5 Turbo for MuSiQue's passages, beside the checkout. It is no gold
standard, so the figures are agreement, not correctness. The passages are halved by a hash of their text: the rules were
developed in sight of the first half, but for 14 passages of both that were read at the start. Times are of the
processor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from corpora import TRIPLES

from graph.locating import located
from graph.mentions import Mention, extract_mentions, title_mentions
from graph.normalise import normalise
from graph.triples import Triple, extract_triples

HALVES = ("developed on", "held out")
Span = tuple[bool, int, int]
"""Whether it is of the title, and where it begins and ends."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a linked pair: its key, and where it stands if that is known."""

    key: str
    span: Span | None

    def like(self, other: End) -> bool:
        """Overlapping spans, or one key within the other as whole words."""
        if f" {self.key} " in f" {other.key} " or f" {other.key} " in f" {self.key} ":
            return True
        return self.span is not None and other.span is not None and _overlap(self.span, other.span)


Pair = tuple[End, End]


@dataclass(slots=True)
class Agreement:
    """Counts of what was found and what was to be found, and how many of each have a counterpart."""

    found: int = 0
    found_right: int = 0
    wanted: int = 0
    wanted_met: int = 0

    def add(self, found: Sequence[bool], wanted: Sequence[bool]) -> None:
        """Add one passage: for each thing found and each wanted, whether the other side has it."""
        self.found += len(found)
        self.found_right += sum(found)
        self.wanted += len(wanted)
        self.wanted_met += sum(wanted)

    def figures(self) -> dict[str, float]:
        """Precision, recall and F1, summed over all passages."""
        precision = self.found_right / max(self.found, 1)
        recall = self.wanted_met / max(self.wanted, 1)
        return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-9)}


@dataclass(slots=True)
class Half:
    """What is measured over one half of the passages."""

    passages: int = 0
    triples: int = 0
    model_triples: int = 0
    mention_seconds: float = 0.0
    triple_seconds: float = 0.0
    agreement: dict[str, Agreement] = field(default_factory=dict)
    entities_located: Counter[bool] = field(default_factory=Counter)
    triples_located: Counter[bool] = field(default_factory=Counter)

    def add(self, measure: str, found: Iterable[bool], wanted: Iterable[bool]) -> None:
        """Add one passage to a measure."""
        self.agreement.setdefault(measure, Agreement()).add(list(found), list(wanted))

    def figures(self) -> dict[str, Any]:
        """All of it as plain numbers."""
        return {
            "passages": self.passages,
            "triples_per_passage": self.triples / self.passages,
            "model_triples_per_passage": self.model_triples / self.passages,
            "mentions_ms": self.mention_seconds / self.passages * 1000,
            "triples_ms": self.triple_seconds / self.passages * 1000,
            "passages_per_s": self.passages / (self.mention_seconds + self.triple_seconds),
            "entities_located": self.entities_located[True] / self.entities_located.total(),
            "triples_located": self.triples_located[True] / self.triples_located.total(),
            "agreement": {measure: each.figures() for measure, each in self.agreement.items()},
        }


def _overlap(one: Span, other: Span) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


def half_of(text: str) -> str:
    """The half that a passage belongs to."""
    return HALVES[hashlib.sha256(text.encode()).digest()[0] % 2]


def measure(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Figures of both halves."""
    halves = {name: Half() for name in HALVES}
    records = [(record, halves[half_of(record["text"])]) for record in documents]
    extracted = [_extract(record, half) for record, half in records]
    for (record, half), found in zip(records, extracted, strict=True):
        _compare(record, half, *found)
    return {name: half.figures() for name, half in halves.items() if half.passages}


def _extract(record: dict[str, Any], half: Half) -> tuple[list[Mention], list[Mention], list[Triple]]:
    """What the rules find in a passage: its mentions, its title's, its triples; timed."""
    text, title = record["text"], record["title"]
    begun = time.process_time()
    mentions, of_title = extract_mentions(text, title), title_mentions(title)
    between = time.process_time()
    triples = extract_triples(text, title, mentions)
    half.triple_seconds += time.process_time() - between
    half.mention_seconds += between - begun
    half.passages += 1
    half.triples += len(triples)
    return mentions, of_title, triples


def _compare(
    record: dict[str, Any], half: Half, mentions: list[Mention], of_title: list[Mention], triples: list[Triple]
) -> None:
    """Add what the rules and the model agree on in one passage."""
    text, title = record["text"], record["title"]
    half.model_triples += len(record["extracted_triples"])
    entities = [(entity, "") for entity in record["extracted_entities"]]
    given = [(one[0], one[1], one[2]) for one in record["extracted_triples"] if len(one) == 3]
    model = located(entities, (), text, title)
    half.entities_located.update({True: len(entities) - model.unlocated_entities, False: model.unlocated_entities})
    _entities(entities, model.mentions, model.title_mentions, mentions, of_title, half)
    wanted = []
    for one in given:
        found = located((), [one], text, title)
        half.triples_located[bool(found.triples)] += 1
        wanted.append(_pair(found.triples[0]) if found.triples else _unlocated_pair(one))
    _pairs([_pair(triple) for triple in triples], wanted, half)


def _entities(
    entities: Sequence[tuple[str, str]],
    model: Sequence[Mention],
    model_title: Sequence[Mention],
    mentions: Sequence[Mention],
    of_title: Sequence[Mention],
    half: Half,
) -> None:
    """By key: sets of keys. By span: a mention is right if it overlaps one of the model's, and the other way round."""
    keys = {mention.key for mention in (*mentions, *of_title)}
    wanted = {key for name, _ in entities if (key := normalise(name))}
    half.add("entities by key", (key in wanted for key in keys), (key in keys for key in wanted))
    ours, theirs = _spans(mentions, of_title), _spans(model, model_title)
    half.add(
        "entities by span",
        (any(_overlap(span, other) for other in theirs) for span in ours),
        (any(_overlap(span, other) for other in ours) for span in theirs),
    )


def _spans(mentions: Iterable[Mention], of_title: Iterable[Mention]) -> set[Span]:
    return {(False, m.start, m.end) for m in mentions} | {(True, m.start, m.end) for m in of_title}


def _pair(triple: Triple) -> Pair:
    one, other = triple.subject, triple.object
    return (
        End(one.key, (triple.subject_in_title, one.start, one.end)),
        End(other.key, (triple.object_in_title, other.start, other.end)),
    )


def _unlocated_pair(triple: tuple[str, str, str]) -> Pair:
    return End(normalise(triple[0]), None), End(normalise(triple[2]), None)


def _pairs(ours: Sequence[Pair], theirs: Sequence[Pair], half: Half) -> None:
    """Unordered pairs, each once: strictly by both keys, relaxed by what is like at both ends."""
    found = {frozenset((one.key, other.key)): (one, other) for one, other in ours}
    wanted = {
        frozenset((one.key, other.key)): (one, other)
        for one, other in theirs
        if one.key and other.key and one.key != other.key
    }
    half.add("pairs by key", (pair in wanted for pair in found), (pair in found for pair in wanted))
    half.add(
        "pairs relaxed",
        (any(_like(pair, other) for other in wanted.values()) for pair in found.values()),
        (any(_like(pair, other) for other in found.values()) for pair in wanted.values()),
    )


def _like(one: Pair, other: Pair) -> bool:
    (a, b), (c, d) = one, other
    return (a.like(c) and b.like(d)) or (a.like(d) and b.like(c))


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not TRIPLES.is_file():
        sys.exit(f"The recorded extraction is not there: {TRIPLES}.")
    figures = measure(json.loads(TRIPLES.read_text(encoding="utf-8"))["docs"])
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for half, each in figures.items():
        print(
            f"{each['passages']:,} passages, {half}: {each['triples_per_passage']:.1f} triples a passage by rules, "
            f"{each['model_triples_per_passage']:.1f} by the model\n"
            f"  mentions {each['mentions_ms']:.2f} ms, triples {each['triples_ms']:.2f} ms a passage; "
            f"{each['passages_per_s']:,.0f} passages/s\n"
            f"  located of the model's: entities {each['entities_located']:.1%}, "
            f"triples {each['triples_located']:.1%}\n"
            "                      precision  recall     F1"
        )
        for name, agreement in each["agreement"].items():
            print(f"  {name:18}  " + "".join(f"{agreement[key]:9.3f}" for key in ("precision", "recall", "f1")))


if __name__ == "__main__":
    main()
