"""From a model's text to a value of the shape that was asked for.

The value is validated, never guessed: where a text holds several values of the shape that differ, none is taken.
Reasons name places and kinds, not contents, since a reply is made of a document's text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from errors import Malformed
from models.lenient import read_lenient

T = TypeVar("T")

_MANY = 200
"""Places of a text at which a value is looked for at most."""

_REMEDY = "It is asked again when its input, the prompt or the model changes."


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A value, and what had to be done to get it."""

    value: T
    repaired: bool = False
    """The text was not JSON as it stood, or stood among others."""
    cut: bool = False
    """The text ended too early, and the last item of its outermost array is missing."""


def parse_reply(text: str, shape: type[T]) -> Parsed[T]:
    """The value that a reply holds: plain, in a fence, amid prose, with the flaws that :mod:`models.lenient` mends.

    Args:
        shape: a pydantic model, or what pydantic takes for a type. Validation is strict: a number is no string.

    Raises:
        Malformed: there is no such value, or more than one.
    """
    try:
        plain, reason = _strictly_read(text), None
    except (ValueError, RecursionError):
        reason = "no JSON is in it"
    else:
        try:
            return Parsed(_validated(plain, shape))
        except ValueError as error:
            raise _malformed(str(error)) from None
    found: list[Parsed[T]] = []
    for value, cut in _values(text):
        try:
            parsed = Parsed(_validated(value, shape), True, cut)
        except ValueError as error:
            reason = str(error)
        else:
            if all(parsed.value != other.value for other in found):
                found.append(parsed)
    if len(found) > 1:
        raise _malformed("it holds several values that differ")
    if not found:
        raise _malformed(reason)
    return found[0]


def strict_schema(shape: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of a model as strict structured outputs want it: every key required, no other key allowed.

    Parts stand where they are used, since not every server follows references; a model must not contain itself.
    """
    whole = shape.model_json_schema()
    schema: dict[str, Any] = _strict(whole, whole.get("$defs", {}))
    return schema


def _strict(node: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_strict(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _strict(parts[node["$ref"].rpartition("/")[2]], parts)
    made = {
        key: _strict(value, parts)
        for key, value in node.items()
        if key not in ("title", "default", "properties", "$defs")
    }
    if "properties" in node:  # a map of names, which may be any
        properties = {name: _strict(item, parts) for name, item in node["properties"].items()}
        made |= {"properties": properties, "required": list(properties), "additionalProperties": False}
    return made


def _values(text: str) -> Iterator[tuple[Any, bool]]:
    """The outermost JSON values of a text, in order, read leniently, and whether each was cut off."""
    at = 0
    for _ in range(_MANY):
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            return
        at = min(starts)
        try:
            value, at, cut = read_lenient(text, at)
        except ValueError:
            at += 1
        else:
            yield value, cut


def _strictly_read(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise ValueError("a key stands twice in one object")
        return members

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not of JSON")

    return json.loads(text.strip().removeprefix("\ufeff"), object_pairs_hook=unique, parse_constant=refuse)


@lru_cache(maxsize=64)
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _validated(value: Any, shape: Any) -> Any:
    """``value`` as ``shape``.

    Raises:
        ValueError: it is not; tells where and why, without what was there.
    """
    try:
        return _adapter(shape).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        known = first["type"] != "extra_forbidden"  # the name of an unknown key is the model's own text
        place = ".".join(str(part) for part in first["loc"]) if known else "a key"
        raise ValueError(f"{place or 'the value'}: {first['type'].replace('_', ' ')}") from None


def _malformed(reason: str | None) -> Malformed:
    return Malformed(f"The model's reply is not of the shape that was asked for: {reason}.", _REMEDY)
