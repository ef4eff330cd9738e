"""HippoRAG's published format: a corpus of titled paragraphs, and multi-hop questions with supporting paragraphs.

The corpus file is a JSON array of ``{"title", "text"}`` and is ingested as it is. MuSiQue's questions carry
``paragraphs`` with ``is_supporting``; 2WikiMultihopQA's and HotpotQA's carry ``supporting_facts`` and ``context``.
Gold is matched by title and text, as in HippoRAG's own evaluation (arXiv 2405.14831).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from errors import DocumentRejected, SettingsError
from evaluation.dataset import Dataset, Question


def read_dataset(questions: Path, corpus: Path) -> Dataset:
    """Read both files.

    Raises:
        SettingsError: a file is missing.
        DocumentRejected: a file is not of this format, or gold is not in the corpus.
    """
    paragraphs = _array(corpus)
    paths: dict[tuple[str, str], str] = {}
    for number, paragraph in enumerate(paragraphs, 1):
        try:
            key = (_plain(paragraph["title"]), _plain(paragraph["text"]))
        except (KeyError, TypeError):
            raise DocumentRejected(
                f"{corpus}: item {number} has no title and text.", "Expected an array of objects with both."
            ) from None
        paths.setdefault(key, f"{corpus.name}#item {number}")
    read = [_question(item, number, paths, questions) for number, item in enumerate(_array(questions), 1)]
    return Dataset(
        corpus.stem, corpus.resolve(), {"title": "title", "text": "text"}, tuple(paths.values()), tuple(read)
    )


def _question(item: dict[str, Any], number: int, paths: dict[tuple[str, str], str], file: Path) -> Question:
    try:
        supporting = _supporting(item)
        answers = (item["answer"], *item.get("answer_aliases", ()))
        text = item["question"]
    except (KeyError, TypeError, IndexError):
        raise DocumentRejected(
            f"{file}: question {number} is not of HippoRAG's format.",
            "Expected question, answer, and paragraphs with is_supporting, or supporting_facts with context.",
        ) from None
    missing = [title for title, body in supporting if (_plain(title), _plain(body)) not in paths]
    if missing or not supporting:
        what = f"the gold paragraph '{missing[0]}'" if missing else "no gold paragraph"
        raise DocumentRejected(
            f"{file}: question {number} has {what}{' that is not in the corpus' if missing else ''}.",
            "Give the corpus that belongs to these questions.",
        )
    gold = dict.fromkeys(paths[_plain(title), _plain(body)] for title, body in supporting)
    return Question(str(item.get("id", item.get("_id", number))), text, tuple(map(str, answers)), tuple(gold))


def _supporting(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Title and text of each supporting paragraph."""
    if "paragraphs" in item:
        return [(each["title"], each["paragraph_text"]) for each in item["paragraphs"] if each["is_supporting"]]
    titles = {fact[0] for fact in item["supporting_facts"]}
    separator = "" if any(sentence.startswith(" ") for _, body in item["context"] for sentence in body[1:]) else " "
    return [(title, separator.join(body)) for title, body in item["context"] if title in titles]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _array(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.", "Name an existing file.") from None
    except ValueError as error:
        raise DocumentRejected(f"{file} is not JSON: {error}.", "Expected one JSON array.") from None
    if not isinstance(content, list) or not content:
        raise DocumentRejected(f"{file} is not a JSON array with something in it.", "Expected HippoRAG's format.")
    return content
