"""Bytes to text, Markdown front matter and headings. A wrong guess at an encoding corrupts a memory silently, so a
guess is taken only above a confidence bound, and otherwise the document is rejected."""

from __future__ import annotations

import codecs
import re
from typing import Any

from memory.parsing.dates import parse_date
from memory.parsing.detect import text_media_type
from memory.parsing.model import Draft, normalise, one_line, rejected

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_CANDIDATES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "euc_kr"),
]
"""Encodings that legacy documents are in. Offered all that Python knows, the detector prefers exotic look-alikes."""

_MULTI_BYTE = frozenset({"cp932", "euc_jp", "gb18030", "big5", "euc_kr"})
_NON_ASCII = bytes(range(128, 256))
_MAX_CHAOS = 0.15
_MIN_COHERENCE = 0.2
_MIN_MULTI_BYTES = 32
"""Multi-byte encodings have structure but no coherence score: so many bytes outside ASCII are evidence enough."""

_MAX_FRONT_MATTER = 64 * 1024
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)(?<=\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+")
_MAX_HEADING = 2_000
_UNICODE_REMEDY = "Save it as UTF-8."


def decode(data: bytes, path: str, declared: str | None = None) -> str:
    """``data`` as text: byte order mark, UTF-8, the ``declared`` encoding, then detection; or DocumentRejected."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding, path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = error
    else:
        return text if declared is None or not text.isascii() else _decode_declared(data, declared) or text
    if declared and (guess := _decode_declared(data, declared)) is not None:
        return guess
    if _is_damaged_utf8(data):
        raise rejected(path, f"it is UTF-8 but damaged at byte {problem.start}", "Restore it, or save it as UTF-8.")
    return _decode_detected(data, path)


def parse_plain(data: bytes, path: str) -> Draft:
    """Text, source code, configuration, tables and logs: the text as it is; ``#`` is a comment here, not a heading."""
    return Draft(decode(data, path), text_media_type(path), has_headings=False)


def parse_markdown(data: bytes, path: str) -> Draft:
    """Markdown, with well-formed YAML front matter taken off the text and into the metadata."""
    text = normalise(decode(data, path))
    fields, body = split_front_matter(text)
    authors = fields.get("author") or fields.get("authors")
    return Draft(
        text=body,
        media_type="text/markdown",
        title=one_line(fields.get("title")),
        author=_people(authors),
        date=parse_date(fields.get("date")),
    )


def split_front_matter(text: str) -> tuple[dict[Any, Any], str]:
    """The front matter's mapping and the text after it; malformed front matter stays in the text."""
    match = _FRONT_MATTER.match(text)
    if match is None or len(match[1]) > _MAX_FRONT_MATTER:
        return {}, text
    import yaml

    try:
        fields = yaml.safe_load(match[1])
    except Exception:  # PyYAML leaks ValueError, TypeError, RecursionError and others for malformed scalars
        return {}, text
    return (fields, text[match.end() :].lstrip("\n")) if isinstance(fields, dict) else ({}, text)


def first_heading(text: str) -> str | None:
    """The words of the first ``#`` heading outside code fences, without Markdown marks."""
    fence = ""
    for line in text.split("\n"):
        if match := _FENCE.match(line):
            fence = "" if fence and match[1].startswith(fence) else fence or match[1]
        elif not fence and (mark := _HEADING.match(line)) and (words := _unmarked(line[mark.end() :])):
            return words
    return None


def _unmarked(heading: str) -> str | None:
    heading = heading.strip()[:_MAX_HEADING]
    bare = heading.rstrip("#")
    if bare != bare.rstrip() or not bare:  # closing marks stand apart from the words; those of ``C#`` do not
        heading = bare
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return one_line(re.sub(r"[*`]|(?<!\w)_+|_+(?!\w)", "", heading))


def _people(value: object) -> str | None:
    """One name, or several as ``A, B``; entries may be mappings with a ``name``."""
    names = value if isinstance(value, list) else [value]
    found = (one_line(name.get("name") if isinstance(name, dict) else name) for name in names)
    return one_line(", ".join(name for name in found if name))


def _decode_marked(data: bytes, encoding: str, path: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"its byte order mark says {encoding.upper()} but byte {error.start} does not fit"
        raise rejected(path, problem, _UNICODE_REMEDY) from error


def _decode_declared(data: bytes, declared: str) -> str | None:
    try:
        return data.decode(declared)
    except (LookupError, UnicodeError):
        return None


def _is_damaged_utf8(data: bytes) -> bool:
    """Most multi-byte sequences are whole: guessing another encoding would garble all of them."""
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    whole = len(text) - len(text.encode("ascii", errors="ignore")) - damaged
    return whole > 4 * damaged


def _decode_detected(data: bytes, path: str) -> str:
    from charset_normalizer import from_bytes

    wide = len(data) - len(data.translate(None, _NON_ASCII))
    matches = from_bytes(data, cp_isolation=_CANDIDATES, enable_fallback=False)
    sure = [
        match
        for match in matches
        if match.chaos <= _MAX_CHAOS
        and (match.coherence >= _MIN_COHERENCE or (match.encoding in _MULTI_BYTE and wide >= _MIN_MULTI_BYTES))
    ]
    if not sure:
        raise rejected(path, "it is not UTF-8 and its encoding cannot be told with confidence", _UNICODE_REMEDY)
    best = min(sure, key=lambda match: (-round(match.coherence, 1), match.chaos, match.encoding != "cp1252"))
    return str(best)
