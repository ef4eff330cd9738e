"""Dataset adapters: the authors' formats, read as they are; what cannot be used is counted, named, refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from errors import DocumentRejected, SettingsError
from evaluation.dataset import CorpusDocument, Dataset, Evidence, GoldUnit
from evaluation.datasets import ADAPTERS, read_dataset
from evaluation.datasets.hipporag import read_files

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not beside the checkout")

PARAGRAPHS = [
    {"title": "Port Hallin", "text": "Port Hallin is a harbour town. Its harbour master is Ana Reyes."},
    {"title": "Ana Reyes", "text": "Ana Reyes was born in Grimmelund in 1971."},
    {"title": "Grimmelund", "text": "Grimmelund is known for its connectors."},
]
ARTICLES = [
    {"title": "Storm at Gull Point", "body": "The lamp failed. Nobody was hurt.", "author": "I. Marsh",
     "published_at": "2024-03-02T10:00:00+00:00", "source": "The Tern"},
    {"title": "A new lamp", "body": "It shines for 12 miles.", "author": "None", "published_at": "None"},
]  # fmt: skip
TURNS = [
    {"speaker": "Ada", "dia_id": "D1:1", "text": "I sold the boat."},
    {"speaker": "Bo", "dia_id": "D1:2", "text": "Look!", "blip_caption": "a red boat"},
]


def musique(number: int, gold: list[int]) -> dict[str, Any]:
    paragraphs = [
        {"title": each["title"], "paragraph_text": each["text"], "is_supporting": place in gold}
        for place, each in enumerate(PARAGRAPHS)
    ]
    return {"id": f"2hop__{number}", "question": "Where was the harbour master born?", "answer": "Grimmelund",
            "answer_aliases": ["Grimme"], "paragraphs": paragraphs}  # fmt: skip


def write_hipporag(folder: Path, questions: Any, corpus: Any = PARAGRAPHS) -> Path:
    (folder / "set.json").write_text(json.dumps(questions))
    (folder / "set_corpus.json").write_text(json.dumps(corpus))
    return folder


def news(**changes: Any) -> dict[str, Any]:
    evidence = [{"title": "Storm at Gull Point", "fact": "The lamp failed."}, {"title": "A new lamp", "fact": ""}]
    return {"query": "What failed?", "answer": "the lamp", "question_type": "inference_query",
            "evidence_list": evidence, **changes}  # fmt: skip


def write_multihop(folder: Path, questions: Any, corpus: Any = ARTICLES) -> Path:
    (folder / "MultiHopRAG.json").write_text(json.dumps(questions))
    (folder / "corpus.json").write_text(json.dumps(corpus))
    return folder


def write_beir(folder: Path, relevant: str = "d1") -> Path:
    lines = [
        {"_id": "d1", "title": "", "text": "Ada likes boats."},
        {"_id": "d2", "title": "", "text": "Bo likes tea."},
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "Who likes boats?"}) + "\n")
    scores = [{"query-id": "q1", "corpus-id": relevant, "score": 1}, {"query-id": "q1", "corpus-id": "d2", "score": 0}]
    (folder / "qrels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in scores))
    return folder


def conversation(*questions: dict[str, Any]) -> dict[str, Any]:
    return {
        "sample_id": "conv-1",
        "conversation": {"speaker_a": "Ada", "session_1_date_time": "1:56 pm on 8 May, 2023", "session_1": TURNS,
                         "session_2_date_time": "9:00 am on 1 June, 2023", "session_2": []},
        "qa": list(questions),
    }  # fmt: skip


def haystack(question_id: str, kind: str, named: list[str]) -> dict[str, Any]:
    return {
        "question_id": question_id,
        "question_type": kind,
        "question": "How many boats do I own?",
        "answer": 2,
        "question_date": "2023/06/01 (Thu) 10:00",
        "haystack_session_ids": ["s1", "s2"],
        "haystack_dates": ["2023/02/15 (Wed) 01:41", "2023/05/20 (Sat) 00:07"],
        "haystack_sessions": [
            [{"role": "user", "content": "I own one boat."}, {"role": "assistant", "content": "Nice."}],
            [{"role": "user", "content": "I own two boats now.", "has_answer": True}],
        ],
        "answer_session_ids": named,
    }


def read_one(folder: Path, name: str = "some", **options: Any) -> Dataset:
    return read_dataset(name, folder, **options)


class TestHippoRAG:
    def test_gold_is_matched_by_title_and_text(self, tmp_path: Path) -> None:
        dataset = read_one(write_hipporag(tmp_path, [musique(1, [0, 1])]))
        assert dataset.format == "hipporag"
        assert [document.title for document in dataset.documents] == ["Port Hallin", "Ana Reyes", "Grimmelund"]
        [question] = dataset.questions
        assert question.gold == (Evidence(dataset.documents[0].path), Evidence(dataset.documents[1].path))
        assert question.answers == ("Grimmelund", "Grimme")
        assert question.kind == "2hop"

    def test_hotpot_questions_are_read_by_their_supporting_facts(self, tmp_path: Path) -> None:
        corpus = [{"title": "A", "text": "One. Two."}, {"title": "B", "text": "Three."}]
        asked = {"_id": "x", "question": "?", "answer": "y", "type": "bridge", "supporting_facts": [["A", 0], ["A", 1]],
                 "context": [["A", ["One.", " Two."]], ["B", ["Three."]]]}  # fmt: skip
        [question] = read_one(write_hipporag(tmp_path, [asked], corpus)).questions
        assert (question.question_id, question.kind) == ("x", "bridge")
        assert question.gold == (Evidence("corpus.jsonl#00001"),)

    @pytest.mark.parametrize(
        ("questions", "corpus", "message"),
        [
            ([musique(1, [])], PARAGRAPHS, "question 2hop__1: it has no gold"),
            ([musique(1, [0])], PARAGRAPHS[1:], "'Port Hallin' is not in the corpus"),
            ([{"question": "?", "paragraphs": [{}]}], PARAGRAPHS, "question 1 is not of HippoRAG's format"),
            ([musique(1, [0])], [{"title": "x"}], "item 1 has no title and text"),
            ([musique(1, [0])], {}, "not a JSON array"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, questions: Any, corpus: Any, message: str) -> None:
        with pytest.raises(DocumentRejected, match=message):
            read_one(write_hipporag(tmp_path, questions, corpus))

    def test_a_missing_file_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"none\.json cannot be read"):
            read_files("x", tmp_path / "none.json", tmp_path / "none.json")


class TestMultiHopRAG:
    def test_gold_is_articles_and_facts_are_sentences(self, tmp_path: Path) -> None:
        dataset = read_one(write_multihop(tmp_path, [news(), news(question_type="null_query", evidence_list=[])]))
        assert dataset.unit is GoldUnit.DOCUMENT
        assert [(document.author, document.date) for document in dataset.documents] == [
            ("I. Marsh", "2024-03-02"),
            ("", ""),
        ]
        first, null = dataset.questions
        assert [item.path for item in first.gold] == ["corpus.jsonl#Storm at Gull Point", "corpus.jsonl#A new lamp"]
        assert first.facts == (Evidence("corpus.jsonl#Storm at Gull Point", "The lamp failed."),)
        assert first.kind == "inference"
        assert (null.answerable, null.gold) == (False, ())

    def test_evidence_that_no_article_has_is_named(self, tmp_path: Path) -> None:
        strange = news(evidence_list=[{"title": "Gone", "fact": "x"}])
        with pytest.raises(DocumentRejected, match=r"'corpus\.jsonl#Gone' is not in the corpus"):
            read_one(write_multihop(tmp_path, [news(), strange]))
        dataset = read_one(write_multihop(tmp_path, [news(), strange]), tolerated=0.5)
        assert len(dataset.questions) == 1
        assert len(dataset.problems) == 1


class TestBEIR:
    def test_gold_are_documents_with_a_positive_score(self, tmp_path: Path) -> None:
        [question] = read_one(write_beir(tmp_path)).questions
        assert question.gold == (Evidence("corpus.jsonl#d1"),)

    def test_judgments_in_a_table_are_read_too(self, tmp_path: Path) -> None:
        write_beir(tmp_path)
        (tmp_path / "qrels.jsonl").unlink()
        (tmp_path / "qrels").mkdir()
        (tmp_path / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t2\n")
        dataset = read_one(tmp_path)
        assert dataset.questions[0].gold == (Evidence("corpus.jsonl#d2"),)
        assert not dataset.is_test_split
        (tmp_path / "qrels" / "dev.tsv").rename(tmp_path / "qrels" / "test.tsv")
        assert read_one(tmp_path).is_test_split

    def test_a_judged_document_that_is_nowhere_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentRejected, match=r"'corpus\.jsonl#d9' is not in the corpus"):
            read_one(write_beir(tmp_path, relevant="d9"))


class TestLoCoMo:
    def test_gold_are_turns_in_a_space_of_their_conversation(self, tmp_path: Path) -> None:
        asked = [
            {"question": "What did Ada sell?", "answer": "a boat", "evidence": ["D1:1; D1:2"], "category": 1},
            {"question": "What did Bo sell?", "evidence": ["D1:1"], "category": 5, "adversarial_answer": "tea"},
        ]
        (tmp_path / "locomo.json").write_text(json.dumps([conversation(*asked)]))
        dataset = read_one(tmp_path)
        assert dataset.unit is GoldUnit.TURN
        [session] = dataset.documents
        assert (session.path, session.date) == ("conv-1.jsonl#session-01", "2023-05-08")
        assert session.turns[1] == ("Bo", "Look! [shared a red boat]")
        sold, trap = dataset.questions
        assert sold.gold == (
            Evidence(session.path, "I sold the boat."),
            Evidence(session.path, "Look! [shared a red boat]"),
        )
        assert (sold.kind, sold.space) == ("multi-hop", "conv-1")
        assert (trap.answerable, trap.gold, trap.kind) == (False, (), "adversarial")

    def test_evidence_that_is_no_turn_is_named(self, tmp_path: Path) -> None:
        good = {"question": "?", "answer": "x", "evidence": ["D1:1"], "category": 4}
        bad = {"question": "?", "answer": "x", "evidence": ["D7:1"], "category": 4}
        (tmp_path / "locomo.json").write_text(json.dumps([conversation(good, bad)]))
        with pytest.raises(DocumentRejected, match="question conv-1-002: its evidence 'D7:1' is no turn"):
            read_one(tmp_path)


class TestLongMemEval:
    def test_each_haystack_is_a_space_and_gold_are_sessions(self, tmp_path: Path) -> None:
        items = [haystack("a1", "knowledge-update", ["s1", "s2"]), haystack("b2_abs", "multi-session", ["s1"])]
        packed = tmp_path / "longmemeval_s.json.gz"
        packed.write_bytes(gzip.compress(json.dumps(items).encode()))
        dataset = read_one(tmp_path)
        assert dataset.unit is GoldUnit.SESSION
        assert dataset.spaces == ("q-a1", "q-b2_abs")
        assert [document.date for document in dataset.documents[:2]] == ["2023-02-15", "2023-05-20"]
        update, refused = dataset.questions
        assert [item.path for item in update.gold] == ["q-a1.jsonl#s1", "q-a1.jsonl#s2"]
        assert [item.path for item in update.outdated] == ["q-a1.jsonl#s1"], "the later session holds what is current"
        assert update.answers == ("2",)
        assert (refused.answerable, refused.gold) == (False, ())

    def test_a_plain_file_is_read_as_a_packed_one(self, tmp_path: Path) -> None:
        plain = tmp_path / "plain.json"
        plain.write_text(json.dumps([haystack("a1", "multi-session", ["s1"])]))
        assert len(read_one(plain).questions) == 1


class TestOwnQuestions:
    def test_gold_is_a_path_or_a_quote_in_one(self, tmp_path: Path) -> None:
        lines = [
            {"question": "Who?", "gold": ["team.md"], "answer": "Ada"},
            {"id": "price", "question": "What is the price?", "gold": [{"path": "price.md", "quote": "7 crowns"}],
             "outdated": [{"path": "price.md", "quote": "5 crowns"}], "answers": ["7", "seven"], "type": "price"},
            {"question": "Unknown?", "answerable": False},
        ]  # fmt: skip
        file = tmp_path / "asked.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        dataset = read_one(file)
        assert dataset.format == "questions"
        assert dataset.unit is GoldUnit.SPAN
        assert dataset.documents == ()
        first, price, unknown = dataset.questions
        assert (first.question_id, first.gold, first.answers) == ("1", (Evidence("team.md"),), ("Ada",))
        assert price.outdated == (Evidence("price.md", "5 crowns"),)
        assert not unknown.answerable

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (['{"question": "Who?", "gold": ["a.md"]}', '{"question": "What?"}'], "question 2: it has no gold"),
            (['{"question": "Who?", "gold": ["a"], "id": 1}'] * 2, "a question with this id was there before"),
            (['{"question": "Who?", "golden": ["a"]}'], "line 1 is no question: golden: extra inputs"),
            (['{"question": "Who?", "gold": "a.md"}'], "gold: input should be a valid list"),
            (['{"question": 5, "gold": ["a.md"]}'], "question: input should be a valid string"),
            (['{"question": "Who?", "gold": [{"path": "a", "qoute": "b"}]}'], "qoute: extra inputs"),
            (['{"question": "Who?", "answerable": "false"}'], "answerable: input should be a valid boolean"),
            (['{"question": "Who?"', ""], "line 1 is not JSON"),
            (['{"question": " ", "gold": ["a"]}'], "the question is empty"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, lines: list[str], message: str) -> None:
        file = tmp_path / "asked.jsonl"
        file.write_text("\n".join(lines) + "\n")
        with pytest.raises(DocumentRejected, match=message):
            read_one(file, name="questions")


def test_twice_the_same_document_is_one_and_counted(tmp_path: Path) -> None:
    assert read_one(write_multihop(tmp_path, [news()], [*ARTICLES, ARTICLES[0]])).problems == (), "the very same"
    other = {**ARTICLES[0], "body": "Another text."}
    with pytest.raises(DocumentRejected, match="1 of 3 documents cannot be used"):
        read_one(write_multihop(tmp_path, [news()], [*ARTICLES, other]))
    dataset = read_one(write_multihop(tmp_path, [news()], [*ARTICLES, other]), tolerated=0.5)
    assert len(dataset.documents) == 2
    assert [str(problem) for problem in dataset.problems] == [
        "corpus.jsonl#Storm at Gull Point: another document with this id was there before"
    ]


def test_a_format_may_be_named(tmp_path: Path) -> None:
    folder = write_multihop(tmp_path, [news()])
    assert read_one(folder, name="multihop-rag").format == "multihop-rag"
    assert read_one(folder, format_name="multihop-rag").name == "some"
    with pytest.raises(DocumentRejected, match="HippoRAG"):
        read_one(folder, format_name="hipporag")
    with pytest.raises(SettingsError, match="There is no format 'nothing'"):
        read_one(folder, format_name="nothing")


def test_a_name_is_a_folder_too_and_leads_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be named '\.\./evil'"):
        read_one(write_hipporag(tmp_path, [musique(1, [0])]), name="../evil")


def test_line_separators_inside_a_text_do_not_end_a_line(tmp_path: Path) -> None:
    write_beir(tmp_path)
    line = json.dumps({"_id": "d3", "title": "", "text": "One\u2028two\x85three."}, ensure_ascii=False)
    with (tmp_path / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert read_one(tmp_path).documents[2].text == "One\u2028two\x85three."


def test_what_is_of_no_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Nothing to see.")
    with pytest.raises(DocumentRejected, match="no known format"):
        read_one(tmp_path)
    with pytest.raises(SettingsError, match="There is nothing at"):
        read_one(tmp_path / "nowhere")


def test_damaged_gzip_data_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "longmemeval.json.gz"
    packed.write_bytes(gzip.compress(json.dumps([haystack("a1", "x", ["s1"])]).encode())[:-20])
    with pytest.raises(DocumentRejected, match="cannot be read"):
        read_one(packed, name="longmemeval")


def test_hashes_tell_files_and_questions_apart(tmp_path: Path) -> None:
    folder = write_hipporag(tmp_path, [musique(1, [0, 1])])
    before = read_one(folder).hashes
    assert set(before) == {"set.json", "set_corpus.json", "questions"}
    write_hipporag(tmp_path, [musique(1, [0])])
    after = read_one(folder).hashes
    assert after["questions"] != before["questions"]
    assert after["set_corpus.json"] == before["set_corpus.json"]


def test_a_document_is_where_its_source_puts_it() -> None:
    assert CorpusDocument("7").path == "corpus.jsonl#7"
    assert CorpusDocument("7", space="conv-1").path == "conv-1.jsonl#7"


@needs_data
@pytest.mark.parametrize(
    ("folder", "format_name", "documents", "questions", "unanswerable", "left_out"),
    [
        ("musique-train", "hipporag", 1890, 100, 0, 0),
        ("multihop-rag", "multihop-rag", 609, 252, 36, 0),
        ("locomo", "locomo", 70, 495, 112, 2),
        ("longmemeval", "longmemeval", 339, 7, 0, 0),
        ("limit-small", "beir", 46, 1000, 0, 0),
    ],
)
def test_the_authors_own_files_are_read(
    folder: str, format_name: str, documents: int, questions: int, unanswerable: int, left_out: int
) -> None:
    dataset = read_dataset(folder, DATA / folder)
    assert dataset.format == format_name
    assert (len(dataset.documents), len(dataset.questions)) == (documents, questions)
    assert sum(not question.answerable for question in dataset.questions) == unanswerable
    assert len(dataset.problems) == left_out
    assert set(ADAPTERS) >= {format_name}


def test_the_documented_questions_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    indented = "".join(line for line in page.splitlines(keepends=True) if line.startswith(("    {", '     "')))
    lines = [" ".join(part.split()) for part in indented.split("    {") if part.strip()]
    file = tmp_path / "documented.jsonl"
    file.write_text("".join("{" + line + "\n" for line in lines))
    dataset = read_one(file, tolerated=0.0)
    assert len(dataset.questions) == 4
    assert dataset.problems == ()
