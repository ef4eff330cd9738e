"""HTML to Markdown. The conversion depends on the bytes only: pages nested too deeply for a recursive converter are
told by their depth, not by the stack that happens to be left."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from memory.parsing.dates import parse_date
from memory.parsing.model import Draft, one_line
from memory.parsing.text import decode

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

MAX_DEPTH = 100
"""The converter takes several stack frames a level; a page nested deeper is reduced to its plain text."""

_DROPPED = ["script", "style", "noscript", "template", "nav", "iframe", "svg", "object"]
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_\-]{3,20})""", re.IGNORECASE)
_TEXT_ENCODING = re.compile(
    r"utf-?8|utf-?16(le|be)?|iso-?8859-?\d+|windows-?\d+|cp\d+|latin-?\d|(us-)?ascii|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5|iso-2022-(jp|kr)|tis-620",
    re.IGNORECASE,
)
_AUTHORS = ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author", "parsely-author")
_DATES = (
    *("article:published_time", "og:published_time", "datepublished", "dc.date.issued", "dcterms.issued", "dc.date"),
    *("dcterms.created", "dcterms.date", "citation_publication_date", "pubdate", "publishdate", "publish-date", "date"),
)
_INLINE_IMAGE = re.compile(r"!\[([^\]]{0,1000})\]\(data:[^)\s]*(?:\s[^)]*)?\)")


def parse_html(data: bytes, path: str) -> Draft:
    """A web page as Markdown, without scripts, styles and navigation; metadata from title, meta tags and time."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(decode(data, path, _declared_encoding(data)), "html.parser")
    meta = _meta_tags(soup)
    title = one_line(soup.title.get_text()) if soup.title else None
    author = next((meta[name] for name in _AUTHORS if name in meta and "://" not in meta[name]), None)
    day = _date(soup, meta)
    for element in [*soup.find_all(_DROPPED), *soup.find_all(role="navigation")]:
        element.decompose()
    text = soup_to_markdown(soup)
    return Draft(text, "text/html", title or meta.get("og:title"), author, day)


def soup_to_markdown(soup: BeautifulSoup) -> str:
    """The body of ``soup`` as Markdown; plain text when it is empty or nested deeper than ``MAX_DEPTH``."""
    if not soup.get_text(strip=True) or _depth(soup) > MAX_DEPTH:
        return (soup.body or soup).get_text("\n", strip=True)
    from markitdown.converters import HtmlConverter

    return tidy(HtmlConverter().convert_string(str(soup), strict=True).markdown)


def tidy(markdown: str) -> str:
    """What every conversion leaves behind is taken away: embedded images, blanks at line ends, runs of empty lines."""
    lines = _INLINE_IMAGE.sub(r"\1", markdown).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _declared_encoding(data: bytes) -> str | None:
    match = _CHARSET.search(data[:4096])
    if match is None or not _TEXT_ENCODING.fullmatch(name := match[1].decode("ascii")):
        return None
    # Browsers read Latin-1 as its superset, and so must we: the quotes and dashes are in the difference.
    return "cp1252" if name.lower() in ("iso-8859-1", "latin1", "us-ascii", "ascii") else name


def _meta_tags(soup: BeautifulSoup) -> dict[str, str]:
    """Lower-case name to content of each meta tag; the first one of a name wins."""
    found: dict[str, str] = {}
    for tag in soup.find_all("meta"):
        name = tag.get("property") or tag.get("name") or tag.get("itemprop")
        if isinstance(name, str) and (content := one_line(tag.get("content"))):
            found.setdefault(name.lower(), content)
    return found


def _date(soup: BeautifulSoup, meta: dict[str, str]) -> date | None:
    stated = [meta[name] for name in _DATES if name in meta]
    times = [tag.get("datetime") for tag in soup.find_all("time", datetime=True, limit=1)]
    return next((day for value in (*stated, *times) if (day := parse_date(value))), None)


def _depth(soup: BeautifulSoup) -> int:
    deepest = 0
    stack: list[tuple[Tag, int]] = [(soup, 0)]
    while stack:
        element, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in element.find_all(True, recursive=False))
    return deepest
