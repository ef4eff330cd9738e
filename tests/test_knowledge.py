"""What a snapshot knows is found by name and told with its evidence, the strongest first."""

from __future__ import annotations

import polars as pl
import pytest
from knowledge import HOSTILE, entity_rows, firm, knowledge

from errors import UnknownName
from graph.knowledge import TABLES, KnowledgeGraph


def test_an_entity_is_found_by_its_name_however_it_is_written_and_by_its_aliases() -> None:
    graph = firm()
    assert graph.find("Gannet Maritime") == graph.find("the  GANNET-maritime") == graph.find("gannet b.v.") == ["firm"]
    assert graph.find("宮崎 port") == ["port"]


def test_the_entity_that_has_a_name_as_its_own_goes_before_those_that_have_it_as_an_alias() -> None:
    assert firm().find("GM") == ["car", "firm"]


def test_of_entities_of_one_name_the_most_mentioned_goes_first() -> None:
    graph = knowledge(
        entities=entity_rows("Mercury", "Mercury", "Mercury"),
        mentions=[("p1", "e1", False), ("p2", "e1", False), ("p1", "e2", False)],
    )
    assert graph.find("mercury") == ["e1", "e2", "e0"]


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match=r"No entity is called 'Gannet Maritme'.*'Gannet Maritime'"):
        firm().find("Gannet Maritme")
    with pytest.raises(UnknownName, match="mention"):
        firm().find("Zyzzyva Quux")
    for graph in (firm(), knowledge()):
        with pytest.raises(UnknownName):
            graph.find(" ")


def test_an_entity_is_told_with_its_facts_those_that_hold_first_and_their_evidence() -> None:
    around = firm().neighbourhood("firm")
    assert around.entity.name == "Gannet Maritime"
    assert around.entity.aliases == ("GM", "Gannet B.V.")
    assert [fact.fact_id for fact in around.facts] == ["f-sails", "f-bad", "f-new", "f-old"]
    by_id = {fact.fact_id: fact for fact in around.facts}
    assert by_id["f-bad"].outgoing is False
    assert by_id["f-bad"].other.name == HOSTILE
    assert (by_id["f-old"].superseded_by, str(by_id["f-old"].valid_until)) == ("f-new", "2023-05-01")
    assert [(one.path, one.char_start, one.char_end) for one in by_id["f-new"].evidence] == [
        ("about.md", 0, 30),
        ("minutes/may.md", 50, 80),
    ]


def test_an_entity_is_told_with_its_synonyms_passages_and_companions() -> None:
    around = firm().neighbourhood("firm")
    assert [(one.other.entity_id, one.method, one.score) for one in around.synonyms] == [
        ("group", "embedding", 0.9),
        ("bad", "alias", 0.5),
    ]
    assert [(one.passage_id, one.titled) for one in around.passages] == [("p2", True), ("p3", False), ("p1", False)]
    assert [(one.other.entity_id, one.shared) for one in around.companions] == [
        ("ann", 2),
        ("bad", 1),
        ("bob", 1),
        ("car", 1),
    ]


def test_the_limit_cuts_each_list_and_the_totals_tell_of_the_rest() -> None:
    around = firm().neighbourhood("firm", limit=1)
    lists = (around.facts, around.synonyms, around.passages, around.companions)
    assert [len(one) for one in lists] == [1, 1, 1, 1]
    assert around.totals == {"facts": 4, "synonyms": 2, "passages": 3, "companions": 4}


def test_a_neighbourhood_does_not_depend_on_the_order_of_rows() -> None:
    graph = firm()
    other = KnowledgeGraph(**{name: getattr(graph, name).reverse() for name in TABLES})
    assert graph.neighbourhood("firm") == other.neighbourhood("firm")


def test_an_entity_of_which_nothing_is_known_has_an_empty_neighbourhood() -> None:
    around = knowledge(entities=entity_rows("Oslo")).neighbourhood("e0")
    assert not any((around.facts, around.synonyms, around.passages, around.companions))


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(UnknownName, match="'nobody'"):
        firm().neighbourhood("nobody")


def test_tables_with_other_columns_are_refused() -> None:
    tables = {name: getattr(firm(), name) for name in TABLES}
    with pytest.raises(ValueError, match="the table mentions needs"):
        KnowledgeGraph(**{**tables, "mentions": pl.DataFrame({"passage_id": ["p1"]})})
