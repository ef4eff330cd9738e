"""What extraction by a language model would take, told before anything is spent.

Prompts are known to the character, so only two things are estimated: how many characters the model's tokenizer puts in
a token, and how much it answers. Both go by the calls that the lake has seen of the same model and prompt; where there
were none, by four characters a token and by what GPT-3.5 answers (in tokens a character of the document).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derivation.extraction import ExtractionStep
from derivation.lake import Lake
from derivation.model_calls import Question
from derivation.model_extraction import model_spec, prompts_of
from derivation.runner import plan
from models.chat import Usage
from models.prompts import Prompt
from warehouse.database import Connection
from warehouse.delta import Scope

_TOKENS_A_CHAR = 0.25

_ANSWERED = {"named_entities": 0.2, "triples": 0.46, "entities_and_triples": 0.66}
"""Tokens of a reply, a character of the document: passages of about 100 tokens from an encyclopedia."""


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What a model would be asked."""

    passages: int
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


def model_cost(lake: Lake, scopes: Sequence[Scope]) -> ModelCost | None:
    """What extracting the passages that the warehouse holds and that are not extracted would take.

    What is recorded costs nothing, and equal requests are one. ``None`` where rules extract.
    """
    setting = lake.settings.extraction
    if setting.provider != "openai":
        return None
    step = ExtractionStep(lake, recorded_only=True)
    prompts = prompts_of(setting.calls)
    with lake.warehouse.session("reading the rates of earlier calls") as connection:
        rates = {prompt.name: _rates(connection, setting.model or "", prompt) for prompt in prompts}
    questions: dict[tuple[str, ...], Question] = {}
    passages = 0
    for scope in scopes:
        todo = plan(lake, step, scope)
        passages += len(todo.tasks)
        for tasks in todo.batches(lake.settings.lake.batch_rows):
            with lake.warehouse.session("estimating calls") as connection:
                loaded = step.load(connection, tasks)
            found = step.missing(tasks, loaded)
            questions |= {(scope.space, item.request.prompt.system, item.request.user): item for item in found}
    usage, calls = Usage(), 0
    for question in questions.values():
        at = next(n for n, prompt in enumerate(prompts) if prompt.name == question.request.prompt.name)
        chars, told = question.prompt_chars, 0.0
        for prompt in prompts[at:]:
            rate = rates[prompt.name]
            answer = rate.answered * question.chars
            usage += Usage(round(rate.a_char * chars + told), round(answer))
            calls += 1
            chars = len(prompts[-1].system) + len(question.request.user)
            told = answer * _NAMES_SHARE
    price = model_spec(setting).cost(usage, setting.batch_price if setting.mode == "batch" else 1.0)
    return ModelCost(
        passages=passages,
        calls=calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        price=price,
        measured=all(rate.measured for rate in rates.values()),
    )


_NAMES_SHARE = 0.4
"""Of a reply with named entities: the names themselves, which the next prompt holds."""


@dataclass(frozen=True, slots=True)
class _Rate:
    """What a prompt takes."""

    a_char: float
    """Tokens of what is sent, a character."""
    answered: float
    """Tokens of a reply, a character of the document."""
    measured: bool


def _rates(connection: Connection, model: str, prompt: Prompt) -> _Rate:
    row = connection.execute(
        "SELECT sum(prompt_tokens), sum(prompt_chars), sum(completion_tokens), sum(input_chars) FROM model_calls"
        " WHERE model = $model AND prompt = $prompt AND prompt_version = $version AND outcome = 'ok' AND attempts = 1",
        {"model": model, "prompt": prompt.name, "version": prompt.version},
    ).fetchone()
    if row is None or not row[1] or not row[3]:
        return _Rate(_TOKENS_A_CHAR, _ANSWERED[prompt.name], False)
    return _Rate(float(row[0]) / float(row[1]), float(row[2]) / float(row[3]), True)
