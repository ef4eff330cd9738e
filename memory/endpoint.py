"""OpenAI-compatible endpoints: opening the client, and what its errors mean for us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errors import ModelError, ModelUnavailable

if TYPE_CHECKING:
    from openai import OpenAI


def open_endpoint(base_url: str | None, timeout_seconds: float) -> OpenAI:
    """The ``openai`` client; the key comes from ``OPENAI_API_KEY`` and nowhere else.

    Raises:
        ModelError: there is no key.
    """
    import openai

    try:
        return openai.OpenAI(base_url=base_url, timeout=timeout_seconds, max_retries=2)
    except openai.OpenAIError:
        raise ModelError(
            "There is no key for the model's endpoint.",
            "Set OPENAI_API_KEY (any value for a server that asks for none).",
        ) from None


@contextmanager
def endpoint_errors(model: str, section: str) -> Iterator[None]:
    """Turn what a call may raise into our errors; ``section`` is where the settings of the model are.

    Raises:
        ModelUnavailable: no answer in time, a passing fault, or a reply that is not of the protocol.
        ModelError: the endpoint refuses (a wrong key, an unknown model).
    """
    import openai

    try:
        yield
    except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
        raise ModelUnavailable(
            f"The model {model} did not answer: {error}.", f"Check {section}.base_url and try again."
        ) from error
    except openai.APIStatusError as error:
        raise ModelError(
            f"The endpoint refused {model}: {error.message}.",
            f"Check {section}.model, {section}.base_url and OPENAI_API_KEY.",
        ) from error
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"The endpoint's reply for {model} is not of OpenAI's protocol: {error}.",
            f"Check {section}.base_url and try again.",
        ) from error
