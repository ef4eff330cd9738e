"""Extraction as a model would do it: replayed from a recording, or a small deterministic one for any other text.

The recording is of HippoRAG's OpenIE format: ``{"docs": [{"title", "text", "passage", "extracted_entities",
"extracted_triples"}]}``. A request names the kind of its reply (the schema's name, or a line ``Reply format: NAME`` in
the system message) and fences its document as ``<document title="...">``, the text, ``</document>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

KINDS = frozenset({"named_entities", "triples", "entities_and_triples"})
"""Names of the replies that are known."""

_FENCE = re.compile(r'<document title=("(?:[^"\\]|\\.)*")>\n(.*)\n</document>', re.DOTALL)
_FORMAT = re.compile(r"^Reply format: (\w+)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[A-Z][\w'’.-]*\w(?: (?:(?:of|the|de|von) )?[A-Z][\w'’.-]*\w)*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Extraction:
    """What is said to be in a document."""

    entities: tuple[str, ...]
    triples: tuple[tuple[str, str, str], ...]

    def content(self, kind: str) -> str:
        """The reply of a kind. Types of entities are not recorded, and empty."""
        entities = [{"name": name, "type": ""} for name in self.entities]
        triples = [{"subject": s, "predicate": p, "object": o} for s, p, o in self.triples]
        parts: dict[str, list[dict[str, str]]] = {}
        if kind != "triples":
            parts["entities"] = entities
        if kind != "named_entities":
            parts["triples"] = triples
        return json.dumps(parts, ensure_ascii=False)


class Recording:
    """Extractions of known texts; with none it knows no text."""

    def __init__(self, docs: list[Mapping[str, Any]] | None = None) -> None:
        self._texts: list[tuple[str, str, Extraction]] = []
        for doc in docs or []:
            triples = tuple((str(t[0]), str(t[1]), str(t[2])) for t in doc["extracted_triples"] if len(t) == 3)
            extraction = Extraction(tuple(str(name) for name in doc["extracted_entities"]), triples)
            text = doc.get("text") or doc["passage"]
            self._texts.append((_plain(text), str(doc.get("title", "")), extraction))
        self._exact = {(text, title): extraction for text, title, extraction in reversed(self._texts)}

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The recording of a JSON file."""
        return cls(json.loads(path.read_text(encoding="utf-8"))["docs"])

    def extraction(self, text: str, title: str = "") -> Extraction:
        """That of the recorded document that holds ``text``, or is held by it; by rule where there is none.

        White space does not matter. Of several documents the one that shares the longest text counts, then one of
        the same title, then the first.
        """
        wanted = _plain(text)
        known = self._exact.get((wanted, title))
        if known is not None or not wanted:
            return known or Extraction((), ())
        best, found = (0, False), None
        for recorded, its_title, extraction in self._texts:
            if recorded and (wanted in recorded or recorded in wanted):
                rank = (min(len(recorded), len(wanted)), its_title == title)
                if rank > best:
                    best, found = rank, extraction
        return found or by_rule(text)


def by_rule(text: str) -> Extraction:
    """Capitalised runs as entities; the words between two of one sentence as what relates them."""
    names: dict[str, None] = {}
    triples: dict[tuple[str, str, str], None] = {}
    for sentence in _SENTENCE.split(_plain(text)):
        found = list(_NAME.finditer(sentence))
        names |= dict.fromkeys(match[0] for match in found)
        for left, right in pairwise(found):
            between = " ".join(re.findall(r"\w+", sentence[left.end() : right.start()]))
            if between and left[0] != right[0]:
                triples[left[0], between, right[0]] = None
    return Extraction(tuple(names), tuple(triples))


def kind_of(body: Mapping[str, Any]) -> str | None:
    """The name of the reply that a chat completion asks for, if it tells one."""
    schema = (body.get("response_format") or {}).get("json_schema") or {}
    if schema.get("name"):
        return str(schema["name"])
    system = "\n".join(str(message["content"]) for message in body["messages"] if message["role"] == "system")
    found = _FORMAT.findall(system)
    return str(found[-1]) if found else None


def document_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of the fenced document; the whole user message where there is none."""
    user = user_text(body)
    found = _FENCE.search(user)
    return (json.loads(found[1], strict=False), found[2]) if found else ("", user)


def user_text(body: Mapping[str, Any]) -> str:
    """All that the user says in a request."""
    return "\n".join(str(message["content"]) for message in body.get("messages", []) if message["role"] == "user")


def _plain(text: str) -> str:
    return " ".join(text.split())
