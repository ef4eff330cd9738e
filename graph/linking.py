"""Linking a question to the entities of a graph.

The question's own mentions come first; then every run of its words that is an entity's key, whatever its case, so that
"the Green performer" finds the title *Green*. HippoRAG (arXiv 2405.14831) weights query entities by node specificity;
so do we, with less for a lone word that the question does not capitalise, and nothing for nouns that only say what
kind of thing is asked for.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from graph.compiled import CompiledGraph
from graph.mentions import extract_mentions
from graph.normalise import NAME_OPENERS, STOP, normalise

KIND_WORDS = frozenset(
    """actor actress album area article artist association author band birthplace body book border brother capital
    character child children city college commune community company composer continent country county daughter day death
    department director district division event family father film founder government group head headquarters home
    husband island king label lake language leader league list location man member month mother movie municipality
    museum name nation network number office organization owner parent park part party people performer period person
    place player population president producer province publisher queen record region report river role school season
    series show singer sister son song source spouse star start state story street team term time title town type
    university version village war water wife winner woman work writer year""".split()
)
"""Nouns that say what kind of thing is asked for; as seeds they are noise even where some title bears them."""

LOWER_CASE_WEIGHT = 0.25
LONGEST_NAME = 6
"""Words of the longest run that is looked up."""

_WORD = re.compile(r"[^\W_][\w'’.-]*")
_CJK_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af々]{2,}")
_LONGEST_CJK = 12


def link_question(question: str, graph: CompiledGraph) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Entity rows of a question, ascending, and their weights in (0, 1]; both empty where it names none."""
    words = normalise(question).split()
    runs = [
        (size, start)
        for size in range(min(LONGEST_NAME, len(words)), 0, -1)
        for start in range(len(words) - size + 1)
        if _can_name(words[start : start + size])
    ]
    forms = {(size, start): _forms(words[start : start + size]) for size, start in runs}
    own = [mention.key for mention in extract_mentions(question)]
    written = _cjk_substrings(question)
    rows = graph.linked_rows([*own, *(form for pair in forms.values() for form in pair), *written])

    found = {row: 1.0 for key in own for row in rows.get(key, ())}
    capitals = {normalise(m[0]) for m in _WORD.finditer(question) if m.start() and m[0][0].isupper()}
    covered = [False] * len(words)
    for (size, start), pair in forms.items():
        if all(covered[start : start + size]):
            continue
        for form in pair:
            if form not in rows or (size == 1 and form in KIND_WORDS):
                continue
            if size > 1:
                covered[start : start + size] = [True] * size
            lone = size == 1 and words[start] not in capitals
            for row in rows[form]:
                found.setdefault(row, LOWER_CASE_WEIGHT if lone else 1.0)
    for form in written:
        for row in rows.get(form, ()):
            found.setdefault(row, 1.0)
    entities = np.array(sorted(found), dtype=np.int64)
    weights = np.array([found[row] for row in entities.tolist()], dtype=np.float32)
    return entities, weights * graph.specificity[entities]


def _can_name(words: list[str]) -> bool:
    first, last = words[0], words[-1]
    if len(words) < 3 and (last in STOP or (first in STOP and not (len(words) > 1 and first in NAME_OPENERS))):
        return False
    return len(words) > 1 or not (first in KIND_WORDS or (len(first) < 3 and first.isascii()))


def _forms(words: list[str]) -> tuple[str, str]:
    """A run of words as written, and its other number."""
    run = " ".join(words)
    return run, run[:-1] if run.endswith("s") else run + "s"


def _cjk_substrings(question: str) -> list[str]:
    """Every run of characters of scripts without spaces, longest first."""
    return [
        normalise(run[start : start + size])
        for run in _CJK_RUN.findall(question)
        for size in range(min(_LONGEST_CJK, len(run)), 1, -1)
        for start in range(len(run) - size + 1)
    ]
