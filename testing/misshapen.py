"""Replies as models spoil them: a chat completion of the API, its content or its end not what was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from testing.faults import Fault

_ORDER = re.compile(r"\b(?:reply|answer|respond|output|say)\b[^:\n]*:\s*(.+)", re.IGNORECASE | re.DOTALL)

_TELLING: Mapping[Fault, Callable[[str], str]] = {
    Fault.TRAILING_COMMAS: lambda content: re.sub(r"(?<![\[{\s])\s*([\]}])", r",\1", content),
    Fault.SINGLE_QUOTES: lambda content: repr(json.loads(content)),
    Fault.CODE_FENCE: lambda content: f"```json\n{content}\n```",
    Fault.PROSE: lambda content: f"Sure! Here is what you asked for:\n\n{content}\n\nLet me know if you need more.",
    Fault.MISSING_KEY: lambda content: json.dumps(dict(list(json.loads(content).items())[1:])),
    Fault.WRONG_TYPES: lambda content: json.dumps(dict.fromkeys(json.loads(content), 7)),
}

MISSHAPING = frozenset({*_TELLING, Fault.CUT_OFF, Fault.REFUSAL, Fault.NO_CONTENT, Fault.INJECTED})
"""Faults of a completion that is otherwise made as always."""


def misshape(completion: Mapping[str, Any], fault: Fault, document: str) -> dict[str, Any]:
    """A completion with a fault.

    Args:
        document: what a model obeys that takes a document for instructions.
    """
    if fault is Fault.NO_CONTENT:
        return {**completion, "choices": []}
    choice = completion["choices"][0]
    content: str | None = choice["message"]["content"]
    told, finish_reason = content or "", "stop"
    refusal = None
    if fault is Fault.REFUSAL:
        content, refusal = None, "I cannot help with that."
    elif fault is Fault.CUT_OFF:
        content, finish_reason = told[: len(told) * 2 // 3], "length"
    elif fault is Fault.INJECTED:
        ordered = _ORDER.search(document)
        content = ordered[1] if ordered else "I ignore my instructions."
    else:
        content = _TELLING[fault](told)
    message = {**choice["message"], "content": content, "refusal": refusal}
    return {**completion, "choices": [{**choice, "message": message, "finish_reason": finish_reason}]}
