"""Explanations name what a ranking was made of: the walk's start, its paths, and the facts beside it."""

from __future__ import annotations

import pytest
from conftest import Workspace
from typer.testing import CliRunner

from pipelines.cli import app
from retrieval.client import MemoryClient
from retrieval.explanation import Explained

QUESTION = "Who runs the workshop at Gannet Harbour?"


@pytest.fixture(params=[False, True], ids=["rules", "with vectors of facts"])
def client(request: pytest.FixtureRequest, workspace: Workspace) -> MemoryClient:
    workspace.configure(graph={"embed_phrases": request.param})
    workspace.write("harbour.md", "# Gannet Harbour\n\nGannet Harbour has a workshop. Ana Ruiz runs the workshop.\n")
    workspace.write("ana.md", "# Ana Ruiz\n\nAna Ruiz is an engineer. Ana Ruiz was born in Cork.\n")
    workspace.write("cork.md", "# Cork\n\nCork is a city in Ireland. It lies on the River Lee.\n")
    workspace.build()
    return workspace.client()


def test_the_hits_are_those_of_a_search(client: MemoryClient) -> None:
    reasons = client.explain(QUESTION, k=3)
    assert [item.hit for item in reasons.hits] == client.search(QUESTION, k=3)


def test_the_entities_of_the_question_are_named(client: MemoryClient) -> None:
    assert "Gannet Harbour" in client.explain(QUESTION).entities
    assert client.explain("what is it?").entities == ()


def test_every_path_ends_at_its_passage_and_begins_where_the_walk_did(client: MemoryClient) -> None:
    reasons = client.explain(QUESTION, k=3)
    told = 0
    for item in reasons.hits:
        for path in item.paths:
            last = path.steps[-1].to if path.steps else path.start
            assert (last.name, last.is_passage) == (item.hit.passage_id, True)
            assert all(0 < step.probability <= 1 for step in path.steps)
            told += 1
        assert sum(path.share for path in item.paths) == pytest.approx(1.0 if item.paths else 0.0)
    assert told >= 3


def test_a_passage_tells_its_facts_on_what_the_question_names(client: MemoryClient) -> None:
    reasons = client.explain(QUESTION, k=3)
    stated = {(fact.subject, fact.object) for item in reasons.hits for fact in item.facts}
    assert any("Gannet Harbour" in pair for pair in stated)
    for item in reasons.hits:
        assert all(item.hit.passage_id in fact.passage_ids for fact in item.facts)


def test_facts_near_the_question_are_told_nearest_first_where_they_have_vectors(
    client: MemoryClient, request: pytest.FixtureRequest
) -> None:
    reasons = client.explain(QUESTION)
    scores = [fact.score for fact in reasons.facts]
    assert scores == sorted(scores, reverse=True)
    assert bool(scores) == ("with vectors" in request.node.name)
    if scores:
        assert min(scores) >= 0.9 * max(scores) - 1e-6


def test_one_channel_alone_has_no_walk(client: MemoryClient) -> None:
    reasons = client.explain(QUESTION, channels=["lexical"])
    assert reasons.hits
    assert all(item.paths == () for item in reasons.hits)


def test_it_is_json_and_text_on_the_command_line(client: MemoryClient, workspace: Workspace) -> None:
    record = client.explain(QUESTION, k=2).as_record()
    assert record["hits"][0]["hit"]["passage_id"] == client.search(QUESTION, k=1)[0].passage_id
    told = CliRunner().invoke(app, ["search", QUESTION, "-k", "2", "--explain", "--config", str(workspace.config)])
    assert told.exit_code == 0, told.output
    assert "The question names: Gannet Harbour" in told.output
    assert "walk:" in told.output
    assert "harbour.md" in told.output


def test_nothing_found_is_said(workspace: Workspace) -> None:
    workspace.write("a.md", "Only this.")
    workspace.build()
    found: Explained = workspace.client().explain("zebra", channels=["lexical"])
    assert found.hits == ()
