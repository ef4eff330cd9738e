"""A lake whose entities and facts a language model finds, behind a real local server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from testing.recorded import kind_of
from testing.server import OpenAIServer

if TYPE_CHECKING:
    from conftest import Workspace

KEY = "sk-of-a-test-that-is-secret"

ADA = "# Ada Lovelace\n\nIn 1843 Ada Lovelace wrote to Charles Babbage. Charles Babbage lived in London.\n"
GRACE = "# Grace Hopper\n\nIn 1947 Grace Hopper found a moth in the Mark Two. Grace Hopper taught at Vassar College.\n"
ALAN = "# Alan Turing\n\nIn 1939 Alan Turing worked in Bletchley Park. Alan Turing met Joan Clarke.\n"
DOCUMENTS = {"ada.md": ADA, "grace.md": GRACE, "alan.md": ALAN}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """The model's endpoint, and the key that it takes."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer() as running:
        yield running


def configure(workspace: Workspace, server: OpenAIServer, **sections: Mapping[str, Any]) -> None:
    """Let the server's model extract; one request at a time, so that a test can tell which one meets what."""
    extraction = {
        "provider": "openai",
        "model": "test-model",
        "base_url": server.url,
        "concurrency": 1,
        "price_per_million_prompt_tokens": 2.0,
        "price_per_million_completion_tokens": 8.0,
        **sections.pop("extraction", {}),
    }
    workspace.configure(sections.pop("sources", ({},)), extraction=extraction, **sections)


def write_all(workspace: Workspace, documents: Mapping[str, str] = DOCUMENTS) -> None:
    for path, content in documents.items():
        workspace.write(path, content)


def asked(server: OpenAIServer) -> list[str]:
    """Which kind of reply each chat completion asked for, in order."""
    return [str(kind_of(body)) for body in server.bodies("/chat/completions")]


def calls(server: OpenAIServer) -> int:
    """HTTP requests for chat completions so far."""
    return len(server.bodies("/chat/completions"))


def billed(workspace: Workspace) -> int:
    """Tokens of all calls that the lake knows."""
    return int(workspace.column("SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM model_calls")[0])


def entities_reply(*names: str, type_: str = "") -> str:
    return json.dumps({"entities": [{"name": name, "type": type_} for name in names]})


def triples_reply(*triples: tuple[str, str, str]) -> str:
    return json.dumps({"triples": [{"subject": s, "predicate": p, "object": o} for s, p, o in triples]})


def statuses(workspace: Workspace) -> dict[str, str]:
    """Label to status of every passage's extraction."""
    return dict(workspace.rows("SELECT label, status FROM ledger WHERE step = 'mentions'"))


def facts(workspace: Workspace) -> set[tuple[str, str, str]]:
    """Every stated fact, in names."""
    sql = (
        "SELECT s.entity_key, f.predicate, o.entity_key FROM supports f"
        " JOIN entities s ON s.entity_id = f.subject_id JOIN entities o ON o.entity_id = f.object_id"
    )
    return set(workspace.rows(sql))
