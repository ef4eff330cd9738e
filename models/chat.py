"""The values of a chat: what is asked, of which model, what came back, and the record of a call.

:func:`request_key` names all that a reply depends on, and nothing else: equal keys may share a cached reply. A
:class:`Call` holds numbers and names only; neither a document's text nor a key is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from errors import MemlakeError, ModelError
from models.prompts import Prompt

Structured = Literal["auto", "always", "never"]
"""Whether a schema is sent as ``response_format``: where the endpoint takes it, in any case, or in words only."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model behind an endpoint, how it is asked, and what it costs."""

    model: str
    base_url: str | None = None
    temperature: float | None = 0.0
    """Not sent where it is ``None``: some models take none."""
    max_tokens: int = 2048
    """Of a reply, unless the request says otherwise."""
    timeout_seconds: float = 60.0
    """For one attempt as a whole."""
    structured: Structured = "auto"
    seed: int | None = None
    concurrency: int = 8
    attempts: int = 5
    """HTTP requests for one reply at most, the first included."""
    price_prompt_per_million: float | None = None
    price_completion_per_million: float | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.attempts < 1:
            raise ModelError(
                f"{self.model} is to be asked {self.concurrency} requests at a time, {self.attempts} times each.",
                "Set both to 1 or more.",
            )

    @property
    def priced(self) -> bool:
        """Whether both prices are known."""
        return self.price_prompt_per_million is not None and self.price_completion_per_million is not None

    def cost(self, usage: Usage, discount: float = 1.0) -> float | None:
        """What tokens cost, in the currency of the prices; ``None`` without prices."""
        if self.price_prompt_per_million is None or self.price_completion_per_million is None:
            return None
        prompt = usage.prompt_tokens * self.price_prompt_per_million
        return discount * (prompt + usage.completion_tokens * self.price_completion_per_million) / 1_000_000


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model: a prompt, an input, and the shape of the reply."""

    prompt: Prompt
    user: str
    """The input, its documents fenced (:func:`models.fencing.fence`)."""
    schema_name: str
    schema: Mapping[str, Any]
    """JSON schema of the reply (:func:`models.structured.strict_schema`)."""
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the endpoint reports them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said."""

    text: str
    usage: Usage
    """Of all attempts that it took."""
    finish_reason: str
    """``stop``, or ``length`` where the text is cut off."""
    latency_ms: int
    """From the first attempt to the reply, pauses included."""
    attempts: int
    cached: bool = False


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    CACHED = "cached"
    """No request was made."""
    MALFORMED = "malformed"
    """Answered, but not in the shape that was asked for."""
    REFUSED = "refused"
    """The model or its filter declined."""
    CUT_OFF = "cut_off"
    """Answered up to the limit of tokens."""
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    """A passing fault that outlasted all attempts."""
    REJECTED = "rejected"
    """The endpoint did not take the request."""


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the table of calls."""

    prompt_name: str
    prompt_version: str
    model: str
    started_at: datetime
    latency_ms: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """``None`` where the prices are not known."""
    outcome: Outcome
    attempts: int
    """HTTP requests that were sent."""
    unreported: int = 0
    """Attempts among them that may have been billed, and whose usage the endpoint never told."""
    error: str | None = None
    """What went wrong, in a few words of ours."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what became of it: a reply, or an error that concerns this request only."""

    request: ChatRequest
    call: Call
    reply: Reply | None = None
    error: MemlakeError | None = None


def request_key(spec: ModelSpec, request: ChatRequest) -> str:
    """Names all that a reply depends on, 32 hexadecimal digits: model, parameters, messages and schema.

    The place of the endpoint is not in it, nor what does not change replies (timeouts, concurrency, prices), nor
    whether the schema goes as a parameter or in words.
    """
    parts = {
        "model": spec.model,
        "temperature": spec.temperature,
        "max_tokens": request.max_tokens or spec.max_tokens,
        "seed": spec.seed,
        "system": request.prompt.system,
        "user": request.user,
        "schema_name": request.schema_name,
        "schema": request.schema,
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def request_body(
    spec: ModelSpec, request: ChatRequest, structured: bool, limit_name: str = "max_tokens"
) -> dict[str, Any]:
    """The JSON of a chat completion.

    Args:
        structured: the schema goes as ``response_format``; otherwise the system message states it in words.
        limit_name: what the endpoint calls the limit of tokens.
    """
    system = request.prompt.system
    if not structured:
        schema = json.dumps(request.schema, ensure_ascii=False)
        system += (
            f"\n\nReply format: {request.schema_name}\n"
            f"Reply with one JSON value of this JSON schema, and with nothing else:\n{schema}"
        )
    body: dict[str, Any] = {
        "model": spec.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": request.user}],
        limit_name: request.max_tokens or spec.max_tokens,
    }
    if spec.temperature is not None:
        body["temperature"] = spec.temperature
    if spec.seed is not None:
        body["seed"] = spec.seed
    if structured:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": request.schema_name, "strict": True, "schema": dict(request.schema)},
        }
    return body
