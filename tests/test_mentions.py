"""Mentions are exact spans of names, found by rules that depend on the passage and its title alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graph.acronyms import extract_acronyms
from graph.mentions import KINDS, Mention, extract_mentions, title_keys, title_mentions
from graph.normalise import STOP, normalise, normalise_identifier

ROOT = Path(__file__).parent.parent
CORPUS = sorted((ROOT / "examples" / "corpus").rglob("*.md"))
SOME = settings(max_examples=300, deadline=None)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
# What the rules look at: capitals, links, numbers, dates, marks of every kind, other scripts.
SCRAPS = st.sampled_from(
    """Ada Lovelace De La Van der of the The de U.S. Dr. J. St. Jr. King's King’s 1920 1999 12 3rd May June 2023
    2023-05-08 2023-05 8th NASA NASA's iPhone OpenAPI OPS-142 v1.2.3 load_settings() a.b.c ./a/b.md --flag `code` ``
    "Quoted Name" “Brave New World” 'Tis ‘Go ’ « » „ ( ) (NASA) [ ] 《 》 「 」 『風』 スタジオ ・ 宮崎駿 北京 的
    Москва Élan https://a.b/c ops@example.org and & word : . , ; ! ? - — … 's ’s https:// a_b
    """.split()
)
GLUE = st.sampled_from([" ", " ", " ", "", "\n", "\u00a0", "\t", ". ", ": ", " of ", " ("])
CRAFTED = st.lists(st.tuples(SCRAPS, GLUE), max_size=25).map(lambda found: "".join(a + b for a, b in found))
TEXT = st.one_of(CRAFTED, ANY_TEXT)


def found(text: str, title: str = "") -> set[tuple[str, str, str]]:
    return {(mention.surface, mention.key, mention.kind) for mention in extract_mentions(text, title)}


def keys(text: str, title: str = "") -> set[str]:
    return {mention.key for mention in extract_mentions(text, title)}


def assert_sound(text: str, mentions: list[Mention]) -> None:
    for mention in mentions:
        assert 0 <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end] == mention.surface
        assert mention.key.strip()
        assert mention.kind in KINDS
    assert len({(mention.start, mention.end, mention.key) for mention in mentions}) == len(mentions)


class TestEveryMention:
    @settings(SOME, max_examples=600)
    @given(TEXT, st.one_of(st.just(""), TEXT))
    @example("We met in 1920 De 1999", "")
    @example("NASA \n(National Aeronautics and Space Administration)", "")
    def test_slices_back_to_its_surface(self, text: str, title: str) -> None:
        mentions = extract_mentions(text, title)
        assert_sound(text, mentions)
        assert mentions == sorted(mentions, key=lambda m: (m.start, m.end, m.key))

    @SOME
    @given(TEXT)
    def test_of_a_title_slices_back_to_its_surface(self, title: str) -> None:
        mentions = title_mentions(title)
        assert_sound(title, mentions)
        assert len({mention.key for mention in mentions}) == len(mentions)

    @SOME
    @given(TEXT)
    def test_begins_and_ends_with_something_other_than_white_space(self, text: str) -> None:
        for mention in extract_mentions(text):
            assert mention.surface == mention.surface.strip()

    @pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
    def test_of_the_example_corpus_slices_back_to_its_surface(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        title = text.splitlines()[0].lstrip("# ")
        mentions = extract_mentions(text, title)
        assert_sound(text, mentions)
        assert mentions

    def test_is_the_same_in_another_process_with_another_hash_seed(self) -> None:
        code = (
            "import pathlib, sys\nfrom graph.mentions import extract_mentions\n"
            "for path in sys.argv[1:]:\n"
            "    print(extract_mentions(pathlib.Path(path).read_text(encoding='utf-8'), 'Gannet'))"
        )
        chosen = [str(path) for path in CORPUS[:6]]
        outputs = {
            subprocess.run(
                [sys.executable, "-c", code, *chosen],
                cwd=ROOT,
                env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(outputs) == 1
        assert "Mention(" in outputs.pop()

    @pytest.mark.parametrize(
        "text",
        [
            "U.S. The " * 3000,
            "A" * 20000,
            "A. " * 5000,
            "(" * 5000,
            '"a ' * 5000,
            "a@" * 5000,
            "a/" * 5000,
            "水" * 9000,
        ],
        ids=lambda text: text[:9],
    )
    def test_is_found_in_texts_that_repeat_themselves(self, text: str) -> None:
        assert_sound(text, extract_mentions(text))


class TestProse:
    @pytest.mark.parametrize(
        ("text", "surface", "key", "kind"),
        [
            ("We met Ada Lovelace there.", "Ada Lovelace", "ada lovelace", "name"),
            ("It is Ernest Rutherford's idea.", "Ernest Rutherford", "ernest rutherford", "name"),
            ("the works of Ludwig van Beethoven", "Ludwig van Beethoven", "ludwig van beethoven", "name"),
            ("at the University of Manchester", "University of Manchester", "university of manchester", "name"),
            ("at the University of Manchester", "Manchester", "manchester", "name"),
            ("with Martin Luther King Jr. there", "Martin Luther King Jr.", "martin luther king jr", "name"),
            ("with Dr. Lee there", "Dr. Lee", "dr lee", "name"),
            ("by J. R. R. Tolkien", "J. R. R. Tolkien", "j r r tolkien", "name"),
            ("at the 1920 Summer Olympics", "1920 Summer Olympics", "1920 summer olympics", "name"),
            ("the author Božena Němcová wrote", "Božena Němcová", "bozena nemcova", "name"),
            ("They went to New York.", "New York", "new york", "name"),
            ("in the Second World War", "Second World War", "second world war", "name"),
            ("приехала Ольга Иванова", "Ольга Иванова", "ольга иванова", "name"),
            ("They left the U.S. in May.", "U.S.", "us", "acronym"),
            ("They asked NASA for it.", "NASA", "nasa", "acronym"),
            ("NASA answered.", "NASA", "nasa", "acronym"),
            ("She read “Brave New World” twice.", "Brave New World", "brave new world", "quoted"),
            ('She read "The Old Man and the Sea".', "The Old Man and the Sea", "old man and the sea", "quoted"),
        ],
    )
    def test_names(self, text: str, surface: str, key: str, kind: str) -> None:
        assert (surface, key, kind) in found(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no capitals here at all",
            "However, it rained. Yesterday it rained too.",
            "Monday came. Then Tuesday.",
            "I think I am.",
            "Boats sail. Boats sink.",
            "ALL BOATS SINK",
        ],
    )
    def test_words_that_are_capitalised_for_their_place_alone_are_no_names(self, text: str) -> None:
        assert found(text) == set()

    def test_a_first_word_is_a_name_where_it_is_one_elsewhere(self) -> None:
        text = "Gannet left. They saw Gannet."
        assert [mention.start for mention in extract_mentions(text) if mention.key == "gannet"] == [0, 22]

    def test_a_heading_in_capitals_names_what_the_text_names(self) -> None:
        text = "GANNET SAILS\nThe buoy Gannet moved."
        assert keys(text) == {"gannet"}

    def test_a_name_within_a_quotation_is_found_too(self) -> None:
        assert "marie curie" in keys('He said "we owe Marie Curie everything that we know about it" and left.')

    def test_a_year_before_a_name_is_no_part_of_it(self) -> None:
        assert keys("It was in 1920 Sweden that") == {"1920", "sweden"}

    def test_a_sentence_end_after_an_abbreviation_parts_two_names(self) -> None:
        assert keys("They live in the U.S. The Ada Lovelace Institute is not there.") >= {
            "us",
            "ada lovelace institute",
        }


class TestDocumentation:
    @pytest.mark.parametrize(
        ("text", "surface", "key"),
        [
            ("Call `load_settings()` first.", "load_settings()", "load_settings"),
            ("Call load_settings() first.", "load_settings()", "load_settings"),
            ("See warehouse/settings.py for it.", "warehouse/settings.py", "warehouse/settings.py"),
            ("It is in /etc/hosts now.", "/etc/hosts", "/etc/hosts"),
            ("Set MEMLAKE_HOME before.", "MEMLAKE_HOME", "memlake_home"),
            ("Run it with --full-scan today.", "--full-scan", "--full-scan"),
            ("It broke in OPS-142 again.", "OPS-142", "ops-142"),
            ("Since v1.2.3 it works.", "v1.2.3", "v1.2.3"),
            ("Use np.linalg.norm here.", "np.linalg.norm", "np.linalg.norm"),
            ("Use std::vector here.", "std::vector", "std::vector"),
            ("The class readOnlyMode is new.", "readOnlyMode", "readonlymode"),
            ("The class HashMap is new.", "HashMap", "hashmap"),
            ("See https://www.example.org/a/b, please.", "https://www.example.org/a/b", "example.org/a/b"),
            ("Mail ops@example.org for help.", "ops@example.org", "ops@example.org"),
            ('Set "dense_weight" to 0.', "dense_weight", "dense_weight"),
        ],
    )
    def test_identifiers(self, text: str, surface: str, key: str) -> None:
        assert (surface, key, "identifier") in found(text)

    def test_call_brackets_make_no_other_entity(self) -> None:
        assert keys("Call load_settings() as load_settings is pure.") == {"load_settings"}

    def test_a_value_of_an_attribute_is_no_quotation(self) -> None:
        assert "quoted" not in {mention.kind for mention in extract_mentions('<a class="button wide">go</a>')}


class TestChat:
    def test_speakers_are_names_even_in_the_first_place(self) -> None:
        mentions = extract_mentions("Ann: did it work?\nBob: yes, it did.")
        assert [(mention.surface, mention.start) for mention in mentions] == [("Ann", 0), ("Bob", 18)]

    def test_a_speaker_is_known_wherever_another_turn_begins_with_the_name(self) -> None:
        text = "Ann: hello\nBob: hi. Ann left."
        assert [mention.start for mention in extract_mentions(text) if mention.key == "ann"] == [0, 20]

    def test_a_common_word_before_a_colon_is_no_speaker(self) -> None:
        assert keys("Note: it works.\nExample: none.") == set()


class TestChineseAndJapanese:
    @pytest.mark.parametrize(
        ("text", "surface", "kind"),
        [
            ("宮崎駿は『千と千尋の神隠し』を作った。", "千と千尋の神隠し", "title"),
            ("他读《红楼梦》。", "红楼梦", "title"),
            ("彼は「風」と言う。", "風", "quoted"),
            ("宮崎駿はここにいる。", "宮崎駿", "name"),
            ("これはスタジオジブリの本。", "スタジオジブリ", "name"),
            ("ジャン・レノが来た。", "ジャン・レノ", "name"),
            ("北京大学，清华大学", "清华大学", "name"),
        ],
    )
    def test_names(self, text: str, surface: str, kind: str) -> None:
        assert (surface, normalise(surface), kind) in found(text)

    def test_a_run_with_function_words_is_no_name(self) -> None:
        assert found("我的老师在北京。") == set()


class TestAcronyms:
    @pytest.mark.parametrize(
        ("text", "short", "long"),
        [
            ("the World Health Organization (WHO) said", "WHO", "World Health Organization"),
            ("by the National Aeronautics and Space Administration (NASA; USA)", "NASA", None),
            ("the WHO (World Health Organization) said", "WHO", "World Health Organization"),
            ("uses retrieval-augmented generation (RAG).", "RAG", "retrieval-augmented generation"),
            ("a heat shock transcription factor (HSF)", "HSF", "heat shock transcription factor"),
        ],
    )
    def test_come_with_their_long_form(self, text: str, short: str, long: str | None) -> None:
        expected = long or "National Aeronautics and Space Administration"
        pairs = [(text[a:b], text[c:d]) for (a, b), (c, d) in extract_acronyms(text)]
        assert pairs == [(short, expected)]
        assert {(short, normalise(short), "acronym"), (expected, normalise(expected), "name")} <= found(text)

    @pytest.mark.parametrize(
        "text", ["a boat (WHO)", "the World Health Office (see below)", "It is (2) of (3).", "(NASA)"]
    )
    def test_need_a_long_form_that_has_their_letters(self, text: str) -> None:
        assert extract_acronyms(text) == []

    @SOME
    @given(
        st.lists(st.sampled_from(["National", "Health", "WHO", "NASA", "and", "(", ")", "a", "B2B", ";"]), max_size=12),
        st.sampled_from([" ", "\n", " \n", "\t", "  "]),
    )
    @example(["NASA", "(", "National Aeronautics and Space Administration", ")"], " \n")
    def test_are_parts_of_the_text_without_white_space_around(self, parts: list[str], gap: str) -> None:
        text = gap.join(parts).replace(f"({gap}", "(").replace(f"{gap})", ")")
        for (a, b), (c, d) in extract_acronyms(text):
            assert 0 <= a < b <= len(text) and 0 <= c < d <= len(text)
            assert text[a:b] == text[a:b].strip()
            assert text[c:d] == text[c:d].strip()
            assert not text[a - 1 : a].isalnum() and not text[b : b + 1].isalnum()


class TestDates:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("on 2023-05-08 it", {"2023-05-08", "2023-05"}),
            ("in 2023-05 it", {"2023-05"}),
            ("on 8 May, 2023 it", {"2023-05-08", "2023-05"}),
            ("on 8 May 2023 it", {"2023-05-08", "2023-05"}),
            ("on the 8th of May 2023 it", {"2023-05-08", "2023-05"}),
            ("on May 8, 2023 it", {"2023-05-08", "2023-05"}),
            ("on Sept. 3rd, 2023 it", {"2023-09-03", "2023-09"}),
            ("in May 2023 it", {"2023-05"}),
            ("in Dec 2023 it", {"2023-12"}),
            ("on 31 January it", {"--01-31"}),
            ("on June 5 it", {"--06-05"}),
            ("in 1987 it", {"1987"}),
            ("in the 1990s it", {"1990s"}),
        ],
    )
    def test_have_keys_of_their_day_and_month(self, text: str, expected: set[str]) -> None:
        assert {mention.key for mention in extract_mentions(text) if mention.kind == "date"} == expected
        assert keys(text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("In 2007, it closed.", {"2007"}),
            ("On August 7, 2018, it closed.", {"2018-08-07", "2018-08"}),
            ("It closed. By May 2010 it", {"2010-05"}),
            ("Since June 5 it", {"--06-05"}),
        ],
    )
    def test_may_stand_after_a_sentence_s_first_word(self, text: str, expected: set[str]) -> None:
        assert keys(text) == expected

    def test_written_in_two_ways_have_one_key(self) -> None:
        assert keys("on 8 May, 2023 it") == keys("on 2023-05-08 it") == keys("on May 8th, 2023 it")

    @pytest.mark.parametrize("text", ["on 2023-13-08 it", "on 2023-05-39 it", "on 2023-00-10 it", "in 2023-19 it"])
    def test_that_no_calendar_has_are_no_dates(self, text: str) -> None:
        assert {mention.key for mention in extract_mentions(text) if mention.kind == "date"} <= {"2023"}

    @pytest.mark.parametrize("text", ["It may rain.", "May I?", "39 May", "we march on", "1234567", "$1,999.50"])
    def test_are_not_seen_where_there_are_none(self, text: str) -> None:
        assert "date" not in {mention.kind for mention in extract_mentions(text)}

    @pytest.mark.parametrize("text", ["They met on 5 June.", "They met on 5 June, and left."])
    def test_leave_out_the_punctuation_of_the_sentence(self, text: str) -> None:
        assert [mention.surface for mention in extract_mentions(text) if mention.kind == "date"] == ["5 June"]


class TestTitles:
    @pytest.mark.parametrize(
        ("title", "expected"),
        [
            ("Green (R.E.M. album)", ["green rem album", "green"]),
            ("Ottawa, Ontario", ["ottawa ontario", "ottawa"]),
            ("The Who", ["who"]),
            ("千と千尋", ["千と千尋"]),
            ("  ", []),
            ("X", []),
            (" ".join(["long"] * 13), []),
        ],
    )
    def test_stand_for_themselves_without_qualifier_and_place(self, title: str, expected: list[str]) -> None:
        assert title_keys(title) == expected

    def test_are_entities_and_hold_others(self) -> None:
        mentions = {(mention.key, mention.kind) for mention in title_mentions("Minutes of the Board, 2025-11-27")}
        assert mentions == {
            ("minutes of the board 2025 11 27", "title"),
            ("minutes of the board", "title"),
            ("2025-11-27", "date"),
            ("2025-11", "date"),
            ("board", "name"),
        }

    def test_are_found_in_their_passages_whatever_the_case(self) -> None:
        mentions = extract_mentions("the day rates of vessels; holiday rates do not count", "Day Rates")
        assert mentions == [Mention(4, 13, "day rates", "day rates", "title")]

    def test_make_a_first_word_a_name(self) -> None:
        assert "gannet" not in keys("Gannet sails fast.")
        assert ("Gannet", "gannet", "name") in found("Gannet sails fast.", "The vessel Gannet")

    def test_add_nothing_that_the_text_does_not_hold(self) -> None:
        assert found("It rained.", "The vessel Gannet") == set()


class TestNormalise:
    @settings(SOME, max_examples=1000)
    @given(TEXT)
    @example("The The Band")
    @example("the a team")
    @example("the 's Hertogenbosch")
    def test_is_idempotent(self, text: str) -> None:
        assert normalise(normalise(text)) == normalise(text)

    @SOME
    @given(TEXT)
    def test_leaves_lower_case_words_with_single_spaces(self, text: str) -> None:
        key = normalise(text)
        assert key == " ".join(key.split())
        assert key == key.lower()

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Božena Němcová", "bozena nemcova"),
            ("The Beatles", "Beatles"),
            ("U.S.", "US"),
            ("U.S.A", "usa"),
            ("King’s", "King's"),
            ("Marie Curie's", "Marie Curie"),
            ("O'Brien", "O’Brien"),
            ("Straße", "STRASSE"),
            ("ＮＡＳＡ", "nasa"),
            ("rock-and-roll", "Rock and Roll"),
            ("e\u0301lan", "élan"),
        ],
    )
    def test_joins_spellings_of_one_name(self, one: str, other: str) -> None:
        assert normalise(one) == normalise(other) != ""

    @pytest.mark.parametrize(
        ("one", "other"), [("C++", "C"), ("C#", "C"), ("й", "и"), ("が", "か"), ("Theo", "o"), ("1.5", "15")]
    )
    def test_keeps_different_names_apart(self, one: str, other: str) -> None:
        assert normalise(one) != normalise(other)

    def test_the_stop_words_are_written_as_it_writes_them_or_with_an_apostrophe(self) -> None:
        assert {word for word in STOP if "'" not in word and word not in ("a", "an", "the")} == {
            normalise(word) for word in STOP if "'" not in word and word not in ("a", "an", "the")
        }

    @pytest.mark.parametrize(
        ("surface", "key"),
        [
            ("Load_Settings()", "load_settings"),
            ("a.b.C", "a.b.c"),
            ("example.org/a/", "example.org/a"),
            ("--Full", "--full"),
        ],
    )
    def test_of_an_identifier_keeps_its_punctuation(self, surface: str, key: str) -> None:
        assert normalise_identifier(surface) == key
