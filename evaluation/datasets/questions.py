"""A user's own questions about a lake that is there: JSON Lines, one question a line.

``{"question": …, "gold": [{"path": …, "quote": …, "source": …}, "another/path.md"], "outdated": [...],
"answers": [...], "type": …, "id": …, "space": …, "as_of": "2026-01-15", "answerable": true}``. Only ``question`` is
required; a question without gold must say ``"answerable": false``. With a ``quote``, the passage that holds it must be
found; without, any passage of the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errors import DocumentRejected
from evaluation.dataset import DEFAULT_SPACE, Dataset, Evidence, GoldUnit, Question, usable_questions
from evaluation.datasets.files import find_file, read_lines, required

_SIGNS = ('"question"',)
_KNOWN = frozenset("question gold outdated answers answer type id space as_of answerable".split())


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
        unknown = sorted(set(item) - _KNOWN)
        if unknown:
            raise DocumentRejected(
                f"{file}: line {number} has the unknown key '{unknown[0]}'.", f"Known: {', '.join(sorted(_KNOWN))}."
            )
        answers = item.get("answers", item.get("answer", ()))
        return Question(
            question_id=str(item.get("id", number)),
            text=item["question"],
            answers=(answers,) if isinstance(answers, str) else tuple(map(str, answers)),
            gold=tuple(map(_evidence, item.get("gold", ()))),
            outdated=tuple(map(_evidence, item.get("outdated", ()))),
            kind=str(item.get("type", "")),
            space=item.get("space", DEFAULT_SPACE),
            answerable=bool(item.get("answerable", True)),
            as_of=item.get("as_of") or "",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DocumentRejected(f"{file}: line {number} is no question: {error}.", "See docs/evaluation.md.") from None


def _evidence(item: Any) -> Evidence:
    if isinstance(item, str):
        return Evidence(item)
    return Evidence(item["path"], item.get("quote", ""), item.get("source", ""))
