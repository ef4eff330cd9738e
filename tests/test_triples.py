"""Triples by rules: exact spans, what each kind of statement yields, and what states nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graph.mentions import extract_mentions
from graph.triples import Triple, extract_triples
from graph.units import units

ROOT = Path(__file__).parent.parent
CORPUS = sorted((ROOT / "examples" / "corpus").rglob("*.md"))
SOME = settings(max_examples=300, deadline=None)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
SCRAPS = st.sampled_from(
    """Ada Lovelace King of the The It He she His is was born wrote and or , . ; : ( ) [ ] – — ? ! | - # ## * > ``` ~~~
    1999 2023-05-08 (1815–1852) 8\u00a0May\u00a02023 Owner: **Status:** who which that where to in by a an Rome's 北京
    在 Москва مدينة é e\u0301 ﬁ 🏴‍☠️ \u200d \u2028 \x0b \r\n \n \n\n | --- | https://a.b/c `x` "Quoted Name" -- $ % …
    """.replace("\n    ", " ").split(" ")
)
GLUE = st.sampled_from([" ", " ", " ", "", "\n", "\u00a0", "\t", ". ", ": ", " | ", "\n- ", "\n| ", " |\n"])
CRAFTED = st.lists(st.tuples(SCRAPS, GLUE), max_size=30).map(lambda found: "".join(a + b for a, b in found))
TEXT = st.one_of(CRAFTED, ANY_TEXT)


def triples(text: str, title: str = "") -> list[Triple]:
    return extract_triples(text, title, extract_mentions(text, title))


def said(text: str, title: str = "") -> set[tuple[str, str, str]]:
    return {(one.subject.surface, one.predicate, one.object.surface) for one in triples(text, title)}


def linked(text: str, title: str = "") -> set[tuple[str, str]]:
    return {(one.subject.surface, one.object.surface) for one in triples(text, title)}


def assert_sound(text: str, title: str, found: list[Triple]) -> None:
    for one in found:
        assert 0 <= one.start < one.end <= len(text)
        for mention, in_title in ((one.subject, one.subject_in_title), (one.object, one.object_in_title)):
            where = title if in_title else text
            assert where[mention.start : mention.end] == mention.surface
            assert mention.surface == mention.surface.strip() != ""
            assert mention.key
        if not one.object_in_title:
            assert one.start <= one.object.start < one.object.end <= one.end
        assert one.predicate == " ".join(one.predicate.split()) != ""
        assert one.subject.key != one.object.key
    assert len(set(found)) == len(found)


class TestEveryTriple:
    @settings(SOME, max_examples=800)
    @given(TEXT, st.one_of(st.just(""), TEXT))
    @example("It was (", "A (B)")
    @example("| A | B |\n|---|---|\n| | |\n|||", "T")
    @example("Ada (1815–1852", "")
    @example("```\nAda wrote Rome", "")
    def test_slices_back_to_its_surfaces_and_lies_in_its_evidence(self, text: str, title: str) -> None:
        assert_sound(text, title, triples(text, title))

    @SOME
    @given(TEXT, TEXT)
    def test_is_the_same_each_time(self, text: str, title: str) -> None:
        assert triples(text, title) == triples(text, title)

    @SOME
    @example("``` \u2028 \u2028 Ada \u2028 ")
    @given(TEXT)
    def test_evidence_comes_from_units_that_are_in_order_and_apart(self, text: str) -> None:
        found = units(text)
        for unit in found:
            assert unit.start <= unit.body < unit.end <= len(text)
            assert text[unit.start : unit.end] == text[unit.start : unit.end].strip()
        assert all(one.end <= other.start for one, other in pairwise(found))

    @pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
    def test_of_the_example_corpus_is_sound(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        found = triples(text, path.stem)
        assert_sound(text, path.stem, found)
        assert found

    def test_does_not_depend_on_the_order_of_the_mentions(self) -> None:
        text = "Ana Reyes, the mayor of Grimmelund, was born on 5 May 1961 in Rome."
        mentions = extract_mentions(text)
        assert extract_triples(text, "", mentions) == extract_triples(text, "", mentions[::-1])


class TestASentence:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Paris is the capital of France.", ("Paris", "is the capital of", "France")),
            ("Nature is a peer-reviewed journal.", ("Nature", "is", "peer-reviewed journal")),
            ("Marie Curie was born in Warsaw.", ("Marie Curie", "was born in", "Warsaw")),
            ("The opera was composed by Verdi. Verdi met Wagner.", ("Verdi", "met", "Wagner")),
            ("Anna Bell founded Norrow Labs in 1999.", ("Anna Bell", "founded in", "1999")),
            ("In 1999, Anna Bell founded Norrow Labs.", ("Anna Bell", "founded in", "1999")),
            ("The mayor of Rome is Ana Reyes.", ("Rome", "mayor is", "Ana Reyes")),
            ("Ana Reyes, the mayor of the town, met Bo Larsen.", ("Ana Reyes", "is", "mayor")),
            ("Ana Reyes, who studied in Oslo, founded Norrow.", ("Ana Reyes", "studied in", "Oslo")),
            ("Ana Reyes, who studied in Oslo, founded Norrow.", ("Ana Reyes", "founded", "Norrow")),
            ("Ada Lovelace (1815–1852) wrote Notes.", ("Ada Lovelace", "from", "1815")),
            ("Ada Lovelace (1815–1852) wrote Notes.", ("Ada Lovelace", "until", "1852")),
            ("Ada Lovelace (born 10 December 1815) wrote.", ("Ada Lovelace", "born", "10 December 1815")),
            ("Ana Kim (born 5 May 1961 in Rome) sings.", ("Ana Kim", "born in", "Rome")),
            ("The film was shot in Lisbon.", None),
        ],
    )
    def test_says_who_is_linked_to_what(self, text: str, expected: tuple[str, str, str] | None) -> None:
        assert expected in said(text) if expected else not said(text)

    def test_links_every_name_of_a_list(self) -> None:
        assert linked("Norrow supplies Oslo, Bergen and Tromsø.") == {
            ("Norrow", "Oslo"),
            ("Norrow", "Bergen"),
            ("Norrow", "Tromsø"),
        }
        assert linked("Romania and Bulgaria joined NATO.") == {("Romania", "NATO"), ("Bulgaria", "NATO")}

    def test_a_new_clause_has_its_own_subject(self) -> None:
        found = linked("Ana Reyes lives in Oslo, and Bo Larsen works for Norrow.")
        assert {("Ana Reyes", "Oslo"), ("Bo Larsen", "Norrow")} <= found
        assert ("Ana Reyes", "Norrow") not in found

    def test_keeps_the_precise_key_of_a_date(self) -> None:
        (found,) = triples("Ana Reyes was born on 5 May 1961.")
        assert (found.object.kind, found.object.key) == ("date", "1961-05-05")

    def test_is_its_own_evidence(self) -> None:
        text = "Ana Reyes leads Norrow. Bo Larsen left Oslo. Nothing else."
        assert {text[one.start : one.end] for one in triples(text)} == {
            "Ana Reyes leads Norrow.",
            "Bo Larsen left Oslo.",
        }

    @pytest.mark.parametrize(
        "text",
        [
            "Did Ana Reyes move to Rome?",
            "It is raining in Oslo.",
            "It was clear that Ana had left Oslo.",
            "I met Ana Reyes in Rome.",
            "Hello Ana, and thanks!",
            "https://example.org/Ana/is/Rome",
            "```\nAna.is(Rome)\nclass Rome: pass\n```",
            "",
            "?",
        ],
    )
    def test_that_states_nothing_of_the_title_yields_none(self, text: str) -> None:
        title = "Lagos"
        assert not [one for one in triples(text, title) if one.subject_in_title or one.object_in_title]

    @pytest.mark.parametrize("text", ["Did Ana Reyes move to Rome?", "```\nAna Reyes was born in Rome.\n```"])
    def test_of_a_question_or_of_code_yields_none(self, text: str) -> None:
        assert not triples(text)

    @pytest.mark.parametrize(
        "text",
        [
            "北京是中国的首都。",
            "宮崎駿は東京で生まれた。",
            "القاهرة عاصمة مصر.",
            "Москва стала столицей России.",
            "ไทย",
        ],
    )
    def test_of_another_language_does_no_harm(self, text: str) -> None:
        assert_sound(text, text, triples(text, text))


class TestAReference:
    def test_of_a_pronoun_is_to_the_last_subject(self) -> None:
        found = said("Ana Reyes is an engineer. She was born in Rome.", "Norrow Labs")
        assert ("Ana Reyes", "was born in", "Rome") in found

    def test_of_a_pronoun_that_comes_first_is_to_the_title(self) -> None:
        (found,) = triples("He was born in Rome.", "Bo Larsen (painter)")
        assert (found.subject.surface, found.subject_in_title, found.object.surface) == ("Bo Larsen", True, "Rome")

    def test_of_a_pronoun_without_a_title_is_to_nothing(self) -> None:
        assert not triples("He was born in Rome.")

    def test_of_a_headline_is_to_nothing(self) -> None:
        assert not triples("He was born in Rome.", "Seven things that nobody told you about the old harbour")

    def test_of_a_noun_is_to_the_title_that_was_called_so(self) -> None:
        text = "Humaya River flows through Sinaloa. The river joins the Tamazula."
        assert ("Humaya River", "joins", "Tamazula") in said(text, "Humaya River")

    def test_of_a_possessive_names_the_relation(self) -> None:
        assert ("Bo Larsen", "father was", "Nils Larsen") in said("His father was Nils Larsen.", "Bo Larsen")


class TestStructure:
    def test_a_labelled_line_tells_of_the_title(self) -> None:
        text = "Owner: Ana Reyes\n**Status:** in review\nDue: 5 May 2026\n"
        assert said(text, "Lantern") == {
            ("Lantern", "Owner", "Ana Reyes"),
            ("Lantern", "Status", "in review"),
            ("Lantern", "Due", "5 May 2026"),
        }

    def test_a_labelled_item_tells_of_the_title(self) -> None:
        assert said("- Owner: Ana Reyes\n- Site: Kittermouth\n", "Lantern") == {
            ("Lantern", "Owner", "Ana Reyes"),
            ("Lantern", "Site", "Kittermouth"),
        }

    @pytest.mark.parametrize(
        "text",
        [
            "Ana: Hi Bo!\nBo: I moved to Rome last week.\nAna: Great.",
            "Ana: Good morning to all of you.\nBo: Morning!",
            "Ana: fine\nBo: fine\nAna: Rome",
            "Note: Rome",
        ],
    )
    def test_a_dialogue_or_a_note_is_no_attribute(self, text: str) -> None:
        assert not [one for one in triples(text, "Lantern") if one.predicate in ("Ana", "Bo", "Note")]

    def test_a_rows_cells_belong_to_its_first(self) -> None:
        text = "| Vendor | Seat | Contact |\n| --- | --- | --- |\n| Tessaly Acoustics | Marrowgate | Ana Reyes |\n"
        assert said(text, "Vendors") == {
            ("Tessaly Acoustics", "Seat", "Marrowgate"),
            ("Tessaly Acoustics", "Contact", "Ana Reyes"),
        }

    @pytest.mark.parametrize("head", ["", "| Field | Value |\n|---|---|\n"])
    def test_two_columns_of_attributes_tell_of_the_title(self, head: str) -> None:
        assert said(f"{head}| Owner | Ana Reyes |\n| Rate | 4,800 crowns |\n", "Aldis Moon") == {
            ("Aldis Moon", "Owner", "Ana Reyes"),
            ("Aldis Moon", "Rate", "4,800 crowns"),
        }

    def test_an_item_belongs_to_the_title_by_its_heading(self) -> None:
        assert said("## Vendors\n\n- Tessaly Acoustics\n- Ullsvik Optik\n", "Lantern") == {
            ("Lantern", "Vendors", "Tessaly Acoustics"),
            ("Lantern", "Vendors", "Ullsvik Optik"),
        }

    def test_an_item_belongs_to_the_line_that_introduces_it(self) -> None:
        text = "## Where we are\n\nThe founding members are:\n\n- the Lissel Ferry Company,\n- the Tarrow Council.\n"
        found = said(text, "Welcome")
        assert ("Welcome", "The founding members are", "the Lissel Ferry Company") in found
        assert not [one for one in found if one[1] == "Where we are"]

    def test_an_item_belongs_to_its_heading_where_there_is_no_title(self) -> None:
        assert said("# Vendors\n* Tessaly Acoustics\n") == {("Vendors", "lists", "Tessaly Acoustics")}

    def test_an_item_that_is_a_sentence_is_read(self) -> None:
        found = said("## Notes\n- Corvus Mini is built by Tessaly Acoustics in Marrowgate.\n", "Lantern")
        assert found == {
            ("Corvus Mini", "is built by", "Tessaly Acoustics"),
            ("Corvus Mini", "is built in", "Marrowgate"),
        }

    def test_a_wrapped_paragraph_is_one_sentence(self) -> None:
        assert ("Ana Reyes", "was born in", "Rome") in said("Ana Reyes was\nborn in Rome.")
