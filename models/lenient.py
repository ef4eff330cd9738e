"""Reading JSON as language models write it, where it has one meaning only.

It takes trailing commas, single quotes, Python's ``True``, ``False`` and ``None``, and a text that ends too early: then
missing brackets are closed, and the incomplete last item of the outermost array goes, so that every item that is left
is whole. Anything else is an error: nothing is guessed, nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from typing import Any

_DEEPEST = 64
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,300})(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_NUMERIC = re.compile(r"[-+.\deE]+")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_WORD = re.compile(r"[A-Za-z]+")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_UNIT = re.compile(r"\\.|\"", re.DOTALL)


class _CutOff(Exception):
    """The text ended within a value."""


def read_lenient(text: str, start: int = 0) -> tuple[Any, int, bool]:
    """The value that begins at ``start``, where it ends, and whether it was cut off.

    Raises:
        ValueError: it is not JSON, not even nearly; or it was cut off within a value that is no item of an array.
    """
    reader = _Reader(text, start)
    try:
        value = reader.value(0, 0)
    except _CutOff:
        raise ValueError("the text ends within a value") from None
    return value, reader.at, reader.cut


class _Reader:
    """A recursive descent; once ``cut``, every level returns what it has."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self.at = start
        self.cut = False

    def value(self, depth: int, arrays: int) -> Any:
        """The value here, ``arrays`` of the ``depth`` levels around it being arrays."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        mark = self._peek()
        if mark == "{":
            return self._object(depth, arrays)
        if mark == "[":
            return self._array(depth, arrays)
        if mark in "\"'":
            return self._string()
        return self._word() if mark.isalpha() else self._number()

    def _object(self, depth: int, arrays: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.at += 1
        while not self._ends_between(members, arrays) and self._peek() != "}":
            if self._peek() not in "\"'":
                raise ValueError("a key is not a string")
            key = self._string()
            if key in members:
                raise ValueError("a key stands twice in one object")
            self._expect(":")
            members[key] = self.value(depth + 1, arrays)
            if self.cut or self._ends_between(members, arrays) or not self._more("}"):
                return members
        self.at += 1
        return members

    def _ends_between(self, members: dict[str, Any], arrays: int) -> bool:
        """Whether the text ends behind whole members of an object that is no item, which may stay as they are."""
        found = _SPACE.match(self._text, self.at)
        if found and found.end() == len(self._text) and members and not arrays:
            self.cut = True
        return self.cut

    def _array(self, depth: int, arrays: int) -> list[Any]:
        items: list[Any] = []
        self.at += 1
        try:
            while self._peek() != "]":
                items.append(self.value(depth + 1, arrays + 1))
                if not self._more("]"):
                    return items
        except _CutOff:
            if arrays:
                raise
            self.cut = True
            return items
        self.at += 1
        return items

    def _more(self, end: str) -> bool:
        """Go over a comma; whether there may be another member (the end itself is gone over where it follows)."""
        mark = self._peek()
        self.at += 1
        if mark not in (",", end):
            raise ValueError("there is no comma between two values")
        return mark == ","

    def _string(self) -> str:
        single = self._text[self.at] == "'"
        found = (_SINGLE if single else _DOUBLE).match(self._text, self.at)
        if found is None:
            raise _CutOff
        self.at = found.end()
        inner = found[1]
        if single:
            inner = _UNIT.sub(lambda unit: {"\\'": "'", '"': '\\"'}.get(unit[0], unit[0]), inner)
        return str(json.loads(f'"{inner}"', strict=False))

    def _word(self) -> bool | None:
        found = _WORD.match(self._text, self.at)
        word = found[0] if found else ""
        if self.at + len(word) == len(self._text):
            raise _CutOff
        if word not in _WORDS:
            raise ValueError("a value is not of JSON")
        self.at += len(word)
        return _WORDS[word]

    def _number(self) -> int | float:
        found = _NUMERIC.match(self._text, self.at)
        if found is None or not (found.end() == len(self._text) or _NUMBER.fullmatch(found[0])):
            raise ValueError("a value is not of JSON")
        if found.end() == len(self._text):
            raise _CutOff
        self.at = found.end()
        number: int | float = json.loads(found[0])
        return number

    def _expect(self, mark: str) -> None:
        if self._peek() != mark:
            raise ValueError(f"there is no {mark!r} where one belongs")
        self.at += 1

    def _peek(self) -> str:
        """The next mark that is no white space."""
        found = _SPACE.match(self._text, self.at)
        self.at = found.end() if found else self.at
        if self.at >= len(self._text):
            raise _CutOff
        return self._text[self.at]
