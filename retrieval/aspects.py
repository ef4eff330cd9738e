"""The parts of a question that ask for different things, each to be searched for by itself.

A question over several documents says in each of its clauses what one of them says; as one text it is near to none.
The parts are found by punctuation and conjunctions alone. A short question has none: its words belong together.
After question decomposition for multi-hop retrieval (Press et al., arXiv 2210.03350), by rules and without an order.
"""

from __future__ import annotations

import re

_LEAST_WORDS = 5
"""Words of a part; a shorter one stays with the one before it."""
_MOST_PARTS = 6
"""A text with more of them is no question any more; the rest stays with the last."""

_BREAK = re.compile(
    r"""
      ;\s+                                                            # what stands apart
    | ,\s+(?:(?:and|while|but|or|whereas|which|who|whose|where|as)\s+)?  # clauses and members of a list
    | \s+(?:while|whereas)\s+                                         # two things compared
    | (?<=[.!?])\s+                                                   # sentences
    """,
    re.VERBOSE | re.IGNORECASE,
)


def aspects(question: str) -> tuple[str, ...]:
    """The parts of a question, in order; none where it is one."""
    parts: list[str] = []
    for piece in _BREAK.split(question):
        part = piece.strip(" \t\n?!.,'\"")
        if not part:
            continue
        if parts and (min(len(part.split()), len(parts[-1].split())) < _LEAST_WORDS or len(parts) == _MOST_PARTS):
            parts[-1] = f"{parts[-1]}, {part}"
        else:
            parts.append(part)
    return tuple(parts) if len(parts) > 1 else ()
