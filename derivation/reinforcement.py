"""Events to strengths and tiers: what was recalled lasts, and what has faded is cold.

Both tables are computed anew from all events of a space and merged, so they do not depend on when or in which portions
the events were read. ``reinforcement`` has a row for what has events, ``cold`` one for what has faded: a passage or
memory without a row has the strength 1 and is hot. In a space without events nothing is cold, since there nobody could
have recalled anything.
"""

from __future__ import annotations

import time
from datetime import datetime

import polars as pl

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from memory.forgetting import CODE_VERSION, EVENTS_SCHEMA, Forgetting, is_cold, strengths, tally
from warehouse.database import Connection, bump_generation, frame, replace_rows
from warehouse.delta import Step
from warehouse.faults import reach

HOT, COLD = "hot", "cold"

_EVENTS = "SELECT event_id, target_id, document_id, kind, happened_at, source FROM events WHERE space = $space"

_FIRST = "SELECT min(happened_at) FROM events WHERE space = $space AND happened_at <= $until"

_PRESENT = """
SELECT p.passage_id AS target_id, p.document_id, p.source, d.seen_at
FROM passages p JOIN documents d USING (document_id) WHERE p.space = $space
UNION ALL
SELECT m.memory_id, m.document_id, m.source, d.seen_at
FROM memories m LEFT JOIN documents d USING (document_id) WHERE m.space = $space
"""

_STANDING = f"""
SELECT p.target_id, coalesce(r.strength, 1.0) AS strength, r.recalled_at,
    CASE WHEN c.target_id IS NULL THEN '{HOT}' ELSE '{COLD}' END AS tier
FROM ({_PRESENT}) p
LEFT JOIN reinforcement r ON r.target_id = p.target_id AND r.document_id = p.document_id
LEFT JOIN cold c ON c.target_id = p.target_id AND c.document_id = p.document_id
WHERE r.target_id IS NOT NULL OR c.target_id IS NOT NULL
ORDER BY p.target_id
"""

_KEYS = ("target_id", "document_id")
_MICROSECONDS_A_DAY = 86_400_000_000


def forgetting_of(lake: Lake) -> Forgetting:
    """The settings as the pure functions take them."""
    setting = lake.settings.forgetting
    return Forgetting(
        days=setting.days,
        returned=setting.returned,
        cited=setting.cited,
        confirmed=setting.confirmed,
        rejected=setting.rejected,
        weakest=setting.weakest,
        strongest=setting.strongest,
        cold_retention=setting.cold_retention,
        cold_days=setting.cold_days,
    )


def reinforcement_step(lake: Lake) -> Step:
    """Events to strengths and tiers."""
    setting = lake.settings.forgetting
    return Step("reinforcement", CODE_VERSION, setting.model_dump(exclude={"prior_weight", "schedule"}))


@exclusive("reinforcing memories")
def refresh_reinforcement(lake: Lake, space: str) -> StepReport:
    """Bring strengths and tiers of a space up to date with its events and with the time that has passed."""
    started = time.perf_counter()
    step = reinforcement_step(lake)
    lake.progress.start(step.name, space, 1)
    until = lake.now.replace(tzinfo=None, microsecond=999_999)
    with lake.warehouse.session("writing reinforcement") as connection:
        rows = reinforced_rows(connection, lake, space, until)
        faded = cold_rows(connection, lake, space, until, rows)
        changes = replace_rows(connection, "reinforcement", _KEYS, rows, "space", [space])
        changes += replace_rows(connection, "cold", _KEYS, faded, "space", [space])
        connection.execute("INSERT OR REPLACE INTO reinforced VALUES ($space, $at)", {"space": space, "at": until})
        reach("reinforcement.written")
        if changes.any:
            bump_generation(connection)
    return conclude_global(lake, step, rows.height + faded.height, changes, started)


def reinforced_rows(connection: Connection, lake: Lake, space: str, until: datetime) -> pl.DataFrame:
    """The rows of ``reinforcement`` as the events of a space up to ``until`` give them."""
    events = frame(connection, _EVENTS, {"space": space})
    tallied = tally(events.select(list(EVENTS_SCHEMA)), until)
    sources = events.group_by(_KEYS).agg(pl.col("source").min())
    return (
        tallied.with_columns(
            pl.lit(space).alias("space"), pl.Series("strength", strengths(tallied, forgetting_of(lake)))
        )
        .join(sources, on=_KEYS, how="left")
        .select(*_KEYS, "space", "source", "returned", "cited", "confirmed", "rejected", "strength", "recalled_at")
    )


def cold_rows(
    connection: Connection, lake: Lake, space: str, until: datetime, reinforced: pl.DataFrame
) -> pl.DataFrame:
    """The rows of ``cold`` at the time ``until``.

    A memory has gone without a recall since its last one, or since it could be recalled at all: since its document was
    first seen as it is, and since the first event of the space.
    """
    first = frame(connection, _FIRST, {"space": space, "until": until}).item()
    present = frame(connection, _PRESENT, {"space": space})
    if first is None:
        present = present.clear()
    idle = present.join(reinforced.select(*_KEYS, "strength", "recalled_at"), on=_KEYS, how="left").with_columns(
        pl.col("strength").fill_null(1.0),
        pl.max_horizontal("seen_at", "recalled_at", pl.lit(first, dtype=pl.Datetime("us"))).alias("since"),
    )
    days = (pl.lit(until) - pl.col("since")).dt.total_microseconds() / _MICROSECONDS_A_DAY
    faded = is_cold(
        idle["strength"].to_numpy(), idle.select(days.alias("days"))["days"].to_numpy(), forgetting_of(lake)
    )
    return idle.filter(pl.Series(faded, dtype=pl.Boolean)).select(*_KEYS, pl.lit(space).alias("space"), "source")


def standing_rows(connection: Connection, space: str) -> pl.DataFrame:
    """What is not as it began, of the passages and memories that a space holds now.

    Returns:
        ``target_id, strength, recalled_at, tier``, sorted; what has no row has the strength 1 and is hot.
    """
    return frame(connection, _STANDING, {"space": space})


def reinforced_until(connection: Connection, space: str) -> datetime | None:
    """Until when the events of a space are summed up (UTC); ``None`` before the first time."""
    found = connection.execute("SELECT until FROM reinforced WHERE space = $space", {"space": space}).fetchall()
    return found[0][0] if found else None
