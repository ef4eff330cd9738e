"""Identities are content hashes: the same input gets the same id in every lake, on every run.

The parts are length-prefixed before hashing, so ``("ab", "c")`` and ``("a", "bc")`` never collide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_DIGEST_BYTES = 16


def content_id(*parts: str | bytes) -> str:
    """32 hexadecimal digits of BLAKE2b over the length-prefixed ``parts``."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def document_id(space: str, source: str, path: str) -> str:
    """A document is its place: the same path in another source or space is another document."""
    return content_id("document", space, source, path)


def passage_id(document: str, text: str, occurrence: int) -> str:
    """A passage is its text within its document; ``occurrence`` counts repeats of the same text from 0.

    Offsets are left out on purpose: an edit elsewhere in the document moves a passage and keeps its id.
    """
    return content_id("passage", document, text, str(occurrence))


def memory_id(document: str, granularity: str, text: str, occurrence: int) -> str:
    """A memory is its text within its document, or within its source for a period, at its granularity."""
    return content_id("memory", document, granularity, text, str(occurrence))


def pooled_id(parts: Sequence[tuple[str, int, int]]) -> str:
    """What a pooled vector is of: hashes of passages' texts, with a piece of each and how much of it is taken."""
    return content_id("pooled", *(f"{text_hash}:{piece}:{weight}" for text_hash, piece, weight in parts))


def text_id(title: str, heading: str, text: str) -> str:
    """What is embedded of a passage; equal texts share a vector."""
    return content_id("text", title, heading, text)


def phrase_hash(text: str) -> str:
    """What is embedded of an entity or a fact; never equal to that of a passage."""
    return content_id("phrase", text)


def entity_id(space: str, key: str, type_: str = "") -> str:
    """An entity is its normalised name within a space, and its type where a model has told one."""
    return content_id("entity", space, key, *([type_] if type_ else []))


def fact_id(subject: str, predicate: str, obj: str) -> str:
    """A fact is its two entities and what relates them, whatever its case and white space."""
    return content_id("fact", subject, " ".join(predicate.casefold().split()), obj)


def fingerprint(name: str, code_version: str, parameters: Mapping[str, Any]) -> str:
    """What a step's outputs depend on besides its input; a different fingerprint makes them stale."""
    return content_id("step", name, code_version, json.dumps(parameters, sort_keys=True, default=str))
