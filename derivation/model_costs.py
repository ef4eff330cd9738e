"""What asking a language model would take, layer by layer, told before anything is spent.

Prompts are known to the character, so only two things are estimated: how many characters the model's tokenizer puts in
a token, and how much it answers. Both go by the calls that the lake has seen of the same model and prompt. Where there
were none, it is four characters a token, what GPT-3.5 answers where that was measured (entities and facts), and else
what a reply of the asked shape comes to (memories).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from derivation.extraction import ExtractionStep
from derivation.lake import Lake
from derivation.memories import Memories
from derivation.model_calls import Question
from derivation.model_extraction import model_spec, prompts_of
from derivation.model_memories import memory_prompts
from derivation.runner import Derivation, plan
from models.chat import Usage
from models.prompts import Prompt
from warehouse.database import Connection
from warehouse.delta import Scope, Task

_TOKENS_A_CHAR = 0.25


@dataclass(frozen=True, slots=True)
class _Rate:
    """What a prompt takes."""

    a_char: float
    """Tokens of what is sent, a character."""
    least: float
    """Tokens of a reply to a document of no length."""
    answered: float
    """Further tokens of a reply, a character of the document."""
    measured: bool = False

    def reply(self, chars: int, most: int) -> float:
        """Tokens of the reply to a document of ``chars`` characters, where it may have ``most``."""
        return min(self.least + self.answered * chars, most)


_UNMEASURED = {
    "named_entities": _Rate(_TOKENS_A_CHAR, 0, 0.2),
    "triples": _Rate(_TOKENS_A_CHAR, 0, 0.46),
    "entities_and_triples": _Rate(_TOKENS_A_CHAR, 0, 0.66),
    "document_outline": _Rate(_TOKENS_A_CHAR, 60, 0.0625),
    "session_memories": _Rate(_TOKENS_A_CHAR, 160, 0.14),
}
"""Before there were any calls.

Entities and triples: measured of GPT-3.5 on passages of about 100 tokens from an encyclopedia. An outline: a part of
some 300 words is answered by some 115 tokens (a phrase of 15 words, twice six words of the text, a core of 45 words,
the names of the keys), and a document has half a part more than it fills. A session: a summary and keywords (160
tokens), and for every 1,000 characters three facts of 43 tokens and an episode of 12.
"""

_NAMES_SHARE = 0.4
"""Of a reply with named entities: the names themselves, which the next prompt holds."""


class _ModelStep(Derivation, Protocol):
    """A step that may ask a model."""

    def missing(self, tasks: Sequence[Task], loaded: Any) -> list[Question]:
        """What is not recorded of what these inputs need, as far as can be told."""


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What a model would be asked for one layer."""

    layer: str
    """Name of the step."""
    inputs: int
    """Passages, or documents, that the step would take."""
    calls: int
    prompt_tokens: int
    completion_tokens: int
    price: float | None
    """By the prices of ``[extraction]``; ``None`` where they are not set."""
    measured: bool
    """Whether earlier calls of this model and these prompts were gone by."""

    @property
    def tokens(self) -> int:
        """Of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens


def model_costs(lake: Lake, scopes: Sequence[Scope]) -> tuple[ModelCost, ...]:
    """What the layers that a model makes would take, of what the warehouse holds; none where rules make all.

    What is recorded costs nothing, and equal requests are one.
    """
    found = []
    if lake.settings.memory.provider == "openai":
        chains = {prompt.name: [prompt] for prompt in memory_prompts()}
        found.append(_layer_cost(lake, scopes, Memories(lake, recorded_only=True), chains))
    if lake.settings.extraction.provider == "openai":
        prompts = prompts_of(lake.settings.extraction.calls)
        chains = {prompt.name: prompts[at:] for at, prompt in enumerate(prompts)}
        found.append(_layer_cost(lake, scopes, ExtractionStep(lake, recorded_only=True), chains))
    return tuple(found)


def _layer_cost(
    lake: Lake, scopes: Sequence[Scope], step: _ModelStep, chains: Mapping[str, Sequence[Prompt]]
) -> ModelCost:
    """``chains``: by the name of a prompt, it and those that follow from its reply."""
    setting = lake.settings.extraction
    with lake.warehouse.session("reading the rates of earlier calls") as connection:
        rates = {name: _rate(connection, setting.model or "", chain[0]) for name, chain in chains.items()}
    questions: dict[tuple[str, ...], Question] = {}
    inputs = 0
    for scope in scopes:
        for taken, found in _batches(lake, step, scope):
            inputs += taken
            questions |= {(scope.space, item.request.prompt.system, item.request.user): item for item in found}
    usage, calls = Usage(), 0
    used: set[str] = set()
    for question in questions.values():
        chain = chains[question.request.prompt.name]
        chars, told = question.prompt_chars, 0.0
        for at, prompt in enumerate(chain):
            rate = rates[prompt.name]
            answer = rate.reply(question.chars, setting.max_tokens)
            usage += Usage(round(rate.a_char * chars + told), round(answer))
            calls += 1
            used.add(prompt.name)
            if at + 1 < len(chain):
                chars = len(chain[at + 1].system) + len(question.request.user)
                told = answer * _NAMES_SHARE
    return ModelCost(
        layer=step.step.name,
        inputs=inputs,
        calls=calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        price=model_spec(setting).cost(usage, setting.batch_price if setting.mode == "batch" else 1.0),
        measured=all(rates[name].measured for name in used),
    )


def _batches(lake: Lake, step: _ModelStep, scope: Scope) -> Iterator[tuple[int, list[Question]]]:
    """How many inputs a step would take of each batch, and what it would ask about them."""
    for tasks in plan(lake, step, scope).batches(lake.settings.lake.batch_rows):
        with lake.warehouse.session("estimating calls") as connection:
            loaded = step.load(connection, tasks)
        yield len(tasks), step.missing(tasks, loaded)


def _rate(connection: Connection, model: str, prompt: Prompt) -> _Rate:
    row = connection.execute(
        "SELECT sum(prompt_tokens), sum(prompt_chars), sum(completion_tokens), sum(input_chars) FROM model_calls"
        " WHERE model = $model AND prompt = $prompt AND prompt_version = $version AND outcome = 'ok' AND attempts = 1",
        {"model": model, "prompt": prompt.name, "version": prompt.version},
    ).fetchone()
    if row is None or not row[1] or not row[3]:
        return _UNMEASURED[prompt.name]
    return _Rate(float(row[0]) / float(row[1]), 0, float(row[2]) / float(row[3]), measured=True)
