"""Memories as results and as reasons: turns, facts and episodes with exact spans, their parents and parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest
from conftest import Workspace

from errors import UnknownName
from retrieval import Filters, MemoryClient
from warehouse.sections import GRANULARITIES

SESSIONS = {
    "s1": (
        "2023-05-08",
        [
            ("Ana", "I moved to Porto last month, and I live near the river now."),
            ("Ben", "That sounds lovely! How is the new flat?"),
            ("Ana", "It has a small balcony. I adopted a grey cat called Miso there."),
            ("Ben", "A cat! I am allergic to cats, but send me a picture."),
        ],
    ),
    "s2": (
        "2023-06-20",
        [
            ("Ben", "Did you finish the marathon in Lisbon?"),
            ("Ana", "Yes, on Sunday. I ran it in four hours and ten minutes."),
            ("Ben", "Congratulations, I could never run that far."),
            ("Ana", "I moved to Braga yesterday, because the rent in Porto was too high."),
        ],
    ),
}
NOTE = """# Mills

The iron mill at Porto was closed in 1921. Its wheel stands in the museum.

# Bridges

The bridge over the river was opened in 1886. It carried trains until 1991, when another one took them over.
"""


@pytest.fixture
def client(workspace: Workspace) -> Iterator[MemoryClient]:
    workspace.configure([{}, {"name": "chats", "kind": "chat"}])
    workspace.write("mills.md", NOTE)
    lines = [
        json.dumps({"id": key, "date": day, "turns": [{"speaker": who, "text": words} for who, words in turns]})
        for key, (day, turns) in SESSIONS.items()
    ]
    workspace.write("talk.jsonl", "\n".join(lines), "chats")
    built = workspace.build()
    with MemoryClient(built.lake.layout, built.lake.settings, embedder=workspace.embedder) as opened:
        yield opened


def whole_texts(client: MemoryClient) -> dict[str, dict[int, str]]:
    """The characters of every document that its passages hold, by path and offset."""
    texts: dict[str, dict[int, str]] = {}
    for row in client.passages():
        texts.setdefault(row["path"], {}).update(enumerate(row["text"], row["char_start"]))
    return texts


class TestMemoriesAsResults:
    def test_a_turn_is_found_with_its_exact_span(self, client: MemoryClient) -> None:
        hit = client.search("Which cat did Ana adopt?", k=3, granularity="turn")[0]
        assert hit.text == "Ana: It has a small balcony. I adopted a grey cat called Miso there."
        assert (hit.granularity, hit.rank, hit.location.document_date) == ("turn", 1, date(2023, 5, 8))
        held = whole_texts(client)[hit.location.path]
        assert "".join(held[at] for at in range(hit.span.start, hit.span.end)) == hit.text

    @pytest.mark.parametrize(
        "granularity", ["turn", "round", "episode", "summary", "fact", "outline", "core", "period"]
    )
    def test_every_granularity_can_be_asked(self, client: MemoryClient, granularity: str) -> None:
        hits = client.search("the bridge in Porto and the marathon", k=50, granularity=granularity)
        assert hits
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert all(hit.granularity == granularity and hit.memory_id and hit.spans for hit in hits)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        json.dumps([hit.as_record() for hit in hits])

    def test_one_channel_alone_can_be_asked(self, client: MemoryClient) -> None:
        hits = client.search("marathon Lisbon", k=2, granularity="turn", channels=["lexical"])
        assert hits[0].text == "Ben: Did you finish the marathon in Lisbon?"

    def test_an_unknown_granularity_is_refused_with_those_that_there_are(self, client: MemoryClient) -> None:
        with pytest.raises(UnknownName) as caught:
            client.search("Porto", granularity="chapter")
        assert "turn" in str(caught.value)

    def test_a_filter_holds_for_memories(self, client: MemoryClient) -> None:
        hits = client.search("Porto", k=50, granularity="turn", filters=Filters(since=date(2023, 6, 1)))
        assert {hit.location.path for hit in hits} == {"talk.jsonl#s2"}
        assert client.search("Porto", granularity="turn", filters=Filters(sources=("notes",))) == []

    def test_a_fact_that_another_one_ended_says_so(self, client: MemoryClient) -> None:
        facts = client.search("Where does Ana live? She moved.", k=50, granularity="fact")
        moved = {"Porto": [], "Braga": []}
        for hit in facts:
            for town in moved:
                if f"moved to {town}" in hit.text:
                    moved[town].append(hit.superseded)
        assert moved == {"Porto": [True], "Braga": [False]}


class TestUpAndDown:
    def test_the_parents_of_a_turn_lead_to_its_session(self, client: MemoryClient) -> None:
        hit = client.search("Which cat did Ana adopt?", granularity="turn")[0]
        names = []
        while (above := client.parent(hit)) is not None:
            assert above.span.start <= hit.span.start or above.granularity in ("summary", "period")
            names.append(above.granularity)
            hit = above
        assert names[:3] == ["round", "episode", "summary"]

    def test_a_passage_lies_in_an_outline_item(self, client: MemoryClient) -> None:
        hit = client.search("When was the bridge opened?", k=1)[0]
        above = client.parent(hit)
        assert above is not None
        assert above.granularity == "outline"
        assert above.span.start <= hit.span.start < above.span.end

    def test_a_summary_is_expanded_to_its_best_parts(self, client: MemoryClient) -> None:
        sessions = client.search("the cat on the balcony", granularity="summary")
        assert sessions[0].location.path == "talk.jsonl#s1"
        parts = client.expand(sessions[0], "the cat on the balcony")
        assert parts
        assert all(part.location.path == "talk.jsonl#s1" for part in parts)

    def test_a_turn_is_expanded_to_its_passage(self, client: MemoryClient) -> None:
        hit = client.search("Which cat did Ana adopt?", granularity="turn")[0]
        assert [part.passage_id for part in client.expand(hit, "the cat")] == [hit.passage_id]


class TestReasons:
    def test_memories_that_lead_to_a_hit_are_told_with_the_weights_of_their_granularities(
        self, client: MemoryClient
    ) -> None:
        explained = client.explain("Which cat did Ana adopt in Porto?", k=2)
        weights = explained.understood.weights
        assert set(weights) <= set(GRANULARITIES)
        assert sum(weights.values()) == pytest.approx(1)
        told = {memory.granularity for memory in explained.hits[0].memories}
        assert "turn" in told
        assert all(memory.text for memory in explained.hits[0].memories)
        json.dumps(explained.as_record())

    def test_the_time_of_a_question_is_told_and_counts(self, client: MemoryClient) -> None:
        explained = client.explain("What did Ana tell Ben in June 2023?", k=5)
        time = explained.understood.time
        assert (time.since, time.until) == (date(2023, 6, 1), date(2023, 6, 30))
        assert explained.hits[0].hit.location.document_date == date(2023, 6, 20)

    def test_the_parts_of_a_question_are_told(self, client: MemoryClient) -> None:
        question = "Was the iron mill at Porto closed in 1921, while the bridge carried trains until 1991?"
        explained = client.explain(question, k=2)
        assert len(explained.understood.parts) == 2

    def test_what_is_left_out_is_told_of_no_hit(self, client: MemoryClient) -> None:
        explained = client.explain("Which cat did Ana adopt in Porto?", k=2)
        assert all(memory.granularity != "core" for item in explained.hits for memory in item.memories)


class TestOneWayToSearch:
    def test_one_query_is_a_batch_of_one(self, client: MemoryClient) -> None:
        questions = [
            "Which cat did Ana adopt?",
            "Was the mill closed in 1921, or did the bridge carry trains until then?",
        ]
        alone = [[hit.passage_id for hit in client.search(question)] for question in questions]
        assert [[hit.passage_id for hit in hits] for hits in client.search_many(questions)] == alone

    def test_a_space_without_memories_is_searched_by_its_passages(self, workspace: Workspace) -> None:
        workspace.configure(memory={"granularities": []})
        workspace.write("mills.md", NOTE)
        built = workspace.build()
        with MemoryClient(built.lake.layout, built.lake.settings, embedder=workspace.embedder) as opened:
            assert opened.search("When was the bridge opened?")
            assert opened.parent(opened.search("bridge")[0]) is None
            with pytest.raises(UnknownName):
                opened.search("bridge", granularity="turn")
