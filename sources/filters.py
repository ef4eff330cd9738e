"""Which paths of a source are wanted: one engine for local folders and object stores, with gitignore's syntax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from errors import SettingsError
from sources.model import SourceSpec

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".memlakeignore"
MAX_IGNORE_BYTES = 1_000_000
_EVERYTHING = frozenset({"*", "**", "**/*", "/**"})
_DEBRIS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"})


def is_debris(name: str) -> bool:
    """Whether one path component is hidden or left behind by an editor or an operating system."""
    return name[0] == "." or name[-1] == "~" or name[:2] == "~$" or name.lower() in _DEBRIS


class PathFilter:
    """The include, exclude and ignore patterns of one source; asks nothing of a file but its relative path."""

    def __init__(self, spec: SourceSpec, ignore_lines: Iterable[str] = ()) -> None:
        everything = not spec.include or not _EVERYTHING.isdisjoint(spec.include)
        self._include = None if everything else _compile(spec, spec.include)
        self._ignore = _compile(spec, (*ignore_lines, *spec.exclude))

    def prunes(self, folder: str) -> bool:
        """Whether nothing below ``folder`` (without a slash at its end) can be wanted."""
        return self._ignore is not None and self._ignore.match_file(folder + "/")

    def wants(self, path: str) -> bool:
        """Whether the file at ``path`` is included and not ignored."""
        if self._include is not None and not self._include.match_file(path):
            return False
        return self._ignore is None or not self._ignore.match_file(path)


def _compile(spec: SourceSpec, lines: Iterable[str]) -> GitIgnoreSpec | None:
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        message = f"Source {spec.name!r} has an invalid pattern: {error}."
        raise SettingsError(message, f"Correct it in include, exclude or {IGNORE_FILE} (gitignore syntax).") from error
