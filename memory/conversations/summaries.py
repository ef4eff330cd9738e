"""What tells a session in few words: its most central and most telling sentences, and its terms.

Everything is taken from the session, word for word, and depends on the session alone. A summary is a line with its day
where it has one, and then a line for each run of sentences of one speaker, in the order of the text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from memory.conversations.background import FUNCTION_WORDS, SMALL_TALK, WORD, rarity, telling
from memory.conversations.session import Session
from memory.conversations.statements import Statement
from memory.conversations.times import days_in_words
from memory.granularity import Granularity, Memory

SUMMARY_TOKENS = 100
SUMMARY_SHARE = 0.1
"""Of the session's tokens; a short session has a short summary."""
_FEWEST_TOKENS, _NAME_TOKENS = 16, 3
KEYWORDS = 12
_LONGEST_TERM = 24
_SAME = 0.9
"""Cosine from which a sentence repeats one that was taken."""


def heading(day: date | None) -> list[str]:
    """The first line of a summary: the day, if it is known."""
    return [days_in_words(day, day)] if day else []


def summary(
    session: Session,
    spans: Sequence[Sequence[tuple[int, int]]],
    vectors: NDArray[np.float32],
    facts: Sequence[Statement],
    sizes: Sequence[int],
) -> Memory:
    """The summary of a session that has words; at least one sentence, or the start of one that alone is too long.

    Args:
        spans: the sentences of each turn.
        vectors: of these sentences in order, rows of unit length.
        facts: statements of the session; they make better summaries than other sentences.
        sizes: tokens of these sentences.
    """
    flat = [(place, span) for place, inside in enumerate(spans) for span in inside]
    stated = {fact.memory.spans[0]: fact.score for fact in facts}
    if stated:
        told = np.array([stated.get(span, 0.0) for _, span in flat])
    else:  # of a language or a manner that the rules do not read
        told = np.array([telling(session.text[slice(*span)]) for _, span in flat])
    centre = vectors.sum(axis=0)
    central = vectors @ centre / max(float(np.linalg.norm(centre)), 1e-9)
    scores = (0.5 + np.clip(central, 0, 1)) * told / np.sqrt(8.0 + np.asarray(sizes))
    limit = max(min(SUMMARY_TOKENS, int(SUMMARY_SHARE * sum(sizes))), _FEWEST_TOKENS)
    chosen: list[int] = []
    used = 0
    for row in np.argsort(-scores, kind="stable").tolist():
        cost = sizes[row] + _NAME_TOKENS
        fits = scores[row] > 0 and used + cost <= limit
        if fits and (not chosen or float((vectors[chosen] @ vectors[row]).max()) < _SAME):
            chosen.append(row)
            used += cost
    kept = [flat[row] for row in sorted(chosen)] or [_shortened(session, flat[int(np.argmax(scores))], limit)]
    text = "\n".join([*heading(session.day), *_lines(session, kept)])
    return Memory(Granularity.SUMMARY, text, tuple(span for _, span in kept), since=session.day, until=session.day)


def _lines(session: Session, kept: Sequence[tuple[int, tuple[int, int]]]) -> list[str]:
    """`Speaker: sentences`, a line for each run of one speaker."""
    lines: list[str] = []
    last = ""
    for place, span in kept:
        speaker, words = session.turns[place].speaker, " ".join(session.text[slice(*span)].split())
        if lines and last == speaker:
            lines[-1] += f" {words}"
        else:
            lines.append(f"{speaker}: {words}")
        last = speaker
    return lines


def keywords(session: Session) -> Memory | None:
    """The terms of a session by frequency times rarity: names, words that recur, and pairs of words that recur.

    The speakers' names, short forms among them, are in every one of their sessions and tell none.

    None where it has none, as a text without spaces between its words.
    """
    people = [part.casefold() for speaker in session.speakers for part in WORD.findall(speaker)]
    names = {name[:length] for name in people for length in range(3, len(name) + 1)} | set(people)
    first: dict[str, tuple[int, int]] = {}
    scores: defaultdict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for turn in session.turns:
        before: tuple[str, int, int] | None = None
        for match in WORD.finditer(session.text, turn.words, turn.end):
            word, (start, end) = match[0].casefold().replace("’", "'").removesuffix("'s"), match.span()
            weight = rarity(word)
            if word in names or weight == 0 or not 3 <= len(word) <= _LONGEST_TERM or "'" in word:
                before = None
                continue
            named = match[0][0].isupper() and start > turn.words and session.text[start - 2] not in ".!?:"
            counts[word] += 1
            scores[word] += weight**3 * (1.5 if named else 1.0)
            first.setdefault(word, (start, end))
            if before is not None and session.text[before[2] : start] == " ":
                pair = f"{before[0]} {word}"
                counts[pair] += 1
                scores[pair] += (weight + rarity(before[0])) / 2
                first.setdefault(pair, (before[1], end))
            before = (word, start, end)
    for pair in [term for term in scores if " " in term and counts[term] < 2]:
        del scores[pair]
    terms: list[str] = []
    for term, _ in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        if len(terms) < KEYWORDS and not any(term in other or other in term for other in terms):
            terms.append(term)
    if not terms:
        return None
    return Memory(Granularity.KEYWORDS, ", ".join(terms), disjoint([first[term] for term in terms]))


def disjoint(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The spans in order, each without what an earlier one covers; none is empty."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        start = max(start, found[-1][1]) if found else start
        if start < end:
            found.append((start, end))
    return tuple(found)


def _shortened(session: Session, sentence: tuple[int, tuple[int, int]], limit: int) -> tuple[int, tuple[int, int]]:
    """The start of a sentence, to a word's end, of about ``limit`` tokens of four characters."""
    place, (start, end) = sentence
    stop = min(end, start + 4 * limit)
    space = session.text.rfind(" ", start + 1, stop) if stop < end else -1
    return place, (start, space if space > start else stop)


def content_words(text: str) -> set[str]:
    """The words of a text that tell something, in lower case."""
    found = {match[0].casefold().replace("’", "'").removesuffix("'s") for match in WORD.finditer(text)}
    return found - FUNCTION_WORDS - SMALL_TALK
