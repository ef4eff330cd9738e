"""A sentence cut into the parts that rules look at: noun phrases with their names, verb groups, marks of clauses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from graph.grammar import (
    ADVERB,
    BE,
    CONJUNCTION,
    COPULAS,
    DETERMINER,
    MENTION,
    MODAL,
    NOUN,
    POSSESSIVE,
    PREPOSITION,
    RELATIVE,
    TO,
    VERBAL,
    word_class,
)
from graph.mentions import Mention

PHRASE, VERBS, OPEN, CLOSE, AND = "phrase", "verbs", "(", ")", "and"

_TOKEN = re.compile(r"\w+(?:['’.\-‑]\w+|,\d\d\d(?!\d))*|[^\w\s]")
_MARKS = {"(": OPEN, "[": OPEN, ")": CLOSE, "]": CLOSE}
_SEPARATORS = {",": ",", ";": ";", ":": ";", "?": ";", "!": ";", "–": ",", "—": ",", ".": ""}


@dataclass(slots=True)
class Chunk:
    """One part of a sentence; offsets are into the text.

    `kind` is `PHRASE`, `VERBS`, `OPEN`, `CLOSE` or a word class of `graph.grammar`. `separator` is what stands before
    it: nothing, ",", "and" or ";". A phrase begins at `start`, after its article (`determiner`) and its preposition,
    which begins at `preposition` (-1: none); `names` are the mentions in it. Verbs are `copular` where the last one is.
    """

    kind: str
    start: int
    end: int
    separator: str = ""
    preposition: int = -1
    determiner: str = ""
    names: tuple[Mention, ...] = ()
    last: str = ""
    copular: bool = False
    finite: bool = True

    @property
    def ends_in_name(self) -> bool:
        """Whether nothing but a name is at the phrase's end."""
        return bool(self.names) and self.names[-1].end == self.end


def chunks(text: str, start: int, end: int, names: Mapping[int, Mention]) -> list[Chunk]:
    """The chunks of `text[start:end]`, in order; `names` has the outermost mention at each place where one begins."""
    found: list[Chunk] = []
    before = separator = determiner = ""
    until, preposition = start, -1
    open_chunk: Chunk | None = None  # the phrase or verb group that the next word may belong to
    for match in _TOKEN.finditer(text, start, end):
        at, stop = match.span()
        if at < until:
            continue
        word = match[0]
        name = names.get(at)
        if name is not None and name.end <= end:
            kind, stop = MENTION, name.end
            until = stop
        elif word in _MARKS:
            open_chunk = Chunk(_MARKS[word], at, stop)
            found.append(open_chunk)
            before = separator = determiner = ""
            preposition, open_chunk = -1, None
            continue
        elif not word[0].isalnum():
            if word in _SEPARATORS:
                separator = _SEPARATORS[word] or separator
                before, preposition, determiner, open_chunk = ",", -1, "", None
            continue
        else:
            kind = word_class(word, before)
            if kind == DETERMINER and word.lower() == "that" and before in (NOUN, MENTION, ","):
                kind = RELATIVE
        if kind in (NOUN, MENTION):
            if open_chunk is None or open_chunk.kind != PHRASE:
                open_chunk = Chunk(PHRASE, at, stop, separator, preposition, determiner)
                found.append(open_chunk)
            open_chunk.end, open_chunk.last = stop, word
            if kind == MENTION and name is not None:
                open_chunk.names += (name,)
            separator = determiner = ""
            preposition = -1
        elif kind in VERBAL or (kind == TO and open_chunk is not None and open_chunk.kind == VERBS and before != TO):
            if open_chunk is None or open_chunk.kind != VERBS:
                open_chunk = Chunk(VERBS, at, stop, separator, preposition)
                open_chunk.finite = kind in (BE, MODAL) or not word.endswith("ing")
                found.append(open_chunk)
                separator = ""
            if kind == TO:
                preposition = at
            else:
                open_chunk.end, open_chunk.last, preposition = stop, word, -1
                open_chunk.copular = word.lower() in COPULAS
        elif kind == ADVERB:
            if before in (DETERMINER, POSSESSIVE):
                continue
            if open_chunk is not None and open_chunk.kind == PHRASE:
                open_chunk = None
        elif kind in (PREPOSITION, TO):
            if preposition < 0:
                preposition = at
            determiner, open_chunk = "", None
        elif kind in (DETERMINER, POSSESSIVE):
            determiner, open_chunk = word.lower(), None
        elif kind == CONJUNCTION:
            separator, open_chunk, preposition = AND, None, -1
        else:
            open_chunk = Chunk(kind, at, stop, separator, preposition, last=word)
            found.append(open_chunk)
            separator = determiner = ""
            preposition, open_chunk = -1, None
        before = kind
    return found
