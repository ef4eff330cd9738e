"""What a dataset is to the evaluation: dated documents that are ingested as any source is, and questions with gold."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from errors import DocumentRejected

DEFAULT_SPACE = "default"

_WORD = re.compile(r"[a-z]+")


class GoldUnit(StrEnum):
    """What a dataset's gold is, and with it what is ranked and when it counts as found."""

    DOCUMENT = "document"
    """A whole document: found with any of its passages; ranks count distinct documents."""
    SESSION = "session"
    """A whole chat session, which is a document."""
    TURN = "turn"
    """A turn of a session: found with a passage that holds most of it; ranks count passages."""
    SPAN = "span"
    """A quoted text: found with a passage that holds most of it; ranks count passages."""

    @property
    def is_whole(self) -> bool:
        """Whether it is a document as a whole."""
        return self in (GoldUnit.DOCUMENT, GoldUnit.SESSION)


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """One document of a dataset's corpus: a text, or a session of turns."""

    document_id: str
    text: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    """Speaker and words, for a session; ``text`` is then empty."""
    title: str = ""
    author: str = ""
    date: str = ""
    """ISO day, or empty where the authors give none."""
    space: str = DEFAULT_SPACE

    @property
    def path(self) -> str:
        """The document's path in its source."""
        return document_path(self.space, self.document_id)


def document_path(space: str, document_id: str) -> str:
    """Where the ingested document is: record ``document_id`` of the space's file."""
    return f"{corpus_file(space)}#{document_id}"


def corpus_file(space: str) -> str:
    """The file that holds a space's documents."""
    return f"{'corpus' if space == DEFAULT_SPACE else space}.jsonl"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What answers a question: a document, or a text in it."""

    path: str
    text: str = ""
    """Empty for the document as a whole."""
    source: str = ""
    """Empty for whichever source has the path."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question; without ``gold`` it is one that the corpus does not answer."""

    question_id: str
    text: str
    answers: tuple[str, ...] = ()
    """Accepted answers; empty where the dataset gives none."""
    gold: tuple[Evidence, ...] = ()
    facts: tuple[Evidence, ...] = ()
    """Sentences that state the answer, where the authors quote them."""
    outdated: tuple[Evidence, ...] = ()
    """What held before: evidence that must not come before the gold."""
    kind: str = ""
    """The dataset's question type."""
    space: str = DEFAULT_SPACE
    answerable: bool = True
    as_of: str = ""
    """Asked of the snapshot of that date, for questions about what was known then; empty for the run's own."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a dataset that cannot be used."""

    where: str
    what: str
    of_document: bool = False
    """Whether it is of a document, not of a question."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A corpus and questions about it; without documents the questions are about a lake that is there."""

    name: str
    format: str
    unit: GoldUnit
    files: tuple[Path, ...]
    documents: tuple[CorpusDocument, ...]
    questions: tuple[Question, ...]
    problems: tuple[Problem, ...] = ()
    """What was left out: questions that cannot be scored, documents that are there twice."""
    metric: str = "recall@5"
    """What systems are ranked by unless another one is named."""

    @property
    def spaces(self) -> tuple[str, ...]:
        """Spaces of the corpus, in order."""
        return tuple(sorted({document.space for document in self.documents}))

    @property
    def is_test_split(self) -> bool:
        """Whether names of files or their folder say so: what is tuned on such questions cannot be measured by them."""
        return any(
            "test" in _WORD.findall(file.stem.lower()) or file.resolve().parent.name.lower() == "test"
            for file in self.files
        )

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each of the authors' files, and of the questions as they were understood."""
        read = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files}
        understood = json.dumps([asdict(question) for question in self.questions], sort_keys=True)
        return {**read, "questions": hashlib.sha256(understood.encode()).hexdigest()}

    def checked(self, tolerated: float) -> Dataset:
        """The dataset, unless more than the tolerated share of it cannot be used.

        Raises:
            DocumentRejected: too much is wrong; the message names the first problems.
        """
        for what, usable, problems in (
            ("questions", len(self.questions), [item for item in self.problems if not item.of_document]),
            ("documents", len(self.documents), [item for item in self.problems if item.of_document]),
        ):
            total = usable + len(problems)
            if len(problems) > tolerated * total or (what == "questions" and not usable):
                shown = " ".join(f"{problem}." for problem in problems[:3])
                raise DocumentRejected(
                    f"{self.name}: {len(problems)} of {total} {what} cannot be used. {shown}",
                    "Mend the files, or let more go with --tolerate.",
                )
        return self


def unique_documents(documents: Sequence[CorpusDocument]) -> tuple[tuple[CorpusDocument, ...], list[Problem]]:
    """The first document of each id in a space, and a problem for every further one that is not the same again."""
    seen: dict[str, CorpusDocument] = {}
    others = [document for document in documents if seen.setdefault(document.path, document) != document]
    what = "another document with this id was there before"
    return tuple(seen.values()), [Problem(document.path, what, of_document=True) for document in others]


def usable_questions(
    questions: Sequence[Question], documents: Sequence[CorpusDocument]
) -> tuple[tuple[Question, ...], list[Problem]]:
    """Questions that can be scored, and why the others cannot: their id is taken, their gold is missing or nowhere."""
    known = {document.path for document in documents}
    ids = Counter(question.question_id for question in questions)
    kept, problems, seen = [], [], set()
    for question in questions:
        nowhere = [item.path for item in (*question.gold, *question.outdated) if known and item.path not in known]
        what = None
        if not question.text.strip():
            what = "the question is empty"
        elif ids[question.question_id] > 1 and question.question_id in seen:
            what = "a question with this id was there before"
        elif question.answerable and not question.gold:
            what = "it has no gold"
        elif nowhere:
            what = f"its gold '{nowhere[0]}' is not in the corpus"
        seen.add(question.question_id)
        if what:
            problems.append(Problem(f"question {question.question_id}", what))
        else:
            kept.append(question)
    return tuple(kept), problems
