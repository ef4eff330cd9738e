"""The text of an outline item by rules: the headings above a chunk, and the phrases that tell it from the others.

A phrase is a run of words of the chunk that carry meaning, as it stands in the text (after RAKE, Rose et al. 2010);
words count by their frequency in the chunk, their rarity among the chunks of the document, and their rarity at large.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from memory.documents.units import HEADING, Units
from memory.static import WORD

LARGEST_ITEM = 20
"""Tokens of the phrases of an item, about; headings come on top."""
LARGEST_SHARE = 0.08
"""Of the chunk's tokens, what the phrases may take."""

_SMALLEST_ITEM = 6
_COMMON = 0.15
"""Weight up to which a word is a function word (:mod:`memory.static`); the 160 or so most frequent ones are below."""
_TELLING = 10
"""Words of a chunk, those worth most, one of which a phrase must have."""
_LONGEST_PHRASE = 4
"""Words of a phrase; of a script without spaces, twice as many characters."""
_TOKENS_A_WORD = 1.4


def outline_items(units: Units, starts: Sequence[int], title: str = "") -> list[str]:
    """The item of each chunk, never empty. It leaves out the title's words: whoever embeds an item adds the title."""
    ends = [*starts[1:], len(units)]
    words, place = units.reading.occurrences, units.reading.words
    counts = [
        Counter(words.indices[words.indptr[first] : words.indptr[last]].tolist())
        for first, last in zip(starts, ends, strict=True)
    ]
    spread = Counter(word for chunk in counts for word in chunk)
    titled = {word.lower() for word in WORD.findall(title)}
    items = []
    for first, last, chunk in zip(starts, ends, counts, strict=True):
        worth = {
            place[word]: math.log1p(count)
            * math.log1p(len(starts) / spread[word])
            * _meaning(place[word], float(units.reading.weights[word]))
            for word, count in chunk.items()
            if place[word] not in titled
        }
        items.append(_item(units, first, last, worth))
    return items


def _item(units: Units, first: int, last: int, worth: Mapping[str, float]) -> str:
    size = int(units.tokens[first:last].sum())
    limit = min(LARGEST_ITEM, max(int(size * LARGEST_SHARE), _SMALLEST_ITEM))
    path = _heading_path(units, first, last)
    shown = {word.lower() for word in WORD.findall(path)}
    found: dict[str, tuple[float, tuple[str, ...], str]] = {}
    telling = set(sorted((word for word in worth if worth[word] > 0), key=lambda word: -worth[word])[:_TELLING])
    for unit in range(first, last):
        if units.kinds[unit] != HEADING and not telling.isdisjoint(_words_of(units, unit)):
            start, end = (int(edge) for edge in units.spans[unit])
            for a, b, run in _phrases(units.text, start, end, worth):
                if not telling.isdisjoint(run):
                    value = sum(worth[word] for word in run)
                    found.setdefault(" ".join(run), (value, run, units.text[a:b]))
    chosen: list[str] = []
    used = set(shown)
    for _, run, phrase in sorted(found.values(), key=lambda one: -one[0]):
        cost = math.ceil(len(run) * _TOKENS_A_WORD)
        if cost <= limit and 2 * len(used.intersection(run)) < len(run):
            chosen.append(" ".join(phrase.split()))
            used.update(run)
            limit -= cost + 1
    text = ": ".join(part for part in (path, ", ".join(chosen)) if part)
    return text or _opening(units, first, limit)


def _words_of(units: Units, unit: int) -> list[str]:
    words = units.reading.occurrences
    return [units.reading.words[at] for at in words.indices[words.indptr[unit] : words.indptr[unit + 1]]]


def _heading_path(units: Units, first: int, last: int) -> str:
    """The headings that all parts of the chunk share, then those that only its parts have: ``A > B / C``."""
    paths = list(dict.fromkeys(path for path in units.headings[first:last] if path))
    if not paths:
        return ""
    shared = 0
    while all(len(path) > shared and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    own = list(dict.fromkeys(path[-1] for path in paths if len(path) > shared))[:_LONGEST_PHRASE]
    return " > ".join([*paths[0][:shared], *([" / ".join(own)] if own else [])])


def _meaning(word: str, weight: float) -> float:
    """What a word is worth at large: nothing where it is a function word, a single letter or a number."""
    if not word.isascii():
        return max(weight, 0.5)
    return weight if weight > _COMMON and len(word) > 1 and not word.isdigit() else 0.0


def _phrases(text: str, start: int, end: int, worth: Mapping[str, float]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Runs of words that are worth something, with only a space or nothing between them."""
    run: list[str] = []
    begin = stop = start
    for match in WORD.finditer(text, start, end):
        word = match[0].lower()
        counts = worth.get(word, 0.0) > 0
        joined = run and text[stop : match.start()] in ("", " ")
        longest = _LONGEST_PHRASE if word.isascii() else 2 * _LONGEST_PHRASE
        if run and not (counts and joined and len(run) < longest):
            yield begin, stop, tuple(run)
            run = []
        if counts:
            if not run:
                begin = match.start()
            run.append(word)
            stop = match.end()
    if run:
        yield begin, stop, tuple(run)


def _opening(units: Units, first: int, limit: int) -> str:
    """The first words of a chunk that has nothing telling."""
    start, end = (int(place) for place in units.spans[first])
    words = [match.end() for match in WORD.finditer(units.text, start, end)][: max(limit, 1)]
    return " ".join(units.text[start : words[-1] if words else end].split())
