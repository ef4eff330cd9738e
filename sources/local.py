"""Local folders. Nothing outside the root is ever opened, whatever links lead there and whenever they are made:
listing resolves each link, and reading opens component by component without following any."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from errors import DocumentRejected, MemlakeError
from sources.filters import IGNORE_FILE, MAX_IGNORE_BYTES, PathFilter, is_debris
from sources.model import Item, Rejected, SourceSpec
from sources.reader import checked_parts, is_storable, oversized, unavailable, unreadable, unstorable

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FOLDER_FLAGS = _FLAGS | getattr(os, "O_DIRECTORY", 0)
_STEPWISE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


class LocalReader:
    """A folder, or one file, on this machine's file systems."""

    def __init__(self, spec: SourceSpec, root: str) -> None:
        self.spec = spec
        self._given = os.path.expanduser(root)

    def list(self) -> Iterator[Item | Rejected]:
        """Every wanted file, sorted by path; links that leave the root, dangling links and devices are rejected."""
        root, only = self._root()
        if only is not None:
            yield self._entry(only, os.path.join(root, only))
            return
        before = os.stat(root)
        found = list(self._walk(root, PathFilter(self.spec, self._ignore_lines(root))))
        if self._root()[0] != root or not os.path.samestat(before, os.stat(root)):
            remedy = "Run again once it is mounted and in place; nothing was deleted."
            raise unavailable(self.spec, "its folder was replaced while it was listed", remedy)
        found.sort(key=lambda item: item.path)
        yield from found

    def read(self, path: str) -> bytes:
        """All bytes, at most ``max_bytes``, read without a change in between."""
        limit = self.spec.max_bytes
        with self.open(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limit:
                raise oversized(path, limit)
            data = stream.read(size + 1)
        if len(data) != size:
            raise unreadable(path, "it changed while it was being read")
        return data

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The file as a stream; raises DocumentUnreadable on leaving if it was changed meanwhile."""
        try:
            with os.fdopen(self._descriptor(path), "rb") as stream:
                before = os.fstat(stream.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise unreadable(path, "it is not a regular file any more")
                yield stream
                if _fingerprint(os.fstat(stream.fileno())) != _fingerprint(before):
                    raise unreadable(path, "it changed while it was being read")
        except FileNotFoundError as error:
            raise unreadable(path, "it disappeared after it was listed") from error
        except OSError as error:
            raise unreadable(path, f"it could not be read ({error.strerror or type(error).__name__})") from error

    def _root(self) -> tuple[str, str | None]:
        """The real folder, and the file's name when the source is a single file."""
        try:
            root = os.path.realpath(self._given, strict=True)
            if stat.S_ISDIR(os.stat(root).st_mode):
                return root, None
        except OSError as error:
            cause = "there is no such folder" if isinstance(error, FileNotFoundError) else str(error.strerror)
            remedy = "Mount or create it, or correct the url of the source; nothing was deleted."
            raise unavailable(self.spec, cause, remedy) from error
        return os.path.dirname(root), os.path.basename(root)

    def _walk(self, root: str, wanted: PathFilter) -> Iterator[Item | Rejected]:
        """Depth first without recursion. A linked folder is not entered: it is listed under its real path."""
        folders = [("", root)]
        while folders:
            prefix, folder = folders.pop()
            for entry in self._scan(folder, prefix):
                if is_debris(entry.name):
                    continue
                path = prefix + entry.name
                if not is_storable(entry.name):
                    yield unstorable(path)
                elif entry.is_dir(follow_symlinks=False):
                    if not wanted.prunes(path):
                        folders.append((path + "/", entry.path))
                elif wanted.wants(path) and (found := self._listed(entry, path, root)):
                    yield found

    def _scan(self, folder: str, prefix: str) -> tuple[os.DirEntry[str], ...]:
        """A folder that cannot be listed makes the listing incomplete, so it makes the source unavailable."""
        try:
            with os.scandir(folder) as entries:
                return (*entries,)
        except (FileNotFoundError, NotADirectoryError) as error:
            if prefix:
                return ()
            raise unavailable(self.spec, "its folder disappeared", "Mount or create it.") from error
        except OSError as error:
            remedy = f"Give read permission, or exclude it in {IGNORE_FILE}; nothing was deleted."
            cause = f"its folder {prefix or '.'} cannot be listed ({error.strerror})"
            raise unavailable(self.spec, cause, remedy) from error

    def _listed(self, entry: os.DirEntry[str], path: str, root: str) -> Item | Rejected | None:
        """What a wanted entry that is not a folder comes to; None if it vanished or is a link to a folder inside."""
        if entry.is_symlink():
            return self._linked(path, root, entry.path)
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Rejected.of(path, unreadable(path, f"it cannot be examined ({error.strerror})"))
        return _item(path, status)

    def _linked(self, path: str, root: str, full: str) -> Item | Rejected | None:
        try:
            real = os.path.realpath(full, strict=True)
            status = os.stat(real)
        except OSError:
            return Rejected(path, f"{path}: it is a broken link.", "Correct or remove the link.", transient=False)
        if not _inside(real, root):
            return Rejected(path, *_outside(path), transient=False)
        return None if stat.S_ISDIR(status.st_mode) else _item(path, status)

    def _entry(self, path: str, full: str) -> Item | Rejected:
        try:
            return _item(path, os.stat(full))
        except OSError as error:
            raise unavailable(self.spec, f"its file cannot be examined ({error.strerror})", "Check it.") from error

    def _ignore_lines(self, root: str) -> Sequence[str]:
        try:
            if not os.path.lexists(os.path.join(root, IGNORE_FILE)):
                return ()
            with self.open(IGNORE_FILE) as stream:
                return stream.read(MAX_IGNORE_BYTES).decode("utf-8-sig", errors="replace").splitlines()
        except MemlakeError as error:
            remedy = f"Make {IGNORE_FILE} a readable file inside the source."
            raise unavailable(self.spec, f"its {IGNORE_FILE} cannot be read", remedy) from error

    def _descriptor(self, path: str) -> int:
        """Open ``path`` below the root. Links inside are resolved first; the way to the result has none."""
        checked_parts(path)
        root, _ = self._root()
        real = os.path.realpath(os.path.join(root, path), strict=True)
        if not _inside(real, root):
            raise DocumentRejected(*_outside(path))
        if not _STEPWISE:
            return os.open(real, _FLAGS | _BINARY)
        return _open_stepwise(root, Path(real).relative_to(root).parts or (os.curdir,))


def _open_stepwise(root: str, parts: tuple[str, ...]) -> int:
    """Open each component relative to the one before, so that swapping one for a link cannot lead astray."""
    folder = os.open(root, _FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(parts[-1], _FLAGS, dir_fd=folder)
    finally:
        os.close(folder)


def _inside(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _outside(path: str) -> tuple[str, str]:
    return f"{path}: it is a link out of the source.", "Copy the target into the source, or add its folder as a source."


def _item(path: str, status: os.stat_result) -> Item | Rejected:
    if not stat.S_ISREG(status.st_mode):
        return Rejected(path, f"{path}: it is not a regular file.", "Remove or exclude it.", transient=False)
    return Item(path, status.st_size, _fingerprint(status))


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}-{status.st_ctime_ns:x}"
