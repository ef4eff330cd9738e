"""Document memories by rules: outline, chunks and cores, of good documents and of awkward ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.documents.chunking import LARGEST, SMALLEST, chunkings
from memory.documents.cores import LARGEST_CORE, extract_cores, similar_pairs
from memory.documents.measures import clarity_proxy, completeness_proxy, covered_words, rank_fusion
from memory.documents.outline import DocumentMemories, outline_by_rules, rule_candidates
from memory.documents.units import HEADING, LONGEST, Units, read_units
from memory.granularity import Granularity, Memory
from memory.static import static_vectors

SEA = [
    "The ferry crosses the strait twice a day.",
    "Sailors steer the ship by the harbour lights.",
    "In a storm the ferry stays in the harbour.",
    "The captain logs every voyage of the ship.",
]
CELLS = [
    "Enzymes break proteins into amino acids.",
    "The cell membrane lets some molecules pass.",
    "Mitochondria give the cell its energy.",
    "A virus brings its genes into the cell.",
]
LAW = [
    "The court heard the appeal in March.",
    "Judges found that the contract was void.",
    "The lawyer asked the court for damages.",
    "A tenant may end the contract by letter.",
]


def paragraphs(*subjects: list[str], each: int = 6) -> str:
    """Six paragraphs of each subject, four sentences each."""
    return "\n\n".join(" ".join(subject[n % 4 :] + subject[: n % 4]) for subject in subjects for n in range(each))


def units_of(text: str, media_type: str = "text/plain") -> Units:
    return read_units(text, media_type, static_vectors())


def of(found: DocumentMemories, granularity: Granularity) -> list[Memory]:
    return [memory for memory in found.memories if memory.granularity is granularity]


def assert_whole(text: str, found: DocumentMemories) -> None:
    """Chunks are in order, without overlap, cover all but white space; cores lie in their chunks, in their words."""
    at = 0
    for outline in of(found, Granularity.OUTLINE):
        ((start, end),) = outline.spans
        assert at <= start < end <= len(text)
        assert not text[at:start].strip()
        assert outline.text.strip()
        at = end
    assert not text[at:].strip()
    for core in of(found, Granularity.CORE):
        assert core.parent is not None
        ((first, last),) = found.memories[core.parent].spans
        edges = [edge for span in core.spans for edge in span]
        assert edges == sorted(edges) and first <= edges[0] and edges[-1] <= last
        assert all(start < end for start, end in core.spans)
        assert core.text == " ".join(text[start:end] for start, end in core.spans)
    assert len(of(found, Granularity.CORE)) == len(of(found, Granularity.OUTLINE))


def test_boundaries_lie_where_the_subject_changes() -> None:
    text = paragraphs(SEA, CELLS, LAW)
    starts = {memory.spans[0][0] for memory in of(outline_by_rules(text), Granularity.OUTLINE)}
    per_subject = len(text) // 3
    for subject in (CELLS, LAW):
        change = text.index(subject[0])
        assert change in starts, (change, starts, per_subject)


def test_headings_make_the_chunks_of_a_structured_document() -> None:
    text = "".join(f"## {name}\n\n{paragraphs(part, each=4)}\n\n" for name, part in (("Sea", SEA), ("Life", CELLS)))
    found = outline_by_rules("# Guide\n\n" + text, "text/markdown")
    assert "headings" in {candidate.name for candidate in found.candidates}
    outlines = of(found, Granularity.OUTLINE)
    assert outlines[0].text.startswith("Guide > Sea: ") and outlines[-1].text.startswith("Guide > Life: ")
    assert_whole("# Guide\n\n" + text, found)


def test_an_outline_item_names_what_is_told_in_its_chunk_alone() -> None:
    items = [memory.text.lower() for memory in of(outline_by_rules(paragraphs(SEA, CELLS)), Granularity.OUTLINE)]
    assert any("ferry" in item or "ship" in item or "harbour" in item for item in items)
    assert any("cell" in item or "enzymes" in item or "proteins" in item for item in items)


def test_words_of_the_title_are_no_phrases() -> None:
    items = [
        memory.text.lower() for memory in of(outline_by_rules(paragraphs(SEA), title="Ferry"), Granularity.OUTLINE)
    ]
    assert not any("ferry" in item for item in items)


def test_a_core_is_the_sentence_that_the_others_are_like() -> None:
    text = (
        "A letter came by mail. The court found the contract of the tenant void. "
        "The tenant had asked the court about the contract. Rain fell for a week. "
        "By the contract the court may order the tenant to pay. "
        + "Nobody minded. The hills were green. Bread cost little."
    )
    units = units_of(text)
    ((core, *_),) = (extract_cores(units, (0,), similar_pairs(units)),)
    assert any("contract" in text[start:end] for start, end in core)


def test_chunks_and_cores_keep_to_their_sizes() -> None:
    text = paragraphs(SEA, CELLS, LAW, SEA, LAW, CELLS)
    units = units_of(text)
    before = units.tokens.cumsum()
    for name, starts in chunkings(units).items():
        ends = [*starts[1:], len(units)]
        sizes = [
            int(before[end - 1] - (before[start - 1] if start else 0)) for start, end in zip(starts, ends, strict=True)
        ]
        assert all(SMALLEST <= size <= LARGEST for size in sizes), (name, sizes)
    for core in of(outline_by_rules(text), Granularity.CORE):
        assert static_vectors().read([core.text]).tokens[0] <= LARGEST_CORE


def test_memories_cost_less_than_a_third_of_the_document() -> None:
    text = paragraphs(SEA, CELLS, LAW)
    said = [memory.text for memory in outline_by_rules(text).memories]
    count = static_vectors().read([text, *said]).tokens
    assert count[1:].sum() <= 0.33 * count[0]


def test_all_candidates_are_reported_and_the_kept_one_leads_the_fusion() -> None:
    found = outline_by_rules(paragraphs(SEA, CELLS, LAW, SEA))
    assert len(found.candidates) > 1
    (kept,) = [candidate for candidate in found.candidates if candidate.kept]
    assert kept.fused == max(candidate.fused for candidate in found.candidates)
    assert kept.chunks == len(of(found, Granularity.OUTLINE))


def test_the_same_text_gives_the_same_memories() -> None:
    text = paragraphs(SEA, CELLS)
    assert outline_by_rules(text, title="T") == outline_by_rules(text, title="T")


# --- measures ------------------------------------------------------------------------------------------------------


def test_a_boundary_between_subjects_is_clearer_than_one_within() -> None:
    units = units_of(paragraphs(SEA, CELLS, each=2))
    middle = len(units) // 2
    assert clarity_proxy(units, (0, middle)) > clarity_proxy(units, (0, middle // 2))


def test_a_document_of_one_chunk_has_no_clarity() -> None:
    assert clarity_proxy(units_of(SEA[0]), (0,)) == 0.0


def test_a_core_that_says_what_the_chunk_says_is_more_complete() -> None:
    units = units_of(" ".join(SEA))
    read = static_vectors().read
    assert completeness_proxy(units, (0,), read([SEA[0]])) > completeness_proxy(units, (0,), read([LAW[0]]))


@pytest.mark.parametrize("core", ["", "Sea", "the"])
def test_a_core_of_a_word_or_none_has_a_finite_completeness(core: str) -> None:
    assert 0 <= completeness_proxy(units_of(" ".join(SEA)), (0,), static_vectors().read([core])) < 1


def test_a_core_that_is_the_chunk_covers_all_of_its_words() -> None:
    units = units_of(" ".join(SEA))
    assert covered_words(units, (0,), static_vectors().read([" ".join(SEA)])).tolist() == pytest.approx([1.0])


def test_rank_fusion_sums_reciprocal_ranks_and_shares_them_among_equals() -> None:
    assert rank_fusion([[0.9, 0.5, 0.5], [1.0, 2.0, 0.0]]) == [
        round(1 / 61 + 1 / 62, 9),
        round(1 / 62 + 1 / 61, 9),
        round(1 / 62 + 1 / 63, 9),
    ]


# --- awkward documents ---------------------------------------------------------------------------------------------

CHINESE = "渡轮每天两次穿过海峡。水手靠港口的灯光驾驶船只！暴风雨时渡轮留在港口吗？船长记录每次航行。" * 30
ARABIC = "تعبر العبارة المضيق مرتين في اليوم. هل تبقى العبارة في الميناء أثناء العاصفة؟ يسجل القبطان كل رحلة! " * 20
CODE = """import os


def read(path):
    with open(path) as file:
        return file.read()


class Reader:
    def go(self):
        return read(self.path)

"""
TABLE = "| town | people |\n|---|---|\n" + "".join(f"| Town {n} | {n * 37} |\n" for n in range(120))

AWKWARD = {
    "one sentence": ("The ferry crosses the strait twice a day.", "text/plain"),
    "one word": ("Ferry", "text/plain"),
    "marks only": ("--- *** ...", "text/plain"),
    "a heading only": ("# Ferries", "text/markdown"),
    "no punctuation": ("word and another word " * 2_000, "text/plain"),
    "no white space": ("x" * 30_000, "text/plain"),
    "Chinese": (CHINESE, "text/plain"),
    "Arabic": (ARABIC, "text/plain"),
    "code": (CODE * 20, "text/plain"),
    "fenced code": (f"```python\n{CODE * 20}```\n", "text/markdown"),
    "a table": (TABLE, "text/markdown"),
    "emoji": ("🛳️⚓🌊 " * 300, "text/plain"),
    "repeated lines": ("The same line again.\n" * 500, "text/plain"),
    "carriage returns": ("One line.\r\n\r\nAnother line.\r\n" * 50, "text/markdown"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_documents_are_covered_with_exact_spans(name: str) -> None:
    text, media_type = AWKWARD[name]
    found = outline_by_rules(text, media_type)
    assert found.memories
    assert_whole(text, found)


@pytest.mark.parametrize("text", ["", "  \n\t\n ", "\u00a0"])
def test_an_empty_document_has_no_memories(text: str) -> None:
    assert outline_by_rules(text) == DocumentMemories()


def test_one_sentence_is_its_own_core() -> None:
    (core,) = of(outline_by_rules("The ferry crosses the strait twice a day."), Granularity.CORE)
    assert core.text == "The ferry crosses the strait twice a day."


@pytest.mark.parametrize(("text", "mark"), [(CHINESE, "。！？"), (ARABIC, ".؟!")])
def test_sentences_of_other_scripts_end_where_theirs_do(text: str, mark: str) -> None:
    cores = of(outline_by_rules(text), Granularity.CORE)
    assert len(cores) > 1
    assert all(text[end - 1] in mark for core in cores for _, end in core.spans)


def test_the_core_of_code_is_what_it_declares() -> None:
    for text, media_type in (AWKWARD["code"], AWKWARD["fenced code"]):
        core = of(outline_by_rules(text, media_type), Granularity.CORE)[0]
        assert core.text.startswith(("def read", "class Reader"))


def test_the_core_of_a_table_begins_with_its_header() -> None:
    core = of(outline_by_rules(TABLE, "text/markdown"), Granularity.CORE)[0]
    assert core.text.startswith("| town | people |")


def test_a_heading_stays_with_what_stands_below_it() -> None:
    text = "".join(f"# Part {n}\n\n{paragraphs(part, each=2)}\n\n" for n, part in enumerate((SEA, CELLS, LAW, SEA)))
    units = units_of(text, "text/markdown")
    for starts in chunkings(units).values():
        assert all(units.kinds[start - 1] != HEADING for start in starts[1:])


def test_units_are_short_even_where_sentences_are_not() -> None:
    spans = units_of("word " * 5_000).spans
    assert (spans[:, 1] - spans[:, 0]).max() <= LONGEST


def test_a_book_without_structure_is_outlined_and_its_sentence_graph_stays_sparse() -> None:
    text = paragraphs(SEA, CELLS, LAW, each=150)
    units = units_of(text)
    assert len(units) > 1_500
    assert len(similar_pairs(units).pairs) < 12 * len(units)
    assert_whole(text, outline_by_rules(text))


words = st.sampled_from(
    [*" ".join(SEA + CELLS).split(), "渡轮。", "العبارة؟", "\n\n", "\n", "# ", "- ", "```\n", "|", "…", "\u00a0"]
)


@settings(max_examples=60, deadline=None)
@given(text=st.lists(words, max_size=400).map(" ".join), media_type=st.sampled_from(["text/plain", "text/markdown"]))
def test_every_candidate_covers_any_text_in_order(text: str, media_type: str) -> None:
    units = units_of(text, media_type)
    for candidate in rule_candidates(units):
        at = 0
        for chunk in candidate.chunks:
            assert at <= chunk.start < chunk.end and not text[at : chunk.start].strip()
            assert all(chunk.start <= start < end <= chunk.end for start, end in chunk.core)
            at = chunk.end
        assert not text[at:].strip()
    assert_whole(text, outline_by_rules(text, media_type))
