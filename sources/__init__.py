"""Where documents come from: folders, object stores, record files and chat exports.

``open_source`` gives a reader that lists a source completely or raises ``SourceUnavailable``; ``read_documents`` turns
one listed file into documents and rejections. Nothing that is outside a source's root is read.
"""

from __future__ import annotations

from sources.documents import read_documents
from sources.listing import open_source
from sources.model import Item, RawDocument, Rejected, SourceSpec
from sources.reader import SourceReader, shown

__all__ = ["Item", "RawDocument", "Rejected", "SourceReader", "SourceSpec", "open_source", "read_documents", "shown"]
