"""Bytes of a document to its text and metadata.

``parse`` is a pure function: the same bytes and path give the same :class:`ParsedText`. The text is normalised here
once (line ends, byte order mark, NUL, lone surrogates; otherwise as found), and every later character offset refers
to it. Whatever is wrong with a document raises ``DocumentRejected`` with its path and a remedy, and nothing else
leaves this package.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from errors import MemlakeError
from memory.parsing.dates import parse_date
from memory.parsing.detect import Kind, detect
from memory.parsing.html import parse_html
from memory.parsing.model import Draft, ParsedText, ParseLimits, normalise, one_line, readable_stem, rejected, too_long
from memory.parsing.office import parse_office, reject_ole
from memory.parsing.pdf import parse_pdf
from memory.parsing.text import first_heading, parse_markdown, parse_plain

__all__ = ["ParseLimits", "ParsedText", "normalise", "one_line", "parse", "parse_date", "readable_stem"]

_NOISY_LOGGERS = ("pypdf", "bs4", "mammoth", "charset_normalizer")


def parse(data: bytes, path: str, limits: ParseLimits) -> ParsedText:
    """The text and metadata of the document ``data`` at ``path`` (which names it and gives its extension)."""
    if len(data) > limits.max_bytes:
        problem = f"it has {len(data):,} bytes, more than {limits.max_bytes:,}"
        raise rejected(path, problem, "Split it, or raise max_bytes of the source.")
    kind = detect(data, path)
    try:
        with _silence():
            draft = _parse(kind, data, path, limits)
            return _finish(draft, path, limits)
    except MemlakeError:
        raise
    except Exception as error:  # the boundary: libraries raise anything on malformed input
        problem = f"it is malformed or damaged as {kind.value} ({type(error).__name__})"
        raise rejected(path, problem, "Open and save it again in its application, or remove it.") from error


def _parse(kind: Kind, data: bytes, path: str, limits: ParseLimits) -> Draft:
    match kind:
        case Kind.MARKDOWN:
            return parse_markdown(data, path)
        case Kind.TEXT:
            return parse_plain(data, path)
        case Kind.HTML:
            return parse_html(data, path)
        case Kind.PDF:
            return parse_pdf(data, path, limits)
        case Kind.ZIP:
            return parse_office(data, path, limits)
        case Kind.OLE:
            return reject_ole(data, path)
        case Kind.RTF:
            raise rejected(path, "it is in Rich Text Format", "Save it as DOCX, PDF or plain text.")
        case Kind.BINARY:
            raise rejected(path, "it is binary, not a document", "Exclude it, or convert it to text.")


def _finish(draft: Draft, path: str, limits: ParseLimits) -> ParsedText:
    """The rules that all formats share: normal text, neither empty nor too long, and a title in any case."""
    text = normalise(draft.text)
    if not text.strip():
        raise rejected(path, "it has no text", "Put text into it, or remove it.")
    if len(text) > limits.max_chars:
        raise too_long(path, limits)
    title = draft.title or (first_heading(text) if draft.has_headings else None) or readable_stem(path)
    return ParsedText(text, title, draft.author, draft.date, draft.media_type, draft.page_starts)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep libraries from warning and logging about documents: what matters is in the result or the refusal."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
