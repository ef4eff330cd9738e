"""What a model writes of a session is kept where it names turns that exist, and located exactly."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import TALK, check, of, session

from errors import Malformed
from memory.conversations.attributes import ATTRIBUTES
from memory.conversations.replies import PROMPT, Reply, ToldFact, Topic, from_replies, from_reply
from memory.conversations.session import TAG, Session, parts
from memory.granularity import Granularity, Memory
from models.prompts import load_prompt
from models.structured import parse_reply, strict_schema

REPLY = Reply(
    summary="Ben tells Ann of his move to Lisbon. Ann has a greyhound.",
    episodes=[Topic(first=1, last=2), Topic(first=3, last=4), Topic(first=5, last=6)],
    facts=[
        ToldFact(turn=3, subject="Ann's dog", attribute="Name", statement="Ann's greyhound is called Pixel."),
        ToldFact(turn=2, subject="Ben", attribute="residence", statement="Ben moved to Lisbon last month."),
        ToldFact(turn=6, subject="Ben", attribute="mood", statement="Ben likes it."),
    ],
    keywords=["Lisbon", "greyhound", "lisbon"],
)


def changed(**fields: object) -> Reply:
    return REPLY.model_copy(update=fields)


def test_a_reply_becomes_the_memories_of_the_session() -> None:
    made = session(*TALK)
    told = from_reply(made, REPLY)
    check(made, told.memories)
    assert (told.invented_turns, told.unlocated_keywords, told.unusable) == (0, 0, 0)
    (summary,) = of(told.memories, Granularity.SUMMARY)
    assert summary.text == f"25 May 2023\n{REPLY.summary}"
    assert [memory.text for memory in of(told.memories, Granularity.KEYWORDS)] == ["Lisbon, greyhound"]
    assert len(of(told.memories, Granularity.EPISODE)) == 3
    moved, named, likes = of(told.memories, Granularity.FACT)
    assert (moved.text, moved.speaker, moved.subject) == ("Ben moved to Lisbon last month.", "Ben", "ben")
    assert made.text[slice(*moved.spans[0])].startswith("I moved to Lisbon last month")
    assert (moved.attribute, moved.since, moved.until) == ("residence", date(2023, 4, 1), date(2023, 4, 30))
    assert (named.subject, named.attribute) == ("ann's dog", "name")
    assert likes.attribute == ""
    assert made.text[slice(*likes.spans[0])] == TALK[5][1], (
        "no sentence shares a word, so the turn's words stand for it"
    )


@pytest.mark.parametrize("turn", [0, -1, 7, 10**12])
def test_turns_that_a_model_invents_are_left_out_and_counted(turn: int) -> None:
    fact = ToldFact(turn=turn, subject="Ann", attribute="", statement="Ann flew to the moon.")
    told = from_reply(
        session(*TALK), changed(facts=[fact], episodes=[Topic(first=1, last=2), Topic(first=turn, last=turn)])
    )
    assert told.invented_turns == 2
    assert of(told.memories, Granularity.FACT) == []


def test_topics_that_overlap_or_leave_gaps_still_cover_the_session_once() -> None:
    topics = [Topic(first=4, last=2), Topic(first=3, last=6), Topic(first=3, last=3), Topic(first=6, last=6)]
    made = session(*TALK)
    told = from_reply(made, changed(episodes=topics))
    check(made, told.memories)
    assert [memory.text.count("\n\n") for memory in of(told.memories, Granularity.EPISODE)] == [1, 1, 1]
    assert told.invented_turns == 1


def test_keywords_that_are_nowhere_in_the_text_are_left_out_and_counted() -> None:
    told = from_reply(session(*TALK), changed(keywords=["Paris", "", "chamber orchestra", "cello"]))
    assert told.unlocated_keywords == 2
    assert [memory.text for memory in of(told.memories, Granularity.KEYWORDS)] == ["chamber orchestra, cello"]


def test_an_empty_reply_leaves_the_structure_and_an_opening() -> None:
    made = session(*TALK)
    told = from_reply(made, Reply(summary=" ", episodes=[], facts=[], keywords=[]))
    check(made, told.memories)
    assert told.unusable == 1
    assert TALK[0][1] in of(told.memories, Granularity.SUMMARY)[0].text
    assert {memory.granularity for memory in told.memories} == {*Granularity} & {
        Granularity.SUMMARY,
        Granularity.EPISODE,
        Granularity.ROUND,
        Granularity.TURN,
    }


def test_facts_that_are_empty_or_endless_are_left_out_and_counted() -> None:
    facts = [
        ToldFact(turn=1, subject="Ann", attribute="", statement=words) for words in (" ", "x " * 500, "Ann is here.")
    ]
    told = from_reply(session(*TALK), changed(facts=facts * 2))
    assert [memory.text for memory in of(told.memories, Granularity.FACT)] == ["Ann is here."]
    assert told.unusable == 4


def test_parts_are_merged_and_keep_to_their_turns() -> None:
    made = session(*TALK)
    first, second, third = parts(made, 1)
    one = changed(episodes=[Topic(first=1, last=2)], facts=REPLY.facts[1:2], keywords=["Lisbon"], summary="One.")
    other = changed(episodes=[Topic(first=3, last=4)], facts=REPLY.facts[:2], keywords=["Pixel"], summary="Two.")
    last = changed(episodes=[], facts=[], keywords=["cello", "Pixel"], summary="")
    told = from_replies(made, [(first, one), (second, other), (third, last)])
    check(made, told.memories)
    assert told.invented_turns == 1, "the second part was not shown turn 2"
    assert of(told.memories, Granularity.SUMMARY)[0].text == "25 May 2023\nOne.\nTwo."
    assert len(of(told.memories, Granularity.SUMMARY)[0].spans) == 2
    assert of(told.memories, Granularity.KEYWORDS)[0].text == "Lisbon, Pixel, cello"
    assert len(of(told.memories, Granularity.EPISODE)) == 2
    assert len(of(told.memories, Granularity.FACT)) == 2


def test_a_session_without_turns_has_no_memories() -> None:
    assert from_replies(Session("", (), ()), []).memories == []


@settings(max_examples=40, deadline=None)
@given(
    topics=st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), max_size=6),
    turns=st.lists(st.integers(-2, 9), max_size=6),
    terms=st.lists(st.sampled_from(["Lisbon", "Lisbon Chamber", "Chamber", "x", "\u0130", "moon"]), max_size=5),
)
def test_any_reply_gives_consistent_memories(topics: list[tuple[int, int]], turns: list[int], terms: list[str]) -> None:
    made = session(*TALK, ("Ann", "\u0130stanbul \u0130s far."))
    facts = [ToldFact(turn=turn, subject="Ann", attribute="age", statement=f"Ann is {turn}.") for turn in turns]
    reply = changed(episodes=[Topic(first=first, last=last) for first, last in topics], facts=facts, keywords=terms)
    told = from_reply(made, reply)
    check(made, told.memories)
    assert len(of(told.memories, Granularity.FACT)) == len({turn for turn in turns if 1 <= turn <= 7})


def test_the_prompt_asks_for_the_shape_that_is_read() -> None:
    system = load_prompt(PROMPT).system
    assert f"<{TAG} title=" in system
    assert all(attribute in " ".join(system.split()) for attribute in ATTRIBUTES)
    asked = system[system.index('{"summary"') : system.rindex("]}") + 2]
    parsed = parse_reply(asked, Reply).value
    assert parsed.episodes == [Topic(first=1, last=6)]
    assert set(strict_schema(Reply)["required"]) == set(Reply.model_fields)
    with pytest.raises(Malformed):
        parse_reply('{"summary": "x", "episodes": [{"first": "1", "last": 2}], "facts": [], "keywords": []}', Reply)


def test_memories_are_told_in_the_order_of_their_turns() -> None:
    facts: list[Memory] = of(from_reply(session(*TALK), REPLY).memories, Granularity.FACT)
    assert [fact.spans for fact in facts] == sorted(fact.spans for fact in facts)
