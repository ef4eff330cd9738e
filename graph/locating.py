"""Where in a passage something stands that a model wrote: exactly, in another spelling, or within a stated bound.

Nothing is ever matched to the nearest string whatever the distance: what is not found within the bounds is kept out.
A span is always of whole words, and the text that it covers, not the model's spelling, is what gets a key.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from graph.mentions import Mention, extract_mentions
from graph.normalise import normalise
from graph.triples import Triple
from graph.units import ITEM, LABELLED, sentences, units

CODE_VERSION = "1"

_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
"""The joiner and the variation selectors, which belong to the emoji before them."""

EXACT, FOLDED, FUZZY, WORDS = "exact", "folded", "fuzzy", "words"

MIN_SIMILARITY = 0.9
"""Of a whole window of as many words: 1 − edits / lengths, as rapidfuzz's ratio."""
MIN_WORD_SIMILARITY = 0.85
"""Of each word of that window against its counterpart; a word with a digit must be equal."""
MIN_FUZZY_LENGTH = 6
MAX_WINDOW = 2
"""A window that has all content words of a surface, in any order, may have this many times its words."""
_FUNCTION_WORDS = frozenset(
    "a an and are as at by for from his her in is its of on or the their to was were with".split()
)


@dataclass(frozen=True, slots=True)
class Located:
    """A span of the text, or of the title; `score` is 1 for an exact or a folded match."""

    start: int
    end: int
    in_title: bool
    score: float
    method: str


@dataclass(frozen=True, slots=True)
class LocatedReply:
    """A model's reply, as spans: what could not be located is left out and counted."""

    mentions: tuple[Mention, ...]
    title_mentions: tuple[Mention, ...]
    triples: tuple[Triple, ...]
    unlocated_entities: int
    unlocated_triples: int


@dataclass(frozen=True, slots=True)
class _Folded:
    """A text in one spelling: its words joined by single spaces, one at each end; where each character came from."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    words: tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _folded(text: str) -> _Folded:
    """Compatibility forms, case, diacritics of Latin letters, punctuation and white space are folded away."""
    out: list[str] = [" "]
    starts, ends = [-1], [0]
    latin = False
    for at, char in enumerate(text):
        if char.isascii():
            pieces, latin = (char.lower() if char.isalnum() else " "), char.isalpha()
        elif unicodedata.combining(char):
            if out[-1] == " ":
                continue
            ends[-1] = at + 1
            if latin:
                continue
            pieces = char
        else:
            pieces = "".join(_fold_char(char))
            latin = unicodedata.normalize("NFD", char)[0] < "\u0250" or "\u1e00" <= char <= "\u1eff"
        for piece in pieces:
            if piece == " " and out[-1] == " ":
                continue
            out.append(piece)
            starts.append(at)
            ends.append(at + 1)
    if out[-1] != " ":
        out.append(" ")
        starts.append(len(text))
        ends.append(len(text))
    folded = "".join(out)
    words = tuple(match.span() for match in re.finditer(r"[^ ]+", folded))
    return _Folded(folded, tuple(starts), tuple(ends), words)


@lru_cache(maxsize=8192)
def _fold_char(char: str) -> str:
    """What one character beyond ASCII folds to: letters and digits, or a space."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", char).casefold())
    if plain and ord(plain[0]) < 0x250:
        plain = "".join(part for part in plain if not unicodedata.combining(part))
    return "".join(part if part.isalnum() or unicodedata.combining(part) else " " for part in plain)


def _unspaced(char: str) -> bool:
    """Whether a character's script writes no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese."""
    return (
        "\u0e00" <= char <= "\u0eff"
        or "\u1000" <= char <= "\u109f"
        or "\u1780" <= char <= "\u17ff"
        or "\u2e80" <= char <= "\u9fff"
        or "\uf900" <= char <= "\ufaff"
        or "\U00020000" <= char <= "\U0003ffff"
    )


def _splits_a_word(text: str, at: int) -> bool:
    """Whether a cut here would go through a word, or between a letter and what is combined with it."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if unicodedata.combining(after) or after in _JOINERS or (before == "\u200d" and not after.isspace()):
        return True
    return _wordlike(before) and _wordlike(after) and not (_unspaced(before) or _unspaced(after))


def _wordlike(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.combining(char) > 0


def occurrences(surface: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Spans of whole words that are the surface, and how: all exact ones, then those in another spelling."""
    surface = surface.strip()
    if not surface:
        return
    exact = []
    at = text.find(surface)
    while at >= 0:
        end = at + len(surface)
        if not _splits_a_word(text, at) and not _splits_a_word(text, end):
            exact.append((at, end))
            yield at, end, EXACT
            at = text.find(surface, end)
        else:
            at = text.find(surface, at + 1)
    needle = _folded(surface).text.strip()
    if not needle:
        return
    hay = _folded(text)
    at = hay.text.find(needle)
    while at >= 0:
        last = at + len(needle) - 1
        start, end = hay.starts[at], hay.ends[last]
        whole = (at == 0 or hay.starts[at - 1] != start) and (last + 1 == len(hay.text) or hay.starts[last + 1] >= end)
        at = hay.text.find(needle, at + 1)
        if not whole or _splits_a_word(text, start) or _splits_a_word(text, end):
            continue
        if all(end <= a or b <= start for a, b in exact):
            exact.append((start, end))
            yield start, end, FOLDED


def _fuzzy(surface: str, text: str) -> Iterator[tuple[int, int, float]]:
    """Windows of as many words as the surface has, alike as a whole and word by word, with the same numbers."""
    needle, hay = _folded(surface), _folded(text)
    wanted = needle.text.strip()
    words = wanted.split()
    if len(wanted) < MIN_FUZZY_LENGTH:
        return
    for first in range(len(hay.words) - len(words) + 1):
        begin, stop = hay.words[first][0], hay.words[first + len(words) - 1][1]
        window = hay.text[begin:stop]
        score = fuzz.ratio(wanted, window, score_cutoff=MIN_SIMILARITY * 100) / 100
        if score and all(_alike(one, other) for one, other in zip(words, window.split(), strict=True)):
            yield hay.starts[begin], hay.ends[stop - 1], score


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    if any(char.isdigit() for char in one + other):
        return False
    return fuzz.ratio(one, other) >= MIN_WORD_SIMILARITY * 100


def _scattered(surface: str, text: str) -> Iterator[tuple[int, int, float]]:
    """Shortest windows within one sentence that have every content word of the surface, in any order."""
    words = _folded(surface).text.split()
    wanted = {word for word in words if word not in _FUNCTION_WORDS}
    if len(wanted) < 2:
        return
    hay = _folded(text)
    if not all(f" {word} " in hay.text for word in wanted):
        return
    for first, last in evidence_spans(text):
        inside = [(a, b) for a, b in hay.words if hay.starts[a] >= first and hay.ends[b - 1] <= last]
        seen: dict[str, int] = {}
        best: tuple[int, int] | None = None
        for number, (a, b) in enumerate(inside):
            word = hay.text[a:b]
            if word in wanted:
                seen[word] = number
                begin = min(seen.values())
                if len(seen) == len(wanted) and (best is None or number - begin < best[1] - best[0]):
                    best = begin, number
        if best is not None and best[1] - best[0] + 1 <= MAX_WINDOW * len(words):
            (a, _), (_, b) = inside[best[0]], inside[best[1]]
            yield hay.starts[a], hay.ends[b - 1], min(1.0, len(words) / (best[1] - best[0] + 1))


def locate(surface: str, text: str, title: str = "", near: tuple[int, int] | None = None) -> Located | None:
    """Where the surface stands: the first method that finds it, in the text before the title; `None` if none does.

    Of several places the earliest is taken, or with `near` (a span of the text) the earliest in the same sentence.
    """
    for method in (EXACT, FOLDED, FUZZY, WORDS):
        for where in (text, title):
            found = list(_by(method, surface, where))
            if not found:
                continue
            start, end, score = min(found)
            if near is not None and where is text:
                first, last = _sentence_of(text, *near)
                start, end, score = min(
                    (one for one in found if first <= one[0] and one[1] <= last), default=min(found)
                )
            return Located(start, end, where is not text, score, method)
    return None


def _by(method: str, surface: str, where: str) -> Iterator[tuple[int, int, float]]:
    if method in (EXACT, FOLDED):
        yield from ((start, end, 1.0) for start, end, how in occurrences(surface, where) if how == method)
    else:
        yield from (_fuzzy if method == FUZZY else _scattered)(surface, where)


@lru_cache(maxsize=64)
def evidence_spans(text: str) -> tuple[tuple[int, int], ...]:
    """The smallest spans that can be evidence: sentences, rows, headings and lines, in order."""
    found: list[tuple[int, int]] = []
    for unit in units(text):
        if unit.kind in (ITEM, LABELLED):
            found.extend(sentences(text, unit.start, unit.end))
        else:
            found.append((unit.start, unit.end))
    return tuple(found)


def _sentence_of(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of the sentences from `start` to `end`; the span itself where there are none."""
    touched = [(a, b) for a, b in evidence_spans(text) if a < end and start < b]
    if not touched:
        return start, end
    return min(start, touched[0][0]), max(end, touched[-1][1])


# --- a whole reply -------------------------------------------------------------------------------------------------


def located(
    entities: Sequence[tuple[str, str]], triples: Sequence[tuple[str, str, str]], text: str, title: str = ""
) -> LocatedReply:
    """A model's entities (name, type) and triples as mentions and triples of the passage.

    A located entity has a mention at each of its whole-word occurrences, of its type as the kind ("name" if empty). A
    triple is kept if both ends are located, at least one of them in the text, and have different keys; its ends are
    mentions, too. Its evidence reaches from the sentence of one end to that of the other.
    """
    in_text: dict[tuple[int, int, str], Mention] = {}
    in_title: dict[tuple[int, int, str], Mention] = {}
    kinds = {normalise(name): kind for name, kind in entities}

    def add(start: int, end: int, of_title: bool, kind: str) -> Mention | None:
        made = _mentions_at(title if of_title else text, start, end, kind)
        for mention in made:
            (in_title if of_title else in_text).setdefault((start, end, mention.key), mention)
        return made[0] if made else None

    unlocated = 0
    for name, kind in dict.fromkeys(entities):
        places = [(a, b, False) for a, b, _ in occurrences(name, text)]
        places += [(a, b, True) for a, b, _ in occurrences(name, title)]
        if not places and (place := locate(name, text, title)) is not None:
            places = [(place.start, place.end, place.in_title)]
        if not [add(*place, kind) for place in places]:
            unlocated += 1
    kept: dict[Triple, None] = {}
    lost = 0
    for subject, predicate, object_ in triples:
        places_of = _ends(subject, object_, text, title)
        words = " ".join(predicate.split())
        if places_of is None or not words:
            lost += 1
            continue
        one, other = places_of
        first = add(one.start, one.end, one.in_title, kinds.get(normalise(subject), ""))
        second = add(other.start, other.end, other.in_title, kinds.get(normalise(object_), ""))
        if first is None or second is None or first.key == second.key:
            lost += 1
            continue
        spans = [(place.start, place.end) for place in places_of if not place.in_title]
        start, end = _sentence_of(text, min(a for a, _ in spans), max(b for _, b in spans))
        kept.setdefault(Triple(first, words, second, start, end, one.in_title, other.in_title))
    return LocatedReply(
        tuple(sorted(in_text.values(), key=lambda m: (m.start, m.end, m.key))),
        tuple(sorted(in_title.values(), key=lambda m: (m.start, m.end, m.key))),
        tuple(kept),
        unlocated,
        lost,
    )


def _ends(subject: str, object_: str, text: str, title: str) -> tuple[Located, Located] | None:
    """Where both ends of a triple stand, in one sentence if they share one; none if the text has neither."""
    one = locate(subject, text, title)
    other = locate(object_, text, title, near=None if one is None or one.in_title else (one.start, one.end))
    if one is None or other is None or (one.in_title and other.in_title):
        return None
    if not other.in_title:
        one = locate(subject, text, title, near=(other.start, other.end)) or one
    return one, other


def _mentions_at(text: str, start: int, end: int, kind: str) -> list[Mention]:
    """The mentions of one span, the most precise first: as the rules read it if it is a date or an identifier."""
    surface = text[start:end]
    keys = _keys_by_rules(surface)
    if not keys:
        key = normalise(surface)
        keys = ((key, kind or "name"),) if key else ()
    return [Mention(start, end, surface, key, what) for key, what in keys]


@lru_cache(maxsize=8192)
def _keys_by_rules(surface: str) -> tuple[tuple[str, str], ...]:
    whole = [m for m in extract_mentions(surface) if m.start == 0 and m.end == len(surface)]
    found = [(m.key, m.kind) for m in whole if m.kind in ("date", "identifier")]
    return tuple(sorted(found, key=lambda one: (-len(one[0]), one[0])))
