"""LoCoMo (arXiv 2402.17753): long conversations of two people in dated sessions, with questions about them.

Each conversation is a space of its own, each session a document. Gold are turns, by ``dia_id``. A turn's photo is part
of it by its caption, as in the authors' own retrieval. Category 5 is adversarial: the conversation holds no answer.
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
    Problem,
    Question,
    unique_documents,
    usable_questions,
)
from evaluation.datasets.files import find_file, read_array, required
from memory.parsing import parse_date

_SIGNS = ('"qa"', '"evidence"', '"category"')
_KINDS = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_ADVERSARIAL = 5
_SESSION = re.compile(r"session_(\d+)")


def recognises(path: Path) -> bool:
    """Whether there is a file of this format."""
    return find_file(path, _SIGNS) is not None


def read(name: str, path: Path) -> Dataset:
    """Read the file, or the one in a folder; DocumentRejected where it is of another format."""
    file = required(path, _SIGNS, "conversations of LoCoMo's format")
    documents: list[CorpusDocument] = []
    questions: list[Question] = []
    problems: list[Problem] = []
    for number, item in enumerate(read_array(file), 1):
        try:
            space = (
                re.sub(r"[^a-z0-9_-]+", "-", str(item.get("sample_id", f"conversation-{number}")).lower()).strip("-_")
                or f"conversation-{number}"
            )
            sessions, turns = _sessions(item["conversation"], space)
            asked = [_question(each, space, index, turns) for index, each in enumerate(item["qa"], 1)]
        except (KeyError, TypeError, AttributeError) as error:
            raise DocumentRejected(
                f"{file}: conversation {number} is not of LoCoMo's format: {error} is missing.", "Check that file."
            ) from None
        documents += sessions
        problems += [each for each in asked if isinstance(each, Problem)]
        questions += [each for each in asked if isinstance(each, Question)]
    unique, doubles = unique_documents(documents)
    usable, unusable = usable_questions(questions, unique)
    return Dataset(
        name, "locomo", GoldUnit.TURN, (file,), unique, usable, (*doubles, *problems, *unusable), "recall@10"
    )


def _sessions(conversation: dict[str, Any], space: str) -> tuple[list[CorpusDocument], dict[str, Evidence]]:
    """The sessions, and every turn by its ``dia_id``."""
    documents, turns = [], {}
    found = sorted((int(match[1]), key) for key in conversation if (match := _SESSION.fullmatch(key)))
    for number, key in found:
        if not conversation[key]:
            continue
        day = parse_date(conversation.get(f"{key}_date_time"))
        document = CorpusDocument(
            document_id=f"session-{number:02}",
            turns=tuple((turn["speaker"], _words(turn)) for turn in conversation[key]),
            date=day.isoformat() if day else "",
            space=space,
        )
        documents.append(document)
        for turn in conversation[key]:
            turns[turn["dia_id"]] = Evidence(document.path, _words(turn))
    return documents, turns


def _words(turn: dict[str, Any]) -> str:
    said = " ".join(str(turn.get("text", "")).split())
    caption = turn.get("blip_caption")
    return f"{said} [shared {caption}]".strip() if caption else said


def _question(item: dict[str, Any], space: str, number: int, turns: dict[str, Evidence]) -> Question | Problem:
    identity = f"{space}-{number:03}"
    adversarial = item["category"] == _ADVERSARIAL
    # The authors' files hold a few lists in one string, as "D8:6; D9:17".
    names = [name for entry in item["evidence"] for name in re.split(r"[;,\s]+", str(entry)) if name]
    unknown = [name for name in names if name not in turns]
    if unknown and not adversarial:
        return Problem(f"question {identity}", f"its evidence '{unknown[0]}' is no turn")
    return Question(
        question_id=identity,
        text=str(item["question"]),
        answers=(str(item["answer"]),) if not adversarial and "answer" in item else (),
        gold=() if adversarial else tuple(dict.fromkeys(turns[name] for name in names)),
        kind=_KINDS.get(item["category"], str(item["category"])),
        space=space,
        answerable=not adversarial,
    )
