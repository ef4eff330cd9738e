"""PDF to text with the offset of each page, so that a span can be cited by page."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from memory.parsing.dates import parse_date
from memory.parsing.model import Draft, ParseLimits, normalise, one_line, rejected, too_long

if TYPE_CHECKING:
    from pypdf import PdfReader

_NO_TITLE = frozenset({"untitled", "untitled document", "no title", "title"})


def parse_pdf(data: bytes, path: str, limits: ParseLimits) -> Draft:
    """The text of each page in order; encrypted, scanned and overlong files are rejected."""
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise rejected(path, "the PDF is encrypted with a password", "Save a copy without the password.")
    pages = len(reader.pages)
    if pages > limits.max_pages:
        remedy = "Split it, or raise max_pages of the source."
        raise rejected(path, f"the PDF has {pages:,} pages, more than {limits.max_pages:,}", remedy)
    text, starts = _join((page.extract_text() for page in reader.pages), path, limits)
    if pages and not text.strip():
        raise rejected(path, "the PDF has pages but no text (a scan?)", "Run OCR on it, for example with ocrmypdf.")
    title, author, created = _metadata(reader)
    return Draft(text, "application/pdf", title, author, parse_date(created), starts, has_headings=False)


def _join(pages: Iterable[str], path: str, limits: ParseLimits) -> tuple[str, tuple[int, ...]]:
    """Pages separated by one empty line, and where each begins; stops as soon as the text is too long."""
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in pages:
        text = "\n".join(line.rstrip() for line in normalise(page).split("\n")).strip("\n")
        if text and length:
            parts.append("\n\n")
            length += 2
        starts.append(length)
        parts.append(text)
        length += len(text)
        if length > limits.max_chars:
            raise too_long(path, limits)
    return "".join(parts), tuple(starts)


def _metadata(reader: PdfReader) -> tuple[str | None, str | None, str | None]:
    """Title, author and creation date; damaged metadata does not spoil a readable text."""
    try:
        info = reader.metadata
        found = [info.get(key) if info else None for key in ("/Title", "/Author", "/CreationDate")]
        title, author, created = (one_line(str(value)) if value is not None else None for value in found)
    except Exception:  # pypdf leaks what the damage happens to break: KeyError, RecursionError, its own errors
        return None, None, None
    title = (title or "").removeprefix("Microsoft Word - ").strip() or None
    return (None if title and title.lower() in _NO_TITLE else title), author, created
