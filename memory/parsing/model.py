"""What the parsers take and give, and the one way in which they refuse a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

from errors import DocumentRejected

MAX_TITLE_CHARS = 300
"""A longer title is a paragraph that someone marked as a heading; it is cut."""


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Bounds of one document; going over any of them rejects it."""

    max_bytes: int = 50_000_000
    max_pages: int = 5_000
    max_chars: int = 10_000_000


@dataclass(frozen=True, slots=True)
class ParsedText:
    """The text of one document; every character offset of the lake refers to ``text`` exactly as it is here.

    ``date`` is what the document says of itself, never a file time. ``page_starts`` holds the offset of each PDF
    page in ``text``, in page order (a page without text starts where the next one does), and is empty otherwise.
    """

    text: str
    title: str
    author: str | None
    date: date | None
    media_type: str
    page_starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What one format's parser found, before the rules that all formats share are applied."""

    text: str
    media_type: str
    title: str | None = None
    author: str | None = None
    date: date | None = None
    page_starts: tuple[int, ...] = ()
    has_headings: bool = True


def rejected(path: str, problem: str, remedy: str) -> DocumentRejected:
    """The refusal of the document at ``path``, to be raised by the caller."""
    return DocumentRejected(f"{path}: {problem}.", remedy)


def too_long(path: str, limits: ParseLimits) -> DocumentRejected:
    """The refusal of a document whose text is over ``max_chars``."""
    return rejected(
        path, f"its text is longer than {limits.max_chars:,} characters", "Split it, or raise max_chars of the source."
    )


def one_line(value: object) -> str | None:
    """A metadata value as one clean line of at most ``MAX_TITLE_CHARS``; None when there is nothing in it."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    line = " ".join(normalise(str(value)).split())[:MAX_TITLE_CHARS].rstrip()
    return line or None


def readable_stem(path: str) -> str:
    """The file name of ``path`` without its extension, dashes and underscores read as spaces."""
    name = PurePosixPath(path).name
    return one_line(re.sub(r"[_\-]+", " ", PurePosixPath(name).stem)) or name or path


def normalise(text: str) -> str:
    r"""Line ends as ``\n``, no byte order mark, no NUL, and U+FFFD for lone surrogates, which no store can encode."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
