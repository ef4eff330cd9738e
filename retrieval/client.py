"""The retrieval client: opens a snapshot, searches it, answers from it.

A client is bound to one space and never touches the DuckDB file. Between queries it notices a newly published snapshot
and moves to it; a query that runs keeps the one it began with, so no result mixes two states.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from errors import InvalidQuery, ModelError, SettingsError, SnapshotError
from graph.compiled import CompiledGraph
from graph.linking import link_question
from memory.embedding import Embedder, EmbedderSpec, open_embedder
from retrieval.answers import Answerer, open_answerer
from retrieval.families import NO_FAMILIES, Shown, collapse
from retrieval.fusion import fuse
from retrieval.model import CHANNELS, Answer, Filters, FurtherSource, Hit, Location, Span
from retrieval.tables import Ranking, SearchedTable, where_clause
from warehouse.layout import LakeLayout
from warehouse.settings import DEFAULT_FILE, Settings, load_settings, unknown_name
from warehouse.snapshots import Manifest, current_manifest, manifest_as_of, parse_moment, read_manifest

T = TypeVar("T")

_NOTHING_LINKED = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One space of one snapshot, opened."""

    manifest: Manifest
    table: SearchedTable
    graph: CompiledGraph
    full: int
    """How many candidates fill a channel's list."""

    @property
    def embedder(self) -> EmbedderSpec:
        return EmbedderSpec(**self.manifest.embedder)


class MemoryClient:
    """Searches one space of a lake. Open it once and keep it; it may be used from several threads."""

    def __init__(
        self,
        layout: LakeLayout,
        settings: Settings,
        space: str = "default",
        snapshot: str | None = None,
        embedder: Embedder | None = None,
        answerer: Answerer | None = None,
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._space = space
        self._pinned = snapshot
        self._given = embedder
        self._embedders: dict[str, Embedder] = {}
        self._answerer = answerer
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._current: _View | None = None
        self._past: dict[str, _View] = {}
        self._view(None)

    @classmethod
    def open(
        cls,
        lake: str | Path,
        space: str = "default",
        snapshot: str | None = None,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
    ) -> MemoryClient:
        """Open a lake for reading.

        Args:
            lake: the lake's folder, its ``memlake.toml``, or the folder of that file.
            space: the tenant to search.
            snapshot: pins the client to one snapshot by id; without it, the client follows what is published.
            settings: in place of those of the file; a bare lake folder is searched with the defaults.
            embedder: in place of the one that the snapshot names; must have its identity.

        Raises:
            SnapshotError: nothing is published, or what is pinned is damaged.
            UnknownName: no such space or snapshot.
            SettingsError: ``lake`` is neither a lake nor a settings file.
        """
        path = Path(lake)
        if path.is_dir() and (path / DEFAULT_FILE).is_file():
            path = path / DEFAULT_FILE
        if path.is_file():
            settings = settings or load_settings(path)
            layout = LakeLayout(settings.lake.root)
        elif path.is_dir():
            settings = settings or Settings()
            layout = LakeLayout(path.resolve())
        else:
            raise SettingsError(f"There is no lake and no settings file at {path}.", "Build one with: memlake build")
        return cls(layout, settings, space, snapshot, embedder)

    @property
    def snapshot(self) -> Manifest:
        """The manifest that the next query would read."""
        return self._view(None).manifest

    def search(
        self,
        query: str,
        k: int | None = None,
        filters: Filters | None = None,
        channels: Sequence[str] | None = None,
        as_of: str | date | datetime | None = None,
        vector: NDArray[np.float32] | None = None,
    ) -> list[Hit]:
        """The passages that best match ``query``, best first.

        Args:
            k: how many; by default the setting ``retrieval.k``.
            filters: which passages may be returned.
            channels: some of ``dense``, ``lexical``, ``graph``; by default all.
            as_of: search what was published as of that time (UTC); a date includes its day.
            vector: the embedded query, where the caller already has it.

        Raises:
            InvalidQuery: the query is empty or ``k`` is not positive.
            UnknownName: an unknown channel.
            SnapshotError: there is no snapshot as of that time, or it is damaged.
        """
        wanted = self._channels(channels)
        count = self._settings.retrieval.k if k is None else k
        if not query.strip():
            raise InvalidQuery("The query is empty.", "Ask something.")
        if count < 1:
            raise InvalidQuery(f"k is {count}.", "Ask for at least one passage.")
        return self._read(as_of, lambda view: self._search(view, query, count, filters, wanted, vector))

    def ask(self, question: str, filters: Filters | None = None, as_of: str | date | datetime | None = None) -> Answer:
        """An answer with the quotes that it rests on, or a refusal where the passages do not hold one.

        Raises:
            As :meth:`search`; ModelError, ModelUnavailable: the configured model refuses or does not answer.
        """
        if not question.strip():
            raise InvalidQuery("The question is empty.", "Ask something.")
        return self._read(as_of, lambda view: self._ask(view, question, filters))

    def _ask(self, view: _View, question: str, filters: Filters | None) -> Answer:
        vector = self._embed(view, question)
        hits = self._search(view, question, self._settings.answer.passages, filters, CHANNELS, vector)
        if self._answerer is None:
            self._answerer = open_answerer(self._settings.answer)
        drafted = self._answerer.answer(question, hits, lambda texts: self._embedder_of(view).encode(texts), vector)
        return Answer(
            question=question,
            text=drafted.text,
            citations=drafted.citations,
            refused=drafted.refused,
            answered_by=self._answerer.name,
            snapshot_id=view.manifest.snapshot_id,
            as_of=view.manifest.as_of,
        )

    def embed(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of many queries at once, to be passed to :meth:`search`; shape ``(len(queries), dimensions)``."""
        return self._embedder_of(self._view(None)).encode(queries)

    def close(self) -> None:
        """Let go of the snapshot."""
        with self._lock:
            self._current = None
            self._past.clear()

    def __enter__(self) -> MemoryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, as_of: str | date | datetime | None, query: Callable[[_View], T]) -> T:
        """Run a query on one snapshot.

        Where the client follows what is published and a sweep takes the old snapshot from under the query, the query is
        run again on the one that has replaced it; that is the only way in which the old one can be gone.
        """
        while True:
            view = self._view(as_of)
            try:
                return query(view)
            except SnapshotError:
                replaced = as_of is None and self._pinned is None and self._view(None) is not view
                if not replaced:
                    raise

    def _search(
        self,
        view: _View,
        query: str,
        k: int,
        filters: Filters | None,
        channels: Sequence[str],
        vector: NDArray[np.float32] | None,
    ) -> list[Hit]:
        where = where_clause(filters)
        use_graph = "graph" in channels and view.graph.passages > 0
        needs_vector = "dense" in channels or (use_graph and "lexical" not in channels)
        if needs_vector and vector is None:
            vector = self._embed(view, query)
        text = query if "lexical" in channels else None
        limit = max(view.full, k)
        dense, lexical = view.table.search(vector if needs_vector else None, text, limit, where)
        rankings = {"dense": dense, "lexical": lexical}
        searched: dict[str, Ranking] = {name: rankings[name] for name in channels if name in rankings}
        allowed = view.table.ids_where(where) if where and use_graph else None
        linked = link_question(query, view.graph) if use_graph else _NOTHING_LINKED
        families = view.table.families() if self._settings.retrieval.collapse_duplicates else NO_FAMILIES
        if where and families.members and allowed is None:
            allowed = view.table.ids_where(where)
        wanted = k
        while True:
            fused = fuse(
                searched=searched,
                start=searched or {"dense": dense},
                graph=view.graph if use_graph else None,
                linked=linked,
                settings=self._settings.retrieval.fusion,
                full=limit,
                k=wanted,
                allowed=allowed if use_graph else None,
            )
            shown = collapse(fused.ids, fused.scores, families, allowed)[:k]
            if len(shown) >= k or len(fused.ids) < wanted:
                break
            wanted *= 2  # the families of some were among them
        rows = view.table.rows([key for item in shown for key in (item.key, *item.others)])
        return [_hit(rank, item, rows, fused.ranks) for rank, item in enumerate(shown, 1)]

    def _channels(self, channels: Sequence[str] | None) -> tuple[str, ...]:
        if not channels:
            return CHANNELS
        for name in channels:
            if name not in CHANNELS:
                raise unknown_name("channel", name, list(CHANNELS))
        return tuple(name for name in CHANNELS if name in channels)

    def _embed(self, view: _View, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._embedder_of(view).encode([text])[0]
        return vector

    def _embedder_of(self, view: _View) -> Embedder:
        """The embedder of a snapshot, loaded once; vectors of two are never compared."""
        identity = view.embedder.identity
        if self._given is not None:
            if self._given.identity != identity:
                raise ModelError(
                    f"The snapshot {view.manifest.snapshot_id} was embedded with {identity}, not with the given "
                    f"{self._given.identity}.",
                    "Open the client without an embedder: it loads the one that the snapshot names.",
                )
            return self._given
        with self._lock:
            if identity not in self._embedders:
                self._embedders[identity] = open_embedder(view.embedder)
            return self._embedders[identity]

    def _view(self, as_of: str | date | datetime | None) -> _View:
        """The snapshot to read, opened; the published one is opened anew when ``CURRENT`` has moved."""
        if as_of is not None:
            return self._past_view(manifest_as_of(self._layout, parse_moment(as_of)))
        with self._lock:
            if self._pinned is not None:
                if self._current is None:
                    self._current = self._open(read_manifest(self._layout, self._pinned))
                return self._current
            while True:
                stamp = self._stamp()
                if self._current is not None and stamp == self._seen:
                    return self._current
                try:
                    manifest = current_manifest(self._layout)
                    if self._current is None or manifest.snapshot_id != self._current.manifest.snapshot_id:
                        self._current = self._open(manifest)
                except SnapshotError:
                    if self._stamp() == stamp:
                        raise
                else:  # else CURRENT has moved on while what it named was opened
                    self._seen = stamp

    def _past_view(self, manifest: Manifest) -> _View:
        with self._lock:
            if self._current is not None and self._current.manifest.snapshot_id == manifest.snapshot_id:
                return self._current
            if manifest.snapshot_id not in self._past:
                self._past[manifest.snapshot_id] = self._open(manifest)
            return self._past[manifest.snapshot_id]

    def _open(self, manifest: Manifest) -> _View:
        state = manifest.space(self._space)
        return _View(
            manifest=manifest,
            table=SearchedTable(self._layout, self._space, state.table, state.version),
            graph=CompiledGraph.load(self._layout.graph(state.graph)),
            full=min(self._settings.retrieval.candidates, max(state.passages, 1)),
        )

    def _stamp(self) -> tuple[int, int] | None:
        """Changes whenever ``CURRENT`` is swapped: every swap is a new file."""
        try:
            status = self._layout.current.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns


def _hit(rank: int, shown: Shown, rows: Mapping[str, dict[str, Any]], ranks: Mapping[str, Mapping[str, int]]) -> Hit:
    row = rows[shown.key]
    return Hit(
        rank=rank,
        score=shown.score,
        passage_id=row["passage_id"],
        text=row["text"],
        title=row["title"],
        location=_location(row),
        span=_span(row),
        kind=row["kind"],
        channel_ranks={
            name: min(places[key] for key in shown.found if key in places)
            for name, places in ranks.items()
            if any(key in places for key in shown.found)
        },
        further=tuple(FurtherSource(key, _location(rows[key]), _span(rows[key])) for key in shown.others),
    )


def _location(row: Mapping[str, Any]) -> Location:
    return Location(
        source=row["source"],
        path=row["path"],
        title=row["title"],
        heading=row["heading"],
        page=row["page"],
        author=row["author"],
        document_date=row["document_date"],
    )


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["document_id"], row["revision_id"], row["char_start"], row["char_end"])
