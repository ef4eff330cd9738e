"""Record files and chat exports: one document a record, and one bad record costs only itself."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import MemlakeError
from sources import Item, RawDocument, Rejected, SourceSpec, open_source, read_documents
from sources.records import FIRST_CHUNK, read_records

Found = RawDocument | Rejected


def read(folder: Path, name: str, content: str | bytes, kind: str = "jsonl", **options: Any) -> list[Found]:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(SourceSpec("records", "home", str(folder), kind=kind, **options))  # type: ignore[arg-type]
    (item,) = source.list()
    assert isinstance(item, Item)
    return list(read_documents(source, item))


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def documents(found: list[Found]) -> list[RawDocument]:
    assert all(isinstance(one, RawDocument) for one in found), found
    return [one for one in found if isinstance(one, RawDocument)]


def rejections(found: list[Found]) -> dict[str, str]:
    return {one.path: one.reason for one in found if isinstance(one, Rejected)}


class TestJsonLines:
    def test_a_line_is_a_document(self, tmp_path: Path) -> None:
        record = {"id": 7, "title": "T", "text": "one\r\ntwo", "author": ["Ann", "Bob"], "date": "2021-05-04"}
        (found,) = documents(read(tmp_path, "r.jsonl", lines(record)))
        assert found == RawDocument("r.jsonl#7", "one\ntwo", "T", "Ann, Bob", date(2021, 5, 4))

    def test_fields_are_mapped_through_objects_lists_and_joins(self, tmp_path: Path) -> None:
        record = {"meta": {"key": "k", "who": [{"name": "Ann"}], "when": 1620000000}, "head": "H", "body": ["a", "b"]}
        fields = {"id": "meta.key", "title": "head", "text": "head+body", "author": "meta.who.0", "date": "meta.when"}
        (found,) = documents(read(tmp_path, "r.jsonl", lines(record), fields=fields))
        assert found == RawDocument("r.jsonl#k", "H\n\na\nb", "H", "Ann", date(2021, 5, 3))

    def test_a_missing_part_of_a_joined_text_leaves_no_gap(self, tmp_path: Path) -> None:
        (found,) = documents(read(tmp_path, "r.jsonl", lines({"body": "b"}), fields={"text": "title+body"}))
        assert (found.path, found.text, found.title) == ("r.jsonl#line 1", "b", "line 1")

    def test_a_key_with_a_dot_in_it_is_found(self, tmp_path: Path) -> None:
        (found,) = documents(read(tmp_path, "r.jsonl", lines({"a.b": "x"}), fields={"text": "a.b"}))
        assert found.text == "x"

    def test_bad_lines_are_rejected_one_by_one(self, tmp_path: Path) -> None:
        content = [
            *(b'{"id": "a", "text": "one"}', b"{broken", b'{"id": "b"}', b'{"id": "c", "text": "  "}', b"[1]", b""),
            *(b'{"id": "a", "text": "two"}', b'{"id": "d", "text": "caf\xe9"}', b'{"id": "e", "text": "three"}'),
        ]
        found = read(tmp_path, "r.jsonl", b"\n".join(content))
        assert [one.path for one in found if isinstance(one, RawDocument)] == ["r.jsonl#a", "r.jsonl#e"]
        reasons = rejections(found)
        assert list(reasons) == [
            *("r.jsonl#line 2", "r.jsonl#b", "r.jsonl#c", "r.jsonl#line 5", "r.jsonl#line 7", "r.jsonl#line 8"),
        ]
        assert "not valid JSON" in reasons["r.jsonl#line 2"]
        assert "no text" in reasons["r.jsonl#b"]
        assert "(line 3)" in reasons["r.jsonl#b"], "the place is named where the path does not name it"
        assert "there before" in reasons["r.jsonl#line 7"]
        assert "UTF-8" in reasons["r.jsonl#line 8"]
        assert all(not one.transient and one.remedy for one in found if isinstance(one, Rejected))

    def test_a_text_or_a_line_that_is_too_long_is_rejected(self, tmp_path: Path) -> None:
        records = ({"id": 1, "text": "x" * 50}, {"id": 2, "text": "x" * 5000}, {"id": 3, "text": "ok"})
        found = read(tmp_path, "r.jsonl", lines(*records), max_chars=20, max_bytes=1000)
        assert list(rejections(found)) == ["r.jsonl#1", "r.jsonl#line 2"]
        assert [one.path for one in found if isinstance(one, RawDocument)] == ["r.jsonl#3"]

    def test_lone_surrogates_become_storable_text(self, tmp_path: Path) -> None:
        (found,) = documents(read(tmp_path, "r.jsonl", '{"id": "\\ud800", "text": "a\\ud800b\\u0000c"}\n'))
        assert found.text == "a\ufffdbc"
        f"{found.path}{found.title}".encode()
        assert found.content_hash

    @pytest.mark.parametrize("name", ["r.jsonl.gz", "r.ndjson", "r.jsonl"])
    def test_gzip_is_known_by_its_bytes(self, tmp_path: Path, name: str) -> None:
        packed = gzip.compress(lines({"id": 1, "text": "x"}).encode())
        assert documents(read(tmp_path, name, packed))[0].path == f"{name}#1"

    def test_a_byte_order_mark_is_no_part_of_the_first_line(self, tmp_path: Path) -> None:
        assert len(documents(read(tmp_path, "r.jsonl", b"\xef\xbb\xbf" + lines({"text": "x"}).encode()))) == 1

    def test_deep_nesting_and_huge_numbers_cost_only_their_line(self, tmp_path: Path) -> None:
        content = "[" * 100_000 + "\n" + '{"text": ' + "9" * 10_000 + "}\n" + lines({"id": 3, "text": "ok"})
        found = read(tmp_path, "r.jsonl", content)
        assert list(rejections(found)) == ["r.jsonl#line 1", "r.jsonl#line 2"]

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        with (tmp_path / "big.jsonl").open("w") as stream:
            for number in range(4000):
                stream.write(json.dumps({"id": number, "text": "x" * 4000}) + "\n")
        source = open_source(SourceSpec("records", "home", str(tmp_path), kind="jsonl"))
        (item,) = source.list()
        assert isinstance(item, Item)
        tracemalloc.start()
        count = sum(isinstance(one, RawDocument) for one in read_documents(source, item))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 4000
        assert peak < item.size / 10


class TestWholeFile:
    """A rejection under the file's own path says that the rest of its records is unknown, not gone."""

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        packed = gzip.compress(lines(*({"id": number, "text": str(number) * 50} for number in range(500))).encode())
        found = read(tmp_path, "r.jsonl.gz", packed[: len(packed) // 2])
        assert isinstance(found[-1], Rejected)
        assert (found[-1].path, found[-1].transient) == ("r.jsonl.gz", False)

    @pytest.mark.parametrize("content", [b"\0\1\2", "{}".encode("utf-16")])
    def test_binary_and_utf16(self, tmp_path: Path, content: bytes) -> None:
        assert list(rejections(read(tmp_path, "r.jsonl", content))) == ["r.jsonl"]

    def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        assert list(rejections(read(tmp_path, "readme.md", "text"))) == ["readme.md"]

    def test_a_change_while_it_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "r.jsonl").write_text(lines({"id": 1, "text": "x"}, {"id": 2, "text": "y"}))
        source = open_source(SourceSpec("records", "home", str(tmp_path), kind="jsonl"))
        reading = read_documents(source, Item("r.jsonl", 1, ""))
        found = [next(reading)]
        (tmp_path / "r.jsonl").write_text("something else entirely, and longer than it was before that\n")
        found += reading
        assert isinstance(found[-1], Rejected)
        assert (found[-1].path, found[-1].transient) == ("r.jsonl", True)

    @pytest.mark.parametrize("content", ['[{"text": "a"}, {"text": "b"', '[{"text": "a"}', '[{"text": "a"} {broken]'])
    def test_a_json_array_that_breaks_off(self, tmp_path: Path, content: str) -> None:
        first, second = read(tmp_path, "r.json", content)
        assert isinstance(first, RawDocument)
        assert isinstance(second, Rejected)
        assert second.path == "r.json"
        assert "item 2" in second.reason


class TestJsonArrays:
    def test_an_item_is_a_document(self, tmp_path: Path) -> None:
        records = [{"id": "a", "text": "one"}, {"text": "two"}, {"id": "c"}, 7]
        for name, indent in (("flat.json", None), ("deep.json", 2)):
            folder = tmp_path / name
            folder.mkdir()
            found = read(folder, name, json.dumps(records, indent=indent))
            assert [one.path for one in found] == [f"{name}#a", f"{name}#item 2", f"{name}#c", f"{name}#item 4"]
            assert [type(one) for one in found] == [RawDocument, RawDocument, Rejected, Rejected]

    def test_one_object_or_several_one_after_another_are_read_too(self, tmp_path: Path) -> None:
        assert len(documents(read(tmp_path, "r.json", '{"text": "a"}\n{"text":\n "b"}'))) == 2

    def test_an_empty_array_has_no_documents(self, tmp_path: Path) -> None:
        assert read(tmp_path, "r.json", "[ ]") == []

    def test_an_item_that_is_too_long_ends_the_reading(self, tmp_path: Path) -> None:
        content = json.dumps([{"id": 1, "text": "x"}, {"id": 2, "text": "y" * 10 * FIRST_CHUNK}])
        found = read(tmp_path, "r.json", content, max_bytes=FIRST_CHUNK)
        assert list(rejections(found)) == ["r.json"]

    @settings(max_examples=40, deadline=None)
    @given(
        values=st.lists(
            st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.lists(st.floats())) | st.integers()
        ),
        indent=st.sampled_from([None, 1]),
        padding=st.integers(FIRST_CHUNK - 40, FIRST_CHUNK + 5),
    )
    def test_items_are_the_same_wherever_chunks_end(
        self, values: list[object], indent: int | None, padding: int
    ) -> None:
        text = "[" + " " * padding + json.dumps(values, indent=indent, ensure_ascii=False)[1:]
        found = [record.value for record in read_records(io.BytesIO(text.encode()), "a.json", 10 * FIRST_CHUNK)]
        assert json.dumps(found) == json.dumps(values)


class TestChat:
    def test_a_session_is_a_document_with_its_turns(self, tmp_path: Path) -> None:
        session = {
            "session": "s1",
            "date": "1:56 pm on 8 May, 2023",
            "turns": [
                {"speaker": "Ann", "text": "Hello!\n\nHow are\r\nyou?"},
                {"speaker": "Bob", "text": "  "},
                {"speaker": "Bob", "text": "Fine."},
            ],
        }
        (found,) = documents(read(tmp_path, "team_chat.jsonl", lines(session), kind="chat"))
        assert (found.path, found.title, found.date) == (
            "team_chat.jsonl#s1",
            "team chat, 2023-05-08",
            date(2023, 5, 8),
        )
        assert found.text == "Ann: Hello!\nHow are\nyou?\n\nBob: Fine."
        assert found.speakers == ("Ann", "Bob")
        paragraphs = found.text.split("\n\n")
        assert [found.text[start:].split("\n\n")[0] for start in found.turn_starts] == paragraphs

    @pytest.mark.parametrize(
        "turn",
        [
            {"role": "user", "content": "hi"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
            {"name": "user", "message": "hi"},
            {"author": {"role": "user"}, "content": {"parts": ["hi"]}},
            {"from": "user", "value": "hi"},
        ],
    )
    def test_field_names_of_common_exports_are_understood(self, tmp_path: Path, turn: dict[str, Any]) -> None:
        content = json.dumps([{"conversation_id": 5, "messages": [turn], "create_time": 1620000000.5}])
        (found,) = documents(read(tmp_path, "x.json", content, kind="chat"))
        assert (found.path, found.text, found.date) == ("x.json#5", "user: hi", date(2021, 5, 3))

    def test_sessions_without_id_date_or_speaker_are_kept(self, tmp_path: Path) -> None:
        (found,) = documents(read(tmp_path, "c.jsonl", lines({"turns": [{"text": "hi"}]}), kind="chat"))
        assert (found.path, found.title, found.date) == ("c.jsonl#line 1", "c, line 1", None)
        assert (found.text, found.speakers) == ("Unknown: hi", ("Unknown",))

    def test_unordered_sessions_keep_the_order_of_the_file(self, tmp_path: Path) -> None:
        sessions = [{"id": key, "date": f"2021-01-0{key}", "turns": [{"text": "x"}]} for key in (3, 1, 2)]
        found = documents(read(tmp_path, "c.jsonl", lines(*sessions), kind="chat"))
        assert [one.path for one in found] == ["c.jsonl#3", "c.jsonl#1", "c.jsonl#2"]

    def test_sessions_without_turns_are_rejected(self, tmp_path: Path) -> None:
        sessions = ({"id": 1}, {"id": 2, "turns": "x"}, {"id": 3, "turns": [{"text": ""}, 5]}, {"id": 1, "turns": []})
        found = read(tmp_path, "c.jsonl", lines(*sessions), kind="chat")
        assert list(rejections(found)) == ["c.jsonl#1", "c.jsonl#2", "c.jsonl#3", "c.jsonl#line 4"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "text", "title", "date", "author", "turns", "role", "name"]), inner)
    ),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(record=JSON, kind=st.sampled_from(["jsonl", "chat"]))
def test_any_record_gives_a_document_or_a_rejection(record: object, kind: Any) -> None:
    found = list(read_documents(_Held(json.dumps(record).encode(), kind), Item("a.jsonl", 1, "")))
    for one in found:
        f"{one}".encode()
        assert isinstance(one, Rejected) or (one.text.strip() and one.content_hash)


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(["a.jsonl", "a.json", "a.jsonl.gz"]))
def test_any_bytes_give_documents_or_rejections(data: bytes, name: str) -> None:
    for content in (data, gzip.compress(data), b"[" + data, b"\x1f\x8b" + data):
        try:
            list(read_documents(_Held(content, "jsonl"), Item(name, 1, "")))
        except MemlakeError as error:  # pragma: no cover
            pytest.fail(f"only an unavailable source may raise: {error}")


class _Held:
    """A reader of one file that is held in memory."""

    def __init__(self, data: bytes, kind: Any) -> None:
        self.spec = SourceSpec("records", "home", "/nowhere", kind=kind)
        self._data = data

    def list(self) -> Iterator[Item | Rejected]:
        return iter(())

    def read(self, path: str) -> bytes:
        return self._data

    def open(self, path: str) -> io.BytesIO:
        return io.BytesIO(self._data)
