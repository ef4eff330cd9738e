"""One at a time, across processes: the locks of a lake.

Two locks, always taken in this order:

- the **work lock** is held for as long as a step works on the lake, a model included. Whoever comes second waits until
  the first is done and then finds nothing left to do, so that nothing is paid for twice and no snapshot is made of a
  state that another process is in the middle of changing.
- the **warehouse lock** is held while the DuckDB file is open: for one transaction, or for those of a step, but for
  what is heavy in it. DuckDB lets one process open its file for writing and then refuses everybody else.

Both are advisory locks of the operating system: a process that dies releases them. Who holds one is written beside it,
so that whoever waits can say for whom.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from errors import LockTimeout
from warehouse.layout import LakeLayout

_PATIENCE_SECONDS = 1.0
"""A wait that is shorter is not worth a message."""


class ProcessLock:
    """An inter-process lock; re-entrant within a thread, exclusive between threads and processes."""

    def __init__(
        self,
        path: Path,
        what: str,
        timeout_seconds: float,
        remedy: str,
        on_wait: Callable[[str], None] = lambda message: None,
    ) -> None:
        """``what`` is how messages call it; ``on_wait`` is told once, as a sentence, for whom this process waits."""
        self._path = path
        self._holder_path = path.with_name(f"{path.name}.json")
        self._what = what
        self._timeout = timeout_seconds
        self._remedy = remedy
        self._on_wait = on_wait
        self._threads = threading.RLock()
        self._file = FileLock(str(path), thread_local=False)

    @contextmanager
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises:
            LockTimeout: another process or thread held it for the whole timeout; the message names it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout
        self._acquire(deadline)
        try:
            if self._file.lock_counter == 1:
                with suppress(OSError):  # a note for others; a full disk must not stop who frees it
                    self._write_holder(purpose)
            yield
        finally:
            self._file.release()
            self._threads.release()

    def _acquire(self, deadline: float) -> None:
        patience = min(_PATIENCE_SECONDS, self._timeout)
        if self._try(patience):
            return
        self._on_wait(f"Waiting for {self._holder()}.")
        if not self._try(max(deadline - time.monotonic(), 0.0)):
            raise LockTimeout(f"{self._what} is locked by {self._holder()}; waited {self._timeout:g} s.", self._remedy)

    def _try(self, seconds: float) -> bool:
        begun = time.monotonic()
        if not self._threads.acquire(timeout=seconds):
            return False
        try:
            self._file.acquire(timeout=max(seconds - (time.monotonic() - begun), 0.0))
        except BaseException as error:
            self._threads.release()
            if isinstance(error, Timeout):
                return False
            raise
        return True

    def _write_holder(self, purpose: str) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._holder_path.write_text(json.dumps(holder), encoding="utf-8")

    def _holder(self) -> str:
        try:
            holder = json.loads(self._holder_path.read_text(encoding="utf-8"))
            return (
                f"process {holder['pid']} on {holder['host']} ({holder['command']}), "
                f"{holder['purpose']}, since {holder['since']}"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that left no name"


def work_lock(
    layout: LakeLayout, timeout_seconds: float, on_wait: Callable[[str], None] = lambda message: None
) -> ProcessLock:
    """Held while a step works on the lake."""
    return ProcessLock(
        layout.work_lock,
        f"The lake {layout.root}",
        timeout_seconds,
        "Wait for it to end, or raise lake.work_timeout_seconds.",
        on_wait,
    )


def warehouse_lock(
    layout: LakeLayout, timeout_seconds: float, on_wait: Callable[[str], None] = lambda message: None
) -> ProcessLock:
    """Held while the DuckDB file is open."""
    return ProcessLock(
        layout.warehouse_lock,
        f"The warehouse {layout.warehouse}",
        timeout_seconds,
        "Wait for it to end, or raise lake.lock_timeout_seconds.",
        on_wait,
    )
