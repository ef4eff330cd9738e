"""Misbehaviour on demand: which request meets which fault.

A request meets at most one fault: the next of the queue, or else one that its text calls for by a marker, or else one
by count, or else one by chance. Chance is seeded, so that a run can be repeated; it depends on the order of arrival.
"""

from __future__ import annotations

import enum
import random
import threading
from collections import deque
from collections.abc import Iterable


class Fault(enum.Enum):
    """What a request may meet in place of an answer."""

    RATE_LIMITED = enum.auto()
    """429 with the server's ``retry_after`` headers."""
    QUOTA = enum.auto()
    """429 that says that the account has run dry."""
    SERVER_ERROR = enum.auto()
    """500."""
    UNAVAILABLE = enum.auto()
    """503."""
    UNAUTHORIZED = enum.auto()
    """401 that repeats the key that was sent, as some endpoints do."""
    UNKNOWN_MODEL = enum.auto()
    """404 that names the model."""
    TOO_LONG = enum.auto()
    """400: the input does not fit the model's context; repeats a part of it."""
    HANG = enum.auto()
    """No answer until the server closes or ``HANG_SECONDS`` are over."""
    TRICKLE = enum.auto()
    """200, and a space every 50 ms, so that no single read ever times out, for at most ``HANG_SECONDS``."""
    CUT_CONNECTION = enum.auto()
    """200, and the connection ends in the middle of the body."""
    NOT_JSON = enum.auto()
    """200, said to be JSON, and cut off in the middle."""
    NO_CONTENT = enum.auto()
    """200 and JSON, but with neither choices nor vectors."""
    CUT_OFF = enum.auto()
    """The first two thirds of the reply, ``finish_reason`` being ``length``."""
    REFUSAL = enum.auto()
    """The model declines: ``message.refusal`` is set."""
    TRAILING_COMMAS = enum.auto()
    """The reply's JSON with a comma before every closing bracket."""
    SINGLE_QUOTES = enum.auto()
    """The reply as Python would print it."""
    CODE_FENCE = enum.auto()
    """The reply within a Markdown code fence."""
    PROSE = enum.auto()
    """The reply amid prose."""
    MISSING_KEY = enum.auto()
    """The reply without its first key."""
    WRONG_TYPES = enum.auto()
    """The reply with a number in place of every list and text."""
    INJECTED = enum.auto()
    """The model obeys the document: it says what follows ``reply with:`` (or so) there."""


class Faults:
    """Which request meets which fault; safe to use from several threads."""

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()
        self._markers: dict[str, Fault] = {}
        self._counted: list[tuple[int, Fault]] = []
        self._chances: list[tuple[float, Fault]] = []
        self._random = random.Random(0)
        self._count = 0
        self._lock = threading.Lock()

    def append(self, fault: Fault) -> None:
        """Let the next request meet ``fault``, after those that are queued."""
        self._queue.append(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Queue several faults, one for each request."""
        self._queue.extend(faults)

    def mark(self, marker: str, fault: Fault) -> None:
        """Let every request whose user message holds ``marker`` meet ``fault``."""
        self._markers[marker] = fault

    def every(self, count: int, fault: Fault) -> None:
        """Let every ``count``-th request meet ``fault``."""
        self._counted.append((count, fault))

    def chance(self, probability: float, fault: Fault, seed: int = 0) -> None:
        """Let a request meet ``fault`` by chance; the seed is one for all faults."""
        self._chances.append((probability, fault))
        self._random = random.Random(seed)

    def clear(self) -> None:
        """No faults any more."""
        with self._lock:
            self._queue.clear()
            self._markers.clear()
            self._counted.clear()
            self._chances.clear()

    def next(self, text: str) -> Fault | None:
        """The fault that a request meets, whose user message is ``text``."""
        with self._lock:
            self._count += 1
            if self._queue:
                return self._queue.popleft()
            for marker, fault in self._markers.items():
                if marker in text:
                    return fault
            for count, fault in self._counted:
                if self._count % count == 0:
                    return fault
            for probability, fault in self._chances:
                if self._random.random() < probability:
                    return fault
            return None
