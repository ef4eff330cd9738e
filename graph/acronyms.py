"""Acronyms and their long forms, where a text defines them in brackets.

Schwartz & Hearst, "A simple algorithm for identifying abbreviation definitions in biomedical text" (PSB 2003), here
also in the order ``SHORT (long form)``.
"""

from __future__ import annotations

import re

_PAREN = re.compile(r"\(([^()\n]{2,80})\)")


def _best_long_form(short: str, words: str) -> int | None:
    """Where in `words` the long form of `short` starts; letters are matched from right to left."""
    s, w = len(short) - 1, len(words) - 1
    while s >= 0:
        ch = short[s].casefold()
        if not ch.isalnum():
            s -= 1
            continue
        while w >= 0 and (words[w].casefold() != ch or (s == 0 and w > 0 and words[w - 1].isalnum())):
            w -= 1
        if w < 0:
            return None
        w -= 1
        s -= 1
    return words.rfind(" ", 0, w + 2) + 1


def _is_short_form(text: str) -> bool:
    return (
        2 <= len(text) <= 10
        and text.count(" ") <= 1
        and text[0].isalnum()
        and sum(ch.isupper() for ch in text) >= 2
        and not text.isdigit()
    )


def extract_acronyms(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of (span of the short form, span of the long form) that the text defines in brackets."""
    if "(" not in text:
        return []
    found = []
    for m in _PAREN.finditer(text):
        inner = re.split(r"[,;]", m[1])[0].strip()
        at = m.start(1) + m[1].find(inner)
        if _is_short_form(inner):  # long form (SHORT)
            before = text[max(0, m.start() - 160) : m.start()].rstrip()
            cut = max(before.rfind(ch) for ch in "\n;()") + 1
            base, before = max(0, m.start() - 160) + cut, before[cut:]
            limit = min(len(inner) + 5, 2 * len(inner))
            starts = [w.start() for w in re.finditer(r"\S+", before)]
            if len(starts) > limit:
                base += starts[-limit]
                before = before[starts[-limit] :]
            begin = _best_long_form(inner, before)
            if begin is not None and len(before) - begin > len(inner) and inner not in before[begin:].split():
                found.append(((at, at + len(inner)), (base + begin, base + len(before))))
        else:  # SHORT (long form)
            prev = re.search(r"([^\s()]{2,10})[ ]\Z", text[max(0, m.start() - 12) : m.start()])
            if prev and _is_short_form(prev[1]) and " " in inner:
                begin = _best_long_form(prev[1], inner)
                if begin == 0 and len(inner.split()) <= min(len(prev[1]) + 5, 2 * len(prev[1])):
                    s = m.start() - 1 - len(prev[1])
                    found.append(((s, s + len(prev[1])), (at, at + len(inner))))
    return found
