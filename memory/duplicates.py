"""Near-duplicate passages: which of two texts a reader need not be shown beside the other.

Two texts are duplicates if they are *one text*: the same words in the same order, however spaced, cased and punctuated,
with more words at an end of either (a truncated copy, a quotation with its introduction) or with whole sentences left
out. They are not if one has other words where the other has some: texts of one template differ in just the words that
matter, and passages around a common legal notice differ in all but the notice. (The introduction of a quotation may
stand where its source begins, if a colon or quotation mark announces it.) So overlap alone decides nothing; it is
measured first because it is cheap, and then the two are aligned and every difference is judged by what stands opposite.
Hiding a passage that says something else is worse than showing one twice: wherever the two errors meet, two texts stay
apart, and a copy with one word replaced is no duplicate.

The verdict is a function of the two texts alone, without corpus statistics, so families do not depend on what was
loaded when. Overlap is that of shingles, runs of words (Broder, "On the resemblance and containment of documents",
1997); candidates are found by MinHash in bands (Indyk and Motwani, "Approximate nearest neighbors", 1998; Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

CODE_VERSION = "1"

SHINGLE_WORDS = 3
"""Words of a shingle: two rarely share three words by chance, and a change spoils only three shingles around it."""

BANDS = 42
ROWS = 3
"""A pair of resemblance r shares a band with probability 1 - (1 - r^3)^42: 0.94 at 0.4, 0.996 at 0.5, 0.28 at 0.2."""

MIN_CONTAINMENT = 0.7
"""Of the shorter text this share must be in the longer: at most three words in ten of a hidden text are its own."""

MIN_JACCARD = 0.4
"""Below, the longer text is mostly about something else (and the bands would find the pair only by luck)."""

SENTENCE_WORDS = 8
"""So many words or more that one text lacks were left out of it; fewer may turn its meaning ("not", "up to 5")."""

INTRODUCTION_WORDS = 10
"""At most so many words has one of two duplicates for itself: an introduction; more are contents of its own."""

NO_WORDS = np.uint64(0)
"""The band value of a text without any word, which is a candidate of nothing."""

_SEED = 1
_PERMUTATIONS = "affine32"
"""Named, since another release of the library may have another default; a change is a new ``CODE_VERSION``."""

_CACHED_WORDS = 1 << 16

_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
"""Soft hyphens, joiners and the like: inside a word they are no end of it."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han
)
_WORD = rf"(?=\w)[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[$\u00a2-\u00a5\u20a0-\u20c0]"
"""A run of letters and digits; in a script without spaces, one character; or a sign of a currency."""

_MARKS = frozenset(':"“”„«»‹›「『')
"""What announces a quotation: a colon, or a quotation mark (any, as languages open with different ones)."""

_TOKEN = re.compile(rf"{_WORD}|[{''.join(sorted(_MARKS))}]")

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD))
_HALF = np.uint64(32)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Shingled:
    """A text prepared for ``compare``; make it once with ``prepare``."""

    words: tuple[str, ...]
    shingles: Hashes
    """Shape (distinct shingles,), sorted."""
    anchors: Hashes
    """Those that occur once in the text, sorted."""
    announced: frozenset[int]
    """Places of the words before which a quotation may begin."""
    positions: NDArray[np.int64]
    """Of each anchor's first word; the shape of ``anchors``."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Two texts measured against each other; the same both ways round."""

    containment: float
    """Share of the smaller set of shingles that is in the other, 0 to 1."""
    jaccard: float
    """Resemblance: shingles in both by shingles in either, 0 to 1. Ranks several duplicates."""
    is_duplicate: bool


def prepare(text: str) -> Shingled:
    """Words and shingles of ``text``; no words where it has no word character."""
    words: list[str] = []
    announced: set[int] = set()
    for token in _tokens(text):
        if token in _MARKS:
            announced.add(len(words))
        else:
            words.append(token)
    hashes = _shingle_hashes(words)
    distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    once = counts == 1
    return Shingled(tuple(words), distinct, distinct[once], frozenset(announced), first[once].astype(np.int64))


def shingles(text: str) -> Hashes:
    """Hashes of the distinct runs of ``SHINGLE_WORDS`` words, sorted, shape (n,); a shorter text is one shingle.

    Case, white space, punctuation and compatibility forms (ligatures, full width) do not matter.
    """
    return np.unique(_shingle_hashes([token for token in _tokens(text) if token not in _MARKS]))


def bands(texts: Sequence[str]) -> Hashes:
    """Shape ``(len(texts), BANDS)``: two texts are candidates if they have a value in common.

    A value holds its band's number, so values of all bands may stand in one column; they are the same in every process
    and on every platform. A text without words has ``NO_WORDS`` in all its bands: leave such rows out.
    """
    from datasketch import MinHash

    signatures = np.zeros((len(texts), BANDS, ROWS), dtype=np.uint64)
    wordless = np.zeros(len(texts), dtype=bool)
    first = MinHash(BANDS * ROWS, seed=_SEED, hashfunc=int, scheme=_PERMUTATIONS)
    for row, text in enumerate(texts):
        hashes = shingles(text)
        wordless[row] = not len(hashes)
        sketch = first.copy()
        sketch.update_batch((hashes >> _HALF).tolist())
        signatures[row] = sketch.hashvalues.reshape(BANDS, ROWS)
    values = np.tile(np.arange(1, BANDS + 1, dtype=np.uint64), (len(texts), 1))
    for row in range(ROWS):
        values = _mixed(values * _MIX[0] + signatures[:, :, row])
    values[wordless] = NO_WORDS
    return values


def containment(a: Hashes, b: Hashes) -> float:
    """|A ∩ B| / min(|A|, |B|) of two sorted sets of shingles (Broder 1997); 0 if either is empty."""
    smaller = min(len(a), len(b))
    return _common(a, b) / smaller if smaller else 0.0


def similarity(a: str, b: str) -> Similarity:
    """``compare`` for two texts that are not compared with others."""
    return compare(prepare(a), prepare(b))


def compare(a: Shingled, b: Shingled) -> Similarity:
    """Measure two prepared texts. A text without words is a duplicate of nothing; any other is one of itself."""
    if not a.words or not b.words:
        return Similarity(0.0, 0.0, False)
    common = _common(a.shingles, b.shingles)
    smaller, both = min(len(a.shingles), len(b.shingles)), len(a.shingles) + len(b.shingles) - common
    contained, jaccard = common / smaller, common / both
    alike = contained >= MIN_CONTAINMENT and jaccard >= MIN_JACCARD
    return Similarity(contained, jaccard, alike and _one_text(a, b))


def _tokens(text: str) -> list[str]:
    """The words of ``text``, folded, and the marks that announce a quotation, in order."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE))
    return _TOKEN.findall(text.casefold())


@lru_cache(maxsize=_CACHED_WORDS)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _shingle_hashes(words: Sequence[str]) -> Hashes:
    """One hash for every run of words, in order: shape (max(1, len(words) - SHINGLE_WORDS + 1),), or (0,)."""
    hashes = np.array([_word_hash(word) for word in words], dtype=np.uint64)
    size = min(SHINGLE_WORDS, len(hashes))
    if not size:
        return hashes
    runs = len(hashes) - size + 1
    found = np.full(runs, size, dtype=np.uint64)
    for offset in range(size):
        found = _mixed(found * _MIX[0] + hashes[offset : offset + runs])
    return found


def _mixed(values: Hashes) -> Hashes:
    """Spread every bit over the value, one to one (a multiplication and two shifts, as MurmurHash3 ends)."""
    values = (values ^ (values >> _HALF)) * _MIX[1]
    return values ^ (values >> _HALF)


def _common(a: Hashes, b: Hashes) -> int:
    """How many values two sets have in common."""
    together = np.concatenate((a, b))
    together.sort()
    return int(np.count_nonzero(together[1:] == together[:-1]))


def _one_text(a: Shingled, b: Shingled) -> bool:
    """Whether no difference of the aligned texts is in the way of calling them one."""
    if a.words == b.words:
        return True
    if (len(a.words), a.words) > (len(b.words), b.words):
        a, b = b, a  # of several alignments the same is found both ways round
    own_a = own_b = 0
    for start_a, end_a, start_b, end_b in _differences(a, b):
        only_a, only_b = a.words[start_a:end_a], b.words[start_b:end_b]
        fewer, more = sorted((len(only_a), len(only_b)))
        if end_a == len(a.words) and end_b == len(b.words):
            may_differ = not fewer or _cut_in_a_word(only_a, only_b)
        elif start_a == start_b == 0:
            # Where a quotation begins later than its source, the introduction stands in place of what was left out.
            may_differ = not fewer or (end_a in a.announced) != (end_b in b.announced)
        else:
            may_differ = not fewer and more >= SENTENCE_WORDS
        if not may_differ:
            return False
        own_a, own_b = own_a + len(only_a), own_b + len(only_b)
    return min(own_a, own_b) <= INTRODUCTION_WORDS


def _cut_in_a_word(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether one is the beginning of the first word of the other, which goes on: text cut at a number of characters.

    It must go on for a sentence, or "room 1" would be a cut "room 12".
    """
    (fewer, shorter), (more, longer) = sorted(((len(a), a), (len(b), b)))
    return fewer == 1 and more >= SENTENCE_WORDS and longer[0].startswith(shorter[0])


def _differences(a: Shingled, b: Shingled) -> Iterator[tuple[int, int, int, int]]:
    """Start and end in ``a`` and in ``b`` of words that stand opposite each other and differ; one may be empty.

    Words that are only spaced or hyphenated otherwise are no difference, but "1.5" is not "15".
    All words are, if no anchor is common.
    """
    in_a, in_b = _aligned(a, b)
    if not len(in_a):
        yield 0, len(a.words), 0, len(b.words)
        return
    last_a, last_b = int(in_a[-1]) + SHINGLE_WORDS, int(in_b[-1]) + SHINGLE_WORDS
    stretches = [(0, int(in_a[0]), 0, int(in_b[0])), (last_a, len(a.words), last_b, len(b.words))]
    for gap in np.flatnonzero((np.diff(in_a) != 1) | (np.diff(in_b) != 1)).tolist():
        start_a, start_b = int(in_a[gap]) + SHINGLE_WORDS, int(in_b[gap]) + SHINGLE_WORDS
        end_a, end_b = int(in_a[gap + 1]), int(in_b[gap + 1])
        overlap = max(0, start_a - end_a, start_b - end_b)  # anchors overlap where words are repeated
        stretches.append((start_a - overlap, end_a, start_b - overlap, end_b))
    for number, (start_a, end_a, start_b, end_b) in enumerate(stretches):
        while number != 0 and start_a < end_a and start_b < end_b and a.words[start_a] == b.words[start_b]:
            start_a, start_b = start_a + 1, start_b + 1
        while number != 1 and start_a < end_a and start_b < end_b and a.words[end_a - 1] == b.words[end_b - 1]:
            end_a, end_b = end_a - 1, end_b - 1
        if a.words[start_a:end_a] == b.words[start_b:end_b]:
            continue
        letters = "".join(a.words[start_a:end_a])
        if letters != "".join(b.words[start_b:end_b]) or any(letter.isnumeric() for letter in letters):
            yield start_a, end_a, start_b, end_b


def _aligned(a: Shingled, b: Shingled) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in ``a`` and ``b`` of the longest list of common anchors that rises in both (patience alignment)."""
    together = np.concatenate((a.anchors, b.anchors))
    order = np.argsort(together, kind="stable")
    ordered = together[order]
    pairs = np.flatnonzero(ordered[1:] == ordered[:-1])
    in_a, in_b = a.positions[order[pairs]], b.positions[order[pairs + 1] - len(a.anchors)]
    order = np.argsort(in_a)
    in_a, in_b = in_a[order], in_b[order]
    if np.all(in_b[1:] > in_b[:-1]):
        return in_a, in_b
    kept = _rising(in_b.tolist())
    return in_a[kept], in_b[kept]


def _rising(values: Sequence[int]) -> list[int]:
    """Indices of a longest strictly rising subsequence (Fredman 1975)."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        place = bisect_left(ends, value)
        before.append(last[place - 1] if place else -1)
        ends[place : place + 1] = [value]
        last[place : place + 1] = [index]
    found = []
    index = last[-1]
    while index >= 0:
        found.append(index)
        index = before[index]
    return found[::-1]
