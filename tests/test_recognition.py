"""A model, asked over HTTP, chooses among the facts near a question; where it cannot, the rule does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from test_fact_linking import CHAIN, QUESTION, weights
from test_fusion import NOTHING
from test_graph import compiled

from errors import ModelError
from graph.facts import fact_ends, link_facts
from retrieval.fusion import starting_entities
from retrieval.recognition import ModelRecogniser, RuleRecogniser, open_recogniser
from testing.faults import Fault
from testing.server import OpenAIServer
from warehouse.sections import FusionSettings, RecognitionSettings

ASKED = "Who publishes the journal?"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with OpenAIServer() as running:
        yield running


def recogniser(server: OpenAIServer, timeout: float = 5.0) -> ModelRecogniser:
    setting = RecognitionSettings(provider="openai", model="m", base_url=server.url, timeout_seconds=timeout)
    opened = open_recogniser(setting)
    assert isinstance(opened, ModelRecogniser)
    return opened


def test_the_rule_is_the_default_and_leaves_the_choice_to_cosines() -> None:
    found = link_facts(compiled(CHAIN), QUESTION)
    assert found is not None
    assert isinstance(open_recogniser(RecognitionSettings()), RuleRecogniser)
    assert RuleRecogniser().choose(ASKED, compiled(CHAIN), found) is found


def test_what_the_model_keeps_starts_the_walk_however_far_it_is(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.replies.append(json.dumps({"kept": [2]}))
    chosen = recogniser(server).choose(ASKED, graph, found)
    assert chosen.rows.tolist() == [found.rows[1]]
    assert set(weights(graph, fact_ends(graph, chosen, 1.0))) == {"hall", "society"}


def test_the_prompt_holds_the_question_and_the_facts_fenced(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.replies.append(json.dumps({"kept": []}))
    recogniser(server).choose(ASKED, graph, found)
    (body,) = server.bodies("/chat/completions")
    said = body["messages"][1]["content"]
    assert ASKED in said
    assert "1. Journal — is of — Society" in said
    assert said.index("<facts") < said.index("1. Journal") < said.index("</facts>") < said.index(ASKED)


def test_where_it_keeps_none_the_walk_starts_as_without_facts(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.replies.append(json.dumps({"kept": []}))
    chosen = recogniser(server).choose(ASKED, graph, found)
    started = starting_entities(graph, NOTHING, chosen, FusionSettings())
    assert not len(started[0])


def test_numbers_that_were_not_shown_are_left_out(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.replies.append(json.dumps({"kept": [1, 1, 99, 0, -1]}))
    assert recogniser(server).choose(ASKED, graph, found).rows.tolist() == [found.rows[0]]


@pytest.mark.parametrize("reply", ["not JSON at all", '{"kept": "1"}', '{"other": []}'])
def test_a_reply_of_another_form_leaves_it_to_the_rule(server: OpenAIServer, reply: str) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.replies.append(reply)
    assert recogniser(server).choose(ASKED, graph, found) is found


def test_no_answer_in_time_leaves_it_to_the_rule(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.faults.extend([Fault.HANG] * 3)
    assert recogniser(server, timeout=0.2).choose(ASKED, graph, found) is found


def test_a_wrong_key_is_told(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, QUESTION)
    assert found is not None
    server.faults.append(Fault.UNAUTHORIZED)
    with pytest.raises(ModelError, match="refused") as caught:
        recogniser(server).choose(ASKED, graph, found)
    assert "retrieval.recognition" in caught.value.remedy


def test_without_facts_near_the_question_nobody_is_asked(server: OpenAIServer) -> None:
    graph = compiled(CHAIN)
    found = link_facts(graph, -np.abs(QUESTION))
    assert found is not None
    assert recogniser(server).choose(ASKED, graph, found) is found
    assert server.requests == []
