"""The compressed bank that a snapshot pins: codes that stand for vectors of memories, and the codec that reads them.

Codes only choose: what they find is compared with the question by the original vectors, so scores are those of exact
search, and a memory may only be missed where very many come between it and the question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from errors import BankError, SnapshotError
from memory.bank.codec import Allowed, Codec, Codes, Vectors
from memory.bank.index import candidates_of
from memory.bank.storage import load_codec
from retrieval.tables import SearchedTable
from warehouse.layout import LakeLayout
from warehouse.searched import BANK
from warehouse.snapshots import SpaceState


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """The codes of one space of one snapshot."""

    codec: Codec
    codes: Codes
    ids: tuple[str, ...]
    """The memory of each code."""

    def of(self, ids: list[str]) -> tuple[MemoryBank, NDArray[np.int64]]:
        """The codes of those of these memories that have one, in their order, and the places of these."""
        place = {key: at for at, key in enumerate(self.ids)}
        found = [at for at, key in enumerate(ids) if key in place]
        taken = self.codes.array[[place[ids[at]] for at in found]]
        kept = MemoryBank(self.codec, Codes(taken, self.codes.version), tuple(ids[at] for at in found))
        return kept, np.array(found, dtype=np.int64)

    def candidates(self, queries: Vectors, least: int, allowed: Allowed) -> NDArray[np.int64]:
        """Places of the codes nearest to any of the queries, ascending.

        Args:
            least: how many are found for each query at least, where so many are allowed.
        """
        wanted = max(least, candidates_of(int(allowed.sum())))
        return np.unique(self.codec.search(self.codes, queries, wanted, allowed).rows)


def open_bank(layout: LakeLayout, space: str, state: SpaceState) -> MemoryBank | None:
    """The bank that a snapshot pins; ``None`` where no memory is coded.

    Raises:
        SnapshotError: its table or its codec is damaged or gone.
    """
    if not state.bank:
        return None
    table = SearchedTable(layout, space, state.bank_table, state.bank_version, BANK.key)
    rows = table.everything([BANK.key, "code"]).sort_by(BANK.key)
    try:
        codec = load_codec(layout.bank(state.bank))
        if codec.digest != state.bank:
            raise BankError(f"The codec of {layout.bank(state.bank)} is another one.", "")
        fixed = rows["code"].combine_chunks().cast(pa.binary(codec.bytes))
    except (BankError, pa.ArrowException) as error:
        raise SnapshotError(
            f"The bank of space '{space}' is damaged or gone: {error}.", "Build it anew with: memlake repair"
        ) from error
    array = np.frombuffer(b"".join(fixed.to_pylist()), dtype=np.uint8).reshape(rows.num_rows, codec.bytes).copy()
    return MemoryBank(codec, Codes(array, state.bank), tuple(rows[BANK.key].to_pylist()))
