"""When to ask again: exponential backoff with full jitter, and not before the endpoint says so.

Full jitter after Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts, in seconds."""

    base: float = 0.5
    longest: float = 20.0
    """Of our own pauses."""
    patience: float = 120.0
    """The longest pause that an endpoint may ask for; if it asks for more, the call is given up."""

    def pause(self, attempt: int, asked: float | None) -> float | None:
        """How long to wait after the ``attempt``-th failure (from 1); ``None``: do not ask again.

        What the endpoint asks for is a lower bound; the jitter on top of it keeps callers apart that were all told
        the same.
        """
        jitter = random.uniform(0.0, min(self.longest, self.base * 2 ** min(attempt - 1, 30)))
        if asked is None:
            return jitter
        return asked + jitter if asked <= self.patience else None


def asked_pause(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that an endpoint asks to wait: ``Retry-After-Ms``, or ``Retry-After`` in seconds or as an HTTP date.

    ``None`` where it asks for nothing, or for nothing that can be understood; a time that is past is no wait.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if math.isnan(seconds):
            continue
        return max(seconds, 0.0)
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)
