"""What every way of compressing vectors promises: a codec turns vectors into codes and searches the codes.

A codec is a value: learning returns another one, and equal batches in an equal order from an equal seed give equal
codecs. Its ``digest`` names all that codes depend on, and codes carry it: codes of another digest are refused, never
searched with the wrong codebooks. So a codec that goes on learning is a new version, and the memories are encoded again
when that one takes over, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from errors import BankError

Vectors = NDArray[np.float32]
"""Of shape ``(n, dimensions)``."""
Allowed = NDArray[np.bool_]
"""Which rows a search may return, of shape ``(n,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes of some vectors, a row each, and the version of the codec that wrote them."""

    array: NDArray[np.uint8]
    """Of shape ``(n, bytes)``."""
    version: str
    """The codec's digest."""

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What a search found: a line a query, the best first, equal scores in the order of their rows."""

    rows: NDArray[np.int64]
    """Of shape ``(queries, found)``; found is k, or all that is allowed where that is less."""
    scores: NDArray[np.float32]
    """Inner products of queries with the decoded vectors, or with the originals after reranking."""


class Codec(Protocol):
    """Turns vectors into ``bytes`` bytes each and finds the best of them for a query."""

    @property
    def kind(self) -> str:
        """Which class of codec: the key to load it by."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    @property
    def bytes(self) -> int:
        """Length of a code."""

    @property
    def identity(self) -> str:
        """Kind and shape, for people; two codecs of one identity may have learnt other things."""

    @property
    def digest(self) -> str:
        """Names everything that codes depend on."""

    @property
    def codebooks(self) -> int:
        """How many codebooks a code has a byte each of; 0 where bytes are no choices."""

    def learn(self, batch: Vectors) -> Self:
        """The codec after one more batch; an empty one changes nothing."""

    def encode(self, vectors: Vectors) -> Codes:
        """A code a vector; it depends on the vector alone, not on those beside it.

        Raises:
            BankError: the vectors have other dimensions, or nothing was learnt yet.
        """

    def decode(self, codes: Codes) -> Vectors:
        """The vectors that the codes stand for.

        Raises:
            BankError: the codes are of another version.
        """

    def search(self, codes: Codes, queries: Vectors, k: int, allowed: Allowed | None = None) -> Hits:
        """The k codes of the largest inner product for each query, which is not compressed itself.

        Raises:
            BankError: the codes are of another version, or the queries have other dimensions.
        """

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What is saved: a few plain values, and arrays."""

    @classmethod
    def of_state(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The codec that was saved."""


def checked(vectors: Vectors, dimensions: int) -> Vectors:
    """The vectors as rows of float32.

    Raises:
        BankError: they have other dimensions, or are not finite.
    """
    rows = np.ascontiguousarray(np.atleast_2d(vectors), dtype=np.float32)
    if rows.size == 0:
        return rows.reshape(0, dimensions)
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise BankError(
            f"Vectors of shape {vectors.shape} were given to a codec of {dimensions} dimensions.",
            "Use the embedder that the codec has learnt from, or learn a new one.",
        )
    if not np.isfinite(rows).all():
        raise BankError("Vectors that are not finite cannot be compressed.", "Embed their texts again.")
    return rows


def check_version(codes: Codes, codec: Codec) -> None:
    """Refuse codes that this codec did not write."""
    if codes.version != codec.digest or codes.array.shape[1:] != (codec.bytes,):
        raise BankError(
            f"The codes are of version {codes.version}, the codec is {codec.digest}.",
            "Encode the memories again with this codec, or load the codec that wrote them.",
        )


def check_allowed(allowed: Allowed | None, codes: Codes) -> None:
    """Refuse a mask that is of other codes."""
    if allowed is not None and allowed.shape != (len(codes),):
        raise BankError(f"A mask of shape {allowed.shape} was given for {len(codes)} codes.", "Give a value a code.")


def digest_of(identity: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Names an identity and the content of arrays; 16 characters."""
    summed = blake2b(identity.encode(), digest_size=8)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        summed.update(f"{name} {array.dtype.str} {array.shape}".encode())
        summed.update(array.tobytes())
    return summed.hexdigest()
