"""Recognition memory: which of the facts near a question are relevant to it, by a rule or by a language model.

HippoRAG 2 (arXiv 2502.14802) asks a model to filter the facts that it has linked to a question, and falls back to dense
retrieval where none is kept. Ours starts its walk from passages and the question's own entities then. The rule keeps
those whose cosine is close to the best one's (``graph.facts``).
"""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel

from errors import Malformed, ModelUnavailable
from graph.compiled import CompiledGraph
from graph.facts import QuestionFacts
from models.asking import ask_for_json
from models.endpoint import open_endpoint
from models.fencing import fence
from models.prompts import load_prompt
from models.structured import parse_reply
from warehouse.sections import RecognitionSettings

_SHOWN = 10
"""Facts that a model chooses among."""


class _Kept(BaseModel):
    kept: list[int]


class Recogniser(Protocol):
    """Chooses among the facts near a question."""

    def choose(self, question: str, graph: CompiledGraph, found: QuestionFacts) -> QuestionFacts:
        """Those that are relevant, or all with the choice left to the rule."""


def open_recogniser(settings: RecognitionSettings) -> Recogniser:
    """The recogniser that the settings name."""
    return ModelRecogniser(settings) if settings.provider == "openai" else RuleRecogniser()


class RuleRecogniser:
    """Leaves the choice to the cosines."""

    def choose(self, question: str, graph: CompiledGraph, found: QuestionFacts) -> QuestionFacts:
        return found


class ModelRecogniser:
    """Asks a chat model once a question; where it does not answer, or not in the form asked for, the rule decides."""

    def __init__(self, settings: RecognitionSettings) -> None:
        assert settings.model is not None
        self._model = settings.model
        self._client = open_endpoint(settings.base_url, settings.timeout_seconds)

    def choose(self, question: str, graph: CompiledGraph, found: QuestionFacts) -> QuestionFacts:
        shown = found.rows[:_SHOWN].tolist()
        if not shown:
            return found
        lines = "\n".join(f"{number}. {sentence(graph, row)}" for number, row in enumerate(shown, 1))
        user = f"{fence(lines, 'facts', 'facts')}\n\nQuestion: {question}"
        try:
            response = ask_for_json(
                self._client,
                self._model,
                "retrieval.recognition",
                load_prompt("recognition").system,
                user,
                "recognition",
                _Kept,
            )
            kept = parse_reply(str(response.choices[0].message.content or ""), _Kept).value.kept
        except (ModelUnavailable, Malformed):
            return found
        chosen = [number - 1 for number in dict.fromkeys(kept) if 1 <= number <= len(shown)]
        return QuestionFacts(found.vector, found.rows[chosen], found.scores[chosen], recognised=True)


def sentence(graph: CompiledGraph, row: int) -> str:
    """A fact in words."""
    names = graph.entity_table["name"]
    predicate = graph.fact_table["predicate"][row]
    return f"{names[int(graph.fact_subject[row])]} — {predicate} — {names[int(graph.fact_object[row])]}"
