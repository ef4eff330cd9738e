"""Reading the files of datasets: JSON and JSON Lines, packed by gzip or not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from errors import DocumentRejected, SettingsError

_PEEKED = 20_000
"""Characters that tell a format."""


def read_text(file: Path) -> str:
    """A file's text.

    Raises:
        SettingsError: it cannot be opened.
        DocumentRejected: it is not UTF-8, or its gzip data is damaged.
    """
    try:
        raw = file.read_bytes()
        return (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DocumentRejected(f"{file} cannot be read: {error}.", "Expected UTF-8 JSON, plain or gzipped.") from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.", "Name an existing file.") from None


def read_array(file: Path) -> list[Any]:
    """A JSON array with something in it; DocumentRejected otherwise."""
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise DocumentRejected(f"{file} is not JSON: {error}.", "Expected one JSON array.") from None
    if not isinstance(content, list) or not content:
        raise DocumentRejected(f"{file} is not a JSON array with something in it.", "Expected the authors' own file.")
    return content


def read_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers and values of a JSON Lines file; DocumentRejected at a line that is not JSON."""
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise DocumentRejected(f"{file}: line {number} is not JSON: {error}.", "Mend that line.") from None


def peek(path: Path) -> str:
    """The beginning of a file, to tell its format by; empty for a folder or what is not text."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            return stream.read(_PEEKED).decode("utf-8", errors="ignore")
    except (OSError, EOFError):
        return ""


def find_file(path: Path, signs: Sequence[str]) -> Path | None:
    """The file itself, or the first one of a folder, whose beginning holds all of ``signs``."""
    candidates = [path] if path.is_file() else sorted(item for item in path.iterdir() if item.is_file())
    for file in candidates:
        head = peek(file)
        if all(sign in head for sign in signs):
            return file
    return None


def required(path: Path, signs: Sequence[str], what: str) -> Path:
    """As :func:`find_file`.

    Raises:
        DocumentRejected: there is none, or the file that was named is damaged.
    """
    found = find_file(path, signs)
    if found is None:
        if path.is_file():
            read_text(path)  # says so where it is damaged
        raise DocumentRejected(f"{path} has no {what}.", f"Expected a file with {' and '.join(signs)} in it.")
    return found
