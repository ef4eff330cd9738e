"""JSON records out of a stream of any length, in memory bounded by the largest record.

In JSON Lines one bad line costs that line only. In a JSON array there is no finding the next record after a bad one,
so the whole file is rejected from there on: ``DocumentRejected``, and what came of it before stays.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from errors import DocumentRejected
from sources.reader import oversized

LINE_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
ARRAY_SUFFIXES = (".json", ".json.gz")
FIRST_CHUNK = 64 * 1024
_HEAD = 8192
_TAIL = 16
"""A JSON error this near to the end of what is read so far may be a cut token; further from it, it is an error."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record and its place (``line 7`` or ``item 7``); ``problem`` says why there is no ``value``."""

    place: str
    value: Any = None
    problem: str | None = None


def read_records(stream: BinaryIO, path: str, max_bytes: int) -> Iterator[Record]:
    """The records of a JSON Lines file or JSON array, packed by gzip or not; one is at most ``max_bytes`` long."""
    name = path.lower()
    if not name.endswith(LINE_SUFFIXES + ARRAY_SUFFIXES):
        expected = ", ".join(LINE_SUFFIXES + ARRAY_SUFFIXES)
        raise DocumentRejected(f"{path}: it is not a file of JSON records ({expected}).", "Exclude or rename it.")
    try:
        plain = _unpacked(stream, path)
        if name.endswith(LINE_SUFFIXES):
            yield from _lines(plain, max_bytes)
        else:
            yield from _Items(plain, path, max_bytes).records()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DocumentRejected(f"{path}: its gzip data is damaged or cut off.", "Restore the file.") from error


def _unpacked(stream: BinaryIO, path: str) -> BinaryIO:
    """The stream without its gzip layer; bytes that cannot be UTF-8 JSON reject the file at once."""
    plain = stream
    if stream.read(2) == b"\x1f\x8b":
        stream.seek(0)
        plain = cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))
    plain.seek(0)
    head = plain.read(_HEAD)
    plain.seek(0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        raise DocumentRejected(f"{path}: it is binary or UTF-16, not UTF-8 JSON.", "Save it as UTF-8, or exclude it.")
    return plain


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[Record]:
    number = 0
    while line := stream.readline(max_bytes + 1):
        number += 1
        place = f"line {number}"
        if len(line) > max_bytes:
            _skip_line(stream, line)
            yield Record(place, problem=f"the line is longer than {max_bytes:,} bytes")
        elif line.strip():
            yield _parse_line(place, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)


def _skip_line(stream: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(FIRST_CHUNK)


def _parse_line(place: str, line: bytes) -> Record:
    try:
        return Record(place, json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return Record(place, problem="the line is not valid UTF-8")
    except (ValueError, RecursionError) as error:
        return Record(place, problem=f"the line is not valid JSON ({getattr(error, 'msg', type(error).__name__)})")


class _Items:
    """A reader of the top-level values of a JSON array, or of values one after another, that never holds them all."""

    def __init__(self, stream: BinaryIO, path: str, max_bytes: int) -> None:
        self._stream = stream
        self._path = path
        self._limit = max_bytes
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def records(self) -> Iterator[Record]:
        is_array = self._next_sign(" \t\r\n") == "["
        self._at += is_array
        number = 0
        while (sign := self._next_sign(" \t\r\n,")) and not (is_array and sign == "]"):
            number += 1
            place = f"item {number}"
            yield Record(place, self._value(place))
        if is_array and not sign:
            raise self._broken(f"item {number + 1}", "the file ends inside its array")

    def _next_sign(self, skipped: str) -> str:
        """Move on to the next character that is not in ``skipped`` and return it; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in skipped:
                    return self._text[self._at]
                self._at += 1
            if not self._grow():
                return ""

    def _value(self, place: str) -> Any:
        """The value that begins here; reads on for as long as it may only be cut off."""
        while True:
            try:
                value, end = self._parse(self._text, self._at)
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self._text) - _TAIL or error.msg.startswith("Unterminated")
                if not (is_cut and self._grow()):
                    raise self._broken(place, f"it is not valid JSON ({error.msg})") from error
            except (ValueError, RecursionError) as error:
                raise self._broken(place, f"it is not usable JSON ({type(error).__name__})") from error
            else:
                # A number that touches the end of the buffer may go on in the next chunk.
                if end < len(self._text) or self._text[end - 1] in '}]"' or not self._grow():
                    self._at = end
                    return value

    def _grow(self) -> bool:
        """Drop what is consumed and read about as much again as is left; False at the end of the file."""
        if self._ended:
            return False
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > self._limit:
            raise oversized(f"{self._path} (one record)", self._limit)
        chunk = self._stream.read(max(FIRST_CHUNK, len(self._text)))
        self._ended = not chunk
        try:
            self._text += self._decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise DocumentRejected(f"{self._path}: it is not valid UTF-8.", "Save it as UTF-8.") from error
        return True

    def _broken(self, place: str, problem: str) -> DocumentRejected:
        message = f"{self._path}: reading stopped at {place}: {problem}."
        return DocumentRejected(message, "Correct it there, or use JSON Lines, where one bad line costs only itself.")
