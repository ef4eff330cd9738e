"""The retrieval client: opens a snapshot, searches it, answers from it.

A client is bound to one space and never touches the DuckDB file. Between queries it notices a newly published snapshot
and moves to it; a query that runs keeps the one it began with, so no result mixes two states.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from errors import InvalidQuery, ModelError, SettingsError, SnapshotError
from graph.compiled import CompiledGraph
from graph.knowledge import KnowledgeGraph
from memory.embedding import Embedder, open_embedder
from retrieval.answers import Answerer, Encode, open_answerer
from retrieval.aspects import aspects
from retrieval.bank import open_bank
from retrieval.explanation import Explained
from retrieval.knowledge import PASSAGE_COLUMNS as KNOWLEDGE_COLUMNS
from retrieval.knowledge import knowledge_of
from retrieval.memories import Memories
from retrieval.model import CHANNELS, PASSAGE, Answer, Filters, Hit
from retrieval.recognition import open_recogniser
from retrieval.recording import Recorder
from retrieval.search import Asked, Search, View, memory_hit
from retrieval.tables import SearchedTable
from retrieval.temporal import NO_TIME, understand_time
from warehouse.layout import LakeLayout
from warehouse.searched import MEMORIES
from warehouse.settings import DEFAULT_FILE, Settings, load_settings, unknown_name
from warehouse.snapshots import Manifest, SpaceState, current_manifest, manifest_as_of, parse_moment, read_manifest

T = TypeVar("T")

PASSAGE_COLUMNS = ("passage_id", "source", "path", "char_start", "char_end", "text", "title")


class MemoryClient:
    """Searches one space of a lake. Open it once and keep it; it may be used from several threads."""

    def __init__(
        self,
        layout: LakeLayout,
        settings: Settings,
        space: str = "default",
        snapshot: str | Manifest | None = None,
        embedder: Embedder | None = None,
        answerer: Answerer | None = None,
    ) -> None:
        """As :meth:`open`; ``snapshot`` may also be a manifest that is not published."""
        self._layout = layout
        self._settings = settings
        self._space = space
        self._pinned = snapshot
        self._given = embedder
        self._embedders: dict[str, Embedder] = {}
        self._answerer = answerer
        self._recogniser = open_recogniser(settings.retrieval.recognition)
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._current: View | None = None
        self._past: dict[str, View] = {}
        self._recorder = Recorder(layout, space, settings.events)
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
        granularity: str = PASSAGE,
    ) -> list[Hit]:
        """The passages, or the memories of a granularity, that best match ``query``, best first.

        Args:
            k: how many; by default the setting ``retrieval.k``.
            filters: which passages may be returned.
            channels: some of ``dense``, ``lexical``, ``graph``; by default all. The graph alone starts from the
                entities that the query names.
            as_of: search what was published as of that time (UTC); a date includes its day.
            vector: the embedded query, where the caller already has it.
            granularity: ``passage``, or one that the space has, such as ``turn``, ``fact``, ``episode``, ``outline``.

        Raises:
            InvalidQuery: the query is empty or ``k`` is not positive.
            UnknownName: an unknown channel or granularity.
            SnapshotError: there is no snapshot as of that time, or it is damaged.
        """
        wanted = self._channels(channels)
        count = self._counted(k)
        if not query.strip():
            raise InvalidQuery("The query is empty.", "Ask something.")

        def found(view: View) -> list[Hit]:
            hits = self._search(view, query, count, filters, wanted, vector, granularity)
            return self._recorder.returned(view, query, hits)

        return self._read(as_of, found)

    def parent(self, hit: Hit, as_of: str | date | datetime | None = None) -> Hit | None:
        """The next coarser memory that a memory is a part of, or the outline item or episode that a passage lies in.

        ``None`` where there is none. Its score is the hit's.
        """

        def found(view: View) -> Hit | None:
            memories = view.memories
            if memories is None:
                return None
            if hit.memory_id:
                row = memories.row(hit.parent_id) if hit.parent_id else None
            else:
                above = memories.leading_to([hit.passage_id]).tolist()
                row = next((at for at in above if memories.granularities[at] in ("outline", "episode")), None)
            return None if row is None else memory_hit(1, hit.score, memories.shown([row])[0])

        return self._read(as_of, found)

    def expand(
        self, hit: Hit, query: str, k: int | None = None, as_of: str | date | datetime | None = None
    ) -> list[Hit]:
        """The parts of a memory that best match ``query``, best first; its passages where it has no finer parts.

        Raises:
            As :meth:`search`.
        """
        count = self._counted(k)
        if not query.strip():
            raise InvalidQuery("The query is empty.", "Ask something.")

        def found(view: View) -> list[Hit]:
            search = Search(view, self._asked(view, [query], CHANNELS), CHANNELS, count, None, self._recogniser)
            return search.expand(0, hit, count, self._settings.retrieval.fusion)

        return self._read(as_of, found)

    def explain(
        self,
        query: str,
        k: int | None = None,
        filters: Filters | None = None,
        channels: Sequence[str] | None = None,
        as_of: str | date | datetime | None = None,
    ) -> Explained:
        """What :meth:`search` gives, with the reasons: facts near the question, and the walk's strongest paths.

        Raises:
            As :meth:`search`.
        """
        wanted = self._channels(channels)
        count = self._counted(k)

        def reasons(view: View) -> Explained:
            fusion = self._settings.retrieval.fusion
            batch = self.batch([query], count, filters, channels, view)
            return batch.explain(0, batch.rank(0, count, wanted, fusion), fusion)

        return self._read(as_of, reasons)

    def ask(self, question: str, filters: Filters | None = None, as_of: str | date | datetime | None = None) -> Answer:
        """An answer with the quotes that it rests on, or a refusal where the passages do not hold one.

        Raises:
            As :meth:`search`; ModelError, ModelUnavailable: the configured model refuses or does not answer.
        """
        if not question.strip():
            raise InvalidQuery("The question is empty.", "Ask something.")
        return self._read(as_of, lambda view: self._ask(view, question, filters))

    def _ask(self, view: View, question: str, filters: Filters | None) -> Answer:
        vector = self._embed(view, question)
        hits = self._search(view, question, self._settings.answer.passages, filters, CHANNELS, vector)
        answer = self._answered(view, question, hits, vector, self._embedder_of(view).encode)
        return self._recorder.cited(view, answer)

    def _answered(
        self, view: View, question: str, hits: Sequence[Hit], vector: NDArray[np.float32], encode: Encode
    ) -> Answer:
        if self._answerer is None:
            self._answerer = open_answerer(self._settings.answer)
        drafted = self._answerer.answer(question, hits, encode, vector)
        return Answer(
            question=question,
            text=drafted.text,
            citations=drafted.citations,
            refused=drafted.refused,
            answered_by=self._answerer.name,
            snapshot_id=view.manifest.snapshot_id,
            as_of=view.manifest.as_of,
            usage=drafted.usage,
        )

    def search_many(
        self,
        queries: Sequence[str],
        k: int | None = None,
        filters: Filters | None = None,
        channels: Sequence[str] | None = None,
        as_of: str | date | datetime | None = None,
    ) -> list[list[Hit]]:
        """What :meth:`search` gives for each of the queries, in a fraction of the time: embedded and searched together.

        Raises:
            As :meth:`search`.
        """
        wanted = self._channels(channels)
        count = self._counted(k)

        def found(view: View) -> list[list[Hit]]:
            batch = self.batch(queries, count, filters, channels, view)
            fusion = self._settings.retrieval.fusion
            hits = batch.hits([batch.rank(number, count, wanted, fusion) for number in range(len(queries))])
            return [self._recorder.returned(view, query, one) for query, one in zip(queries, hits, strict=True)]

        return self._read(as_of, found)

    def batch(
        self,
        queries: Sequence[str],
        k: int | None = None,
        filters: Filters | None = None,
        channels: Sequence[str] | None = None,
        view: View | None = None,
    ) -> Search:
        """Queries whose candidates are found once, to be ranked under several channels and fusion settings.

        Raises:
            As :meth:`search`.
        """
        wanted = self._channels(channels)
        count = self._counted(k)
        if any(not query.strip() for query in queries):
            raise InvalidQuery("A query is empty.", "Ask something.")
        seen = view or self._view(None)
        return Search(seen, self._asked(seen, queries, wanted), wanted, count, filters, self._recogniser)

    def _asked(
        self, view: View, queries: Sequence[str], channels: Sequence[str], given: NDArray[np.float32] | None = None
    ) -> list[Asked]:
        """Queries with their parts and what they say of time, embedded all at once.

        Args:
            given: the vector of the one query, where it is known.
        """
        divided = [aspects(query) if len(channels) > 1 else () for query in queries]
        days = view.manifest.as_of.date()
        times = [understand_time(query, days) if len(channels) > 1 else NO_TIME for query in queries]
        if not queries or not view.uses_vectors(channels):
            return [Asked(*asked) for asked in zip(queries, divided, repeat(None), times)]
        texts = [text for query, parts in zip(queries, divided, strict=True) for text in (query, *parts)]
        unknown = texts if given is None else texts[1:]
        vectors = self._embedder_of(view).encode(unknown) if unknown else np.empty((0, 0), dtype=np.float32)
        if given is not None:
            vectors = np.vstack([given[np.newaxis], vectors]) if unknown else given[np.newaxis]
        asked, at = [], 0
        for query, parts, time in zip(queries, divided, times, strict=True):
            asked.append(Asked(query, parts, vectors[at : at + 1 + len(parts)], time))
            at += 1 + len(parts)
        return asked

    def passages(self) -> list[dict[str, Any]]:
        """Every passage of the snapshot, in no order: id, source, path, place in the document, text and title."""
        return self._view(None).table.columns(PASSAGE_COLUMNS)

    def knowledge(self, as_of: str | date | datetime | None = None) -> KnowledgeGraph:
        """Entities, facts with their evidence, mentions and synonyms of the snapshot, as tables.

        An entity that is in more passages than ``graph.max_share`` allows has facts, and no mentions.
        """

        def read(view: View) -> KnowledgeGraph:
            return knowledge_of(view.graph, view.table.columns(KNOWLEDGE_COLUMNS))

        return self._read(as_of, read)

    def texts(self, ids: Sequence[str], as_of: str | date | datetime | None = None) -> dict[str, tuple[int, str]]:
        """Where each of these passages begins in its document, and its text."""

        def read(view: View) -> dict[str, tuple[int, str]]:
            rows = view.table.rows(ids)
            return {key: (row["char_start"], row["text"]) for key, row in rows.items()}

        return self._read(as_of, read)

    def paths(self, ids: Sequence[str], as_of: str | date | datetime | None = None) -> dict[str, str]:
        """The path of the document of each of these passages."""
        return self._read(as_of, lambda view: {key: row["path"] for key, row in view.table.rows(ids).items()})

    def answer(self, question: str, hits: Sequence[Hit], encode: Encode | None = None) -> Answer:
        """Answer from these passages, as :meth:`ask` does from those that it finds itself.

        Args:
            encode: texts to vectors in place of the embedder, for who remembers them.
        """
        view = self._view(None)
        embed = encode or self._embedder_of(view).encode
        return self._answered(view, question, hits, embed([question])[0], embed)

    def embed(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of many queries at once, to be passed to :meth:`search`; shape ``(len(queries), dimensions)``."""
        return self._embedder_of(self._view(None)).encode(queries)

    def record(self, kind: str, of: Sequence[Hit | str], query: str | None = None) -> int:
        """Note in the lake what was done with passages; a scheduled job makes it their strength (docs/forgetting.md).

        Args:
            kind: ``returned``, ``cited``, ``confirmed`` or ``rejected``.
            of: hits, or ids of passages that the snapshot holds; each passage once.
            query: what they were asked for; only a hash of it is noted.

        Returns:
            How many events were written; they are on the disk.

        Raises:
            InvalidQuery: no such kind.
            UnknownName: the snapshot holds no passage of an id.
            EventsUnwritable: nothing is noted.
        """
        return self._recorder.record(self._view(None), kind, of, query)

    def close(self) -> None:
        """Write the events that wait, and let go of the snapshot."""
        self._recorder.flush()
        with self._lock:
            self._current = None
            self._past.clear()

    def __enter__(self) -> MemoryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, as_of: str | date | datetime | None, query: Callable[[View], T]) -> T:
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
        view: View,
        query: str,
        k: int,
        filters: Filters | None,
        channels: Sequence[str],
        vector: NDArray[np.float32] | None,
        granularity: str = PASSAGE,
    ) -> list[Hit]:
        asked = self._asked(view, [query], channels, vector)
        found = Search(view, asked, channels, k, filters, self._recogniser)
        if granularity != PASSAGE:
            return found.rank_units(0, granularity, k, channels, self._settings.retrieval.fusion)
        return found.hits([found.rank(0, k, channels, self._settings.retrieval.fusion)])[0]

    def _counted(self, k: int | None) -> int:
        count = self._settings.retrieval.k if k is None else k
        if count < 1:
            raise InvalidQuery(f"k is {count}.", "Ask for at least one passage.")
        return count

    def _channels(self, channels: Sequence[str] | None) -> tuple[str, ...]:
        if not channels:
            return CHANNELS
        for name in channels:
            if name not in CHANNELS:
                raise unknown_name("channel", name, list(CHANNELS))
        return tuple(name for name in CHANNELS if name in channels)

    def _embed(self, view: View, text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = self._embedder_of(view).encode([text])[0]
        return vector

    def _embedder_of(self, view: View) -> Embedder:
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

    def _view(self, as_of: str | date | datetime | None) -> View:
        """The snapshot to read, opened; the published one is opened anew when ``CURRENT`` has moved."""
        if as_of is not None:
            return self._past_view(manifest_as_of(self._layout, parse_moment(as_of)))
        with self._lock:
            if self._pinned is not None:
                if self._current is None:
                    pinned = self._pinned
                    self._current = self._open(
                        read_manifest(self._layout, pinned) if isinstance(pinned, str) else pinned
                    )
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

    def _past_view(self, manifest: Manifest) -> View:
        with self._lock:
            if self._current is not None and self._current.manifest.snapshot_id == manifest.snapshot_id:
                return self._current
            if manifest.snapshot_id not in self._past:
                self._past[manifest.snapshot_id] = self._open(manifest)
            return self._past[manifest.snapshot_id]

    def _open(self, manifest: Manifest) -> View:
        state = manifest.space(self._space)
        return View(
            manifest=manifest,
            table=SearchedTable(self._layout, self._space, state.table, state.version),
            graph=CompiledGraph.load(self._layout.graph(state.graph)),
            memories=self._memories(state),
            full=min(self._settings.retrieval.candidates, max(state.passages, 1)),
            collapse_duplicates=self._settings.retrieval.collapse_duplicates,
            fading_days=self._settings.forgetting.days,
            prior_weight=self._settings.forgetting.prior_weight,
        )

    def _memories(self, state: SpaceState) -> Memories | None:
        """The memories that a snapshot pins; none in one of before there were any."""
        if not state.memories:
            return None
        name, version = state.memories_table, state.memories_version
        table = SearchedTable(self._layout, self._space, name, version, MEMORIES.key)
        return Memories(table, open_bank(self._layout, self._space, state))

    def _stamp(self) -> tuple[int, int] | None:
        """Changes whenever ``CURRENT`` is swapped: every swap is a new file."""
        try:
            status = self._layout.current.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
