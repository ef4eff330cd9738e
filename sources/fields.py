"""Values out of JSON objects that people name and nest as they like. Everything that comes out is storable text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memory.parsing import normalise, one_line


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path through objects and list positions; a key that has the dots in it goes first."""
    if path in record:
        return record[path]
    value: Any = record
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def first_of(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first value that is neither missing, null nor empty among the keys ``names``."""
    return next((record[name] for name in names if record.get(name) not in (None, "", [], {})), None)


def as_text(value: Any) -> str:
    """Normalised text of a string, a number, a list of those, or of chat content parts with a ``text``."""
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "\n".join(text for part in value if (text := as_text(part)))
    return as_text(first_of(value, ("text", "content", "value", "parts"))) if isinstance(value, Mapping) else ""


def as_name(value: Any) -> str | None:
    """One line that names someone or something: text, a number, a list of names, or an object with a ``name``."""
    if isinstance(value, list):
        return one_line(", ".join(name for part in value if (name := as_name(part))))
    if isinstance(value, Mapping):
        return one_line(first_of(value, ("name", "full_name", "id", "role")))
    return one_line(value)
