"""The one error tree of memlake.

Every error that a user may see derives from :class:`MemlakeError`: its message says what was expected and what was
found, its ``remedy`` says what to do. Two orthogonal mix-ins decide what happens next:

- :class:`Transient`: the same call may succeed later; a run retries it and the ledger plans it again.
- :class:`Terminal`: the same input will fail again; the ledger quarantines it until its content or its step changes.

Anything that is not a ``MemlakeError`` is a defect of ours and keeps its traceback.
"""

from __future__ import annotations


class MemlakeError(Exception):
    """Base of all expected errors; ``str()`` is one line for a person: what happened, then the remedy."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Transient:
    """Mix-in: retrying the same call later may succeed."""


class Terminal:
    """Mix-in: retrying the same call with the same input cannot succeed."""


class SettingsError(MemlakeError, Terminal):
    """``memlake.toml`` or an environment override is missing, malformed or names something unknown."""


class UnknownName(MemlakeError, Terminal):
    """A source, space, snapshot or channel was named that does not exist; the message names the nearest one."""


class SourceUnavailable(MemlakeError, Transient):
    """A source as a whole did not answer (no such folder or bucket, no route, no permission)."""


class DocumentRejected(MemlakeError, Terminal):
    """One document cannot be used as it is (encrypted, empty, binary, oversized, malformed); it is quarantined."""


class DocumentUnreadable(MemlakeError, Transient):
    """One document could not be read this time (it disappeared, permission, input/output error)."""


class WarehouseError(MemlakeError, Terminal):
    """The DuckDB warehouse is damaged, missing, or of a version that this memlake does not know."""


class LockTimeout(MemlakeError, Transient):
    """Another process held the warehouse lock for longer than the timeout; the message names the holder."""


class StorageFull(MemlakeError, Transient):
    """The disk under the lake is full; what was committed is intact and the next run goes on from there."""


class SnapshotError(MemlakeError, Terminal):
    """A snapshot, its manifest or something that it pins is missing or damaged."""


class InvalidQuery(MemlakeError, Terminal):
    """A question is empty, or asks for something that no search can give."""


class EventsUnwritable(MemlakeError, Transient):
    """What a client did with a memory could not be noted (disk full, no permission)."""


class BankError(MemlakeError, Terminal):
    """A compressed bank is damaged, or its codes, its codec and the vectors do not belong together."""


class CheckFailed(MemlakeError, Terminal):
    """A blocking check held a candidate snapshot back; the published one stays as it was."""


class ModelError(MemlakeError, Terminal):
    """An embedder or language model is misconfigured (unknown name, wrong key, wrong dimensions)."""


class ModelUnavailable(MemlakeError, Transient):
    """A model endpoint did not answer in time or answered with a passing fault."""


class Malformed(MemlakeError, Terminal):
    """A language model's reply to one input is not of the shape that was asked for."""


class Refused(MemlakeError, Terminal):
    """A language model, or its endpoint, declines one input (its content, its length)."""


class BudgetExhausted(MemlakeError, Transient):
    """The next call of a language model could exceed a limit of the settings; what was paid for is kept."""


class BatchPending(MemlakeError, Transient):
    """Requests are with a provider's batch interface; a later run fetches the replies and goes on."""


class MissingExtra(MemlakeError, Terminal):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package.", f"Install it with: pip install 'memlake[{extra}]'")


class NotComparable(MemlakeError, Terminal):
    """Results over different questions were to be ranked."""
