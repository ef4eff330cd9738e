"""OpenAI-compatible endpoints: opening the client, and what its errors mean for us.

The key comes from ``OPENAI_API_KEY`` and is in no message: endpoints repeat keys in what they refuse, so all that they
say goes through :func:`scrub` before anybody sees it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errors import ModelError, ModelUnavailable

if TYPE_CHECKING:
    from openai import OpenAI

KEY_VARIABLE = "OPENAI_API_KEY"

_LONGEST_SAYING = 300
"""Characters of an endpoint's own words that a message repeats at most."""

_KEYS = re.compile(r"\bsk-[\w*.\-]+|(?<=provided: )\S+|(?<=Bearer )\S+")
"""What looks like a key, also with its middle starred out."""


def endpoint_key() -> str:
    """The key of the endpoint.

    Raises:
        ModelError: there is none.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise ModelError(
            "There is no key for the model's endpoint.",
            f"Set {KEY_VARIABLE} (any value for a server that asks for none).",
        )
    return key


def scrub(text: object) -> str:
    """What an endpoint said, on one line, shortened, without anything that is or looks like a key."""
    said = " ".join(str(text).split())
    key = os.environ.get(KEY_VARIABLE)
    if key:
        said = said.replace(key, "***")
    return _KEYS.sub("***", said)[:_LONGEST_SAYING]


def open_endpoint(base_url: str | None, timeout_seconds: float, retries: int = 2) -> OpenAI:
    """The synchronous ``openai`` client.

    Raises:
        ModelError: there is no key.
    """
    import openai

    return openai.OpenAI(api_key=endpoint_key(), base_url=base_url, timeout=timeout_seconds, max_retries=retries)


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
            f"The model {model} did not answer: {scrub(error)}.", f"Check {section}.base_url and try again."
        ) from None
    except openai.APIStatusError as error:
        raise ModelError(
            f"The endpoint refused {model}: {scrub(error.message)}.",
            f"Check {section}.model, {section}.base_url and {KEY_VARIABLE}.",
        ) from None
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"The endpoint's reply for {model} is not of OpenAI's protocol: {scrub(error)}.",
            f"Check {section}.base_url and try again.",
        ) from error
