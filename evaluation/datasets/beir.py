"""BEIR's format (arXiv 2104.08663), as LIMIT (arXiv 2508.21038) uses it: ``corpus.jsonl``, ``queries.jsonl``, and
``qrels.jsonl`` or ``qrels/<split>.tsv``. Gold are the documents with a positive score; grades are not told apart.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from errors import DocumentRejected
from evaluation.dataset import (
    CorpusDocument,
    Dataset,
    Evidence,
    GoldUnit,
    Problem,
    Question,
    document_path,
    unique_documents,
    usable_questions,
)
from evaluation.datasets.files import read_lines, read_text

_SPLITS = ("dev", "validation", "train", "test")
"""Which judgments are read where there are several: those that one may tune on first."""


def recognises(path: Path) -> bool:
    """Whether the folder has the two files of this name."""
    folder = path if path.is_dir() else path.parent
    return (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file()


def read(name: str, path: Path) -> Dataset:
    """Read the folder; DocumentRejected where a file is of another format."""
    folder = path if path.is_dir() else path.parent
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    judgments = _judgments(folder)
    try:
        found = [
            CorpusDocument(_identity(item["_id"]), item["text"], title=item.get("title") or "")
            for _, item in read_lines(corpus)
        ]
        judged = _judged(judgments)
        pairs = [(str(item["_id"]), item["text"]) for _, item in read_lines(queries)]
    except (KeyError, TypeError, ValueError) as error:
        raise DocumentRejected(f"{folder} is not of BEIR's format: {error} is missing.", "Check its files.") from None
    documents, doubles = unique_documents(found)
    asked = [
        Question(
            question_id=key,
            text=text,
            gold=tuple(Evidence(document_path("default", _identity(document))) for document in judged[key]),
        )
        for key, text in pairs
        if key in judged
    ]
    texts = dict(pairs)
    usable, problems = usable_questions(asked, documents)
    strangers = [Problem(f"judgments of {key}", "there is no such query") for key in judged if key not in texts]
    return Dataset(
        name,
        "beir",
        GoldUnit.DOCUMENT,
        (corpus, queries, judgments),
        documents,
        usable,
        (*doubles, *strangers, *problems),
        metric="ndcg@10",
    )


def _judgments(folder: Path) -> Path:
    lines = folder / "qrels.jsonl"
    candidates = [lines, *(folder / "qrels" / f"{split}.tsv" for split in _SPLITS)]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise DocumentRejected(f"{folder} has no judgments.", "Expected qrels.jsonl or qrels/<split>.tsv.")
    return found


def _judged(file: Path) -> dict[str, list[str]]:
    """Query to the documents that are relevant to it."""
    judged: dict[str, list[str]] = defaultdict(list)
    if file.suffix == ".tsv":
        rows = [line.split("\t") for line in read_text(file).split("\n") if line.strip()]
        if rows and rows[0][-1].strip() == "score":
            del rows[0]  # the head line
        triples = [(query, document, float(score)) for query, document, score in rows]
    else:
        triples = [
            (str(item["query-id"]), str(item["corpus-id"]), float(item["score"])) for _, item in read_lines(file)
        ]
    for query, document, score in triples:
        if score > 0 and document not in judged[query]:
            judged[query].append(document)
    return judged


def _identity(key: object) -> str:
    return " ".join(str(key).split())
