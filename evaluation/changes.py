"""Question by question, what one system returned beside what another one did, and where the gold is in it.

The text of a passage is kept once, however many questions and systems returned it; a question refers to it by number
and says which of its characters are gold. Where the texts are too many for one report, long ones are cut, and such a
one is kept once for each place of gold in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.dataset import Evidence, Question
from evaluation.matching import Located, Shown
from evaluation.record import EvaluatedRun
from evaluation.run import GivenAnswer, QuestionResult
from evaluation.summary import Summary, metric_values
from evaluation.systems import FUSED
from retrieval import CHANNELS

SHOWN_PASSAGES = 5

_TEXTS = 3_000_000
"""Characters of passages in one report; where there are more, long passages are cut."""

_SHORTEST = 300
"""Characters that are left of a passage that is cut."""

_BEFORE = 80
"""Characters that are left before the gold of a passage that is cut."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as the snapshot holds it."""

    source: str
    path: str
    title: str
    start: int
    end: int
    text: str

    def shown(self, passage_id: str) -> Shown:
        return Shown(passage_id, (self.source, self.path), self.start, self.end)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the evidence of a question lies; ``None`` for what the snapshot does not have."""

    gold: tuple[Located | None, ...] = ()
    facts: tuple[Located | None, ...] = ()
    outdated: tuple[Located | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Material:
    """What a report shows beside a run's own figures; whatever is gone is not there, and ``notes`` says so."""

    questions: Mapping[str, Question] = field(default_factory=dict)
    """By id."""
    passages: Mapping[str, Passage] = field(default_factory=dict)
    """By id: those that were returned, and the first of every document that is gold as a whole."""
    places: Mapping[str, Places] = field(default_factory=dict)
    """By the question's id."""
    notes: tuple[str, ...] = ()
    """A sentence for each thing that is missing."""


@dataclass(frozen=True, slots=True)
class ShownPassage:
    """A passage in a system's list."""

    passage_id: str
    label: str
    """Its path, or its id where its text is gone."""
    title: str
    number: int | None
    """Of its text in :class:`Changes`."""
    gold: bool
    outdated: bool
    marks: tuple[tuple[int, int], ...]
    """Characters of the text that are gold."""


@dataclass(frozen=True, slots=True)
class ShownGold:
    """A piece of gold, and where each system found it."""

    path: str
    title: str
    text: str
    number: int | None
    """Of the text of its document's beginning, where the gold is the document as a whole."""
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one system did on a question."""

    system: str
    value: float | None
    passages: tuple[ShownPassage, ...]
    answer: GivenAnswer | None


@dataclass(frozen=True, slots=True)
class Change:
    """One question."""

    question_id: str
    text: str
    kind: str
    answers: tuple[str, ...]
    answerable: bool
    difference: float | None
    """``None`` where nothing is compared: the question has no gold, or there is one system only."""
    gold: tuple[ShownGold, ...]
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Every question of a run, under one metric, and the texts that they refer to."""

    system: str
    baseline: str
    """Empty where there is one system only."""
    losses: tuple[Change, ...]
    """The worst first."""
    gains: tuple[Change, ...]
    """The best first."""
    same: tuple[Change, ...]
    others: tuple[Change, ...]
    """Those without a difference; what was answered before what was refused."""
    texts: tuple[str, ...]


def changes(run: EvaluatedRun, summary: Summary, material: Material) -> Changes:
    """Every question of the run: its main system beside the best channel, by the run's metric."""
    system, baseline = compared_systems(run, summary)
    values = metric_values(run.rows, run.record.metric)
    rows = {(row.system, row.question_id): row for row in run.rows}
    texts = _Texts(material.passages)
    made = []
    for question_id in dict.fromkeys(row.question_id for row in run.rows):
        mine = [rows[name, question_id] for name in (system, baseline) if (name, question_id) in rows]
        found = [values.get(row.system, {}).get(question_id) for row in mine]
        if mine:
            made.append(_change(mine, found, material, texts))
    ordered = sorted(made, key=lambda item: item.difference or 0.0)
    return Changes(
        system=system,
        baseline=baseline,
        losses=tuple(item for item in ordered if item.difference is not None and item.difference < 0),
        gains=tuple(item for item in reversed(ordered) if item.difference is not None and item.difference > 0),
        same=tuple(item for item in made if item.difference == 0),
        others=tuple(sorted((item for item in made if item.difference is None), key=_is_refused)),
        texts=tuple(texts.kept),
    )


def compared_systems(run: EvaluatedRun, summary: Summary) -> tuple[str, str]:
    """The fused system, or else the first, and the best channel by the run's metric, or else the best other system.

    The second one is empty where there is none.
    """
    metric = run.record.metric
    system = FUSED if FUSED in summary.systems else next(iter(summary.systems), "")
    means = {
        name: scores[metric].value or 0.0
        for name, scores in summary.systems.items()
        if name != system and metric in scores
    }
    channels = {name: mean for name, mean in means.items() if name in CHANNELS} or means
    return system, max(channels, key=channels.__getitem__, default="")


def shown_ids(run: EvaluatedRun, summary: Summary) -> set[str]:
    """Ids of the passages that :func:`changes` shows."""
    systems = compared_systems(run, summary)
    return {name for row in run.rows if row.system in systems for name in row.passages[:SHOWN_PASSAGES]}


class _Texts:
    """The texts so far, and the numbers that they are referred to by."""

    def __init__(self, passages: Mapping[str, Passage]) -> None:
        self.kept: list[str] = []
        self._passages = passages
        self._numbers: dict[tuple[str, int], int] = {}
        self._beginnings: dict[tuple[str, str], str] = {}
        for name in sorted(passages, key=lambda name: passages[name].start, reverse=True):
            self._beginnings[passages[name].source, passages[name].path] = name
        total = sum(len(passage.text) for passage in passages.values())
        self._longest = total if total <= _TEXTS else max(_SHORTEST, _TEXTS // len(passages))

    def number(self, name: str, marks: Sequence[tuple[int, int]]) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The number of a passage's text, and where the marks are in what is kept of it."""
        text = self._passages[name].text
        first = min((start for start, _ in marks), default=0)
        begin = max(0, min(first - _BEFORE, len(text) - self._longest)) if len(text) > self._longest else 0
        end = begin + self._longest
        if (name, begin) not in self._numbers:
            self._numbers[name, begin] = len(self.kept)
            self.kept.append(("… " if begin else "") + text[begin:end] + (" …" if end < len(text) else ""))
        shift = begin - (2 if begin else 0)
        inside = tuple((start - shift, min(stop, end) - shift) for start, stop in marks if start < end)
        return self._numbers[name, begin], inside

    def beginning(self, documents: Iterable[tuple[str, str]]) -> str | None:
        """The first passage of the first of the documents that is known."""
        return next((self._beginnings[item] for item in sorted(documents) if item in self._beginnings), None)


def _change(
    rows: Sequence[QuestionResult], values: Sequence[float | None], material: Material, texts: _Texts
) -> Change:
    first = rows[0]
    question = material.questions.get(first.question_id)
    places = material.places.get(first.question_id, Places())
    mine, other = (*values, None, None)[:2]
    return Change(
        question_id=first.question_id,
        text=question.text if question else "",
        kind=first.kind,
        answers=question.answers if question else (),
        answerable=first.answerable,
        difference=None if mine is None or other is None else mine - other,
        gold=tuple(
            _gold(item, number, places, rows, material, texts)
            for number, item in enumerate(question.gold if question else ())
        ),
        sides=tuple(_side(row, value, places, material, texts) for row, value in zip(rows, values, strict=True)),
    )


def _gold(
    item: Evidence,
    number: int,
    places: Places,
    rows: Sequence[QuestionResult],
    material: Material,
    texts: _Texts,
) -> ShownGold:
    located = places.gold[number] if number < len(places.gold) else None
    name = texts.beginning(located.documents) if located and not item.text else None
    return ShownGold(
        path=item.path,
        title=material.passages[name].title if name else "",
        text=item.text,
        number=texts.number(name, ())[0] if name else None,
        ranks=tuple(row.gold_ranks[number] if number < len(row.gold_ranks) else 0 for row in rows),
    )


def _side(row: QuestionResult, value: float | None, places: Places, material: Material, texts: _Texts) -> Side:
    shown = tuple(_shown(name, places, material, texts) for name in row.passages[:SHOWN_PASSAGES])
    return Side(row.system, value, shown, row.answer)


def _shown(name: str, places: Places, material: Material, texts: _Texts) -> ShownPassage:
    passage = material.passages.get(name)
    if passage is None:
        return ShownPassage(name, name, "", None, gold=False, outdated=False, marks=())
    shown = passage.shown(name)
    spans = [item for item in (*places.gold, *places.facts) if item and item.end and shown.document in item.documents]
    overlaps = [(max(item.start, shown.start), min(item.end, shown.end)) for item in spans]
    marks = _merged((start - shown.start, end - shown.start) for start, end in overlaps if start < end)
    number, kept = texts.number(name, marks)
    return ShownPassage(
        passage_id=name,
        label=passage.path,
        title=passage.title,
        number=number,
        gold=any(item.is_in(shown) for item in places.gold if item),
        outdated=any(item.is_in(shown) for item in places.outdated if item),
        marks=kept,
    )


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in their order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _is_refused(item: Change) -> bool:
    return bool(item.sides[0].answer and item.sides[0].answer.refused)
