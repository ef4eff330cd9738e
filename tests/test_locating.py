"""Locating what a model wrote: exact spans, other spellings, stated bounds, and nothing that is not there."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from graph.locating import MIN_SIMILARITY, Located, locate, located, occurrences
from graph.mentions import extract_mentions
from graph.normalise import normalise

SOME = settings(max_examples=300, deadline=None)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
SCRAPS = st.sampled_from(
    """Ada Lovelace Němcová Ne\u030cmcova\u0301 ﬁne ﬀ 北京 東京 ひらがな 한국 \u1112\u1161 مدينة ﷺ Й и\u0306 ไทย 👩‍🚀 🏴
    \u200d \ufe0f \u0301 ß SS İ ı ½ ① U.S. 1999 1,000 don't _ - — . the of Straße""".split()
)
CRAFTED = st.lists(st.tuples(SCRAPS, st.sampled_from([" ", "", "\n", ", ", "\u2028", "\u00a0"])), max_size=16).map(
    lambda found: "".join(a + b for a, b in found)
)
TEXT = st.one_of(CRAFTED, ANY_TEXT)


def surface(found: Located | None, text: str, title: str = "") -> str | None:
    return None if found is None else (title if found.in_title else text)[found.start : found.end]


class TestLocate:
    @pytest.mark.parametrize(
        ("wanted", "text", "expected", "method"),
        [
            ("Ana Reyes", "We met Ana Reyes.", "Ana Reyes", "exact"),
            ("ana reyes", "We met Ana Reyes.", "Ana Reyes", "folded"),
            ("Ana  Reyes", "We met Ana\nReyes.", "Ana\nReyes", "folded"),
            ("Bozena Nemcova", "Božena Němcová wrote.", "Božena Němcová", "folded"),
            ("Němcová", "Ne\u030cmcova\u0301 wrote.", "Ne\u030cmcova\u0301", "folded"),
            ("fine art", "The ﬁne art", "ﬁne art", "folded"),
            ("Straße", "in der STRASSE dort", "STRASSE", "folded"),
            ("Full-Width", "the Ｆｕｌｌ Ｗｉｄｔｈ form", "Ｆｕｌｌ Ｗｉｄｔｈ", "folded"),
            ("Metro-North", "the Metro - North line", "Metro - North", "folded"),
            ("北京", "我在北京工作", "北京", "exact"),
            ("القاهرة", "في القاهرة اليوم", "القاهرة", "exact"),
            ("rocket 🚀", "a rocket 🚀 rose", "rocket 🚀", "exact"),
            ("👩‍🚀", "the 👩‍🚀 waved", "👩‍🚀", "exact"),
            ("Grimmelunds harbour", "the Grimmelund harbour", "Grimmelund harbour", "fuzzy"),
            ("name for family of motorcycles", "a name for the family of motorcycles", None, "words"),
            ("harbour of Grimmelund", "the Grimmelund harbour", "Grimmelund harbour", "words"),
        ],
    )
    def test_finds_the_text_s_own_spelling(self, wanted: str, text: str, expected: str | None, method: str) -> None:
        found = locate(wanted, text)
        assert found is not None and found.method == method
        assert expected is None or surface(found, text) == expected

    @pytest.mark.parametrize(
        ("wanted", "text"),
        [
            ("Rome", "Romeo met Juliet."),
            ("Bo Larsen", "Ana Reyes lives in Rome."),
            ("Iraq", "the border of Iran"),
            ("George H Bush", "George W Bush spoke."),
            ("John Smith", "Joan Smith spoke."),
            ("North Korea", "South Korea won."),
            ("5 May 1961", "born on 5 May 1967"),
            ("First World War", "the Second World War"),
            ("harbour of Grimmelund", "The harbour is old. Ana left Grimmelund."),
            ("Ana Reyes", "Ana lives with her three brothers and a Mr Reyes"),
            ("ana", "👩‍🚀 banana"),
            ("👩", "the 👩‍🚀 waved"),
            ("하", "한국"),
            ("", "Ana"),
            (" ", "Ana"),
            ("...", "Ana"),
        ],
    )
    def test_keeps_out_what_is_not_there(self, wanted: str, text: str) -> None:
        assert locate(wanted, text, text) is None

    def test_prefers_the_text_to_the_title_and_the_earliest_place(self) -> None:
        assert locate("Rome", "To Rome, from Rome.", "Rome") == Located(3, 7, False, 1.0, "exact")
        assert locate("Rome", "To Oslo.", "Rome") == Located(0, 4, True, 1.0, "exact")
        assert locate("rome", "To ROME.", "Rome") == Located(3, 7, False, 1.0, "folded")

    def test_prefers_an_exact_title_to_another_spelling_in_the_text(self) -> None:
        found = locate("ROME", "To Rome.", "ROME")
        assert found is not None and found.in_title

    def test_near_a_span_takes_the_same_sentence(self) -> None:
        text = "Rome is old. Ana Reyes left Rome. Bo stayed in Rome."
        at = text.index("Ana")
        assert locate("Rome", text, near=(at, at + 9)) == Located(28, 32, False, 1.0, "exact")
        assert locate("Rome", text) == Located(0, 4, False, 1.0, "exact")

    @settings(SOME, max_examples=600)
    @given(TEXT, TEXT, TEXT)
    @example("\u0301", "a\u0301", "")
    @example("ﬀ", "f ff", "ff")
    def test_of_anything_gives_a_span_of_whole_characters(self, wanted: str, text: str, title: str) -> None:
        found = locate(wanted, text, title)
        if found is None:
            return
        where = title if found.in_title else text
        assert 0 <= found.start < found.end <= len(where)
        assert 0 < found.score <= 1
        if found.method == "exact":
            assert where[found.start : found.end] == wanted.strip()
        if found.method == "fuzzy":
            assert found.score >= MIN_SIMILARITY

    @SOME
    @given(CRAFTED, CRAFTED, CRAFTED)
    def test_finds_every_whole_word_span_of_the_text(self, before: str, wanted: str, after: str) -> None:
        assume(wanted.strip())
        text = f"{before}\n{wanted.strip()}\n{after}"
        found = locate(wanted, text)
        assume(not wanted.strip().startswith(("\u0301", "\u200d", "\ufe0f")))
        assert found is not None and found.method == "exact"

    @SOME
    @given(TEXT, TEXT)
    def test_occurrences_do_not_overlap(self, wanted: str, text: str) -> None:
        spans = sorted((start, end) for start, end, _ in occurrences(wanted, text))
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


class TestAReply:
    STORY = "Ana Reyes was born in Rome on 5 May 1961. She left Rome. ROME was dear. Romeo stayed."

    def test_marks_every_whole_word_occurrence_of_an_entity(self) -> None:
        found = located([("Rome", "place")], (), self.STORY)
        assert [(m.surface, m.key, m.kind) for m in found.mentions] == [
            ("Rome", "rome", "place"),
            ("Rome", "rome", "place"),
            ("ROME", "rome", "place"),
        ]
        assert not found.unlocated_entities

    def test_gives_a_date_the_key_that_the_rules_give(self) -> None:
        found = located([("5 May 1961", "event"), ("5 may 1961", "")], (), self.STORY)
        assert set(found.mentions) == {m for m in extract_mentions(self.STORY) if m.kind == "date"}

    def test_gives_an_identifier_the_key_that_the_rules_give(self) -> None:
        text = "Call load_settings() first."
        (found,) = located([("load_settings()", "function")], (), text).mentions
        assert found in extract_mentions(text)

    def test_counts_and_keeps_out_what_is_not_stated(self) -> None:
        found = located(
            [("Rome", ""), ("Bo Larsen", "person")],
            [("Ana Reyes", "born in", "Rome"), ("Bo Larsen", "met", "Ana Reyes"), ("Rome", "", "Ana Reyes")],
            self.STORY,
        )
        assert (found.unlocated_entities, found.unlocated_triples) == (1, 2)
        assert [(t.subject.surface, t.predicate, t.object.surface) for t in found.triples] == [
            ("Ana Reyes", "born in", "Rome")
        ]

    def test_a_triple_has_one_sentence_as_evidence_where_its_ends_share_one(self) -> None:
        text = "Rome is old. Bo saw Rome. Ana Reyes  lives in Rome. Ana Reyes sings."
        (found,) = located((), [("Ana Reyes", "lives  in", "Rome")], text).triples
        assert text[found.start : found.end] == "Ana Reyes  lives in Rome."
        assert found.predicate == "lives in"

    def test_a_triple_across_sentences_has_all_of_them_as_evidence(self) -> None:
        text = "It rains. Ana Reyes is here. She is well. She likes Oslo. It rains."
        (found,) = located((), [("Ana Reyes", "likes", "Oslo")], text).triples
        assert text[found.start : found.end] == "Ana Reyes is here. She is well. She likes Oslo."

    def test_an_end_may_stand_in_the_title_but_not_both(self) -> None:
        text, title = "He was born in Rome.", "Bo Larsen, Oslo"
        found = located((), [("Bo Larsen", "born in", "Rome"), ("Bo Larsen", "in", "Oslo")], text, title)
        (one,) = found.triples
        assert one.subject_in_title and title[one.subject.start : one.subject.end] == "Bo Larsen"
        assert found.unlocated_triples == 1
        assert found.title_mentions == (one.subject,)

    def test_a_triple_s_ends_are_mentions(self) -> None:
        found = located((), [("Ana Reyes", "born on", "5 May 1961")], self.STORY)
        (one,) = found.triples
        assert one.subject in found.mentions and one.object in found.mentions
        assert one.object.key == "1961-05-05"

    def test_a_link_to_itself_is_kept_out(self) -> None:
        assert located((), [("Rome", "is", "ROME")], self.STORY).unlocated_triples == 1

    def test_takes_the_same_thing_once(self) -> None:
        one = ("Ana Reyes", "born in", "Rome")
        assert located([("Rome", "")] * 3, [one, one], self.STORY) == located([("Rome", "")], [one], self.STORY)

    @settings(SOME, max_examples=400)
    @given(st.lists(TEXT, max_size=4), st.lists(st.tuples(TEXT, ANY_TEXT, TEXT), max_size=4), TEXT, TEXT)
    def test_of_anything_is_sound(
        self, names: list[str], triples: list[tuple[str, str, str]], text: str, title: str
    ) -> None:
        found = located([(name, "") for name in names], triples, text, title)
        for mentions, where in ((found.mentions, text), (found.title_mentions, title)):
            for mention in mentions:
                assert where[mention.start : mention.end] == mention.surface
                assert mention.key
                assert mention.kind in ("date", "identifier") or mention.key == normalise(mention.surface)
        for one in found.triples:
            assert one.subject in (found.title_mentions if one.subject_in_title else found.mentions)
            assert one.object in (found.title_mentions if one.object_in_title else found.mentions)
            assert 0 <= one.start < one.end <= len(text)
            for end, in_title in ((one.subject, one.subject_in_title), (one.object, one.object_in_title)):
                assert in_title or one.start <= end.start < end.end <= one.end
