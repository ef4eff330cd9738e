"""Texts of documents within prompts: behind a fence that they cannot end.

A document is data. Between ``<document ...>`` and ``</document>`` no text may look like another fence of that name, so
that nothing in a document can pose as what stands outside.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

OPEN = "‹"
"""Stands for the bracket of what would be a fence."""

_GAP = 8
"""Characters that are of no word and may stand between a bracket and a name, for it to be taken for a fence: spaces,
slashes, what cannot be seen. Bounded, so that a run of brackets costs no quadratic time."""


@lru_cache(maxsize=16)
def _fence_start(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(?=\W{{0,{_GAP}}}{re.escape(tag)})", re.IGNORECASE)


def defuse(text: str, tag: str) -> str:
    """``text``, of the same length, in which no bracket begins or ends a fence named ``tag``."""
    return _fence_start(tag).sub(OPEN, text)


def fence(text: str, title: str = "", tag: str = "document") -> str:
    """A document's text for a prompt: its title as a JSON string in the opening line, then the text, then the end."""
    named = json.dumps(title, ensure_ascii=False)
    return f"<{tag} title={defuse(named, tag)}>\n{defuse(text, tag)}\n</{tag}>"
