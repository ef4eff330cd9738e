"""One writer at a time, across processes: the warehouse lock.

DuckDB lets one process open its file for writing and then refuses everybody else, so every opening of the file is
made under this lock. It is an advisory lock of the operating system: a process that dies releases it. Who holds it is
written beside it, for the message of whoever waits in vain.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from errors import LockTimeout
from warehouse.layout import LakeLayout


class WarehouseLock:
    """The inter-process lock of one lake; re-entrant within a thread, exclusive between threads and processes."""

    def __init__(self, layout: LakeLayout, timeout_seconds: float) -> None:
        self._layout = layout
        self._timeout = timeout_seconds
        self._threads = threading.RLock()
        self._file = FileLock(str(layout.lock), thread_local=False)

    @contextmanager
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises:
            LockTimeout: another process or thread held it for the whole timeout; the message names it.
        """
        self._layout.root.mkdir(parents=True, exist_ok=True)
        if not self._threads.acquire(timeout=self._timeout):
            raise self._timed_out()
        try:
            try:
                self._file.acquire(timeout=self._timeout)
            except Timeout:
                raise self._timed_out() from None
            try:
                if self._file.lock_counter == 1:
                    with suppress(OSError):  # a note for others; a full disk must not stop who frees it
                        self._write_holder(purpose)
                yield
            finally:
                self._file.release()
        finally:
            self._threads.release()

    def _write_holder(self, purpose: str) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(sys.argv)[:200],
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._layout.lock_holder.write_text(json.dumps(holder), encoding="utf-8")

    def _timed_out(self) -> LockTimeout:
        try:
            holder = json.loads(self._layout.lock_holder.read_text(encoding="utf-8"))
            who = (
                f"process {holder['pid']} on {holder['host']} ({holder['command']}), "
                f"{holder['purpose']}, since {holder['since']}"
            )
        except (OSError, ValueError, KeyError, TypeError):
            who = "a process that left no name"
        return LockTimeout(
            f"The warehouse {self._layout.warehouse} is locked by {who}; waited {self._timeout:g} s.",
            "Wait for it to end, or raise lake.lock_timeout_seconds.",
        )
