"""Forgetting and reinforcement: what clients did with a memory makes it last, and what nobody recalls fades.

After MemoryBank (arXiv 2305.10250): a memory of strength S keeps R = exp(-dt / S) of itself when dt has passed since it
was last recalled, and each recall makes S grow. Strength is a multiple of what a memory begins with, which lasts
``Forgetting.days``; how much it grows depends on what was done with the memory.

The tally of a memory is a function of the set of its events: their order and repetitions of the same event do not
matter, so reading events in any portions gives what reading them at once gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

CODE_VERSION = "1"

Floats = NDArray[np.float64]


class EventKind(StrEnum):
    """What a client did with a memory."""

    RETURNED = "returned"
    """A search returned it."""
    CITED = "cited"
    """An answer rests on it."""
    CONFIRMED = "confirmed"
    """A person said that it is right."""
    REJECTED = "rejected"
    """A person said that it is wrong or of no use; the one kind that is no recall."""


RECALLS = (EventKind.RETURNED, EventKind.CITED, EventKind.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How memories gain, lose and fade; the defaults are those of the settings."""

    days: float = 30.0
    """In how many days a memory that was never recalled fades to 1/e."""
    returned: float = 0.05
    """What one event of the kind adds to the strength; so the next two."""
    cited: float = 0.5
    confirmed: float = 1.0
    rejected: float = 0.5
    """What one rejection takes from it."""
    weakest: float = 0.1
    strongest: float = 12.0
    cold_retention: float = 0.05
    """Below this retention a memory is cold,"""
    cold_days: float = 90.0
    """but not before so many days without a recall."""


EVENTS_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "event_id": pl.String,
    "target_id": pl.String,
    "document_id": pl.String,
    "kind": pl.String,
    "happened_at": pl.Datetime("us"),
}
"""What :func:`tally` reads; ``happened_at`` is in UTC."""


def tally(events: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """What happened to each memory: a column of counts for each kind, and the time of the last recall.

    An id that stands on several different events counts once, as the least of them by time, target, document and kind.

    Args:
        events: rows of ``EVENTS_SCHEMA``, in any order, with any repetitions.
        until: UTC without a zone; later events do not count yet.

    Returns:
        ``target_id, document_id``, a column a kind, and ``recalled_at`` (null where there was no recall); sorted.
    """
    once = (
        events.filter(pl.col("happened_at") <= until)
        .sort("happened_at", "target_id", "document_id", "kind")
        .unique("event_id", keep="first", maintain_order=True)
    )
    counts = [(pl.col("kind") == kind.value).sum().cast(pl.Int32).alias(kind.value) for kind in EventKind]
    recalled = (
        pl.col("happened_at").filter(pl.col("kind").is_in([kind.value for kind in RECALLS])).max().alias("recalled_at")
    )
    return once.group_by("target_id", "document_id").agg(*counts, recalled).sort("target_id", "document_id")


def strengths(tallied: pl.DataFrame, forgetting: Forgetting) -> Floats:
    """S of each row of :func:`tally`: 1 + the sum of gains, between ``weakest`` and ``strongest``; 1 is no event."""
    gains = (
        (EventKind.RETURNED, forgetting.returned),
        (EventKind.CITED, forgetting.cited),
        (EventKind.CONFIRMED, forgetting.confirmed),
        (EventKind.REJECTED, -forgetting.rejected),
    )
    total = np.ones(tallied.height)
    for kind, gain in gains:
        total += gain * tallied[kind.value].to_numpy()
    return np.clip(total, forgetting.weakest, forgetting.strongest)


def retention(strength: Floats, idle_days: Floats, days: float) -> Floats:
    """R = exp(-dt / (S * days)) with dt the days since the last recall; a time that is still to come counts as now."""
    return np.exp(-np.maximum(idle_days, 0.0) / (strength * days))


def prior(strength: Floats, retained: Floats, weight: float) -> Floats:
    """What a score is multiplied with, in ``[1 - weight, 1 + weight]``.

    With S the strength and R the retention: ``1 + weight * R * (1 - 1/S)`` where S is above 1, and
    ``1 - weight * (1 - S)`` below. A memory without events has S = 1 and exactly 1. Praise fades, as what is useful
    changes; blame does not, as time makes nothing right: later events outweigh it.
    """
    praise = retained * (1.0 - 1.0 / np.maximum(strength, 1.0))
    blame = 1.0 - np.minimum(strength, 1.0)
    return 1.0 + weight * (praise - blame)


def is_cold(strength: Floats, idle_days: Floats, forgetting: Forgetting) -> NDArray[np.bool_]:
    """Which memories are cold: little of them is retained, and nobody has recalled them for long."""
    faded = retention(strength, idle_days, forgetting.days) < forgetting.cold_retention
    return faded & (idle_days >= forgetting.cold_days)
