"""LongMemEval (arXiv 2410.10813): questions of a user about their chats with an assistant, each with its own haystack.

Each question's haystack is a space of its own, each session a document; gold are sessions. A question id that ends in
``_abs`` has no answer. Of a ``knowledge-update`` the latest answering session holds what is current, the earlier ones
what is outdated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from errors import DocumentRejected
from evaluation.dataset import (
    CorpusDocument,
    Dataset,
    Evidence,
    GoldUnit,
    Question,
    document_path,
    unique_documents,
    usable_questions,
)
from evaluation.datasets.files import find_file, read_array, required
from memory.parsing import parse_date

_SIGNS = ('"question_id"', '"question_type"', '"haystack_')
_UPDATE = "knowledge-update"


def recognises(path: Path) -> bool:
    """Whether there is a file of this format."""
    return find_file(path, _SIGNS) is not None


def read(name: str, path: Path) -> Dataset:
    """Read the file, plain or gzipped, or the one in a folder; DocumentRejected where it is of another format."""
    file = required(path, _SIGNS, "questions of LongMemEval's format")
    sessions: list[CorpusDocument] = []
    questions: list[Question] = []
    for number, item in enumerate(read_array(file), 1):
        try:
            mine = _sessions(item)
            questions.append(_question(item, mine))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DocumentRejected(
                f"{file}: question {number} is not of LongMemEval's format: {error}.", "Check that file."
            ) from None
        sessions += mine
    documents, doubles = unique_documents(sessions)
    usable, problems = usable_questions(questions, documents)
    return Dataset(name, "longmemeval", GoldUnit.SESSION, (file,), documents, usable, (*doubles, *problems))


def _space(item: dict[str, Any]) -> str:
    return "q-" + re.sub(r"[^a-z0-9_-]+", "-", str(item["question_id"]).lower())


def _sessions(item: dict[str, Any]) -> list[CorpusDocument]:
    documents = []
    haystack = zip(item["haystack_session_ids"], item["haystack_dates"], item["haystack_sessions"], strict=True)
    for key, date, turns in haystack:
        spoken = tuple((turn["role"], turn["content"]) for turn in turns if turn["content"].strip())
        day = parse_date(str(date).partition(" ")[0])
        if spoken:
            documents.append(CorpusDocument(key, turns=spoken, date=day.isoformat() if day else "", space=_space(item)))
    return documents


def _question(item: dict[str, Any], sessions: list[CorpusDocument]) -> Question:
    space = _space(item)
    answerable = not item["question_id"].endswith("_abs")
    dates = {document.document_id: document.date for document in sessions}
    named = list(dict.fromkeys(item["answer_session_ids"])) if answerable else []
    outdated: list[str] = []
    if item["question_type"] == _UPDATE and len(named) > 1:
        current = max(named, key=lambda key: dates.get(key, ""))
        outdated = [key for key in named if dates.get(key, "") < dates.get(current, "")]
    return Question(
        question_id=item["question_id"],
        text=item["question"],
        answers=(str(item["answer"]),) if answerable else (),
        gold=tuple(Evidence(document_path(space, key)) for key in named),
        outdated=tuple(Evidence(document_path(space, key)) for key in outdated),
        kind=item["question_type"],
        space=space,
        answerable=answerable,
    )
