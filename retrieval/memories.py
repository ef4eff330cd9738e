"""The memories of one space of one snapshot, opened for search.

What ranking needs of every memory (its vector, the passages that it leads to, its days) is read once and stays in
memory; texts are read for what is shown. Of memories that are in the compressed bank the code is kept in place of the
vector (``retrieval.bank``): the codes nearest to a question are compared with it by the originals, which are read then,
and the others count as not found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph.compiled import SUPERSEDED_WEIGHT
from retrieval.bank import MemoryBank
from retrieval.granularity import granularity_weights
from retrieval.scoring import Scores, scaled, trust
from retrieval.tables import SearchedTable
from warehouse.sections import FusionSettings

_COLUMNS = [
    "memory_id",
    "granularity",
    "passage_ids",
    "superseded_by",
    "parent_id",
    "since",
    "until",
]
_SHOWN = [
    "memory_id",
    "granularity",
    "text",
    "speaker",
    "source",
    "path",
    "title",
    "author",
    "document_date",
    "parent_id",
    "since",
    "until",
    "valid_until",
    "superseded_by",
    "passage_ids",
    "documents",
    "revisions",
    "starts",
    "ends",
]

Floats = NDArray[np.float32]

_NOT_FOUND = -np.inf
"""Similarity of a memory whose original is not looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryScores:
    """How a question's texts found the memories of a snapshot."""

    scores: Scores
    """Of every memory, the best of its granularity near 1; 0 where it was not found."""
    weights: Mapping[str, float]
    """Of each granularity that found something, by the router; they sum to 1."""


class Memories:
    """Every memory of one space of one snapshot."""

    def __init__(self, table: SearchedTable, bank: MemoryBank | None = None) -> None:
        """Reads what ranking needs; raises SnapshotError where the table is gone.

        Args:
            bank: codes that stand for the vectors of some of the memories, or of all.
        """
        rows = table.everything(_COLUMNS).sort_by("memory_id")
        self._table = table
        self.ids: list[str] = rows["memory_id"].to_pylist()
        """Names of the memories, ascending; a row is a place among them."""
        self.granularities: NDArray[np.str_] = np.array(rows["granularity"].to_pylist(), dtype=str)
        self.names: list[str] = sorted(set(self.granularities.tolist()))
        self._rows = {key: row for row, key in enumerate(self.ids)}
        parents = [self._rows.get(key, -1) if key else -1 for key in rows["parent_id"].to_pylist()]
        self.parents: NDArray[np.int64] = np.array(parents, dtype=np.int64)
        """The row of the memory that each is a part of; -1 where there is none."""
        self._bank: MemoryBank | None = None
        self._coded: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._at = self._coded
        if bank is not None:
            self._bank, self._coded = bank.of(self.ids)
            at = table.row_ids()
            self._at = np.array([at[key] for key in self._bank.ids], dtype=np.int64)
        self._exact: NDArray[np.int64] = np.setdiff1d(np.arange(len(self.ids)), self._coded)
        """Rows whose vectors are in memory."""
        self._vectors: Floats = self._read_vectors()
        led: list[list[str]] = rows["passage_ids"].to_pylist()
        self.passages: list[str] = sorted({key for keys in led for key in keys})
        place = {key: at for at, key in enumerate(self.passages)}
        self._led = np.fromiter((place[key] for keys in led for key in keys), dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum([len(keys) for keys in led])]).astype(np.int64)
        self._standing = np.array(
            [SUPERSEDED_WEIGHT if key else 1.0 for key in rows["superseded_by"].to_pylist()], dtype=np.float32
        )
        days = [np.array(rows[name].to_pylist(), dtype="datetime64[D]") for name in ("since", "until")]
        self.since, self.until = days

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def resident_bytes(self) -> int:
        """Memory that vectors and codes take; what else ranking needs of a memory is left out."""
        return self._vectors.nbytes + self._at.nbytes + (self._bank.codes.array.nbytes if self._bank else 0)

    def lexical(self, texts: Sequence[str], limit: int) -> list[dict[str, float]]:
        """Memory id to BM25 score of the best memories for each text, of whatever granularity."""
        found = self._table.lexical(texts, limit)
        return [dict(zip(one.ids, one.scores.tolist(), strict=True)) for one in found]

    def found(
        self,
        vectors: Floats | None,
        lexical: Sequence[Mapping[str, float]],
        wanted: Sequence[str],
        settings: FusionSettings,
        full: int,
    ) -> MemoryScores:
        """Score the memories of the wanted granularities for the texts of one question.

        Args:
            vectors: of the question and its parts; ``None`` leaves the dense channel out.
            lexical: memory id to BM25 score, for each text; empty to leave that channel out.
            full: how many candidates fill a channel's list.
        """
        similar = None if vectors is None else self._similar(vectors, wanted, full)
        scores = np.zeros(len(self), dtype=np.float32)
        told: dict[str, Floats] = {}
        for name in self.names:
            if name not in wanted:
                continue
            mine = np.flatnonzero(self.granularities == name)
            best = np.zeros(len(mine), dtype=np.float32)
            for text in range(len(lexical) if vectors is None else len(vectors)):
                dense = None if similar is None else similar[text, mine]
                words = self._laid(lexical[text], mine) if lexical else None
                if text == 0:
                    told[name] = _told(dense, words, best)
                np.maximum(best, _scored(dense, words, settings, full), out=best)
            scores[mine] = best * self._standing[mine]
        return MemoryScores(scores, granularity_weights(told) if told else {})

    def passages_of(self, found: MemoryScores) -> dict[str, float]:
        """Passage id to the weighted sum over granularities of the best memory that leads to it, the best passage 1."""
        total = np.zeros(len(self.passages), dtype=np.float32)
        for name, weight in found.weights.items():
            mine = np.flatnonzero((self.granularities == name) & (found.scores > 0))
            layer = np.zeros(len(self.passages), dtype=np.float32)
            for row in mine.tolist():
                led = self._led[self._starts[row] : self._starts[row + 1]]
                layer[led] = np.maximum(layer[led], found.scores[row])
            total += np.float32(weight) * layer
        peak = total.max(initial=0.0)
        kept = np.flatnonzero(total)
        return {self.passages[at]: float(total[at] / peak) for at in kept.tolist()}

    def led_to(self, row: int) -> list[str]:
        """The passages that a memory leads to."""
        return [self.passages[at] for at in self._led[self._starts[row] : self._starts[row + 1]].tolist()]

    def leading_to(self, passages: Sequence[str]) -> NDArray[np.int64]:
        """The memories that lead to any of these passages, ascending."""
        wanted = np.isin(self._led, [at for at, key in enumerate(self.passages) if key in set(passages)])
        found: NDArray[np.int64] = np.unique(np.searchsorted(self._starts, np.flatnonzero(wanted), side="right") - 1)
        return found

    def days_of(self, passages: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        """First and last day that the memories of each passage speak of; passages without any are left out."""
        dated = np.flatnonzero(~np.isnat(self.since) & np.isin(self.granularities, ("turn", "fact", "core")))
        wanted = set(passages)
        days: dict[str, tuple[Any, Any]] = {}
        for row in dated.tolist():
            for key in self.led_to(row):
                if key in wanted:
                    first, last = days.get(key, (self.since[row], self.until[row]))
                    days[key] = (min(first, self.since[row]), max(last, self.until[row]))
        return days

    def shown(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Everything that is shown of these memories, in their order."""
        found = self._table.rows_of([self.ids[row] for row in rows], _SHOWN)
        return [found[self.ids[row]] for row in rows]

    def row(self, memory_id: str) -> int | None:
        """Where a memory is; ``None`` where the snapshot has none of that id."""
        return self._rows.get(memory_id)

    def _read_vectors(self) -> Floats:
        """Of the rows that have no code, ``(exact, dimensions)``."""
        if not len(self._exact):
            return np.empty((0, 0), dtype=np.float32)
        if self._bank is None:
            rows = self._table.everything(["memory_id", "vector"])
        else:
            rows = self._table.kept({self.ids[row] for row in self._exact.tolist()}, ["vector"])
        return _matrix(rows.sort_by("memory_id"))

    def _similar(self, vectors: Floats, wanted: Sequence[str], full: int) -> Floats:
        """Cosine of each memory to each text, ``(texts, memories)``; of coded ones, of the nearest by code only."""
        if self._bank is None:
            exact: Floats = vectors @ self._vectors.T
            return exact
        similar = np.full((len(vectors), len(self)), _NOT_FOUND, dtype=np.float32)
        if len(self._exact):
            similar[:, self._exact] = vectors @ self._vectors.T
        coded = self.granularities[self._coded]
        nearest = [
            self._bank.candidates(vectors, full, coded == name)
            for name in self.names
            if name in wanted and name in coded
        ]
        if nearest:
            places = np.concatenate(nearest)
            found = self._table.taken(self._at[places].tolist(), ["vector"])
            similar[:, [self._rows[key] for key in found["memory_id"].to_pylist()]] = vectors @ _matrix(found).T
        return similar

    def _laid(self, found: Mapping[str, float], mine: NDArray[np.int64]) -> Floats:
        laid = np.zeros(len(self), dtype=np.float32)
        rows = [(self._rows[key], score) for key, score in found.items() if key in self._rows]
        if rows:
            at, scores = zip(*rows, strict=True)
            laid[list(at)] = scores
        return laid[mine]


def _told(dense: Floats | None, words: Floats | None, nothing: Floats) -> Floats:
    """The scores that tell the router how sharply a granularity answers."""
    if dense is not None:
        return dense[dense > _NOT_FOUND]
    return nothing if words is None else np.sort(words)[::-1]


def _matrix(rows: pa.Table) -> Floats:
    """The vectors of these rows, ``(rows, dimensions)``."""
    flat: Floats = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(rows.num_rows, -1)


def _scored(dense: Floats | None, words: Floats | None, settings: FusionSettings, full: int) -> Scores:
    """Steps 1 to 3 of ``retrieval.scoring`` over all memories of a granularity."""
    shares: list[tuple[Floats, float]] = []
    for scores, weight in ((dense, settings.dense_weight), (words, settings.lexical_weight)):
        if scores is None or not len(scores):
            continue
        if scores is dense:
            kept = np.argsort(-scores, kind="stable")[:full]
            kept = kept[scores[kept] > _NOT_FOUND]
        else:
            kept = np.flatnonzero(scores > 0)
        if not len(kept):
            continue
        one = np.zeros(len(scores), dtype=np.float32)
        one[kept] = scaled(scores[kept], full)
        shares.append((one, trust(one[kept], settings.judged) * weight))
    total = sum(share for _, share in shares)
    if not shares:
        return np.zeros(len(dense if dense is not None else words if words is not None else ()), dtype=np.float32)
    if total <= 0:
        total, shares = float(len(shares)), [(one, 1.0) for one, _ in shares]
    summed: Scores = np.stack([one * np.float32(share / total) for one, share in shares]).sum(axis=0)
    return summed
