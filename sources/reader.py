"""The seam between a source and its storage, and the errors that every storage raises in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit, urlunsplit

from errors import DocumentRejected, DocumentUnreadable, SourceUnavailable
from sources.model import Item, Rejected, SourceSpec


class SourceReader(Protocol):
    """One source that can be listed and read. Paths are relative to its root, POSIX style."""

    @property
    def spec(self) -> SourceSpec:
        """The source that is read."""

    def list(self) -> Iterator[Item | Rejected]:
        """Every file, sorted by path. It is complete: what cannot be listed raises SourceUnavailable before the
        first item, so what is absent here is absent from the source."""

    def read(self, path: str) -> bytes:
        """All bytes of one file as of one moment; DocumentUnreadable or DocumentRejected if that cannot be had."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """The file as a stream, however large; DocumentUnreadable on leaving if it changed meanwhile."""


def shown(url: str) -> str:
    """``url`` without what may be secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://…"
    if not parts.scheme or not parts.netloc:
        return url if not parts.scheme else url.partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def unavailable(spec: SourceSpec, cause: str, remedy: str) -> SourceUnavailable:
    """The source as a whole did not answer."""
    return SourceUnavailable(f"Source {spec.name!r} at {shown(spec.url)} is unavailable: {cause}.", remedy)


def unreadable(path: str, cause: str) -> DocumentUnreadable:
    """One file could not be read this time."""
    return DocumentUnreadable(f"{path}: {cause}.", "It is read again in the next run; check that it stays readable.")


def oversized(path: str, max_bytes: int) -> DocumentRejected:
    """One file is over ``max_bytes``."""
    remedy = "Split it, or raise max_bytes of the source."
    return DocumentRejected(f"{path}: it has more than {max_bytes:,} bytes.", remedy)


def checked_parts(path: str) -> tuple[str, ...]:
    """The components of a relative path; DocumentRejected for one that is absolute or climbs."""
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DocumentRejected(f"{path!r} is not a path inside the source.", "Use a path as the listing gives it.")
    return parts


def is_storable(path: str) -> bool:
    """Whether ``path`` is Unicode text; file systems allow names that are not."""
    if path.isascii():
        return True
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unstorable(path: str) -> Rejected:
    """The rejection of a file whose name is not Unicode."""
    visible = path.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
    return Rejected(visible, f"{visible}: its name is not valid UTF-8.", "Rename it.", transient=False)
