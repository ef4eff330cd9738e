"""The searched table of one snapshot: exact vector search, full-text search and the rows of hits.

Searches of one query run side by side on LanceDB's asynchronous interface, on one background event loop a process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence, Set
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from errors import SnapshotError
from memory.forgetting import prior, retention
from retrieval.coverage import Sentences, sentence_stems
from retrieval.families import NO_FAMILIES, Families
from retrieval.model import Filters
from warehouse.layout import LakeLayout
from warehouse.searched import FTS_COLUMN, PASSAGES
from warehouse.vectors import in_list, quote

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

T = TypeVar("T")

_KEPT_ROWS = 4096
"""Rows of hits that are kept in memory."""

_SIDE_BY_SIDE = 8
"""Queries that are searched at once."""

_HIT_COLUMNS = [
    "passage_id",
    "document_id",
    "revision_id",
    "source",
    "path",
    "title",
    "author",
    "document_date",
    "char_start",
    "char_end",
    "page",
    "kind",
    "heading",
    "text",
]


Texts = tuple[NDArray[np.float32] | None, str | None]
"""The vector and the text of a query; ``None`` leaves the dense or the lexical channel out."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What one channel found: passage ids and scores, best first; ties are in the order of the ids."""

    ids: tuple[str, ...]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, ids: Sequence[str], scores: NDArray[np.float32], limit: int) -> Ranking:
        """Sort by falling score, then by id, and keep the first ``limit``."""
        order = sorted(range(len(ids)), key=lambda row: (-float(scores[row]), ids[row]))[:limit]
        return cls(tuple(ids[row] for row in order), np.asarray(scores, dtype=np.float32)[order])


Standing = tuple[list[str], NDArray[np.float64], list[datetime | None]]
"""Ids, strengths, and when each was last recalled."""

EMPTY = Ranking((), np.empty(0, dtype=np.float32))


class SearchedTable:
    """A Lance table at the version that a snapshot pins."""

    def __init__(self, layout: LakeLayout, space: str, name: str, version: int, key: str = PASSAGES.key) -> None:
        """Raises SnapshotError where the table or that version of it is gone.

        Args:
            key: the column that names a row.
        """
        self._key = key
        os.environ.setdefault("LANCEDB_LOG", "error")
        self._place = f"space '{space}', table '{name}', version {version}"
        self._rows: dict[str, dict[str, Any]] = {}
        self._sentences: dict[str, Sentences] = {}
        self._pieces: dict[str, NDArray[np.float32]] = {}
        self._table = self._run(_open(str(layout.space_vectors(space)), name, version))
        self._families: Families | None = None
        self._with_pieces: bool | None = None
        self._dates: dict[str, date | None] | None = None
        self._standing: Standing | tuple[()] | None = None

    def search(self, asked: Sequence[Texts], limit: int, where: str | None) -> list[tuple[Ranking, Ranking]]:
        """Dense and lexical candidates of each query.

        Dense scores are cosines, lexical scores BM25 with English stemming and stop words.
        """
        return self._run(self._search(asked, limit, where))

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is shown of these passages, by id; rows that were read are kept, as a version never changes."""
        known = {key: row for key in ids if (row := self._rows.get(key)) is not None}
        missing = [key for key in ids if key not in known]
        if missing:
            query = self._table.query().where(in_list("passage_id", missing)).select(_HIT_COLUMNS)
            read = {row["passage_id"]: row for row in self._run(query.to_arrow()).to_pylist()}
            if len(self._rows) + len(read) > _KEPT_ROWS:
                self._rows = {}
            self._rows.update(read)
            known.update(read)
        return known

    def sentences(self, ids: Sequence[str]) -> list[Sentences]:
        """The stems of these passages, sentence by sentence; kept as the rows are."""
        known = {key: found for key in ids if (found := self._sentences.get(key)) is not None}
        missing = self.rows([key for key in ids if key not in known])
        new = {key: sentence_stems(row["title"], row["heading"], row["text"]) for key, row in missing.items()}
        if len(self._sentences) + len(new) > _KEPT_ROWS:
            self._sentences = {}
        self._sentences.update(new)
        known.update(new)
        return [known[key] for key in ids]

    def pieces(self, ids: Sequence[str], dimensions: int) -> list[NDArray[np.float32]]:
        """The vectors of the sentences or turns of these passages, ``(pieces, dimensions)`` each; kept as the rows are.

        A passage has none where the embedder tells whole texts only, and in a table of before there were any.
        """
        if not self._has_pieces():
            return [np.empty((0, dimensions), dtype=np.float32)] * len(ids)
        known = {key: found for key in ids if (found := self._pieces.get(key)) is not None}
        missing = [key for key in ids if key not in known]
        if missing:
            query = self._table.query().where(in_list(self._key, missing)).select([self._key, "pieces"])
            rows = self._run(query.to_arrow()).to_pylist()
            new = {row[self._key]: _unpacked(row["pieces"] or b"", dimensions) for row in rows}
            if len(self._pieces) + len(new) > _KEPT_ROWS:
                self._pieces = {}
            self._pieces.update(new)
            known.update(new)
        return [known[key] for key in ids]

    def _has_pieces(self) -> bool:
        if self._with_pieces is None:
            self._with_pieces = "pieces" in self._run(self._table.schema()).names
        return self._with_pieces

    def dates(self) -> dict[str, date | None]:
        """The date of each row's document, read once."""
        if self._dates is None:
            rows = self.everything([self._key, "document_date"])
            self._dates = dict(zip(rows[self._key].to_pylist(), rows["document_date"].to_pylist(), strict=True))
        return self._dates

    def priors(self, now: datetime, days: float, weight: float) -> dict[str, float]:
        """The factor of each row with which clients did anything (``memory.forgetting``), as of ``now``.

        Args:
            days: in how many a memory that was never recalled fades.
            weight: the largest change of a score.
        """
        if self._standing is None:
            self._standing = self._run(self._read_standing())
        if not self._standing or not weight:
            return {}
        keys, strengths, recalled = self._standing
        idle = np.array([(now - at).total_seconds() / 86_400 if at else np.inf for at in recalled])
        factors = prior(strengths, retention(strengths, idle, days), weight)
        return dict(zip(keys, factors.tolist(), strict=True))

    async def _read_standing(self) -> Standing | tuple[()]:
        if "strength" not in (await self._table.schema()).names:
            return ()
        query = self._table.query().where("strength IS NOT NULL").select([self._key, "strength", "recalled_at"])
        rows = (await query.to_arrow()).sort_by(self._key)
        recalled = [at.replace(tzinfo=UTC) if at else None for at in rows["recalled_at"].to_pylist()]
        return (rows[self._key].to_pylist(), rows["strength"].to_numpy(), recalled) if rows.num_rows else ()

    def everything(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of every row."""
        table: pa.Table = self._run(self._table.query().select(list(columns)).to_arrow())
        return table

    def row_ids(self) -> dict[str, int]:
        """Where this version has each row, by its key; :meth:`taken` reads by it without a search."""
        rows = self._run(self._table.query().with_row_id().select([self._key]).to_arrow())
        return dict(zip(rows[self._key].to_pylist(), rows["_rowid"].to_pylist(), strict=True))

    def taken(self, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Some columns of these rows, and their keys; in any order."""
        query = self._table.take_row_ids(list(row_ids)).select([self._key, *columns])
        table: pa.Table = self._run(query.to_arrow())
        return table

    def kept(self, ids: Set[str], columns: Sequence[str]) -> pa.Table:
        """The same for very many rows, named by their keys: all are read, a batch at a time, and the others let go."""

        async def read() -> pa.Table:
            batches = await self._table.query().select([self._key, *columns]).to_batches()
            found = []
            async for batch in batches:
                wanted = [key in ids for key in batch[self._key].to_pylist()]
                found.append(pa.Table.from_batches([batch.filter(pa.array(wanted, pa.bool_()))]))
            return pa.concat_tables(found) if found else batches.schema.empty_table()

        return self._run(read())

    def lexical(self, texts: Sequence[str], limit: int) -> list[Ranking]:
        """The best rows for each text by full-text search."""

        async def all_of() -> list[Ranking]:
            return await asyncio.gather(*(self._lexical(text, limit, None) for text in texts))

        return self._run(all_of())

    def rows_of(self, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Some columns of these rows, by id."""
        if not ids:
            return {}
        query = self._table.query().where(in_list(self._key, ids)).select(list(columns))
        return {row[self._key]: row for row in self._run(query.to_arrow()).to_pylist()}

    def ids_where(self, where: str) -> set[str]:
        """Every passage that a filter allows."""
        table = self._run(self._table.query().where(where).select(["passage_id"]).to_arrow())
        return set(table["passage_id"].to_pylist())

    def families(self) -> Families:
        """The families of near-duplicates, read once; none in a table that was written before they were."""
        if self._families is None:
            self._families = self._run(self._read_families())
        return self._families

    async def _read_families(self) -> Families:
        if "representative" not in (await self._table.schema()).names:
            return NO_FAMILIES
        query = self._table.query().where("representative IS NOT NULL").select(["passage_id", "representative"])
        found = await query.to_arrow()
        return Families.of(dict(zip(found["passage_id"].to_pylist(), found["representative"].to_pylist(), strict=True)))

    def columns(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of every row."""
        rows: list[dict[str, Any]] = self.everything(names).to_pylist()
        return rows

    async def _search(self, asked: Sequence[Texts], limit: int, where: str | None) -> list[tuple[Ranking, Ranking]]:
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(vector: NDArray[np.float32] | None, text: str | None) -> tuple[Ranking, Ranking]:
            async with places:
                return await asyncio.gather(self._dense(vector, limit, where), self._lexical(text, limit, where))

        return await asyncio.gather(*(one(vector, text) for vector, text in asked))

    async def _dense(self, vector: NDArray[np.float32] | None, limit: int, where: str | None) -> Ranking:
        if vector is None:
            return EMPTY
        query = self._table.vector_search(vector).distance_type("cosine").select(["passage_id", "_distance"])
        found = await (query.where(where) if where else query).limit(limit).to_arrow()
        return Ranking.of(found["passage_id"].to_pylist(), 1 - found["_distance"].to_numpy(), limit)

    async def _lexical(self, text: str | None, limit: int, where: str | None) -> Ranking:
        if not text or not text.strip():
            return EMPTY
        from lancedb.query import MatchQuery

        match: Any = MatchQuery
        query = self._table.query().nearest_to_text(match(text, FTS_COLUMN)).select([self._key, "_score"])
        found = await (query.where(where) if where else query).limit(limit).to_arrow()
        return Ranking.of(found[self._key].to_pylist(), found["_score"].to_numpy(), limit)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            # In an empty context: the loop keeps the last one, and with it whatever the caller has put there.
            return Context().run(asyncio.run_coroutine_threadsafe, work, _loop()).result()
        except (RuntimeError, ValueError, pa.ArrowException) as error:
            raise SnapshotError(
                f"The vectors of {self._place} are damaged or gone: {error}.", "Build them anew with: memlake repair"
            ) from error


def _unpacked(packed: bytes, dimensions: int) -> NDArray[np.float32]:
    return np.frombuffer(packed, dtype=np.float16).astype(np.float32).reshape(-1, dimensions)


async def _open(uri: str, name: str, version: int) -> AsyncTable:
    import lancedb

    database = await lancedb.connect_async(uri)
    table = await database.open_table(name)
    await table.checkout(version)
    return table


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="memlake-search", daemon=True).start()
    return loop


def where_clause(filters: Filters | None) -> str | None:
    """The filters as SQL for Lance; ``None`` where they allow everything."""
    if filters is None:
        return None
    conditions = []
    for column, values in (("source", filters.sources), ("author", filters.authors), ("kind", filters.kinds)):
        if values:
            conditions.append(in_list(column, values))
    if filters.path_prefix:
        conditions.append(f"starts_with(path, {quote(filters.path_prefix)})")
    if filters.since:
        conditions.append(f"document_date >= date {quote(filters.since.isoformat())}")
    if filters.until:
        conditions.append(f"document_date <= date {quote(filters.until.isoformat())}")
    return " AND ".join(conditions) or None
