"""HippoRAG's published format: a corpus of titled paragraphs, and multi-hop questions with supporting paragraphs.

The corpus is a JSON array of ``{"title", "text"}``. MuSiQue's questions carry ``paragraphs`` with ``is_supporting``;
2WikiMultihopQA's and HotpotQA's carry ``supporting_facts`` and ``context``. Gold is a paragraph, matched by title and
text as in HippoRAG's own evaluation (arXiv 2405.14831); each paragraph is a document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errors import DocumentRejected
from evaluation.dataset import CorpusDocument, Dataset, Evidence, GoldUnit, Problem, Question, usable_questions
from evaluation.datasets.files import find_file, read_array

_QUESTION_SIGNS = (('"question"', '"paragraphs"'), ('"question"', '"supporting_facts"'))
_CORPUS_SIGNS = ('"title"', '"text"')


def recognises(path: Path) -> bool:
    """Whether there are questions of this format."""
    return any(find_file(path, signs) for signs in _QUESTION_SIGNS)


def read(name: str, path: Path) -> Dataset:
    """Read a folder with both files, or the questions' file with ``*_corpus.json`` beside it."""
    questions = next((found for signs in _QUESTION_SIGNS if (found := find_file(path, signs))), None)
    if questions is None:
        raise DocumentRejected(
            f"{path} has no questions of HippoRAG's format.",
            "Expected paragraphs with is_supporting, or supporting_facts with context.",
        )
    return read_files(name, questions, _corpus_of(questions))


def read_files(name: str, questions: Path, corpus: Path) -> Dataset:
    """Read the two files.

    Raises:
        SettingsError: a file is missing.
        DocumentRejected: a file is not of this format.
    """
    documents = []
    ids: dict[tuple[str, str], str] = {}
    for number, paragraph in enumerate(read_array(corpus), 1):
        try:
            title, text = paragraph["title"], paragraph["text"]
            key = (_plain(title), _plain(text))
        except (KeyError, TypeError, AttributeError):
            raise DocumentRejected(
                f"{corpus}: item {number} has no title and text.", "Expected an array of objects with both."
            ) from None
        if key not in ids:
            ids[key] = f"{number:05}"
            documents.append(CorpusDocument(ids[key], text, title=title))
    paths = {key: document.path for key, document in zip(ids, documents, strict=True)}
    read = [_question(item, number, paths, questions) for number, item in enumerate(read_array(questions), 1)]
    asked = [item for item in read if isinstance(item, Question)]
    usable, problems = usable_questions(asked, documents)
    return Dataset(
        name,
        "hipporag",
        GoldUnit.DOCUMENT,
        (questions, corpus),
        tuple(documents),
        usable,
        (*(item for item in read if isinstance(item, Problem)), *problems),
    )


def _corpus_of(questions: Path) -> Path:
    beside = questions.with_name(f"{questions.stem}_corpus.json")
    if beside.is_file():
        return beside
    others = [file for file in sorted(questions.parent.glob("*corpus*.json")) if file != questions]
    found = next((file for file in others if find_file(file, _CORPUS_SIGNS)), None)
    if found is None:
        raise DocumentRejected(f"There is no corpus beside {questions}.", f"Expected {beside.name} in the same folder.")
    return found


def _question(item: Any, number: int, paths: dict[tuple[str, str], str], file: Path) -> Question | Problem:
    try:
        supporting = _supporting(item)
        answers = (item["answer"], *item.get("answer_aliases", ()))
        text = item["question"]
        identity = str(item.get("id", item.get("_id", number)))
    except (KeyError, TypeError, IndexError, AttributeError):
        raise DocumentRejected(
            f"{file}: question {number} is not of HippoRAG's format.",
            "Expected question, answer, and paragraphs with is_supporting, or supporting_facts with context.",
        ) from None
    missing = [title for title, body in supporting if (_plain(title), _plain(body)) not in paths]
    if missing:
        return Problem(f"question {identity}", f"its gold paragraph '{missing[0]}' is not in the corpus")
    gold = dict.fromkeys(paths[_plain(title), _plain(body)] for title, body in supporting)
    return Question(
        question_id=identity,
        text=text,
        answers=tuple(map(str, answers)),
        gold=tuple(Evidence(path) for path in gold),
        kind=_kind(identity, item),
    )


def _kind(identity: str, item: dict[str, Any]) -> str:
    """2Wiki and HotpotQA name a type; MuSiQue's ids begin with the number of hops (``3hop1__…``)."""
    named = item.get("type")
    if isinstance(named, str) and named:
        return named
    head = identity.partition("__")[0]
    return head if "hop" in head else ""


def _supporting(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Title and text of each supporting paragraph."""
    if "paragraphs" in item:
        return [
            (each["title"], each["paragraph_text"] if "paragraph_text" in each else each["text"])
            for each in item["paragraphs"]
            if each["is_supporting"]
        ]
    titles = {fact[0] for fact in item["supporting_facts"]}
    separator = "" if any(sentence.startswith(" ") for _, body in item["context"] for sentence in body[1:]) else " "
    return [(title, separator.join(body)) for title, body in item["context"] if title in titles]


def _plain(text: str) -> str:
    return " ".join(text.split())
