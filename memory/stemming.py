"""Stems of English words, by Snowball's English stemmer (Porter 2); words of other scripts stay as they are."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from Stemmer import Stemmer

_WORD = re.compile(r"[^\W_]+")
_KEPT = 65_536


def words(text: str) -> list[str]:
    """The words of a text in their order: letters and digits, whatever the case."""
    return _WORD.findall(text.casefold())


@lru_cache(maxsize=_KEPT)
def stem(word: str) -> str:
    """The stem of a word in lower case; may be called from several threads, since the C code holds the interpreter."""
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Stemmer:
    from Stemmer import Stemmer

    return Stemmer("english")
