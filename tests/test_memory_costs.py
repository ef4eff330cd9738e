"""Memories by a model: what they would cost, that nothing is asked twice, and that batches bring them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Workspace
from modelled import ADA, GRACE, billed, calls, configure

from derivation.costs import estimate_cost, rehearsed_cost
from derivation.digest import lake_digest
from derivation.model_costs import ModelCost
from derivation.settling import refresh_served
from derivation.verification import verify
from errors import BatchPending
from testing.faults import Fault
from testing.recorded import Recording, document_of, kind_of
from testing.server import OpenAIServer

pytestmark = pytest.mark.histories

SESSION = {
    "session": "1",
    "date": "2023-05-08",
    "turns": [{"speaker": "Ann", "text": "I live in Porto now."}, {"speaker": "Ben", "text": "How nice for you!"}],
}
SAID = {
    "summary": "Ann tells Ben that she lives in Porto.",
    "episodes": [{"first": 1, "last": 2}],
    "facts": [{"turn": 1, "subject": "Ann", "attribute": "residence", "statement": "Ann lives in Porto."}],
    "keywords": ["Porto"],
}


def respond(body: dict[str, Any]) -> str:
    """One part for a document, what is said above for a session, and what is recorded for a passage."""
    kind = kind_of(body)
    if kind == "session_memories":
        return json.dumps(SAID)
    title, text = document_of(body)
    if kind != "document_outline":
        return Recording().extraction(text, title).content(str(kind))
    words = text.split()
    ends = {"first_words": " ".join(words[:6]), "last_words": " ".join(words[-6:])}
    return json.dumps({"parts": [{"item": f"What is known of {title}", "core": f"{title} is known.", **ends}]})


@pytest.fixture
def people(workspace: Workspace, server: OpenAIServer) -> Workspace:
    """Two texts and a session, which the model is to remember and to extract from."""
    server.respond = respond
    both(workspace, server)
    workspace.write("ada.md", ADA)
    workspace.write("grace.md", GRACE)
    workspace.write("talk.jsonl", json.dumps(SESSION), source="talks")
    return workspace


def both(workspace: Workspace, server: OpenAIServer, **sections: Any) -> None:
    """The settings: the model extracts, and remembers."""
    sources = ({}, {"name": "talks", "kind": "chat"})
    sections = {"memory": {"provider": "openai"}, **sections}
    configure(workspace, server, sources=sources, **sections)


def layers(workspace: Workspace, retry: bool = False) -> dict[str, ModelCost]:
    """What ``memlake plan --cost`` tells, by layer."""
    lake = workspace.lake(retry_quarantined=retry)
    return {cost.layer: cost for cost in rehearsed_cost(lake, lake.settings.sources).models}


def granularities(workspace: Workspace) -> set[tuple[str, str]]:
    return set(workspace.rows("SELECT DISTINCT source, granularity FROM memories"))


def test_the_cost_is_told_by_layer_and_is_what_is_then_asked(people: Workspace, server: OpenAIServer) -> None:
    told = layers(people)
    assert list(told) == ["memories", "mentions"]
    assert (told["memories"].inputs, told["memories"].calls) == (3, 3)
    assert told["mentions"].calls == 2 * told["mentions"].inputs == 6
    assert not told["memories"].measured
    assert calls(server) == 0
    people.build()
    asked = dict(people.rows("SELECT step, count(*) FROM model_calls GROUP BY step"))
    assert asked == {name: cost.calls for name, cost in told.items()}
    assert {name: (cost.inputs, cost.calls, cost.price) for name, cost in layers(people).items()} == {
        "memories": (0, 0, 0.0),
        "mentions": (0, 0, 0.0),
    }
    people.write("alan.md", ADA.replace("Ada", "Alan"))
    assert layers(people)["memories"].measured


def test_a_long_document_is_counted_with_all_its_sections_and_samples(
    workspace: Workspace, server: OpenAIServer
) -> None:
    both(workspace, server, memory={"provider": "openai", "samples": 3})
    paragraphs = [f"Number {n} of the long list tells how the tide came in on day {n}." for n in range(600)]
    workspace.write("long.txt", "\n\n".join(paragraphs))
    (workspace.folder / "talks").mkdir()
    assert layers(workspace)["memories"].calls == 6, "two sections, three times"


def test_a_reply_is_never_longer_than_the_settings_let_it_be(people: Workspace, server: OpenAIServer) -> None:
    most = 64
    both(people, server, extraction={"max_tokens": most})
    told = layers(people)["memories"]
    assert told.completion_tokens <= most * told.calls


def test_what_was_remembered_once_is_never_asked_for_again(people: Workspace, server: OpenAIServer) -> None:
    built = people.build()
    assert ("notes", "outline") in granularities(people)
    assert {("talks", "summary"), ("talks", "fact"), ("talks", "episode")} <= granularities(people)
    assert people.column("SELECT text FROM memories WHERE granularity = 'fact'") == ["Ann lives in Porto."]
    seen, digest = calls(server), lake_digest(built.lake)
    both(people, server, memory={"provider": "rules"})
    people.build()
    both(people, server)
    assert layers(people)["memories"].calls == 0
    assert lake_digest(people.build().lake) == digest
    assert calls(server) == seen
    assert verify(built.lake).whole
    assert calls(server) == seen


def test_quarantined_documents_can_be_planned_again(people: Workspace, server: OpenAIServer) -> None:
    both(people, server, extraction={"repairs": 0})
    server.faults.mark("Hopper", Fault.REFUSAL)
    people.build()
    assert people.column("SELECT label FROM ledger WHERE step = 'memories' AND status = 'quarantined'") == ["grace.md"]
    assert layers(people)["memories"].inputs == 0
    assert layers(people, retry=True)["memories"].inputs == 1
    lake = people.lake(retry_quarantined=True)
    assert {cost.layer for cost in estimate_cost(lake, lake.settings.sources).models} == {"memories", "mentions"}


def test_batches_bring_the_memories_of_later_runs(people: Workspace, server: OpenAIServer) -> None:
    live = lake_digest(people.build(root=people.folder / "live").lake)
    asked = calls(server)
    both(people, server, extraction={"mode": "batch"})
    server.batches.polls = 1
    for _ in range(12):
        try:
            built = people.build()
            break
        except BatchPending:
            steps = people.column("SELECT DISTINCT step FROM model_batches")
            assert set(steps) <= {"memories", "mentions"}
    assert lake_digest(built.lake) == live
    assert calls(server) == asked, "nothing is asked for live"
    assert people.column("SELECT count(*) FROM model_batches") == [0]
    by_step = dict(people.rows("SELECT step, count(*) FROM model_calls GROUP BY step"))
    assert by_step == {"memories": 3, "mentions": 6}
    assert dict(people.rows("SELECT prompt, any_value(step) FROM model_calls GROUP BY prompt")) == {
        "document_outline": "memories",
        "session_memories": "memories",
        "named_entities": "mentions",
        "triples": "mentions",
    }
    [(spent,)] = people.rows("SELECT sum(cost) FROM model_calls")
    assert 0 < spent < billed(people) * 8 / 1e6 / 2


def test_served_layers_wait_for_passages_that_are_not_embedded_yet(workspace: Workspace) -> None:
    workspace.configure([{}, {"name": "talks", "kind": "chat"}])
    workspace.write("ada.md", ADA)
    workspace.write("talk.jsonl", json.dumps(SESSION), source="talks")
    built = workspace.build()
    digest = lake_digest(built.lake)
    with built.lake.warehouse.session() as connection:
        for table in ("embeddings", "piece_vectors"):
            connection.execute(f"DELETE FROM {table}")
    refresh_served(workspace.lake())
    assert lake_digest(workspace.build().lake) == digest
