"""Searching the bytes of files, against Python's own search."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse import scanning
from warehouse.scanning import find_in_files

small = st.binary(min_size=8, max_size=14).map(lambda data: bytes(byte % 3 + 97 for byte in data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300).map(lambda data: bytes(byte % 3 + 97 for byte in data)),
    needles=st.lists(small, max_size=6, unique=True),
    chunk=st.sampled_from([9, 16, 33, 4096]),
)
def test_it_finds_what_python_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, needles: list[bytes], chunk: int
) -> None:
    monkeypatch.setattr(scanning, "_CHUNK", chunk)
    path = tmp_path / "file"
    path.write_bytes(data)
    held = [needle for needle in needles if needle in data]
    assert find_in_files([path], needles) == ({path: held} if held else {})


@pytest.mark.parametrize("place", [0, 1, 7, 4095, 4096 - 10])
def test_a_needle_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(scanning, "_CHUNK", 64)
    needle = "Żółw i jeż w Łodzi".encode()
    path = tmp_path / "file"
    path.write_bytes(b"x" * place + needle + b"y" * 5)
    assert find_in_files([path], [needle]) == {path: [needle]}


def test_a_needle_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter than 8 bytes"):
        find_in_files([], [b"short"])


def test_no_needle_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something")
    assert find_in_files([path], []) == {}
