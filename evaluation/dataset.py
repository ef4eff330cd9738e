"""What a dataset is to the evaluation: documents that are ingested as any source is, and questions with gold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``gold`` are the paths of the documents that answer it."""

    question_id: str
    text: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A corpus that is a source of kind ``jsonl``, and questions about it."""

    name: str
    corpus: Path
    fields: dict[str, str]
    """The source's field mapping."""
    documents: tuple[str, ...]
    """Paths of the documents, as the source names them."""
    questions: tuple[Question, ...]


def ranked_documents(paths: Iterable[str]) -> list[str]:
    """Documents in the order of their best passage."""
    return list(dict.fromkeys(paths))
