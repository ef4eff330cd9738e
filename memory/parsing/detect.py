"""Which parser a document goes to: its extension, checked against its first bytes; the bytes win."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePosixPath


class Kind(Enum):
    """The formats that are told apart; the value is the media type (for text, that of plain text)."""

    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    HTML = "text/html"
    PDF = "application/pdf"
    ZIP = "application/zip"
    """Any ZIP container; the office parser looks inside for what it is."""
    OLE = "application/x-ole-storage"
    """A legacy or a password-protected Office file."""
    RTF = "application/rtf"
    BINARY = "application/octet-stream"


_BY_EXTENSION = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), Kind.MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), Kind.HTML),
    **dict.fromkeys((".docx", ".pptx", ".xlsx", ".epub"), Kind.ZIP),
    **dict.fromkeys((".doc", ".ppt", ".xls"), Kind.OLE),
    ".pdf": Kind.PDF,
}

_TEXT_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
}

_MAGIC = (
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind.OLE),
    (b"{\\rtf", Kind.RTF),
    (b"\x89PNG\r\n", Kind.BINARY),
    (b"\xff\xd8\xff", Kind.BINARY),
    (b"GIF87a", Kind.BINARY),
    (b"GIF89a", Kind.BINARY),
    (b"\x1f\x8b\x08", Kind.BINARY),
    (b"\x7fELF", Kind.BINARY),
    (b"7z\xbc\xaf\x27\x1c", Kind.BINARY),
    (b"Rar!\x1a\x07", Kind.BINARY),
    (b"\xfd7zXZ\0", Kind.BINARY),
    (b"BZh91AY&SY", Kind.BINARY),
    (b"\x28\xb5\x2f\xfd", Kind.BINARY),
    (b"\xca\xfe\xba\xbe", Kind.BINARY),
    (b"\0asm", Kind.BINARY),
    (b"OggS\0", Kind.BINARY),
    (b"fLaC\0", Kind.BINARY),
    (b"ID3\x03", Kind.BINARY),
    (b"ID3\x04", Kind.BINARY),
    (b"PAR1\x15", Kind.BINARY),
    (b"SQLite format 3\0", Kind.BINARY),
)

_TEXT_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
_SAMPLE = 64 * 1024
_MAX_CONTROL_SHARE = 0.02


def extension(path: str) -> str:
    """The lower-case extension of ``path`` with its dot, or an empty string."""
    return PurePosixPath(path).suffix.lower()


def detect(data: bytes, path: str) -> Kind:
    """The format of ``data``. A wrong extension is corrected where the bytes are unmistakable."""
    if data[:_SAMPLE].lstrip()[:5] == b"%PDF-":
        return Kind.PDF
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    named = _BY_EXTENSION.get(extension(path), Kind.TEXT)
    if named in (Kind.PDF, Kind.ZIP):
        return named
    if _is_binary(data):
        return Kind.BINARY
    if not extension(path) and data[:_SAMPLE].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return Kind.HTML
    return Kind.TEXT if named is Kind.OLE else named


def text_media_type(path: str) -> str:
    """The media type of a text file by its extension; a fixed table, since the system's differs between machines."""
    return _TEXT_MEDIA_TYPES.get(extension(path), Kind.TEXT.value)


def _is_binary(data: bytes) -> bool:
    """Control characters that no text has, in more than a stray number; UTF-16 with its mark is text."""
    if data.startswith(_TEXT_MARKS):
        return False
    sample = data[:_SAMPLE]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > _MAX_CONTROL_SHARE * len(sample)
