"""A rehearsal of a build: documents read, cut and remembered in a copy of the warehouse that is thrown away.

That needs no model where rules remember, so afterwards it is known exactly which texts would be new to the paid steps.
Where a model remembers, only what is recorded of it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from derivation.documents import refresh_documents
from derivation.lake import Lake
from derivation.memories import Memories
from derivation.passages import Passages
from derivation.periods import refresh_periods
from derivation.replies import absorb_replies
from derivation.runner import run
from errors import SourceUnavailable
from warehouse.delta import Scope
from warehouse.sections import SourceSettings


@contextmanager
def rehearsed(lake: Lake, sources: Sequence[SourceSettings]) -> Iterator[Lake]:
    """A lake beside the real one in which these sources are read, cut and remembered; it goes when the block ends."""
    with TemporaryDirectory(prefix="memlake-rehearsal-") as folder:
        setting = lake.settings.lake.model_copy(update={"root": Path(folder)})
        copy = Lake(lake.settings.model_copy(update={"lake": setting}), progress=lake.progress)
        copy.retry_quarantined = lake.retry_quarantined
        if lake.warehouse.exists:
            with lake.working("copying the warehouse"), lake.warehouse.session("copying the warehouse"):
                shutil.copyfile(lake.layout.warehouse, copy.layout.warehouse)
                wal = lake.layout.warehouse.with_name(f"{lake.layout.warehouse.name}.wal")
                if wal.exists():
                    shutil.copyfile(wal, copy.layout.warehouse.with_name(wal.name))
                if lake.layout.replies.exists():
                    shutil.copyfile(lake.layout.replies, copy.layout.replies)
        absorb_replies(copy)
        for source in sources:
            with suppress(SourceUnavailable):
                refresh_documents(copy, source)
                scope = Scope(source.space, source.name)
                run(copy, Passages(copy), scope)
                run(copy, Memories(copy, recorded_only=True), scope)
                refresh_periods(copy, scope)
        yield copy
