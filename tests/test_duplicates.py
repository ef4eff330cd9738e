"""Near-duplicates are one text however it is set, cut or quoted; texts that say something else in its place are not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory.duplicates import (
    BANDS,
    INTRODUCTION_WORDS,
    NO_WORDS,
    SENTENCE_WORDS,
    SHINGLE_WORDS,
    bands,
    compare,
    containment,
    prepare,
    shingles,
    similarity,
)

ROOT = Path(__file__).parents[1]
SOME = settings(max_examples=150, deadline=None)

PASSAGE = (
    "The harbour of Vellmar freezes over in most winters, and the ferries stop. In 1932 the town built a tower from "
    "which the ice can be watched; its keeper reports the depth every morning at six. Ships above 400 tons need a "
    "permit from the harbour office, which is given for a season. Smaller boats are laid up on the east quay until the "
    "ice has gone, and their owners pay nothing for it."
)
NOTICE = (
    "Diese Nachricht ist vertraulich und nur für die Person bestimmt, an die sie gerichtet ist. Falls Sie sie "
    "irrtümlich erhalten haben, benachrichtigen Sie bitte sofort den Absender und löschen Sie sie. Das Kopieren und "
    "die Weitergabe des Inhalts an Dritte sind nicht gestattet."
)
TEMPLATE = (
    "Ticket {}: {} reported that the label printer in the hall does not start after the update. Support restarted the "
    "service, checked the log files of the last two days and asked the customer to try again. It works now, and the "
    "ticket was closed on {} with priority {}."
)
JAPANESE = (
    "港は冬になるとたいてい凍り、フェリーは止まる。町は1932年に氷を見張る塔を建て、番人が毎朝六時に氷の厚さを報告する。"
)

# Few words, so that they repeat and align in several ways; and other scripts, marks and white space.
SCRAPS = st.sampled_from(
    ["ice ", "Ice, ", "ferry ", "1932 ", "水", "氷", "港。", "ﬁne ", "Größe ", "e\u0301té ", "ne\u00adw ", "- "]
)
FEW_WORDS = st.lists(SCRAPS, max_size=40).map("".join)
ANY_TEXT = st.one_of(FEW_WORDS, st.text(max_size=60))
SETS = st.sets(st.integers(0, 40), max_size=25).map(lambda found: np.array(sorted(found), dtype=np.uint64))


def duplicates(a: str, b: str) -> bool:
    return similarity(a, b).is_duplicate


def candidates(a: str, b: str) -> bool:
    one, other = bands([a, b])
    return bool(np.any(one == other))


@SOME
@given(ANY_TEXT, ANY_TEXT)
@example(PASSAGE, PASSAGE[:250])
@example("ice ferry ice ferry ice", "ferry ice ferry ice ferry ice")
def test_a_measure_is_bounded_and_the_same_both_ways_round(a: str, b: str) -> None:
    found = similarity(a, b)
    assert found == similarity(b, a)
    assert 0 <= found.jaccard <= found.containment <= 1
    assert containment(shingles(a), shingles(b)) == found.containment


@SOME
@given(ANY_TEXT)
def test_a_text_with_a_word_is_a_duplicate_and_a_candidate_of_itself(text: str) -> None:
    has_words = bool(len(shingles(text)))
    assert duplicates(text, text) == has_words
    assert bool(np.all(bands([text]) != NO_WORDS)) == has_words
    assert has_words or not any(letter.isascii() and letter.isalnum() for letter in text)


@SOME
@given(SETS, SETS)
def test_containment_is_that_of_the_sets(a: np.ndarray, b: np.ndarray) -> None:
    one, other = set(a.tolist()), set(b.tolist())
    expected = len(one & other) / min(len(one), len(other)) if one and other else 0.0
    assert containment(a, b) == expected


@SOME
@given(st.lists(st.sampled_from("ice ferry tower 1932 quay".split()), min_size=1, max_size=40))
def test_shingles_are_the_distinct_runs_of_words(words: list[str]) -> None:
    size = min(SHINGLE_WORDS, len(words))
    runs = {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}
    found = shingles(" ".join(words))
    assert len(found) == len(runs)
    assert found.dtype == np.uint64
    assert np.all(found[1:] > found[:-1])


@SOME
@given(st.lists(FEW_WORDS, max_size=5))
def test_bands_depend_on_one_text_only(texts: list[str]) -> None:
    together = bands(texts)
    assert together.shape == (len(texts), BANDS)
    for row, text in zip(together, texts, strict=True):
        assert np.array_equal(row, bands([text])[0])


def test_a_value_names_its_band() -> None:
    assert len(np.unique(bands([PASSAGE, JAPANESE, NOTICE]))) == 3 * BANDS


@pytest.mark.parametrize("seed", ["0", "7"])
def test_another_process_finds_the_same(seed: str) -> None:
    texts = [PASSAGE, JAPANESE, "ice", "", NOTICE]
    script = (
        "import hashlib, sys; from memory.duplicates import bands, shingles; texts = sys.argv[1:];"
        "found = bands(texts).tobytes() + b''.join(shingles(text).tobytes() for text in texts);"
        "print(hashlib.sha256(found).hexdigest())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, *texts],
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    expected = bands(texts).tobytes() + b"".join(shingles(text).tobytes() for text in texts)
    assert printed.strip() == hashlib.sha256(expected).hexdigest()


def test_hashes_are_those_of_other_releases_and_machines() -> None:
    assert shingles("The ice, the ferry").tolist() == [1723226900419254456, 15344080474528396398]
    assert bands(["The ice, the ferry"])[0, :2].tolist() == [17715200130039452962, 15686310377053590960]


@pytest.mark.parametrize(
    "copy",
    [
        PASSAGE.upper(),
        PASSAGE.replace(" ", "\n  "),
        PASSAGE.replace(",", "").replace(". ", " - "),
        PASSAGE.replace("harbour", "har\u00adbour"),
        PASSAGE.replace("keeper", "kee-\nper"),
        " ".join(PASSAGE.split()[:40]) + " ...",
        f'As Vellmar wrote on 5 May: "{PASSAGE}"',
        f'As Vellmar wrote on 5 May: "{" ".join(PASSAGE.split()[:50])}"',
        f'As Vellmar writes: "{" ".join(PASSAGE.split()[15:])}"',
        PASSAGE.replace("Ships above 400 tons need a permit from the harbour office, which is given for a season.", ""),
    ],
)
def test_what_is_set_otherwise_or_cut_or_quoted_is_a_duplicate(copy: str) -> None:
    assert duplicates(PASSAGE, copy)
    assert candidates(PASSAGE, copy)


@pytest.mark.parametrize(
    "other",
    [
        PASSAGE.replace("1932", "1952"),
        PASSAGE.replace("above 400 tons", "above 400 metric tons"),
        PASSAGE.replace("is given", "is not given"),
        PASSAGE.replace("1932", "19.32"),
        PASSAGE.replace("1932", "193"),
        PASSAGE.replace("east quay", "west quay"),
        PASSAGE.replace("The harbour of Vellmar", "Harbours of Tarn"),
        PASSAGE.replace("pay nothing for it", "pay 40 EUR"),
    ],
)
def test_a_text_that_says_something_else_is_none(other: str) -> None:
    assert similarity(PASSAGE, other).containment > 0.8
    assert not duplicates(PASSAGE, other)


def test_texts_of_one_template_are_no_duplicates() -> None:
    one = TEMPLATE.format(4711, "Anna Berg", "3 May", 2)
    assert not duplicates(one, TEMPLATE.format(4712, "Tom Okafor", "4 May", 1))
    assert not duplicates(one, TEMPLATE.format(4712, "Anna Berg", "3 May", 2))
    assert duplicates(one, TEMPLATE.format(4711, "ANNA BERG", "3 May", 2))


def test_signs_of_currencies_are_read() -> None:
    assert not duplicates(PASSAGE.replace("1932", "$19"), PASSAGE.replace("1932", "€19"))


def test_a_common_notice_makes_no_duplicates() -> None:
    words = PASSAGE.split()
    one, other = " ".join(words[:20]), " ".join(words[20:38])
    assert not duplicates(f"{one}\n\n{NOTICE}", f"{other}\n\n{NOTICE}")
    assert not duplicates(f"{NOTICE}\n\n{one}", f"{NOTICE}\n\n{other}")
    assert not duplicates(f"{one}\n\n{NOTICE}", f"{NOTICE}\n\n{other}")
    assert duplicates(NOTICE, NOTICE.upper())


def test_an_introduction_in_place_of_left_out_words_is_announced() -> None:
    quotation = " ".join(PASSAGE.split()[15:])
    assert duplicates(PASSAGE, f"The town of Vellmar writes: {quotation}")
    assert duplicates(PASSAGE, f"The town of Vellmar writes “{quotation}”")
    assert not duplicates(PASSAGE, f"The town of Vellmar writes {quotation}")
    assert not duplicates(f"Anna: {quotation}", f"Tom: {quotation}")


def test_a_text_cut_inside_a_word_is_a_duplicate_and_another_number_is_not() -> None:
    kept = PASSAGE.index("permit") + 4
    assert duplicates(PASSAGE, PASSAGE[:kept])
    assert not duplicates(f"{PASSAGE[:kept]} room 12", f"{PASSAGE[:kept]} room 1")


def test_a_short_quotation_in_a_long_text_is_no_duplicate() -> None:
    quotation = "the ferries stop. In 1932 the town built a tower"
    found = similarity(quotation, PASSAGE)
    assert found.containment == 1
    assert not found.is_duplicate


@pytest.mark.parametrize("own", [INTRODUCTION_WORDS, INTRODUCTION_WORDS + 1])
def test_an_introduction_is_short(own: int) -> None:
    introduction = " ".join(f"word{number}" for number in range(own))
    quotation = " ".join(PASSAGE.split()[: -INTRODUCTION_WORDS * 2])
    assert duplicates(PASSAGE, f"{introduction} {quotation}") == (own <= INTRODUCTION_WORDS)


@pytest.mark.parametrize("words", [SENTENCE_WORDS - 1, SENTENCE_WORDS])
def test_only_sentences_are_left_out(words: int) -> None:
    kept = PASSAGE.split()
    assert duplicates(PASSAGE, " ".join(kept[:30] + kept[30 + words :])) == (words >= SENTENCE_WORDS)


def test_scripts_without_spaces() -> None:
    assert len(shingles(JAPANESE)) > 40
    assert duplicates(JAPANESE, JAPANESE.replace("、", "").replace("。", " "))
    assert duplicates(JAPANESE, JAPANESE[:40])
    assert candidates(JAPANESE, JAPANESE[:40])
    assert duplicates(JAPANESE, JAPANESE.replace("1932", "１９３２"))
    assert not duplicates(JAPANESE, JAPANESE.replace("1932", "1952"))
    assert not duplicates(JAPANESE, JAPANESE.replace("冬", "春"))
    assert not duplicates("水質を調べる。", "水温を調べる。")


def test_other_scripts() -> None:
    greek = "Το λιμάνι παγώνει τους περισσότερους χειμώνες και τα πλοία σταματούν"
    assert duplicates(greek, greek.upper().replace("Ί", "Ί"))
    hebrew = "הנמל קופא ברוב החורפים והמעבורות נעצרות"
    assert duplicates(hebrew, f"« {hebrew} »")
    assert not duplicates(hebrew, greek)


@pytest.mark.parametrize("text", ["", " \n", "---", "…!?", "🚢"])
def test_a_text_without_words_is_a_duplicate_of_nothing(text: str) -> None:
    assert shingles(text).shape == (0,)
    assert np.all(bands([text]) == NO_WORDS)
    assert not duplicates(text, text)
    assert not duplicates(text, PASSAGE)


def test_texts_shorter_than_a_shingle() -> None:
    assert len(shingles("ice")) == len(shingles("The ice")) == 1
    assert duplicates("The ice!", "the  ICE")
    assert not duplicates("The ice", "ice")
    assert not duplicates("Total 5", "Total 6")
    assert not duplicates("ice ice ice", "ice ice")
    assert candidates("The ice!", "the  ICE")


def test_no_texts() -> None:
    assert bands([]).shape == (0, BANDS)


def test_ten_thousand_texts_of_one_template_are_measured_in_linear_time() -> None:
    """Only a bucket's longest text is measured against the others, so there is at most one pair a text and band."""
    count = 10_000
    texts = [TEMPLATE.format(number, f"Customer {number * 7}", f"{number % 28} May", 2) for number in range(count)]
    rows = bands(texts)
    order = np.array(sorted(range(count), key=lambda index: (-len(texts[index]), index)))
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        values, first, bucket = np.unique(rows[order, band], return_index=True, return_inverse=True)
        assert len(values) < count
        leaders = order[first[bucket]]
        pairs.update((int(a), int(b)) for a, b in zip(leaders, order, strict=True) if a != b)
    assert count / 2 < len(pairs) <= count * BANDS
    prepared = {index: prepare(texts[index]) for index in {index for pair in sorted(pairs)[:2_000] for index in pair}}
    assert not any(compare(prepared[a], prepared[b]).is_duplicate for a, b in sorted(pairs)[:2_000])
