"""Values from replies: what is taken, what is mended, what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from errors import Malformed, Terminal
from models.lenient import read_lenient
from models.structured import parse_reply, strict_schema


class Named(BaseModel):
    name: str
    type: str


class Entities(BaseModel):
    entities: list[Named]


class Both(BaseModel):
    entities: list[Named]
    triples: list[list[str]]


class AtLeastTwo(BaseModel):
    entities: list[Named] = Field(min_length=2)


GOOD = '{"entities": [{"name": "Ana", "type": "person"}, {"name": "O\'Neil", "type": ""}]}'
NAMES = ["Ana", "O'Neil"]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def names(text: str) -> list[str]:
    return [entity.name for entity in parse_reply(text, Entities).value.entities]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n  {GOOD}\n",
        f"\ufeff{GOOD}",
    ],
)
def test_plain_json_is_taken_as_it_is(text: str) -> None:
    assert names(text) == NAMES
    assert not parse_reply(text, Entities).repaired


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```\nDone.",
        f"Sure! Here it is: {GOOD} Anything else?",
        f'<think>Perhaps {{a}} or [b], or {{"x": 1}}.</think>\n{GOOD}',
        f"{GOOD}\n{GOOD}",
        GOOD.replace("}]}", "},],}"),
        repr(json.loads(GOOD)),
        GOOD.replace('"Ana"', "'Ana'"),
    ],
)
def test_what_has_one_meaning_is_mended(text: str) -> None:
    assert names(text) == NAMES
    parsed = parse_reply(text, Entities)
    assert parsed.repaired
    assert not parsed.cut


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot say.",
        "{",
        "[]",
        "null",
        "{}",
        '{"entities": null}',
        '{"entities": [{"name": "Ana"}]}',
        '{"entities": [{"name": 7, "type": ""}]}',
        '{"entities": "Ana"}',
        '{"entities": [NaN]}',
        '{"entities": [{"name": "\\ud800", "type": ""}]}',
        '{"entities": [], "entities": [{"name": "Ana", "type": ""}]}',
        '{"entities": []} or {"entities": [{"name": "Ana", "type": ""}]}',
        "{entities: []}",
        "{'entities': [{'name': 'it's', 'type': ''}]}",
        '{"entities": [{"name": "a" "type": ""}]}',
        "[" * 5000,
        '{"a":' * 5000,
        "__import__('os').getcwd()",
    ],
)
def test_what_is_not_of_the_shape_or_has_two_meanings_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_reply(text, Entities)
    assert isinstance(caught.value, Terminal)
    assert caught.value.remedy


def test_a_refusal_does_not_repeat_the_reply() -> None:
    class Closed(BaseModel, extra="forbid"):
        name: str

    for text in ('{"name": ["secret"]}', '{"name": "x", "secret": 1}', "secret"):
        with pytest.raises(Malformed) as caught:
            parse_reply(text, Closed)
        assert "secret" not in str(caught.value)


class TestCutOff:
    def test_the_incomplete_last_item_goes(self) -> None:
        start = '{"entities": [{"name": "Ana", "type": ""}, {"name": "Bo'
        parsed = parse_reply(start, Entities)
        assert [entity.name for entity in parsed.value.entities] == ["Ana"]
        assert parsed.cut

    @pytest.mark.parametrize("end", range(15, len(GOOD)))
    def test_every_item_that_is_left_is_whole(self, end: int) -> None:
        assert names(GOOD[:end]) == NAMES[: GOOD[:end].count("}")]

    def test_an_item_that_lost_a_part_of_its_own_list_goes_as_a_whole(self) -> None:
        cut = '{"entities": [], "triples": [["a", "b", "c"], ["d", "e"'
        assert parse_reply(cut, Both).value.triples == [["a", "b", "c"]]

    def test_a_key_that_is_still_to_come_is_missed(self) -> None:
        with pytest.raises(Malformed, match="triples: missing"):
            parse_reply(GOOD[:60], Both)

    def test_a_list_that_must_be_longer_is_not_shortened(self) -> None:
        assert len(parse_reply(GOOD[:-1], AtLeastTwo).value.entities) == 2
        with pytest.raises(Malformed, match="too short"):
            parse_reply(GOOD[:60], AtLeastTwo)

    def test_what_is_cut_outside_of_a_list_is_refused(self) -> None:
        with pytest.raises(Malformed):
            parse_reply('{"name": "Ana", "type": "per', Named)


@given(value=st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4))
def test_lenient_reading_agrees_with_json(value: Any) -> None:
    text = json.dumps(value)
    assert read_lenient(text) == (value, len(text), False)


@given(value=st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=4), data=st.data())
def test_a_cut_list_is_a_beginning_of_the_whole(value: list[Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text)))
    kept, _, cut = read_lenient(text[:end])
    assert kept == value[: len(kept)]
    assert cut == (end < len(text))


@given(text=st.text(alphabet="{}[]\"',: \\ntrue1.-é\n", max_size=60))
def test_whatever_is_said_the_answer_is_a_value_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        parse_reply(text, Entities)


def test_a_schema_is_strict_at_every_level_and_without_references() -> None:
    schema = strict_schema(Both)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["entities", "triples"]
    item = schema["properties"]["entities"]["items"]
    assert item["additionalProperties"] is False
    assert item["required"] == ["name", "type"]
    assert "$ref" not in json.dumps(schema)


def test_a_schema_keeps_properties_that_are_named_like_keywords() -> None:
    class Odd(BaseModel):
        title: str
        default: int = 3

    assert strict_schema(Odd)["required"] == ["title", "default"]


def test_a_schema_admits_what_the_model_writes() -> None:
    import jsonschema

    value = TypeAdapter(Both).validate_json('{"entities": [{"name": "a", "type": ""}], "triples": [["a", "b", "c"]]}')
    jsonschema.validate(value.model_dump(), strict_schema(Both))
