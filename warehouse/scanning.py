"""Searching the bytes of files for texts: the evidence that an erasure left nothing.

A needle is looked up by its first eight bytes, at every offset of a file at once, and then compared whole; so the cost
is that of reading the files, however many needles there are. After Karp and Rabin, "Efficient randomized
pattern-matching algorithms", 1987, with the eight bytes themselves in place of a rolling hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

WORD = 8
"""Bytes that a needle must have at least."""

_CHUNK = 16 << 20
"""Bytes of a file that are in memory at once."""


def find_in_files(paths: Iterable[Path], needles: Sequence[bytes]) -> dict[Path, list[bytes]]:
    """The files that hold a needle, each with those that it holds, in the order of ``needles``.

    Raises:
        ValueError: a needle is shorter than eight bytes.
    """
    if any(len(needle) < WORD for needle in needles):
        raise ValueError(f"a needle is shorter than {WORD} bytes")
    found = {}
    for path in paths:
        if held := set(_held(path, needles)):
            found[path] = [needle for needle in needles if needle in held]
    return found


def _held(path: Path, needles: Sequence[bytes]) -> Iterator[bytes]:
    if not needles:
        return
    longest = max(len(needle) for needle in needles)
    starts: dict[int, list[bytes]] = {}
    for needle in needles:
        starts.setdefault(int.from_bytes(needle[:WORD], "little"), []).append(needle)
    known = np.array(sorted(starts), dtype="<u8")
    with path.open("rb") as handle:
        tail = b""
        while chunk := handle.read(_CHUNK):
            data = tail + chunk
            for offset in range(min(WORD, len(data) - WORD + 1)):
                words = np.frombuffer(data, dtype="<u8", offset=offset, count=(len(data) - offset) // WORD)
                at = np.searchsorted(known, words)
                hits = np.flatnonzero(known[np.minimum(at, len(known) - 1)] == words)
                for hit in hits.tolist():
                    place = offset + hit * WORD
                    yield from (needle for needle in starts[int(words[hit])] if data.startswith(needle, place))
            tail = data[-(longest - 1) :]
