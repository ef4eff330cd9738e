"""Passages are exact spans that follow the structure of a text, cover it, and move only where it was edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memory.blocks import CODE, DIALOGUE, LIST, PROSE, TABLE, find_blocks, trim
from memory.embedding import BUNDLED_MODEL, EmbedderSpec, TokenCounter, token_counter
from memory.segmentation import Span, contextual_text, segment, sentences

MARKDOWN, PLAIN = "text/markdown", "text/plain"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SOME = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def pieces_of_words(texts: Sequence[str]) -> list[int]:
    return token_counter(EmbedderSpec("sentence-transformers", BUNDLED_MODEL))(texts)


COUNTERS: list[TokenCounter] = [words, characters, pieces_of_words]

# What breaks readers of Markdown: its marks, every kind of line end and white space, other scripts, joined emoji.
MARKS = [*"#-*_`|>~=+.:)[]<1", "```\n", "\n- ", "\n2. ", "\n# ", "\n## ", "\n---\n", "\n===\n", "<!--", "[a]: b\n"]
GAPS = [*" \n\t\r\f\v\0", "\r\n", "\n\n", "    ", "\u00a0", "\u2028", "\u3000", "\x85", "\x1c", "\u200b"]
TABLE_HEAD = "\n| a | b |\n|---|---|\n"
SAYINGS = ["word", "Dr. Who. ", "Is it? Yes! ", "水質を調べる。", "👩\u200d🔬", "🚢", "e\u0301", "ß", "שלום ", "<b>"]
SCRAPS = st.sampled_from([*MARKS, *GAPS, TABLE_HEAD, *SAYINGS])
WILD = st.lists(SCRAPS, max_size=60).map("".join)

NOUNS = st.sampled_from("buoy chain depth gannet harbour ice jetty kelp 水温 観測 café Größe 🚢 1,450".split())
SENTENCE = st.lists(NOUNS, min_size=1, max_size=9).map(lambda found: f"The {' '.join(found)}.")
PARAGRAPH = st.lists(SENTENCE, min_size=1, max_size=5).map(" ".join)
ITEMS = st.lists(SENTENCE, min_size=1, max_size=4)
LISTS = ITEMS.map(lambda found: "\n".join(f"- {item}" for item in found))
FENCES = ITEMS.map(lambda found: "```python\n" + "\n\n# no heading\n".join(found) + "\n```")
TABLES = ITEMS.map(lambda found: "| a | b |\n|---|---|\n" + "\n".join(f"| {item} | 1 |" for item in found))
KEPT = st.one_of(LISTS.map(lambda t: (LIST, t)), FENCES.map(lambda t: (CODE, t)), TABLES.map(lambda t: (TABLE, t)))
BODY = st.lists(st.one_of(PARAGRAPH, LISTS, FENCES, TABLES), min_size=1, max_size=4).map("\n\n".join)
SECTIONS = st.lists(BODY, min_size=1, max_size=4)
DOCUMENT = SECTIONS.map(lambda found: "\n\n".join(f"{'#' * (i % 3 + 1)} Part {i}\n\n{b}" for i, b in enumerate(found)))
PROSE_TEXT = st.lists(PARAGRAPH, max_size=5).map("\n\n".join)
ANY_TEXT = st.one_of(WILD, DOCUMENT, PROSE_TEXT, st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
ANY_TYPE = st.sampled_from([MARKDOWN, PLAIN, "text/html", WORD])
SIZES = st.tuples(st.integers(3, 40), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair)))
REAL_SIZES = st.tuples(st.integers(16, 48), st.integers(0, 20)).map(lambda pair: (pair[0], max(32, sum(pair))))
"""Within what the settings allow."""


def assert_exact(text: str, spans: Sequence[tuple[int, int]]) -> None:
    """Ordered, apart, in bounds, trimmed, and over every character that is not white space."""
    at = 0
    for start, end in spans:
        assert at <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


def bodies(text: str, passages: Sequence[Span]) -> list[str]:
    return [text[passage.start : passage.end] for passage in passages]


class TestBlocks:
    @settings(SOME, max_examples=400)
    @given(ANY_TEXT, ANY_TYPE)
    @example("# A\rtext\r\rmore\n\n# B\n\nend", MARKDOWN)
    def test_are_exact_spans_over_everything_but_white_space(self, text: str, media_type: str) -> None:
        assert_exact(text, [(block.start, block.end) for block in find_blocks(text, media_type)])

    def test_are_what_a_renderer_would_show(self) -> None:
        text = "Intro.\n\n- one\n- two\n\n```\n# code\n\nmore\n```\n\n| a |\n|---|\n| 1 |\n\n    indented\n\n1. first"
        found = [(block.kind, text[block.start : block.end]) for block in find_blocks(text, MARKDOWN)]
        assert found == [
            (PROSE, "Intro."),
            (LIST, "- one\n- two"),
            (CODE, "```\n# code\n\nmore\n```"),
            (TABLE, "| a |\n|---|\n| 1 |"),
            (PROSE, "indented"),
            (LIST, "1. first"),
        ]

    def test_know_the_headings_above_them(self) -> None:
        text = "Before.\n\n# A\n\none\n\n## B\n\ntwo\n\nD\n---\n\nthree\n\n# C #\n\n> # quoted\n\nfour"
        found = [(block.section, block.headings) for block in find_blocks(text, MARKDOWN)]
        assert found == [(0, ()), (1, ("A",)), (2, ("A", "B")), (3, ("A", "D")), (4, ("C",)), (4, ("C",))]

    def test_begin_with_their_heading(self) -> None:
        text = "# A\n\n## B\n\nbody\n\n# Last"
        assert [text[block.start : block.end] for block in find_blocks(text, MARKDOWN)] == [
            "# A\n\n## B\n\nbody",
            "# Last",
        ]

    def test_of_plain_text_are_paragraphs_whatever_marks_it_has(self) -> None:
        text = "# not a heading\nsame\n \n\n- not a list\r\n\r\nlast"
        found = [(text[block.start : block.end], block.kind) for block in find_blocks(text, PLAIN)]
        assert found == [("# not a heading\nsame", PROSE), ("- not a list", PROSE), ("last", PROSE)]

    def test_of_a_transcript_are_its_turns(self) -> None:
        text = "Ann: hello\n\nBob: # no heading\n\n- yes\n\n"
        found = [(text[block.start : block.end], block.kind) for block in find_blocks(text, MARKDOWN, [0, 12])]
        assert found == [("Ann: hello", DIALOGUE), ("Bob: # no heading\n\n- yes", DIALOGUE)]

    @pytest.mark.parametrize("text", ["", " \n\t\u3000\n"])
    @pytest.mark.parametrize("media_type", [MARKDOWN, PLAIN])
    def test_of_white_space_there_are_none(self, text: str, media_type: str) -> None:
        assert find_blocks(text, media_type) == []


class TestEveryPassage:
    @SOME
    @given(ANY_TEXT, ANY_TYPE, SIZES, st.sampled_from(COUNTERS))
    @example("a b c\r\rd\n\ne", MARKDOWN, (3, 3), words)
    def test_is_an_exact_span_and_together_they_cover_the_text(
        self, text: str, media_type: str, sizes: tuple[int, int], count: TokenCounter
    ) -> None:
        passages = segment(text, media_type, count, *sizes)
        assert_exact(text, [(passage.start, passage.end) for passage in passages])

    @SOME
    @given(ANY_TEXT, ANY_TYPE, SIZES)
    def test_has_no_more_words_than_the_maximum(self, text: str, media_type: str, sizes: tuple[int, int]) -> None:
        passages = segment(text, media_type, words, *sizes)
        assert all(size <= sizes[1] for size in words(bodies(text, passages)))
        assert all(passage.tokens <= sizes[1] for passage in passages)

    @SOME
    @given(ANY_TEXT, ANY_TYPE, REAL_SIZES)
    def test_has_no_more_tokens_of_the_model_than_the_maximum(
        self, text: str, media_type: str, sizes: tuple[int, int]
    ) -> None:
        passages = segment(text, media_type, pieces_of_words, *sizes)
        assert all(size <= sizes[1] for size in pieces_of_words(bodies(text, passages)))

    @SOME
    @given(st.lists(st.text("ab", min_size=80, max_size=220), min_size=1, max_size=30), REAL_SIZES)
    @example(["to"] * 16 + ["qxzjkvbwfh" * 18] + ["to"] * 16, (32, 32))
    def test_of_very_long_words_is_within_the_models_maximum_too(
        self, found: list[str], sizes: tuple[int, int]
    ) -> None:
        text = " ".join(found)
        passages = segment(text, PLAIN, pieces_of_words, *sizes)
        assert all(size <= sizes[1] for size in pieces_of_words(bodies(text, passages)))

    @SOME
    @given(st.one_of(DOCUMENT, PROSE_TEXT), REAL_SIZES)
    def test_says_how_many_tokens_it_has(self, text: str, sizes: tuple[int, int]) -> None:
        passages = segment(text, MARKDOWN, words, *sizes)
        assert [passage.tokens for passage in passages] == words(bodies(text, passages))

    @SOME
    @given(ANY_TEXT, ANY_TYPE, SIZES)
    def test_is_the_same_at_every_call(self, text: str, media_type: str, sizes: tuple[int, int]) -> None:
        assert segment(text, media_type, words, *sizes) == segment(text, media_type, words, *sizes)

    @pytest.mark.parametrize("unbroken", ["a" * 5000, "水" * 5000, "🚢" * 1000, "https://a.b/" + "c" * 3000])
    def test_of_text_without_any_boundary_is_still_within_the_maximum(self, unbroken: str) -> None:
        passages = segment(unbroken, MARKDOWN, characters, 100, 120)
        assert_exact(unbroken, [(passage.start, passage.end) for passage in passages])
        assert max(passage.end - passage.start for passage in passages) <= 120

    @pytest.mark.parametrize("media_type", [MARKDOWN, PLAIN])
    def test_of_white_space_there_is_none(self, media_type: str) -> None:
        assert segment(" \n\n\t", media_type, words, 8, 8) == []


class TestStructure:
    @SOME
    @given(st.lists(st.tuples(PARAGRAPH, KEPT), min_size=1, max_size=4), SIZES)
    def test_a_list_a_table_or_code_is_kept_whole_unless_it_is_above_the_maximum(
        self, found: list[tuple[str, tuple[str, str]]], sizes: tuple[int, int]
    ) -> None:
        assert_kept("\n\n".join(f"{prose}\n\n{kept}" for prose, (_, kept) in found), found, sizes)

    @SOME
    @given(st.lists(st.tuples(st.just("# Part"), KEPT), min_size=1, max_size=4), SIZES)
    @example([("# Part", (CODE, "```\none\ntwo\n```"))], (4, 4))
    def test_so_it_is_below_a_heading(self, found: list[tuple[str, tuple[str, str]]], sizes: tuple[int, int]) -> None:
        assert_kept("\n\n".join(f"{heading}\n\n{kept}" for heading, (_, kept) in found), found, sizes)

    @SOME
    @given(SECTIONS, SIZES)
    def test_no_passage_crosses_a_heading(self, found: list[str], sizes: tuple[int, int]) -> None:
        text, at = "", []
        for number, body in enumerate(found):
            at.append(len(text))
            text += f"{'#' * (number % 3 + 1)} Part {number}\n\n{body}\n\n"
        for passage in segment(text, MARKDOWN, words, *sizes):
            assert not [start for start in at if passage.start < start < passage.end]
            section = max(number for number, start in enumerate(at) if start <= passage.start)
            assert passage.headings[-1] == f"Part {section}"

    @SOME
    @given(SECTIONS, SENTENCE, st.data(), SIZES)
    def test_an_edit_at_the_end_of_a_section_leaves_the_passages_of_all_others(
        self, found: list[str], added: str, data: st.DataObject, sizes: tuple[int, int]
    ) -> None:
        edited = data.draw(st.integers(0, len(found) - 1))

        def of_others(sections: list[str]) -> list[tuple[str, tuple[str, ...], int]]:
            text = "\n\n".join(f"# Part {number}\n\n{body}" for number, body in enumerate(sections))
            passages = segment(text, MARKDOWN, words, *sizes)
            return [
                (text[passage.start : passage.end], passage.headings, passage.tokens)
                for passage in passages
                if passage.headings != (f"Part {edited}",)
            ]

        longer = [f"{body}\n\n{added}" if number == edited else body for number, body in enumerate(found)]
        assert of_others(longer) == of_others(found)
        assert len({headings for _, headings, _ in of_others(found)}) == len(found) - 1

    @SOME
    @given(st.lists(PARAGRAPH, min_size=1, max_size=8), SIZES)
    def test_a_turn_of_a_dialogue_is_kept_unless_it_is_above_the_maximum(
        self, found: list[str], sizes: tuple[int, int]
    ) -> None:
        turns = [f"{'Ann' if number % 2 else 'Bob'}: {said}" for number, said in enumerate(found)]
        starts = [sum(len(turn) + 2 for turn in turns[:number]) for number in range(len(turns))]
        text = "\n\n".join(turns)
        passages = segment(text, "text/x-chat", words, *sizes, starts)
        assert_exact(text, [(passage.start, passage.end) for passage in passages])
        assert {passage.kind for passage in passages} == {DIALOGUE}
        for start, turn in zip(starts, turns, strict=True):
            if words([turn])[0] <= sizes[1]:
                assert any(p.start <= start and start + len(turn) <= p.end for p in passages)

    def test_code_that_is_too_long_is_cut_between_lines(self) -> None:
        lines = ["```", *(f"value_{number} = read( {number} )" for number in range(12)), "```"]
        text = "\n".join(lines)
        passages = segment(text, MARKDOWN, words, 15, 20)
        assert len(passages) > 1
        assert [line for body in bodies(text, passages) for line in body.splitlines()] == lines
        assert {passage.kind for passage in passages} == {CODE}

    def test_prose_that_is_too_long_is_cut_between_sentences(self) -> None:
        found = [f"Dr. Smith saw buoy {number} drift 1.5 km north." for number in range(6)]
        text = " ".join(found)
        passages = segment(text, PLAIN, words, 18, 20)
        assert bodies(text, passages) == [" ".join(found[at : at + 2]) for at in (0, 2, 4)]

    def test_neighbours_are_packed_up_to_the_target(self) -> None:
        paragraphs = [" ".join([name] * 10) for name in "abcdef"]
        text = "\n\n".join(paragraphs)
        assert [passage.tokens for passage in segment(text, PLAIN, words, 20, 40)] == [20, 20, 20]
        assert [passage.tokens for passage in segment(text, PLAIN, words, 29, 40)] == [20, 20, 20]
        assert [passage.tokens for passage in segment(text, PLAIN, words, 30, 40)] == [30, 30]

    def test_a_small_rest_joins_its_neighbour_up_to_the_maximum(self) -> None:
        text = "\n\n".join([" ".join(["long"] * 20), "small rest"])
        assert [passage.tokens for passage in segment(text, PLAIN, words, 20, 22)] == [22]
        assert [passage.tokens for passage in segment(text, PLAIN, words, 20, 21)] == [20, 2]

    def test_the_kind_of_a_passage_is_that_of_most_of_it(self) -> None:
        text = "See:\n\n- one two three\n- four five six"
        assert [passage.kind for passage in segment(text, MARKDOWN, words, 50, 50)] == [LIST]
        text = "See this and that and also those things:\n\n- one"
        assert [passage.kind for passage in segment(text, MARKDOWN, words, 50, 50)] == [PROSE]


def assert_kept(text: str, found: Sequence[tuple[str, tuple[str, str]]], sizes: tuple[int, int]) -> None:
    passages = segment(text, MARKDOWN, words, *sizes)
    at = 0
    for lead, (kind, kept) in found:
        start = at + len(lead) + 2
        at = start + len(kept) + 2
        assert text[start : start + len(kept)] == kept
        if words([kept])[0] <= sizes[1]:
            holders = [p for p in passages if p.start <= start and start + len(kept) <= p.end]
            assert holders, f"a {kind} of {words([kept])[0]} tokens was cut at a maximum of {sizes[1]}"


class TestSentences:
    @settings(SOME, max_examples=300)
    @given(ANY_TEXT, st.data())
    def test_are_exact_spans_of_the_part(self, text: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        found = list(sentences(text, start, end))
        assert_exact(text[start:end], [(first - start, last - start) for first, last in found])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("One. Two! Three?", ["One.", "Two!", "Three?"]),
            ("Dr. Smith paid 1.5 euros. Then she left.", ["Dr. Smith paid 1.5 euros.", "Then she left."]),
            ("水質を調べる。次に船。", ["水質を調べる。", "次に船。"]),
            ("🚢 sails. 🌊 rises.", ["🚢 sails.", "🌊 rises."]),
            ("no full stop", ["no full stop"]),
        ],
    )
    def test_end_where_a_reader_ends_them(self, text: str, expected: list[str]) -> None:
        assert [text[start:end] for start, end in sentences(text, 0, len(text))] == expected


class TestTrim:
    @given(WILD, st.data())
    def test_takes_off_white_space_and_nothing_else(self, text: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        first, last = trim(text, start, end)
        assert start <= first <= last <= end
        assert text[first:last] == text[start:end].strip()


@pytest.mark.parametrize(
    ("title", "headings", "expected"),
    [
        ("Rates", "Vessels > Gannet", "Rates\nVessels > Gannet\nbody"),
        ("Rates", "", "Rates\nbody"),
        ("", "Vessels", "Vessels\nbody"),
        ("", "", "body"),
    ],
)
def test_what_is_searched_is_the_passage_below_its_title_and_headings(title: str, headings: str, expected: str) -> None:
    assert contextual_text(title, headings, "body") == expected


def test_the_counter_is_given_many_texts_at_once() -> None:
    calls: list[int] = []

    def counting(count: Callable[[Sequence[str]], list[int]]) -> TokenCounter:
        def counted(texts: Sequence[str]) -> list[int]:
            calls.append(len(texts))
            return count(texts)

        return counted

    text = "\n\n".join(f"Paragraph {number} is short." for number in range(50))
    segment(text, PLAIN, counting(words), 20, 30)
    assert calls == [50]
