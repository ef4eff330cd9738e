"""Pieces of passages, what is made of them, and that their vectors are the means of the model's own token vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from errors import ModelError
from memory.blocks import CODE, TABLE
from memory.embedding import Embedder, EmbedderSpec, HashingEmbedder, bundled_model_path, open_embedder, unit_rows
from memory.pieces import Cut, Piece, parts_of, pieces, pooled

DIALOGUE = "Ann: The ferry is late. It always is.\n\n  Ben: Not today, Ann!\nIt came at nine.  \n\nAnn: Oh."
PROSE = "The ferry crosses the sound. Its crew is three!  Who steers?\n\nNobody told Dr. Hale."
FUNCTION = "def late(ferry):\n    return ferry.delay > 5\n\n\nprint(late(FERRY))\n"


def said(text: str, kind: str) -> list[str]:
    return [text[start:end] for start, end in pieces(text, kind)]


class TestPieces:
    def test_a_dialogue_falls_into_its_turns(self) -> None:
        assert said(DIALOGUE, "dialogue") == [
            "Ann: The ferry is late. It always is.",
            "Ben: Not today, Ann!\nIt came at nine.",
            "Ann: Oh.",
        ]

    def test_prose_falls_into_its_sentences(self) -> None:
        assert said(PROSE, "prose") == [
            "The ferry crosses the sound.",
            "Its crew is three!",
            "Who steers?",
            "Nobody told Dr. Hale.",
        ]

    def test_sentences_of_other_scripts_are_told_apart(self) -> None:
        assert said("渡轮迟到了。船长姓林。", "prose") == ["渡轮迟到了。", "船长姓林。"]
        assert len(said("وصلت العبارة متأخرة. هل نام القبطان؟ نعم.", "prose")) == 3

    @pytest.mark.parametrize("kind", [CODE, TABLE])
    def test_code_and_tables_stay_whole(self, kind: str) -> None:
        assert said(FUNCTION, kind) == [FUNCTION.strip()]

    @pytest.mark.parametrize("kind", [CODE, TABLE, "dialogue", "prose"])
    @pytest.mark.parametrize("text", ["", " \n\n\t "])
    def test_nothing_is_a_piece_of_an_empty_text(self, text: str, kind: str) -> None:
        assert pieces(text, kind) == []

    @settings(max_examples=80)
    @given(
        text=st.text(st.sampled_from("ab. \n!?\t。\u00a0\u0130'"), max_size=60),
        kind=st.sampled_from([CODE, TABLE, "dialogue", "prose"]),
    )
    def test_pieces_cover_all_but_white_space_in_order(self, text: str, kind: str) -> None:
        at = 0
        for start, end in pieces(text, kind):
            assert at <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
            assert not text[at:start].strip()
            at = end
        assert not text[at:].strip()


CUTS = [Cut("one", 0, [(0, 10), (12, 20)]), Cut("empty", 20, []), Cut("two", 30, [(0, 5), (6, 16)])]
"""Pieces at 0-10, 12-20, 30-35 and 36-46 of the revision."""


class TestParts:
    @pytest.mark.parametrize(
        ("span", "parts"),
        [
            ((0, 46), [("one", 0, 10), ("one", 1, 8), ("two", 0, 5), ("two", 1, 10)]),
            ((12, 20), [("one", 1, 8)]),
            ((5, 13), [("one", 0, 5), ("one", 1, 1)]),
            ((38, 40), [("two", 1, 2)]),
            ((10, 12), []),
            ((20, 30), []),
            ((46, 99), []),
        ],
    )
    def test_a_span_takes_of_each_piece_what_lies_in_it(
        self, span: tuple[int, int], parts: list[tuple[str, int, int]]
    ) -> None:
        assert parts_of([span], CUTS) == parts

    def test_spans_are_taken_one_after_the_other(self) -> None:
        assert parts_of([(36, 46), (0, 3)], CUTS) == [("two", 1, 10), ("one", 0, 3)]

    def test_there_is_nothing_without_spans_or_passages(self) -> None:
        assert parts_of([], CUTS) == parts_of([(0, 9)], []) == []

    @settings(max_examples=60)
    @given(
        gaps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=12),
        spans=st.lists(st.builds(lambda at, size: (at, at + size), st.integers(0, 60), st.integers(1, 40)), max_size=4),
        every=st.integers(1, 4),
    )
    def test_every_character_is_counted_once(
        self, gaps: list[tuple[int, int]], spans: list[tuple[int, int]], every: int
    ) -> None:
        laid: list[Piece] = []
        for gap, size in gaps:
            start = (laid[-1][1] if laid else 0) + gap
            laid.append((start, start + size))
        cuts = [
            Cut(
                str(at), laid[at][0], [(start - laid[at][0], end - laid[at][0]) for start, end in laid[at : at + every]]
            )
            for at in range(0, len(laid), every)
        ]
        expected = [
            (str(number - number % every), number % every, taken)
            for first, last in spans
            for number, (start, end) in enumerate(laid)
            if (taken := len(range(max(first, start), min(last, end)))) > 0
        ]
        assert parts_of(spans, cuts) == expected


class TestPooled:
    def test_a_longer_piece_counts_for_more(self) -> None:
        found = pooled(np.array([3, 4], np.float32), np.eye(2, dtype=np.float32))
        assert found == pytest.approx([0.6, 0.8])
        assert found.dtype == np.float32

    def test_one_piece_is_itself(self) -> None:
        vector = unit_rows(np.array([[1, -2, 5]], np.float32))
        assert pooled(np.array([7], np.float32), vector) == pytest.approx(vector[0])

    def test_pieces_that_cancel_out_have_no_direction(self) -> None:
        assert pooled(np.ones(2, np.float32), np.array([[1, 0], [-1, 0]], np.float32)).tolist() == [0, 0]


TEXTS = ["Harbour notes\n" + PROSE, "灯台。二つ目の灯台。", "", "  One sentence, with room around it. ", "pier " * 400]
BEHIND = (len("pier ") * 390, len("pier ") * 400 - 1)
"""A span of the last text that lies behind what the model reads."""


def spans_of(text: str) -> list[Piece]:
    """The pieces of a text; of the one that is too long, what is read, what is cut, and what is not."""
    if text == TEXTS[4]:
        return [(0, 49), (1000, 1999), BEHIND]
    return pieces(text, "prose")


def token_means(text: str, spans: list[Piece]) -> NDArray[np.float32]:
    """The mean token vector of each span, by transformers alone; the mean of all tokens where a span has none."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = str(bundled_model_path())
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    read = tokenizer(text, truncation=True, max_length=256, return_offsets_mapping=True, return_tensors="pt")
    offsets = read.pop("offset_mapping")[0].numpy()
    with torch.inference_mode():
        vectors = model(**read).last_hidden_state[0].numpy()
    means = []
    for start, end in spans:
        of = [row for row, (first, last) in enumerate(offsets) if first < last and start <= first and last <= end]
        means.append(vectors[of or range(len(vectors))].mean(axis=0))
    return unit_rows(np.array(means, np.float32).reshape(len(spans), -1))


class TestVectors:
    @pytest.fixture(scope="class")
    def encoded(self, bundled_embedder: Embedder) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        return bundled_embedder.encode_pieces(TEXTS, [spans_of(text) for text in TEXTS])

    @pytest.mark.parametrize("number", [0, 1, 3, 4])
    def test_a_piece_has_the_mean_of_its_tokens(
        self, encoded: tuple[NDArray[np.float32], list[NDArray[np.float32]]], number: int
    ) -> None:
        expected = token_means(TEXTS[number], spans_of(TEXTS[number]))
        assert len(expected) >= 1
        assert np.abs(encoded[1][number] - expected).max() < 1e-5

    def test_a_piece_behind_what_the_model_reads_has_the_text_s_vector(
        self, encoded: tuple[NDArray[np.float32], list[NDArray[np.float32]]]
    ) -> None:
        whole, of_pieces = encoded[0][4], encoded[1][4]
        assert np.abs(of_pieces[2] - whole).max() < 1e-6
        assert np.abs(of_pieces[0] - whole).max() > 1e-3

    def test_an_empty_text_has_a_vector_and_no_pieces(
        self, encoded: tuple[NDArray[np.float32], list[NDArray[np.float32]]]
    ) -> None:
        assert encoded[1][2].shape[0] == 0
        assert np.linalg.norm(encoded[0][2]) == pytest.approx(1, abs=1e-5)

    def test_the_texts_vectors_are_those_without_pieces(
        self, encoded: tuple[NDArray[np.float32], list[NDArray[np.float32]]], bundled_embedder: Embedder
    ) -> None:
        assert np.abs(encoded[0] - bundled_embedder.encode(TEXTS)).max() < 1e-5

    def test_every_vector_is_of_unit_length_and_progress_counts_texts(self, bundled_embedder: Embedder) -> None:
        done: list[int] = []
        vectors, of_pieces = bundled_embedder.encode_pieces(
            TEXTS[:4], [spans_of(text) for text in TEXTS[:4]], done.append
        )
        assert sum(done) == 4
        for rows in [vectors, *(each for each in of_pieces if len(each))]:
            assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)

    def test_hashed_pieces_are_hashed_as_texts_and_cost_nothing(self) -> None:
        embedder = HashingEmbedder(16)
        vectors, (of_pieces,) = embedder.encode_pieces([PROSE], [pieces(PROSE, "prose")])
        assert embedder.calls == 1
        assert (vectors == HashingEmbedder(16).encode([PROSE])).all()
        assert (of_pieces == HashingEmbedder(16).encode(said(PROSE, "prose"))).all()

    def test_an_endpoint_cannot_tell_and_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
        spec = EmbedderSpec("openai", "any", base_url="http://127.0.0.1:9/v1", dimensions=4)
        assert not spec.pools_pieces
        with pytest.raises(ModelError, match="whole texts"):
            open_embedder(spec).encode_pieces(["a"], [[(0, 1)]])
