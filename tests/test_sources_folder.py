"""A local folder as a source: what is listed, what is kept out, and what happens when it changes underneath."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from errors import DocumentRejected, DocumentUnreadable, SettingsError, SourceUnavailable
from sources import Item, RawDocument, Rejected, SourceReader, SourceSpec, open_source, read_documents, shown
from sources import local as local_module


def reader(root: Path | str, **options: Any) -> SourceReader:
    return open_source(SourceSpec("notes", "home", str(root), **options))


def listed(root: Path | str, **options: Any) -> dict[str, Item | Rejected]:
    return {found.path: found for found in reader(root, **options).list()}


def paths(root: Path | str, **options: Any) -> list[str]:
    return [found.path for found in reader(root, **options).list() if isinstance(found, Item)]


def make(root: Path, *names: str, text: str = "text") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


class TestListing:
    def test_files_are_listed_by_relative_path_in_order(self, root: Path) -> None:
        make(root, "b.md", "a/c.md", "a.md", "a/b/d.md")
        assert paths(root) == ["a.md", "a/b/d.md", "a/c.md", "b.md"]
        assert paths(root.as_uri()) == paths(root), "a file:// url is the same folder"

    def test_an_empty_folder_is_empty(self, root: Path) -> None:
        assert listed(root) == {}

    def test_a_single_file_can_be_a_source(self, root: Path) -> None:
        make(root, "chat.jsonl", "other.md")
        assert paths(root / "chat.jsonl") == ["chat.jsonl"]
        assert reader(root / "chat.jsonl").read("chat.jsonl") == b"text"

    def test_hidden_files_and_debris_are_left_out(self, root: Path) -> None:
        make(root, ".git/config", ".env", "a.md~", "Thumbs.db", ".DS_Store", "~$a.docx", "__MACOSX/a.md", "a.md")
        assert list(listed(root)) == ["a.md"]

    def test_patterns_choose_what_is_listed(self, root: Path) -> None:
        make(root, "a.md", "b.txt", "docs/c.md", "docs/old/d.md", "docs/old/e.txt")
        assert paths(root, include=("*.md",)) == ["a.md", "docs/c.md", "docs/old/d.md"]
        assert paths(root, include=("docs/**/*.md",)) == ["docs/c.md", "docs/old/d.md"]
        assert paths(root, include=("docs",), exclude=("old/",)) == ["docs/c.md"]

    def test_the_ignore_file_has_the_syntax_of_gitignore(self, root: Path) -> None:
        make(root, "a.log", "keep.log", "build/x.md", "docs/build/y.md", "docs/z.md")
        (root / ".memlakeignore").write_text("# logs\n*.log\n!keep.log\n/build/\n")
        assert paths(root) == ["docs/build/y.md", "docs/z.md", "keep.log"]

    def test_an_invalid_pattern_is_an_error_of_the_settings(self, root: Path) -> None:
        with pytest.raises(SettingsError, match="pattern"):
            listed(root, exclude=("!",))

    def test_names_that_are_not_unicode_are_rejected(self, root: Path) -> None:
        try:
            (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.md"))).write_text("x")
        except OSError:
            pytest.skip("this file system allows Unicode names only")
        (found,) = listed(root).values()
        assert isinstance(found, Rejected)
        assert "UTF-8" in found.reason
        found.path.encode()

    def test_a_pipe_is_rejected_and_never_waited_for(self, root: Path) -> None:
        os.mkfifo(root / "pipe.md")
        (found,) = listed(root).values()
        assert isinstance(found, Rejected)
        with pytest.raises(DocumentUnreadable, match="regular"):
            reader(root).read("pipe.md")

    def test_six_thousand_files_are_listed_quickly(self, root: Path) -> None:
        for folder in range(60):
            make(root, *(f"{folder}/{number}.md" for number in range(100)))
        source = reader(root)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            assert len(list(source.list())) == 6000
            times.append(time.perf_counter() - start)
        assert min(times) < 0.3, "several times the usual 0.04 s, for busy machines"

    def test_local_listing_imports_neither_fsspec_nor_parsers(self, root: Path) -> None:
        code = (
            "import sys; from sources import *; list(open_source(SourceSpec('a', 'b', sys.argv[1])).list());"
            "print(*[m for m in ('fsspec', 'pathspec', 'bs4', 'yaml') if m in sys.modules])"
        )
        command = [sys.executable, "-c", code, str(root)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


class TestFingerprint:
    def change(self, path: Path, how: Callable[[Path], object]) -> bool:
        (before,) = listed(path.parent).values()
        time.sleep(0.02)
        how(path)
        (after,) = listed(path.parent).values()
        assert isinstance(before, Item)
        assert isinstance(after, Item)
        return before.fingerprint != after.fingerprint

    def test_it_stays_while_nothing_changes(self, root: Path) -> None:
        make(root, "a.md")
        assert not self.change(root / "a.md", lambda path: path.read_text())

    def test_it_changes_with_content_of_the_same_size_and_time(self, root: Path) -> None:
        make(root, "a.md", text="one")
        status = (root / "a.md").stat()

        def rewrite(path: Path) -> None:
            path.write_text("two")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        assert self.change(root / "a.md", rewrite)

    def test_it_changes_when_another_file_takes_the_place(self, root: Path, tmp_path: Path) -> None:
        make(root, "a.md")
        make(tmp_path, "new.md")
        assert self.change(root / "a.md", lambda path: (tmp_path / "new.md").replace(path))


class TestLinks:
    def test_a_link_out_of_the_root_is_rejected_and_not_read(self, root: Path, tmp_path: Path) -> None:
        make(tmp_path, "outside/secret.md")
        (root / "file.md").symlink_to(tmp_path / "outside/secret.md")
        (root / "folder").symlink_to(tmp_path / "outside")
        found = listed(root)
        assert set(found) == {"file.md", "folder"}
        assert all(isinstance(item, Rejected) and "out of the source" in item.reason for item in found.values())
        for path in ("file.md", "folder/secret.md"):
            with pytest.raises(DocumentRejected, match="out of the source"):
                reader(root).read(path)

    def test_a_sibling_with_the_roots_name_as_prefix_is_outside(self, root: Path, tmp_path: Path) -> None:
        make(tmp_path, "root-2/secret.md")
        (root / "a.md").symlink_to(tmp_path / "root-2/secret.md")
        assert isinstance(listed(root)["a.md"], Rejected)

    @pytest.mark.parametrize("path", ["../secret.md", "/etc/passwd", "a/../../secret.md", "", "a//b", "a\0b"])
    def test_a_path_cannot_climb_out(self, root: Path, tmp_path: Path, path: str) -> None:
        make(tmp_path, "secret.md")
        make(root, "a/b")
        with pytest.raises(DocumentRejected, match="not a path inside"):
            reader(root).read(path)

    def test_a_file_link_inside_is_listed_under_its_own_path(self, root: Path) -> None:
        make(root, "a/real.md", text="words")
        (root / "alias.md").symlink_to("a/real.md")
        assert paths(root) == ["a/real.md", "alias.md"]
        assert reader(root).read("alias.md") == b"words"

    def test_a_folder_link_inside_is_listed_under_its_real_path_only(self, root: Path) -> None:
        make(root, "real/a.md")
        (root / "alias").symlink_to("real")
        (root / "real/cycle").symlink_to(root)
        assert list(listed(root)) == ["real/a.md"]

    def test_broken_links_and_link_loops_are_rejected(self, root: Path) -> None:
        (root / "gone.md").symlink_to("nowhere.md")
        (root / "loop.md").symlink_to("loop.md")
        found = listed(root)
        assert [type(item) for item in found.values()] == [Rejected, Rejected]
        assert all("broken link" in item.reason for item in found.values() if isinstance(item, Rejected))

    def test_the_root_itself_may_be_a_link(self, root: Path, tmp_path: Path) -> None:
        make(root, "a.md")
        (tmp_path / "link").symlink_to(root)
        assert paths(tmp_path / "link") == ["a.md"]
        assert reader(tmp_path / "link").read("a.md") == b"text"

    def test_a_folder_that_turns_into_a_link_while_it_is_opened_is_not_followed(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path, "outside/a.md", text="secret")
        make(root, "folder/a.md")
        real_open = local_module._open_stepwise

        def swap_first(real_root: str, parts: tuple[str, ...]) -> int:
            (root / "folder").rename(tmp_path / "moved")
            (root / "folder").symlink_to(tmp_path / "outside")
            return real_open(real_root, parts)

        monkeypatch.setattr(local_module, "_open_stepwise", swap_first)
        with pytest.raises(DocumentUnreadable):
            reader(root).read("folder/a.md")

    def test_an_ignore_file_from_outside_is_not_read(self, root: Path, tmp_path: Path) -> None:
        make(tmp_path, "secret")
        (root / ".memlakeignore").symlink_to(tmp_path / "secret")
        with pytest.raises(SourceUnavailable, match="memlakeignore"):
            listed(root)


class TestReading:
    def test_a_file_that_disappears_after_listing_is_transient(self, root: Path) -> None:
        make(root, "a.md", "b.md")
        source = reader(root)
        items = [item for item in source.list() if isinstance(item, Item)]
        (root / "a.md").unlink()
        (gone,) = read_documents(source, items[0])
        assert isinstance(gone, Rejected)
        assert gone.transient
        assert "disappeared" in gone.reason
        assert [type(found) for found in read_documents(source, items[1])] == [RawDocument]

    def test_a_file_that_changes_while_it_is_read_is_transient(self, root: Path) -> None:
        make(root, "a.md")
        opened = reader(root).open("a.md")
        opened.__enter__().read(1)
        (root / "a.md").write_text("something else")
        with pytest.raises(DocumentUnreadable, match="changed"):
            opened.__exit__(None, None, None)

    def test_an_oversized_file_is_rejected_without_reading_it(self, root: Path) -> None:
        with (root / "huge.md").open("wb") as stream:
            stream.truncate(1 << 40)
        source = reader(root, max_bytes=1000)
        (found,) = read_documents(source, Item("huge.md", 1 << 40, ""))
        assert isinstance(found, Rejected)
        assert not found.transient
        with pytest.raises(DocumentRejected, match="1,000 bytes"):
            source.read("huge.md")

    def test_a_folder_in_place_of_a_file_is_transient(self, root: Path) -> None:
        make(root, "a/b.md")
        with pytest.raises(DocumentUnreadable):
            reader(root).read("a")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission_is_transient(self, root: Path) -> None:
        make(root, "a.md")
        (root / "a.md").chmod(0)
        with pytest.raises(DocumentUnreadable, match="Permission"):
            reader(root).read("a.md")

    def test_a_file_becomes_one_document_with_its_metadata(self, root: Path) -> None:
        make(root, "a.md", text="---\nauthor: Ann\ndate: 2021-05-04\n---\n# Head\n")
        source = reader(root)
        (document,) = read_documents(source, next(item for item in source.list() if isinstance(item, Item)))
        assert isinstance(document, RawDocument)
        assert (document.path, document.title, document.author) == ("a.md", "Head", "Ann")

    def test_a_rejected_document_says_why_and_stays_rejected(self, root: Path) -> None:
        (root / "a.md").write_bytes(b"\x89PNG\r\n\x1a\n")
        (found,) = read_documents(reader(root), Item("a.md", 8, ""))
        assert isinstance(found, Rejected)
        assert ("binary" in found.reason, bool(found.remedy), found.transient) == (True, True, False)


class TestUnavailable:
    def test_a_missing_folder_is_not_an_empty_one(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnavailable, match="no such folder") as caught:
            listed(tmp_path / "missing")
        assert "'notes'" in caught.value.message
        assert "missing" in caught.value.message
        assert caught.value.remedy
        with pytest.raises(SourceUnavailable):
            reader(tmp_path / "missing").read("a.md")
        with pytest.raises(SourceUnavailable):
            list(read_documents(reader(tmp_path / "missing"), Item("a.md", 1, "")))

    def test_a_folder_that_goes_while_it_is_listed_is_not_an_empty_one(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(root, "a/b.md")
        scan = os.scandir

        def unmount(path: str) -> Any:
            if path.endswith("/a"):
                root.rename(tmp_path / "unmounted")
                root.mkdir()
            return scan(path)

        monkeypatch.setattr(os, "scandir", unmount)
        with pytest.raises(SourceUnavailable, match="replaced"):
            listed(root)

    def test_a_folder_that_cannot_be_listed_makes_the_source_unavailable(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(root, "a.md", "locked/b.md")
        scan = os.scandir

        def refuse(path: str) -> Any:
            if path.endswith("locked"):
                raise PermissionError(13, "Permission denied")
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(SourceUnavailable, match="locked"):
            listed(root)
        assert paths(root, exclude=("locked/",)) == ["a.md"], "excluding it is the remedy"

    def test_memory_and_other_file_systems_tell_missing_from_empty(self) -> None:
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.pipe("/folder-test/docs/a.md", b"text")
        memory.pipe("/folder-test/docs/.hidden/b.md", b"text")
        memory.pipe("/folder-test/docs-2/c.md", b"text")
        assert paths("memory://folder-test/docs") == ["a.md"]
        assert reader("memory://folder-test/docs").read("a.md") == b"text"
        with pytest.raises(SourceUnavailable):
            listed("memory://folder-test/other")

    def test_an_unanswering_server_is_unavailable_and_its_secrets_are_not_shown(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        with pytest.raises(SourceUnavailable) as caught:
            listed(f"ftp://user:hunter2@127.0.0.1:{port}/docs?token=hunter3")
        assert "127.0.0.1" in str(caught.value)
        assert "hunter" not in str(caught.value)

    @pytest.mark.parametrize("url", ["", "nosuch://a/b", "simplecache::s3://a/b", "file://host/a"])
    def test_a_useless_url_is_an_error_of_the_settings(self, url: str) -> None:
        with pytest.raises(SettingsError):
            listed(url)


class TestSpec:
    def test_an_unknown_kind_or_field_is_an_error_of_the_settings(self) -> None:
        with pytest.raises(SettingsError, match="files, jsonl, chat"):
            SourceSpec("a", "b", "/c", kind="mail")  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="body"):
            SourceSpec("a", "b", "/c", fields={"body": "x"})

    def test_its_repr_has_no_secrets(self) -> None:
        spec = SourceSpec("a", "b", "ftp://u:hunter2@host/", storage_options={"secret": "hunter2"})
        assert "hunter2" not in repr(spec)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("s3://key:secret@bucket/a?x=y#z", "s3://bucket/a"),
            ("/plain/folder", "/plain/folder"),
            ("memory://a/b", "memory://a/b"),
            ("s3://[broken", "s3://…"),
        ],
    )
    def test_urls_are_shown_without_secrets(self, url: str, expected: str) -> None:
        assert shown(url) == expected


class TestContentHash:
    BASE = RawDocument("a", "text", "title", "Ann", None, "text/plain", (0, 2), (0,), ("Ann",))

    def test_the_path_does_not_count_and_all_else_does(self) -> None:
        from dataclasses import fields, replace
        from datetime import date

        other: dict[str, Any] = {"text": "x", "title": "x", "author": None, "date": date(2021, 1, 1), "media_type": "x"}
        other |= {"page_starts": (), "turn_starts": (1,), "speakers": ("Bob",)}
        assert replace(self.BASE, path="b").content_hash == self.BASE.content_hash
        hashes = {replace(self.BASE, **{name: value}).content_hash for name, value in other.items()}
        assert len(hashes | {self.BASE.content_hash}) == len(other) + 1
        assert {field.name for field in fields(RawDocument)} == {"path", *other}
        assert len(self.BASE.content_hash) == 32

    def test_fields_cannot_run_into_each_other(self) -> None:
        assert RawDocument("a", "xy", "z").content_hash != RawDocument("a", "x", "yz").content_hash
        assert RawDocument("a", "x", "t", speakers=("a", "b")).content_hash != (
            RawDocument("a", "x", "t", speakers=("ab",)).content_hash
        )
        assert RawDocument("a", "x", "t", author="").content_hash != RawDocument("a", "x", "t").content_hash
