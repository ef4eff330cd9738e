"""What it means that a request to an endpoint failed: for this request, for all others, for the budget.

Only a passing fault is retried. What concerns the settings (a key, a model, a parameter, no route at all) is fatal: no
other request could succeed. Everything else concerns the one request, and is told without the endpoint's own words,
since these may repeat a document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from errors import MemlakeError, ModelError, ModelUnavailable, Refused
from models.backoff import asked_pause
from models.chat import ModelSpec, Outcome
from models.endpoint import KEY_VARIABLE, scrub

_PASSING = frozenset({408, 409, 429})
_OF_THE_SETTINGS = frozenset({401, 402, 403, 404, 405})
_PARAMETERS = ("response_format", "json_schema", "max_tokens", "max_completion_tokens", "temperature", "seed")
_OTHER_WAYS: dict[str, Literal["schema", "limit"]] = {
    "response_format": "schema",
    "json_schema": "schema",
    "max_tokens": "limit",
}
_NOT_PASSING = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_OF_THE_INPUT = frozenset({"context_length_exceeded", "content_filter", "content_policy_violation", "invalid_prompt"})
_TOO_LONG = re.compile(r"context (?:length|window)|too long", re.IGNORECASE)
_CODE = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt gave no reply."""

    outcome: Outcome
    error: MemlakeError
    brief: str
    """For the table of calls: numbers and codes, nothing that the endpoint phrased."""
    retry: bool = False
    fatal: bool = False
    """Other requests would fail in the same way."""
    unreported: bool = False
    """It may have been billed, and nobody knows how much."""
    asked: float | None = None
    """Seconds that the endpoint asks to wait."""
    adapt: Literal["schema", "limit"] | None = None
    """What the endpoint does not know, and can be said in another way."""


def classify(error: Exception, spec: ModelSpec, reached: bool) -> Failure | None:
    """The failure that an exception of the ``openai`` client stands for; ``None``: it is none that we expect.

    Args:
        reached: whether the endpoint has ever responded to this client.
    """
    import openai

    # By name: the client works over several libraries, whose classes are called alike.
    unsent = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "UnsupportedProtocol")
    if isinstance(error, openai.APIConnectionError) and unsent:
        if reached:
            return _passing(Outcome.UNAVAILABLE, spec, "the connection was refused")
        unavailable = ModelUnavailable(
            f"There is no route to the endpoint of {spec.model}.", "Check its base_url, and that it is running."
        )
        return Failure(Outcome.UNAVAILABLE, unavailable, "no route to the endpoint", fatal=True)
    if isinstance(error, (TimeoutError, openai.APITimeoutError)):
        return _passing(Outcome.TIMEOUT, spec, f"no answer within {spec.timeout_seconds:g} s", unreported=True)
    if isinstance(error, openai.APIConnectionError):
        return _passing(Outcome.UNAVAILABLE, spec, "the connection broke", unreported=True)
    if isinstance(error, openai.APIStatusError):
        asked = asked_pause(error.response.headers)
        return of_status(spec, error.status_code, error.code, error.param, error.message, asked)
    if isinstance(error, (openai.APIError, ValueError, TypeError, AttributeError, LookupError)):
        return unreadable(spec)
    return None


def unreadable(spec: ModelSpec) -> Failure:
    """A response that is not of the protocol."""
    return _passing(Outcome.UNAVAILABLE, spec, "the reply is not of OpenAI's protocol", unreported=True)


def without_choices(spec: ModelSpec) -> Failure:
    """A response of the protocol that holds no reply."""
    return _passing(Outcome.UNAVAILABLE, spec, "the response holds no reply")


def refusal(spec: ModelSpec, filtered: bool) -> Failure:
    """The model answered that it will not answer, or a filter did."""
    brief = "a content filter" if filtered else "the model"
    error = Refused(
        f"{brief.capitalize()} declined an input of {spec.model}.", "Change the input, or set another model."
    )
    return Failure(Outcome.REFUSED, error, f"declined by {brief}")


def _passing(outcome: Outcome, spec: ModelSpec, said: str, **more: Any) -> Failure:
    error = ModelUnavailable(f"The model {spec.model} gave no reply: {said}.", "Check the endpoint, and run again.")
    return Failure(outcome, error, said, retry=True, **more)


def of_status(
    spec: ModelSpec, status: int, code: Any, param: Any, message: object, asked: float | None = None
) -> Failure:
    """The failure that an HTTP status stands for.

    Args:
        code: of the error, as the endpoint gives it, as are ``param`` and ``message``.
        asked: seconds that the endpoint asks to wait.
    """
    code = code if isinstance(code, str) and _CODE.fullmatch(code) and code != str(status) else None
    brief = f"HTTP {status}" + (f", {code}" if code else "")
    if (status in _PASSING or status >= 500) and code not in _NOT_PASSING:
        return _passing(Outcome.UNAVAILABLE, spec, brief, asked=asked)
    of_input = code in _OF_THE_INPUT or _TOO_LONG.search(str(message))
    named = _parameter(param, str(message)) if status in (400, 422) and not of_input else None
    if status in _OF_THE_SETTINGS or code in _NOT_PASSING or named:
        refused = ModelError(
            f"The endpoint refused {spec.model}: {scrub(message)}",
            f"Check the model's name, base_url and parameters, and {KEY_VARIABLE}.",
        )
        return Failure(Outcome.REJECTED, refused, brief, fatal=True, adapt=_OTHER_WAYS.get(named or ""))
    rejected = Refused(
        f"The endpoint of {spec.model} did not take an input: {brief}.", "Change the input, or the model."
    )
    return Failure(Outcome.REJECTED, rejected, brief)


def _parameter(param: Any, message: str) -> str | None:
    """The parameter of ours that an endpoint complains about, by its field for that, or by its words."""
    for name in _PARAMETERS:
        if param == name or (isinstance(param, str) and param.startswith(f"{name}.")):
            return name
    return next((name for name in _PARAMETERS if re.search(rf"(?<![\w-]){name}(?![\w-])", message)), None)
