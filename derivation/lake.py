"""One lake as the steps see it: its settings, its warehouse, and the models it needs, loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from uuid import uuid4

from derivation.progress import NoProgress, Progress, StepReport
from errors import MemlakeError
from memory.embedding import Embedder, EmbedderSpec, TokenCounter, open_embedder, token_counter
from models.budget import Budget
from sources import SourceSpec
from warehouse.database import Warehouse, is_disk_full, storage_full
from warehouse.layout import LakeLayout
from warehouse.lock import work_lock
from warehouse.sections import SourceSettings
from warehouse.settings import Settings, load_settings

P = ParamSpec("P")
R = TypeVar("R")


class Lake:
    """Opened once a process and handed to every step."""

    def __init__(
        self,
        settings: Settings,
        as_of: datetime | None = None,
        progress: Progress | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """``as_of`` is the time at which the sources' present state counts as seen; now, unless history is replayed."""
        self.settings = settings
        self.layout = LakeLayout(settings.lake.root)
        self.progress: Progress = progress or NoProgress()
        self.warehouse = Warehouse(self.layout, settings.lake.lock_timeout_seconds, self.progress.wait)
        self._work = work_lock(self.layout, settings.lake.work_timeout_seconds, self.progress.wait)
        self.run_id = uuid4().hex[:12]
        self.reports: list[StepReport] = []
        """What the steps that ran on this object did, in order."""
        self.budget: Budget | None = None
        """What language models may still take in this run, once one was asked."""
        self.polled_batches: set[str] = set()
        """Batches of a provider that were started or looked at in this run."""
        self.batch_errors: dict[str, MemlakeError] = {}
        """What batches have refused in this run, by request."""
        self.retry_quarantined = False
        """Whether steps also plan inputs again that failed for good."""
        self._as_of = as_of
        self._embedder = embedder

    @classmethod
    def from_file(cls, path: Path | None = None) -> Lake:
        """The lake of a settings file; see :func:`warehouse.settings.load_settings`."""
        return cls(load_settings(path))

    @contextmanager
    def working(self, purpose: str) -> Iterator[None]:
        """Hold the lake's work lock: no other process changes the lake meanwhile. May be nested within a thread.

        The warehouse is opened once for the block; what is heavy in it goes into ``warehouse.released()``.

        Raises:
            LockTimeout: another process has worked on the lake for longer than ``lake.work_timeout_seconds``.
            StorageFull: the disk is full, whichever store noticed.
        """
        with self._work.held(purpose), self.warehouse.kept():
            try:
                yield
            except MemlakeError:
                raise
            except Exception as error:
                if is_disk_full(error):
                    raise storage_full(self.layout) from error
                raise

    @property
    def now(self) -> datetime:
        """The time at which what is read now counts as seen (UTC, whole seconds)."""
        return (self._as_of or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)

    @cached_property
    def embedder_spec(self) -> EmbedderSpec:
        setting = self.settings.embedding
        return EmbedderSpec(
            provider=setting.provider,
            model=setting.model,
            precision=setting.precision,
            batch_size=setting.batch_size,
            base_url=setting.base_url,
            dimensions=setting.dimensions,
        )

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = open_embedder(self.embedder_spec)
        return self._embedder

    @cached_property
    def token_counter(self) -> TokenCounter:
        return token_counter(self.embedder_spec)


def exclusive(
    purpose: str,
) -> Callable[[Callable[Concatenate[Lake, P], R]], Callable[Concatenate[Lake, P], R]]:
    """Run a function under the lake's work lock; ``purpose`` is what others who wait are told."""

    def decorate(function: Callable[Concatenate[Lake, P], R]) -> Callable[Concatenate[Lake, P], R]:
        @wraps(function)
        def held(lake: Lake, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with lake.working(purpose):
                return function(lake, *args, **kwargs)

        return held

    return decorate


def source_spec(source: SourceSettings) -> SourceSpec:
    """What the reader of a source needs, from its settings."""
    return SourceSpec(
        name=source.name,
        space=source.space,
        url=source.url,
        kind=source.kind,
        include=source.include,
        exclude=source.exclude,
        fields=source.fields,
        max_bytes=source.max_bytes,
        max_pages=source.max_pages,
        max_chars=source.max_chars,
        storage_options=source.storage_options,
    )
