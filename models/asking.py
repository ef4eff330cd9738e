"""One question to a model at query time, by the synchronous client: as JSON of a schema, or as the prompt asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from models.endpoint import endpoint_errors
from models.structured import strict_schema

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion


def ask_for_json(
    client: OpenAI, model: str, section: str, system: str, user: str, name: str, shape: type[BaseModel]
) -> ChatCompletion:
    """The completion; its content is for :func:`models.structured.parse_reply`.

    Args:
        section: where the settings of the model are.
        name: of the schema.

    Raises:
        ModelUnavailable: no answer in time, or a reply that is not of the protocol.
        ModelError: the endpoint refuses.
    """
    from openai import BadRequestError

    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    schema = {"name": name, "strict": True, "schema": strict_schema(shape)}
    structured: Any = {"type": "json_schema", "json_schema": schema}
    with endpoint_errors(model, section):
        try:
            response = client.chat.completions.create(
                model=model, messages=messages, temperature=0, response_format=structured
            )
        except BadRequestError:  # a server without structured outputs; the prompt asks for JSON anyway
            response = client.chat.completions.create(model=model, messages=messages, temperature=0)
        if not response.choices:
            raise ValueError("it holds no choice")
        return response
