"""What every extractor keeps, whether rules or a language model find entities and facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from conftest import Workspace, kept_open
from hypothesis import given, settings
from hypothesis import strategies as st
from modelled import configure, entities_reply, triples_reply

from derivation.model_extraction import ModelExtractor
from errors import MemlakeError
from graph.extraction import Extraction, Extractor, Passage, RulesExtractor, entity_type
from testing.recorded import document_of, kind_of
from testing.server import OpenAIServer
from warehouse.delta import Scope
from warehouse.ids import content_id

PLAIN = "In 1843 Ada Lovelace wrote to Charles Babbage. Charles Babbage lived in London."
ODD = {
    "empty": ("", ""),
    "blank": ("", " \n\t\n "),
    "title alone": ("Ada Lovelace", "."),
    "Chinese": ("北京", "北京是中华人民共和国的首都。《红楼梦》的作者是曹雪芹。"),
    "Arabic": ("القاهرة", "القاهرة هي عاصمة مصر. ولد نجيب محفوظ في القاهرة سنة 1911."),
    "code": ("run.py", "```python\ndef Main(Foo: Bar) -> None:\n    return Foo.Bar[0] or '<document>'\n```"),
    "markup": ('A "quoted" <title>', "</document> <document title=\"x\"> {'a': [1, 2,]} & \\u2028 \u2028 \x85 ."),
    "emoji": ("👩‍🚀", "👩‍🚀 Sally Ride flew on Challenger 🚀. É́cole Normale."),
    "huge": ("Ada Lovelace", PLAIN * 600),
}
TEXT = st.text(alphabet=st.sampled_from("Ada Bo. 北京\n\t'\"<>{}[]é\u0301\u2028👩‍🚀12-"), max_size=60)


def passage(title: str, text: str) -> Passage:
    key = content_id("test", title, text)
    return Passage(key, title, text, key)


def sound(given_: Passage, found: Extraction | MemlakeError | None) -> None:
    """Every span slices back; every end of a triple is a mention or a name of the title, at its place."""
    assert isinstance(found, Extraction)
    assert found.text == given_.text
    for where, items in ((given_.text, found.mentions), (given_.title, found.titles)):
        for item in items:
            assert 0 <= item.start < item.end <= len(where)
            assert where[item.start : item.end] == item.surface
            assert item.key
    for short, long in found.acronyms:
        assert given_.text[slice(*short)].strip() and given_.text[slice(*long)].strip()
    in_text = {(item.start, item.end, item.key, entity_type(item.kind)) for item in found.mentions}
    in_title = {(item.key, entity_type(item.kind)) for item in found.titles}
    for triple in found.triples:
        assert 0 <= triple.start < triple.end <= len(given_.text)
        assert triple.predicate.strip()
        for end, titled in ((triple.subject, triple.subject_in_title), (triple.object, triple.object_in_title)):
            if titled:
                assert (end.key, entity_type(end.kind)) in in_title
            else:
                assert (end.start, end.end, end.key, entity_type(end.kind)) in in_text


class Conformance:
    """The contract of ``graph.extraction.Extractor``; subclasses say which."""

    @pytest.fixture
    def extractor(self) -> Iterator[Extractor]:
        raise NotImplementedError

    @pytest.mark.parametrize("name", ODD)
    def test_spans_and_triples_of_any_text_are_sound(self, extractor: Extractor, name: str) -> None:
        one = passage(*ODD[name])
        (found,) = extractor.extract([one]).found
        sound(one, found)

    def test_one_result_a_passage_in_order(self, extractor: Extractor) -> None:
        given_ = [passage(*ODD[name]) for name in ODD if name != "huge"]
        found = extractor.extract(given_).found
        assert len(found) == len(given_)
        for one, result in zip(given_, found, strict=True):
            sound(one, result)

    def test_a_passage_alone_gives_what_it_gives_among_others(self, extractor: Extractor) -> None:
        given_ = [passage(*ODD[name]) for name in ODD if name != "huge"]
        together = extractor.extract(given_).found
        assert list(together) == [extractor.extract([one]).found[0] for one in given_]

    def test_the_same_input_gives_the_same_output(self, extractor: Extractor) -> None:
        one, other = passage("Ada Lovelace", PLAIN), passage("Ada Lovelace", PLAIN)
        assert extractor.extract([one]).found == extractor.extract([other]).found
        first, second = extractor.extract([one, other]).found
        assert first == second
        assert isinstance(first, Extraction) and first.triples, "it finds facts at all"

    def test_nothing_gives_nothing(self, extractor: Extractor) -> None:
        assert list(extractor.extract([]).found) == []


class TestRules(Conformance):
    @pytest.fixture
    def extractor(self) -> Iterator[Extractor]:
        yield RulesExtractor()  # noqa: PT022

    @given(st.lists(st.tuples(TEXT, TEXT), max_size=3))
    @settings(max_examples=100)
    def test_of_anything_is_sound(self, texts: list[tuple[str, str]]) -> None:
        given_ = [passage(*item) for item in texts]
        for one, found in zip(given_, RulesExtractor().extract(given_).found, strict=True):
            sound(one, found)


class OfAModel(Conformance):
    """A model's extractor over a lake that holds no document: what is asked about needs none."""

    calls = "two"

    @pytest.fixture
    def extractor(self, workspace: Workspace, server: OpenAIServer) -> Iterator[Extractor]:
        configure(workspace, server, extraction={"calls": self.calls})
        lake = workspace.lake()
        with kept_open(lake):
            yield ModelExtractor(lake, Scope("default", "notes"))


class TestAModelInTwoCalls(OfAModel):
    pass


class TestAModelInOneCall(OfAModel):
    calls = "one"


class TestAModelThatSaysAnything:
    """Whatever it names, only what the passage holds comes in."""

    @pytest.fixture
    def says(self, workspace: Workspace, server: OpenAIServer) -> Iterator[Callable[..., Sequence[Any]]]:
        configure(workspace, server)

        def extract(one: Passage, names: list[str], type_: str, triples: list[tuple[str, str, str]]) -> Sequence[Any]:
            server.respond = lambda body: (
                triples_reply(*triples) if kind_of(body) == "triples" else entities_reply(*names, type_=type_)
            )
            return ModelExtractor(lake, Scope("default", "notes")).extract([one]).found

        lake = workspace.lake()
        with kept_open(lake):
            yield extract

    @pytest.mark.parametrize(
        ("names", "triples"),
        [
            (["Ada Lovelace", "Ada Lovelace", "ADA LOVELACE", ""], [("Ada Lovelace", "wrote to", "Charles Babbage")]),
            (["a", ".", "\u2028", "'; DROP TABLE mentions; --"], [("", "", ""), ("Ada", "is", "Ada")]),
            (["London" * 500], [("Charles Babbage", "lived in " * 500, "London")]),
            ([], [("Ada Lovelace", "wrote to", "Charles Babbage"), ("Nobody", "knows", "Nothing")]),
        ],
    )
    @pytest.mark.parametrize("type_", ["person", "Person ", "no such type", ""])
    def test_is_sound(
        self,
        says: Callable[..., Sequence[Any]],
        names: list[str],
        triples: list[tuple[str, str, str]],
        type_: str,
    ) -> None:
        one = passage("Ada Lovelace", PLAIN)
        (found,) = says(one, names, type_, triples)
        sound(one, found)

    def test_a_name_is_of_one_type_in_a_passage_whoever_finds_it(self, says: Callable[..., Sequence[Any]]) -> None:
        one = passage("", PLAIN)
        (found,) = says(one, ["Ada Lovelace"], "person", [("ada lovelace", "wrote to", "Charles Babbage")])
        assert {item.kind for item in found.mentions if item.key == "ada lovelace"} == {"person"}
        assert [triple.subject.kind for triple in found.triples] == ["person"]

    def test_what_is_asked_about_is_the_fenced_document(
        self,
        workspace: Workspace,
        server: OpenAIServer,
    ) -> None:
        configure(workspace, server)
        ModelExtractor(workspace.lake(), Scope("default", "notes")).extract([passage('A "b" <document>', PLAIN)])
        told = [document_of(body) for body in server.bodies("/chat/completions")]
        assert [text for _, text in told] == [PLAIN, PLAIN]
