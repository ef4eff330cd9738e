"""Object stores and every other file system that fsspec knows. An answer that is not a complete listing is an error,
never a shorter listing: a missing bucket or prefix must not look like an empty one."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from errors import MemlakeError, MissingExtra, SettingsError, SourceUnavailable
from sources.filters import IGNORE_FILE, MAX_IGNORE_BYTES, PathFilter, is_debris
from sources.model import Item, Rejected, SourceSpec
from sources.reader import checked_parts, is_storable, oversized, unavailable, unreadable, unstorable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECT_SECONDS = 5
READ_SECONDS = 20
ATTEMPTS = 2
STREAM_BLOCK_BYTES = 8 * 1024 * 1024

_S3 = frozenset({"s3", "s3a"})
_VERSIONS = ("VersionId", "version_id", "ETag", "etag", "e_tag", "md5Hash", "content_md5", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "timeModified", "created")


class RemoteReader:
    """A prefix of an fsspec file system. Connecting is put off until something is asked of it."""

    def __init__(self, spec: SourceSpec, protocol: str) -> None:
        self.spec = spec
        self._protocol = protocol
        self._connected: tuple[AbstractFileSystem, str] | None = None

    def list(self) -> Iterator[Item | Rejected]:
        """Every wanted object, sorted by path."""
        try:
            objects = self._objects()
        except MemlakeError:
            raise
        except Exception as error:  # each file system has its own exceptions
            raise self._explained(error) from None
        wanted = PathFilter(self.spec, self._ignore_lines(objects))
        found = (_item(path, info) for path, info in objects.items() if _is_listed(path, wanted))
        yield from sorted(found, key=lambda item: item.path)

    def read(self, path: str) -> bytes:
        """All bytes, at most ``max_bytes``, of one version of the object."""
        limit = self.spec.max_bytes
        with self.open(path) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise oversized(path, limit)
        return data

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The object as a stream that reads ahead in bounded blocks."""
        checked_parts(path)
        file_system, root = self._connect()
        full = f"{root}/{path}" if self._is_below(file_system, root, path) else root
        try:
            with file_system.open(full, "rb", block_size=STREAM_BLOCK_BYTES) as raw:
                # fsspec's own readline reads on to the end of the line however far that is.
                yield cast(BinaryIO, io.BufferedReader(raw))
        except MemlakeError:
            raise
        except FileNotFoundError:
            raise unreadable(path, "it disappeared after it was listed") from None
        except PermissionError:
            raise unreadable(path, "access to it is denied") from None
        except _read_errors(self._protocol) as error:
            raise unreadable(path, f"it could not be read ({type(error).__name__})") from None

    def _connect(self) -> tuple[AbstractFileSystem, str]:
        if self._connected is None:
            self._connected = self._open_file_system()
        return self._connected

    def _open_file_system(self) -> tuple[AbstractFileSystem, str]:
        options = _with_timeouts(self._protocol, self.spec.storage_options)
        try:
            from fsspec.core import url_to_fs

            file_system, root = url_to_fs(self.spec.url, skip_instance_cache=True, use_listings_cache=False, **options)
        except ImportError as error:
            if self._protocol in _S3:
                raise MissingExtra("reading s3:// sources", "s3") from error
            remedy = f"Install the fsspec package for {self._protocol}://."
            raise SettingsError(f"Source {self.spec.name!r} needs a package that is missing.", remedy) from error
        except (ValueError, TypeError, KeyError) as error:
            remedy = "Correct the url or the storage_options of the source."
            problem = f"Source {self.spec.name!r} has a url or storage_options that {self._protocol}:// does not know"
            raise SettingsError(f"{problem} ({type(error).__name__}).", remedy) from None
        except Exception as error:  # some file systems connect in their constructor
            raise self._explained(error) from None
        if self._protocol in _S3:
            file_system.retries = 1  # botocore retries by itself; s3fs would multiply that by five
        return file_system, root.rstrip("/")

    def _objects(self) -> dict[str, Mapping[str, Any]]:
        """Relative path to fsspec's info of every file below the root; raises whatever the file system raises."""
        file_system, root = self._connect()
        if self._protocol in _S3:
            infos = file_system.find(root, detail=True)
        else:
            infos = {}
            for _, _, files in file_system.walk(root, detail=True, on_error="raise"):
                infos.update({info["name"]: info for info in files.values()})
            infos = infos or _single(file_system, root)
        if not infos and not file_system.exists(root):
            raise FileNotFoundError(root)
        found = {}
        for name, info in infos.items():
            if name.endswith("/") or info.get("type") == "directory":
                continue
            if name == root:
                found[name.rpartition("/")[2]] = info
            elif name.startswith(root + "/"):
                found[name[len(root) + 1 :]] = info
        return found

    def _is_below(self, file_system: AbstractFileSystem, root: str, path: str) -> bool:
        """Whether ``path`` is below the root rather than the root itself, which may be one file."""
        return not (root.rpartition("/")[2] == path and file_system.isfile(root))

    def _ignore_lines(self, objects: Mapping[str, object]) -> Sequence[str]:
        if IGNORE_FILE not in objects:
            return ()
        try:
            with self.open(IGNORE_FILE) as stream:
                return stream.read(MAX_IGNORE_BYTES).decode("utf-8-sig", errors="replace").splitlines()
        except MemlakeError as error:
            raise unavailable(self.spec, f"its {IGNORE_FILE} cannot be read", "Make it readable.") from error

    def _explained(self, error: Exception) -> SourceUnavailable:
        """Messages of libraries may quote credentials, so only the kind of error is passed on."""
        if isinstance(error, FileNotFoundError):
            remedy = "Create it (an empty marker object will do), or correct the url; nothing was deleted."
            return unavailable(self.spec, "there is no such bucket, or nothing in it has this prefix", remedy)
        if isinstance(error, PermissionError):
            return unavailable(self.spec, "access is denied", "Check the credentials and the permission to list.")
        if "Credentials" in type(error).__name__:
            remedy = "Set them in the environment, or storage_options.anon = true for a public bucket."
            return unavailable(self.spec, "no credentials were found", remedy)
        remedy = "Check the endpoint, the network and the credentials; the next run tries again."
        return unavailable(self.spec, f"it did not answer ({type(error).__name__})", remedy)


def _with_timeouts(protocol: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The storage options with bounded waiting where the protocol has settings for it; the user's win."""
    if protocol not in _S3:
        return dict(options)
    bounds = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
    }
    return {**options, "config_kwargs": {**bounds, **options.get("config_kwargs", {})}}


def _read_errors(protocol: str) -> tuple[type[Exception], ...]:
    """What a file system raises when it cannot be read from, as far as that is no OSError."""
    if protocol not in _S3:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return OSError, BotoCoreError, ClientError


def _single(file_system: AbstractFileSystem, root: str) -> dict[str, Any]:
    return {root: file_system.info(root)} if file_system.isfile(root) else {}


def _is_listed(path: str, wanted: PathFilter) -> bool:
    parts = path.split("/")
    if any(part and is_debris(part) and part not in (".", "..") for part in parts):
        return False
    folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return wanted.wants(path) and not any(wanted.prunes(folder) for folder in folders)


def _item(path: str, info: Mapping[str, Any]) -> Item | Rejected:
    if not is_storable(path):
        return unstorable(path)
    try:
        checked_parts(path)
    except MemlakeError as error:
        return Rejected.of(path, error)
    if info.get("type") != "file":
        return Rejected(path, f"{path}: it is a link or a device.", "Remove or exclude it.", transient=False)
    size = int(info.get("size") or 0)
    return Item(path, size, f"{size:x}-{_version(info)}")


def _version(info: Mapping[str, Any]) -> str:
    """What tells versions apart; of a file system that tells nothing, every listing is a new version."""
    known = [str(info[key]).strip('"') for key in (*_VERSIONS, *_TIMES) if info.get(key) is not None]
    return "-".join(known) or f"unknown-{time.time_ns():x}"
