"""Writing a run's report: the questions are read again from the dataset, the passages from the snapshot.

Neither is kept with a run. Where one is gone or has changed, the report says so and shows ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from derivation.evaluations import answerable_so_far
from errors import MemlakeError
from evaluation.changes import Material, Passage, Places, shown_ids
from evaluation.dataset import Dataset, Evidence, Question
from evaluation.datasets import read_dataset
from evaluation.matching import GoldFinder, Located
from evaluation.output import summary_of
from evaluation.record import EvaluatedRun, RunRecord
from evaluation.report import render_report
from retrieval import MemoryClient
from warehouse.files import write_atomically
from warehouse.layout import LakeLayout
from warehouse.settings import Settings
from warehouse.snapshots import manifest_as_of, parse_moment, read_manifest

Rows = list[dict[str, Any]]
"""Passages of a space, as the client gives them."""


def write_report(run: EvaluatedRun, file: Path) -> Path:
    """Write the report of a finished run; gives the file.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    summary = summary_of(run)
    material = gather(run, shown_ids(run, summary))
    write_atomically(file, render_report(run, summary, material))
    return file


def gather(run: EvaluatedRun, wanted: set[str]) -> Material:
    """What is left of the run's questions and of the wanted passages."""
    asked = {row.question_id for row in run.rows}
    questions, notes = _questions(run.record)
    mine = {item.question_id: item for item in questions if item.question_id in asked}
    passages: dict[str, Passage] = {}
    places: dict[str, Places] = {}
    try:
        for view, rows in _views(run.record, {(item.space, item.as_of) for item in mine.values()}):
            here = {name: item for name, item in mine.items() if (item.space, item.as_of) == view}
            found = _places(here.values(), GoldFinder(rows))
            places |= found
            passages |= _passages(rows, wanted | _beginnings(rows, found))
    except MemlakeError as error:
        notes.append(
            f"The passages are shown by their ids only: snapshot {run.record.snapshot_id} cannot be read. {error}"
        )
        return Material(mine, notes=tuple(notes))
    missing = len(wanted - passages.keys())
    if missing:
        notes.append(f"{missing:,} passages are not in the snapshot; they are shown by their ids.")
    return Material(mine, passages, places, tuple(notes))


def _questions(record: RunRecord) -> tuple[tuple[Question, ...], list[str]]:
    """The questions that were asked; none, and a sentence, where their files are gone or others."""
    path = Path(record.path)
    reasons = []
    for place in (path, path.parent):  # an adapter notes one of its files, and may read the folder only
        try:
            dataset = _as_asked(read_dataset(record.dataset, place, record.format, tolerated=1.0), record)
        except MemlakeError as error:
            reasons.append(error.message)
            continue
        if dataset.hashes["questions"] == record.hashes["questions"]:
            return dataset.questions, []
        reasons.append(f"{path} has changed since the run.")
    return (), [f"The questions are shown by their ids only. {reasons[0]}"]


def _as_asked(dataset: Dataset, record: RunRecord) -> Dataset:
    """The dataset, at a step of a growing lake with the questions of that step."""
    if not record.step or record.cost is None:
        return dataset
    documents = sorted(dataset.documents, key=lambda document: document.date)[: record.cost.documents]
    last = len(documents) == len(dataset.documents)
    return replace(dataset, questions=answerable_so_far(dataset.questions, documents, last))


def _views(record: RunRecord, asked: set[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Rows]]:
    """The passages of the questions' spaces at their dates; of all spaces where the questions are not known."""
    layout = LakeLayout(Path(record.root))
    own = read_manifest(layout, record.snapshot_id)
    for space, as_of in sorted(asked or {(name, "") for name in own.spaces}):
        manifest = manifest_as_of(layout, parse_moment(as_of)) if as_of else own
        with MemoryClient(layout, Settings(), space, manifest) as client:
            yield (space, as_of), client.passages()


def _places(questions: Iterable[Question], finder: GoldFinder) -> dict[str, Places]:
    def located(items: Iterable[Evidence]) -> tuple[Located | None, ...]:
        return tuple(finder.locate(item) for item in items)

    return {
        item.question_id: Places(located(item.gold), located(item.facts), located(item.outdated)) for item in questions
    }


def _beginnings(rows: Rows, places: Mapping[str, Places]) -> set[str]:
    """The first passage of every document that is gold as a whole."""
    whole = {
        document
        for place in places.values()
        for item in place.gold
        if item and not item.end
        for document in item.documents
    }
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        document = (row["source"], row["path"])
        if document in whole and (document not in first or row["char_start"] < first[document]["char_start"]):
            first[document] = row
    return {row["passage_id"] for row in first.values()}


def _passages(rows: Rows, wanted: set[str]) -> dict[str, Passage]:
    return {
        row["passage_id"]: Passage(
            row["source"], row["path"], row["title"] or "", row["char_start"], row["char_end"], row["text"]
        )
        for row in rows
        if row["passage_id"] in wanted
    }
