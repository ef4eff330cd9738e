"""A bucket as a source, against a real HTTP server that speaks S3."""

from __future__ import annotations

import importlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from errors import DocumentUnreadable, MissingExtra, SettingsError, SourceUnavailable
from sources import Item, RawDocument, Rejected, SourceReader, SourceSpec, open_source, read_documents


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Any]:
    resource = boto3.resource("s3", endpoint_url=endpoint)
    made = resource.create_bucket(Bucket="docs")
    yield made
    made.objects.all().delete()
    made.delete()


def reader(endpoint: str, url: str = "s3://docs/notes", **options: Any) -> SourceReader:
    return open_source(SourceSpec("cloud", "home", url, storage_options={"endpoint_url": endpoint}, **options))


def listed(endpoint: str, url: str = "s3://docs/notes", **options: Any) -> dict[str, Item | Rejected]:
    return {found.path: found for found in reader(endpoint, url, **options).list()}


def put(bucket: Any, **objects: str) -> None:
    for key, text in objects.items():
        bucket.put_object(Key=key.replace("__", "/").replace("_", "."), Body=text.encode())


def test_objects_are_listed_below_the_prefix_in_order(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__b_md="b", notes__a__c_md="c", notes__a_md="", other_md="x", **{"notes-2__d_md": "d"})
    bucket.put_object(Key="notes/", Body=b"")
    bucket.put_object(Key="notes/a/", Body=b"")
    assert list(listed(endpoint)) == ["a.md", "a/c.md", "b.md"]
    assert list(listed(endpoint, "s3://docs/notes/")) == ["a.md", "a/c.md", "b.md"]
    assert list(listed(endpoint, "s3://docs")) == [
        *("notes-2/d.md", "notes/a.md", "notes/a/c.md", "notes/b.md", "other.md"),
    ]


def test_objects_are_read_and_parsed(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="# Head\n\nText", notes__empty_md="")
    source = reader(endpoint)
    assert source.read("a.md") == b"# Head\n\nText"
    assert source.read("empty.md") == b""
    documents = [
        document for item in source.list() if isinstance(item, Item) for document in read_documents(source, item)
    ]
    assert [type(document) for document in documents] == [RawDocument, Rejected]
    assert isinstance(documents[0], RawDocument)
    assert documents[0].title == "Head"


def test_records_are_streamed_from_an_object(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__r_jsonl='{"id": 1, "text": "one"}\n{"id": 2, "text": "two"}\n')
    source = reader(endpoint, kind="jsonl")
    (item,) = source.list()
    assert isinstance(item, Item)
    assert [found.path for found in read_documents(source, item)] == ["r.jsonl#1", "r.jsonl#2"]


def test_a_single_object_can_be_a_source(endpoint: str, bucket: Any) -> None:
    put(bucket, chat_jsonl="{}")
    source = reader(endpoint, "s3://docs/chat.jsonl")
    assert [item.path for item in source.list()] == ["chat.jsonl"]
    assert source.read("chat.jsonl") == b"{}"


def test_ignore_rules_hold_in_buckets(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="a", notes__b_log="b", notes__old__c_md="c", notes___git__x="x")
    bucket.put_object(Key="notes/.memlakeignore", Body=b"*.log\nold/\n")
    assert list(listed(endpoint)) == ["a.md"]
    assert list(listed(endpoint, include=("*.txt",))) == []


def test_a_key_that_climbs_is_rejected(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="a")
    bucket.put_object(Key="notes/x//b.md", Body=b"b")
    found = listed(endpoint)
    assert isinstance(found["x//b.md"], Rejected)
    assert isinstance(found["a.md"], Item)


def test_the_fingerprint_changes_with_the_content_only(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="one")
    first = listed(endpoint)
    assert listed(endpoint) == first
    put(bucket, notes__a_md="two")
    assert listed(endpoint) != first


def test_a_missing_bucket_or_prefix_is_not_an_empty_one(endpoint: str, bucket: Any) -> None:
    put(bucket, other_md="x")
    for url in ("s3://no-such-bucket/notes", "s3://no-such-bucket", "s3://docs/notes"):
        with pytest.raises(SourceUnavailable, match="'cloud' at s3://") as caught:
            listed(endpoint, url)
        assert caught.value.remedy


def test_an_emptied_bucket_and_a_marked_prefix_are_empty(endpoint: str, bucket: Any) -> None:
    assert listed(endpoint, "s3://docs") == {}
    bucket.put_object(Key="notes/", Body=b"")
    assert listed(endpoint) == {}


def test_an_object_that_disappears_after_listing_is_transient(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="a")
    source = reader(endpoint)
    (item,) = source.list()
    bucket.objects.all().delete()
    with pytest.raises(DocumentUnreadable, match="disappeared"):
        source.read("a.md")
    assert isinstance(item, Item)
    assert [found.transient for found in read_documents(source, item) if isinstance(found, Rejected)] == [True]


def test_an_oversized_object_is_rejected(endpoint: str, bucket: Any) -> None:
    put(bucket, notes__a_md="x" * 100)
    source = reader(endpoint, max_bytes=10)
    (item,) = source.list()
    assert isinstance(item, Item)
    assert [type(found) for found in read_documents(source, item)] == [Rejected]
    with pytest.raises(Exception, match="more than 10 bytes"):
        source.read("a.md")


@pytest.fixture
def closed_endpoint() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_an_endpoint_that_refuses_is_unavailable_soon(closed_endpoint: str) -> None:
    start = time.monotonic()
    with pytest.raises(SourceUnavailable, match="did not answer") as caught:
        listed(closed_endpoint)
    assert time.monotonic() - start < 5
    assert "network" in caught.value.remedy
    with pytest.raises(DocumentUnreadable):
        reader(closed_endpoint).read("a.md")


def test_an_endpoint_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = {
            "endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "config_kwargs": {"read_timeout": 0.3},
        }
        start = time.monotonic()
        with pytest.raises(SourceUnavailable):
            list(open_source(SourceSpec("cloud", "home", "s3://docs/notes", storage_options=options)).list())
        assert time.monotonic() - start < 5


def test_missing_credentials_are_named(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceUnavailable, match="no credentials"):
        listed(endpoint)


def test_denied_access_is_unavailable(endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    async def deny(*_: object, **__: object) -> None:
        raise PermissionError("AccessDenied for key hunter2")

    monkeypatch.setattr(s3fs.S3FileSystem, "_lsdir", deny)
    with pytest.raises(SourceUnavailable, match="access is denied") as caught:
        listed(endpoint)
    assert "hunter2" not in str(caught.value)


def test_without_s3fs_the_extra_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"memlake\[s3\]"):
        listed(endpoint)


def test_unknown_storage_options_are_an_error_of_the_settings(endpoint: str) -> None:
    spec = SourceSpec("cloud", "home", "s3://docs", storage_options={"key": "a", "username": "hunter2"})
    with pytest.raises(SettingsError) as caught:
        list(open_source(spec).list())
    assert "hunter2" not in str(caught.value)
