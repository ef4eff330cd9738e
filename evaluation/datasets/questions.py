"""A user's own questions about a lake that is there: JSON Lines, one question a line.

``{"question": …, "gold": [{"path": …, "quote": …, "source": …}, "another/path.md"], "outdated": [...],
"answers": [...], "type": …, "id": …, "space": …, "as_of": "2026-01-15", "answerable": true}``. Only ``question`` is
required; a question without gold must say ``"answerable": false``. With a ``quote``, the passage that holds it must be
found; without, any passage of the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from errors import DocumentRejected
from evaluation.dataset import DEFAULT_SPACE, Dataset, Evidence, GoldUnit, Question, usable_questions
from evaluation.datasets.files import find_file, read_lines, required

_SIGNS = ('"question"',)


class _Gold(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    quote: str = ""
    source: str = ""


class _Line(BaseModel):
    """A line of the file; JSON's own types and no other keys, so that a slip is told and not read as something else."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str
    id: str | int | None = None
    gold: list[str | _Gold] = []
    outdated: list[str | _Gold] = []
    answer: str = ""
    answers: str | list[str] = ""
    type: str = ""
    space: str = DEFAULT_SPACE
    as_of: str | None = None
    answerable: bool = True


def recognises(path: Path) -> bool:
    """Whether it is a file of JSON Lines with questions."""
    return path.suffix in (".jsonl", ".gz") and find_file(path, _SIGNS) is not None


def read(name: str, path: Path) -> Dataset:
    """Read the file; DocumentRejected where a line is not a question."""
    file = required(path, _SIGNS, "questions")
    asked = [_question(item, number, file) for number, item in read_lines(file)]
    usable, problems = usable_questions(asked, ())
    quoted = any(evidence.text for question in usable for evidence in question.gold)
    unit = GoldUnit.SPAN if quoted else GoldUnit.DOCUMENT
    return Dataset(name, "questions", unit, (file,), (), usable, tuple(problems))


def _question(item: Any, number: int, file: Path) -> Question:
    try:
        line = _Line.model_validate(item)
    except ValidationError as error:
        first = max(error.errors(), key=lambda item: len(item["loc"]))  # of a union, the alternative that fits best
        where = ".".join(str(part) for part in first["loc"] if part not in ("str", "_Gold"))
        raise DocumentRejected(
            f"{file}: line {number} is no question: {where or 'the line'}: {first['msg'].lower()}.",
            "See docs/evaluation.md.",
        ) from None
    answers = line.answers or line.answer
    return Question(
        question_id=str(number if line.id is None else line.id),
        text=line.question,
        answers=tuple(answers) if isinstance(answers, list) else (answers,) if answers else (),
        gold=tuple(map(_evidence, line.gold)),
        outdated=tuple(map(_evidence, line.outdated)),
        kind=line.type,
        space=line.space,
        answerable=line.answerable,
        as_of=line.as_of or "",
    )


def _evidence(item: str | _Gold) -> Evidence:
    return Evidence(item) if isinstance(item, str) else Evidence(item.path, item.quote, item.source)
