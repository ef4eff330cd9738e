"""MultiHop-RAG (arXiv 2401.15391): news articles, and questions over several of them in four types.

``corpus.json`` has title, body and, for some, author and ``published_at``; ``MultiHopRAG.json`` names the evidence by
title and quotes the sentence that states it. Gold is the article; the quoted sentences are facts. Questions of the type
``null_query`` have no answer in the corpus.
"""

from __future__ import annotations

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

_QUESTION_SIGNS = ('"query"', '"question_type"', '"evidence_list"')
_CORPUS_SIGNS = ('"title"', '"body"')
_NULL = "null_query"


def recognises(path: Path) -> bool:
    """Whether there are questions of this format."""
    return find_file(path, _QUESTION_SIGNS) is not None


def read(name: str, path: Path) -> Dataset:
    """Read the folder of both files; DocumentRejected where one is of another format."""
    questions = required(path, _QUESTION_SIGNS, "questions of MultiHop-RAG's format")
    corpus = required(questions.parent, _CORPUS_SIGNS, "corpus of MultiHop-RAG's format")
    try:
        articles = [_document(item) for item in read_array(corpus)]
        asked = [_question(item, number) for number, item in enumerate(read_array(questions), 1)]
    except (KeyError, TypeError, AttributeError) as error:
        raise DocumentRejected(f"{path} is not of MultiHop-RAG's format: {error} is missing.", "Check it.") from None
    documents, doubles = unique_documents(articles)
    usable, problems = usable_questions(asked, documents)
    return Dataset(
        name,
        "multihop-rag",
        GoldUnit.DOCUMENT,
        (questions, corpus),
        documents,
        usable,
        (*doubles, *problems),
        metric="fact_recall@10",
    )


def _document(item: dict[str, Any]) -> CorpusDocument:
    return CorpusDocument(
        document_id=_identity(item["title"]),
        text=item["body"],
        title=item["title"],
        author=_given(item.get("author")),
        date=_given(item.get("published_at"))[:10],
    )


def _question(item: dict[str, Any], number: int) -> Question:
    evidence = item["evidence_list"]
    paths = dict.fromkeys(_path(piece["title"]) for piece in evidence)
    return Question(
        question_id=f"{number:04}",
        text=item["query"],
        answers=(item["answer"],),
        gold=tuple(Evidence(path) for path in paths),
        facts=tuple(Evidence(_path(piece["title"]), piece["fact"]) for piece in evidence if piece.get("fact")),
        kind=item["question_type"].removesuffix("_query"),
        answerable=item["question_type"] != _NULL,
    )


def _path(title: str) -> str:
    return document_path("default", _identity(title))


def _identity(title: str) -> str:
    return " ".join(title.split())


def _given(value: Any) -> str:
    """Rebuilt copies write what is missing as the text None."""
    return value if isinstance(value, str) and value != "None" else ""
