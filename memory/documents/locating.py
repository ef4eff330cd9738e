"""Where the parts that a model named by their first and last words stand in a text.

Words are found exactly, but for white space, the kind of quotes and dashes, and the case of letters. Nothing is matched
to what is merely near. What is located lies in order, does not overlap, and begins before it ends; as many parts as
possible are kept, and what is not in the text is left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_QUOTES = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
}
_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u2e80", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\U00020000", "\U0003ffff"),
)
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""
_PLACES = 50
"""Places of one part's first words that are considered; a model that names a part by common words gets no more."""


@dataclass(frozen=True, slots=True)
class Ends:
    """A part as a model gives it."""

    first_words: str
    last_words: str


@dataclass(frozen=True, slots=True)
class LocatedPart:
    """Characters ``start`` to ``end`` (exclusive) of the text, for the part at ``place`` in the reply."""

    place: int
    start: int
    end: int


def locate_parts(text: str, parts: Sequence[Ends]) -> list[LocatedPart]:
    """The longest row of parts that can stand in the text in the order of the reply, without overlap.

    Of several places of a part the earliest is taken. It reaches to the first place of its last words, or where the
    part that follows in the reply is located, too, to the last place before that one begins. What the result lacks of
    ``parts`` is not in the text, or overlaps, or is out of order.
    """
    folded, origin = _folded(text)
    found: list[list[tuple[int, int]]] = []
    lasts: list[list[int]] = []
    for part in parts:
        first, last = _folded(part.first_words)[0].strip(), _folded(part.last_words)[0].strip()
        ends = [place + len(last) for place in _occurrences(folded, last)]
        lasts.append(ends)
        spans = []
        for start in _occurrences(folded, first)[:_PLACES]:
            at = bisect_left(ends, start + max(len(first), len(last)))
            if at < len(ends):
                spans.append((start, ends[at]))
        found.append(spans)
    chain = _longest_chain(found)
    located = []
    for number, (place, start, end) in enumerate(chain):
        following = chain[number + 1] if number + 1 < len(chain) else (len(parts), len(folded), len(folded))
        if following[0] == place + 1:
            end = max([end, *(last for last in lasts[place] if end < last <= following[1])])
        while _within_word(folded, end):  # the model cut a word short
            end += 1
        located.append(LocatedPart(place, origin[start], origin[end - 1] + 1))
    return located


def _longest_chain(found: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int, int]]:
    """The most spans (part, start, end), at most one a part, each ending before the next one, of a later part, begins.

    As in patience sorting, ``ends[n]`` is the least place at which a row of n spans can end.
    """
    ends, heads = [0], [-1]
    seen: list[tuple[int, int, int, int]] = []  # part, start, end, which one is before it in its row
    for part, spans in enumerate(found):
        rows: dict[int, tuple[int, int, int]] = {}
        for start, end in spans:
            length = bisect_right(ends, start)
            if length not in rows or end < rows[length][1]:
                rows[length] = start, end, heads[length - 1]
        for length, (start, end, before) in sorted(rows.items()):
            if length == len(ends):
                ends.append(end)
                heads.append(len(seen))
            elif end < ends[length]:
                ends[length], heads[length] = end, len(seen)
            seen.append((part, start, end, before))
    chain = []
    at = heads[-1]
    while at >= 0:
        part, start, end, at = seen[at]
        chain.append((part, start, end))
    return chain[::-1]


def _occurrences(folded: str, words: str) -> list[int]:
    """Where words begin, never within a word; nowhere for none."""
    found = []
    at = folded.find(words) if words else -1
    while at >= 0:
        if not _within_word(folded, at):
            found.append(at)
        at = folded.find(words, at + 1)
    return found


def _within_word(text: str, at: int) -> bool:
    """Whether a cut here would go through a word of a script that has spaces."""
    return 0 < at < len(text) and _spaced(text[at - 1]) and _spaced(text[at])


def _spaced(char: str) -> bool:
    return char.isalnum() and not any(first <= char <= last for first, last in _UNSPACED)


def _folded(text: str) -> tuple[str, list[int]]:
    """The text with single spaces, plain quotes and dashes, in lower case, and where each character came from."""
    out: list[str] = []
    origin: list[int] = []
    for at, char in enumerate(text):
        if char.isspace():
            if out and out[-1] == " ":
                continue
            folded = " "
        else:
            folded = _QUOTES.get(char) or char.lower()
        for piece in folded:
            out.append(piece)
            origin.append(at)
    return "".join(out), origin
