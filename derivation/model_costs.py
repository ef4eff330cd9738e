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
from derivation.model_extraction import model_spec, prompts_of
from models.chat import Usage
from models.prompts import Prompt
from warehouse.database import Connection
from warehouse.delta import Scope, plan_step

_TOKENS_A_CHAR = 0.25

_ANSWERED = {"named_entities": 0.2, "triples": 0.46, "entities_and_triples": 0.66}
"""Tokens of a reply, a character of the document: passages of about 100 tokens from an encyclopedia."""

_FENCES = 70
"""Characters of a prompt around the document's text: its fence, without the title."""


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

    Passages of equal text are asked about once. ``None`` where rules extract.
    """
    setting = lake.settings.extraction
    if setting.provider != "openai":
        return None
    step = ExtractionStep(lake)
    with lake.warehouse.session("estimating calls") as connection:
        lengths: dict[tuple[str, str], tuple[int, int]] = {}
        passages = 0
        for scope in scopes:
            inputs = step.inputs(scope)
            tasks = plan_step(connection, step.step, scope, inputs.sql, inputs.parameters, lake.retry_quarantined).tasks
            passages += len(tasks)
            rows = connection.execute(
                "SELECT p.text_hash, len(p.text), len(d.title) FROM passages p JOIN documents d USING (document_id)"
                " WHERE p.passage_id IN (SELECT unnest($ids)) AND p.text_hash NOT IN ("
                "SELECT text_hash FROM model_replies WHERE space = $space)",
                {"ids": [task.input_id for task in tasks], "space": scope.space},
            ).fetchall()
            lengths |= {(scope.space, key): (chars, title) for key, chars, title in rows}
        rates = [_rates(connection, setting.model or "", prompt) for prompt in prompts_of(setting.calls)]
    usage = Usage()
    for chars, title in lengths.values():
        told = 0.0  # what the first reply adds to the second prompt
        for (prompt, a_char, answered), _ in rates:
            sent = len(prompt.system) + _FENCES + title + chars
            answer = answered * chars
            usage += Usage(round(a_char * sent + told), round(answer))
            told = answer * _NAMES_SHARE
    price = model_spec(setting).cost(usage, setting.batch_price if setting.mode == "batch" else 1.0)
    return ModelCost(
        passages=passages,
        calls=len(rates) * len(lengths),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        price=price,
        measured=all(measured for _, measured in rates),
    )


_NAMES_SHARE = 0.4
"""Of a reply with named entities: the names themselves, which the next prompt holds."""


def _rates(connection: Connection, model: str, prompt: Prompt) -> tuple[tuple[Prompt, float, float], bool]:
    """A prompt, its tokens a character and the tokens of a reply a character of the document; whether measured."""
    row = connection.execute(
        "SELECT sum(prompt_tokens), sum(prompt_chars), sum(completion_tokens), sum(input_chars) FROM model_calls"
        " WHERE model = $model AND prompt = $prompt AND prompt_version = $version AND outcome = 'ok' AND attempts = 1",
        {"model": model, "prompt": prompt.name, "version": prompt.version},
    ).fetchone()
    if row is None or not row[1] or not row[3]:
        return (prompt, _TOKENS_A_CHAR, _ANSWERED[prompt.name]), False
    return (prompt, float(row[0]) / float(row[1]), float(row[2]) / float(row[3])), True
