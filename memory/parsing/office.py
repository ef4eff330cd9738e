"""Office files and books: ZIP containers of XML. A container is measured and searched for XML entities before any
library opens it, so neither a ZIP bomb nor an entity bomb gets further than here."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from memory.parsing.dates import parse_date
from memory.parsing.html import tidy
from memory.parsing.model import Draft, ParseLimits, one_line, rejected

if TYPE_CHECKING:
    from markitdown import DocumentConverter

MAX_EXPANSION = 20
"""A container may unpack to so many times ``max_bytes``; images do not compress, so honest files stay far below."""

MAX_MARKUP_BYTES = 64_000_000
"""Parsing takes many times the size of the markup in memory; a thousand-page report has about a tenth of this."""

MAX_MEMBERS = 10_000
_MARKUP = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")
_ENTITY = tuple("<!ENTITY".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
_OOXML = "application/vnd.openxmlformats-officedocument."
_FORMATS = {
    "word/document.xml": (".docx", f"{_OOXML}wordprocessingml.document"),
    "ppt/presentation.xml": (".pptx", f"{_OOXML}presentationml.presentation"),
    "xl/workbook.xml": (".xlsx", f"{_OOXML}spreadsheetml.sheet"),
    "META-INF/container.xml": (".epub", "application/epub+zip"),
}


def parse_office(data: bytes, path: str, limits: ParseLimits) -> Draft:
    """A DOCX, PPTX, XLSX or EPUB as Markdown, with the title, author and date of its core properties."""
    try:
        archive = ZipFile(BytesIO(data))
    except BadZipFile as error:
        raise rejected(path, "the file is not a whole ZIP container", "Save it again in its application.") from error
    with archive:
        _guard(archive, path, limits)
        found = next((_FORMATS[name] for name in _FORMATS if name in archive.namelist()), None)
        if found is None:
            raise rejected(path, "it is a ZIP archive, not a document", "Unpack it into the source, or exclude it.")
        suffix, media_type = found
        properties = _properties(archive)
    markdown = tidy(_convert(data, path, suffix))
    return Draft(
        text=markdown,
        media_type=media_type,
        title=one_line(properties.get("title")),
        author=one_line(properties.get("creator")),
        date=parse_date(properties.get("created") or properties.get("date")),
    )


def reject_ole(data: bytes, path: str) -> Draft:
    """Refuse a legacy or a password-protected Office file; both come in the same container."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise rejected(path, "the Office file is encrypted with a password", "Save a copy without the password.")
    raise rejected(path, "it is in a legacy Office format", "Save it as DOCX, PPTX, XLSX or PDF.")


def _guard(archive: ZipFile, path: str, limits: ParseLimits) -> None:
    """Reject by the declared sizes, which ``zipfile`` never reads beyond, and by entity declarations."""
    members = archive.infolist()
    markup = [member for member in members if member.filename.lower().endswith(_MARKUP)]
    if any(member.flag_bits & 0x1 for member in members):
        raise rejected(path, "the file is encrypted with a password", "Save a copy without the password.")
    if (
        len(members) > MAX_MEMBERS
        or sum(member.file_size for member in members) > MAX_EXPANSION * limits.max_bytes
        or sum(member.file_size for member in markup) > MAX_MARKUP_BYTES
    ):
        raise rejected(path, "it unpacks to far more than a document needs (a ZIP bomb?)", "Remove or split it.")
    for member in markup:
        content = archive.read(member)
        if any(mark in content for mark in _ENTITY):
            raise rejected(path, "its XML declares entities, which no document needs", "Save it again, or remove it.")


def _properties(archive: ZipFile) -> dict[str, str]:
    """The first title, creator, created and date of the core properties (OOXML) or the package (EPUB)."""
    from lxml import etree

    names = archive.namelist()
    name = next((name for name in names if name == "docProps/core.xml" or name.endswith(".opf")), None)
    if name is None:
        return {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    root = etree.fromstring(archive.read(name), parser)
    found: dict[str, str] = {}
    for element in root.iter("{*}title", "{*}creator", "{*}created", "{*}date") if root is not None else ():
        if element.text and element.text.strip():
            found.setdefault(etree.QName(element).localname, element.text)
    return found


def _convert(data: bytes, path: str, suffix: str) -> str:
    """Markdown from the one converter for ``suffix``; MarkItDown itself would start a model to detect the type."""
    from markitdown import MissingDependencyException, StreamInfo, converters

    makers: dict[str, Callable[[], DocumentConverter]] = {
        ".docx": converters.DocxConverter,
        ".pptx": converters.PptxConverter,
        ".xlsx": converters.XlsxConverter,
        ".epub": converters.EpubConverter,
    }
    try:
        return makers[suffix]().convert(BytesIO(data), StreamInfo(extension=suffix), strict=True).markdown
    except MissingDependencyException as error:
        remedy = "Install it with: pip install 'memlake[office]'"
        raise rejected(path, f"reading {suffix} files needs an optional package", remedy) from error
