"""Opening a source: local paths go to the folder reader without fsspec, everything else to fsspec."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from errors import SettingsError
from sources.local import LocalReader
from sources.model import SourceSpec
from sources.reader import SourceReader, shown
from sources.remote import RemoteReader

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")


def open_source(spec: SourceSpec) -> SourceReader:
    """A reader of ``spec``; nothing is touched before it is listed or read. SettingsError for a url of no use."""
    if "::" in spec.url:
        remedy = "Give the url of the folder or bucket itself."
        raise SettingsError(f"Source {spec.name!r} has a chained url, which could lead out of it.", remedy)
    match = _SCHEME.match(spec.url)
    if match is None:
        if not spec.url.strip():
            raise SettingsError(f"Source {spec.name!r} has an empty url.", "Set it to a folder or a bucket.")
        return LocalReader(spec, spec.url)
    protocol = match[1].lower()
    if protocol not in ("file", "local"):
        return RemoteReader(spec, protocol)
    parts = urlsplit(spec.url)
    if parts.netloc not in ("", "localhost"):
        remedy = "Write it with three slashes: file:///path."
        raise SettingsError(f"Source {spec.name!r} has a file url with a host: {shown(spec.url)}.", remedy)
    return LocalReader(spec, unquote(parts.path))
