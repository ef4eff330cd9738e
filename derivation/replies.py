"""What models said, as it is kept: a journal beside the warehouse, the replies, and a row a call.

A reply goes to the journal the moment it arrives and into the warehouse when a round of requests has ended; so a
process that is killed loses no more than the requests that are under way. Whoever asks next takes the journal over
first. Replies are named by model, parameters and prompt (``models.chat.request_key``) and kept with every text that
they are about, as long as a passage or a document of the space has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from derivation.lake import Lake
from models.budget import Amount
from models.chat import Outcome
from warehouse.database import Connection, registered
from warehouse.faults import reach
from warehouse.files import append_line


def journal_call(lake: Lake, record: Mapping[str, Any]) -> None:
    """Put a call and its reply on the disk; the line is ASCII, whatever the model wrote."""
    append_line(lake.layout.replies, json.dumps(record, default=str))
    reach("replies.noted")


def absorb_replies(lake: Lake) -> int:
    """Take the journal into the warehouse and empty it; returns how many calls it held."""
    journal = lake.layout.replies
    if not journal.exists():
        return 0
    records = []
    for line in journal.read_bytes().split(b"\n"):
        try:
            records.append(json.loads(line))
        except ValueError:  # the last line of a process that was killed while it wrote
            continue
    with lake.warehouse.session("recording replies") as connection:
        insert_calls(connection, records)
    reach("replies.absorbed")
    journal.unlink()
    return len(records)


_INSERT_CALL = """
INSERT INTO model_calls VALUES ($call_id, $run_id, $step, $space, $source, $input_id, $request_key, $model,
    $prompt_name, $prompt_version, $started_at, $latency_ms, $prompt_tokens, $completion_tokens, $cost, $attempts,
    $outcome, $error, $prompt_chars, $input_chars) ON CONFLICT DO NOTHING
"""
_INSERT_REPLY = """
INSERT INTO model_replies VALUES ($space, $text_hash, $request_key, $reply, $outcome, $started_at)
ON CONFLICT DO UPDATE SET reply = excluded.reply, outcome = excluded.outcome, replied_at = excluded.replied_at
"""
_CALL_COLUMNS = (
    "call_id", "run_id", "step", "space", "source", "input_id", "request_key", "model", "prompt_name",
    "prompt_version", "started_at", "latency_ms", "prompt_tokens", "completion_tokens", "cost", "attempts", "outcome",
    "error", "prompt_chars", "input_chars",
)  # fmt: skip
_REPLY_COLUMNS = ("space", "text_hash", "request_key", "reply", "outcome", "started_at")


def insert_calls(connection: Connection, records: Iterable[Mapping[str, Any]]) -> None:
    """Write calls, and their replies where a passage or a document has the text; doing it twice changes nothing."""
    for record in records:
        moment = datetime.fromisoformat(str(record["started_at"])).astimezone(UTC).replace(tzinfo=None)
        values = {**record, "started_at": moment, "outcome": str(record["outcome"])}
        connection.execute(_INSERT_CALL, {name: values[name] for name in _CALL_COLUMNS})
        if record["reply"] is not None and _is_there(connection, record):
            connection.execute(_INSERT_REPLY, {name: values[name] for name in _REPLY_COLUMNS})


def _is_there(connection: Connection, record: Mapping[str, Any]) -> bool:
    """Whether a passage or a document has the text; an erased one must not come back with a late reply."""
    found = connection.execute(
        "SELECT 1 FROM passages WHERE space = $space AND text_hash = $hash"
        " UNION ALL SELECT 1 FROM revisions WHERE space = $space AND content_hash = $hash LIMIT 1",
        {"space": record["space"], "hash": record["text_hash"]},
    ).fetchone()
    return found is not None


_ADOPT = """
INSERT INTO model_replies
SELECT m.space, w.text_hash, m.request_key, arg_max(m.reply, m.replied_at), 'ok', max(m.replied_at)
FROM model_replies m JOIN wanted_frame w USING (request_key)
WHERE m.space = $space AND m.outcome <> 'malformed' GROUP BY ALL
ON CONFLICT DO NOTHING
"""


def adopt_replies(connection: Connection, space: str, wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Keep replies with further texts about which the same would be asked: a passage under another heading.

    Args:
        wanted: ``(text_hash, request_key)``.

    Returns:
        By request key, what is recorded of them.
    """
    rows = pl.DataFrame(wanted, schema={"text_hash": pl.String, "request_key": pl.String}, orient="row").unique()
    with registered(connection, "wanted_frame", rows):
        connection.execute(_ADOPT, {"space": space})
        return dict(
            connection.execute(
                "SELECT m.request_key, m.reply FROM model_replies m"
                " JOIN wanted_frame w ON w.text_hash = m.text_hash AND w.request_key = m.request_key"
                " WHERE m.space = $space",
                {"space": space},
            ).fetchall()
        )


def recorded_replies(connection: Connection, space: str, text_hashes: Sequence[str]) -> dict[str, str]:
    """By request key, what was said about these texts."""
    return dict(
        connection.execute(
            "SELECT request_key, reply FROM model_replies WHERE space = $space"
            " AND text_hash IN (SELECT unnest($hashes))",
            {"space": space, "hashes": list(text_hashes)},
        ).fetchall()
    )


def mark_malformed(connection: Connection, space: str, request_keys: Sequence[str]) -> None:
    """Note that replies are not of the shape that was asked for; their text stays, for a person to see."""
    for table in ("model_replies", "model_calls"):
        connection.execute(
            f"UPDATE {table} SET outcome = $malformed WHERE space = $space AND outcome IN ($ok, $cut)"
            " AND request_key IN (SELECT unnest($keys))",
            {
                "malformed": str(Outcome.MALFORMED),
                "ok": str(Outcome.OK),
                "cut": str(Outcome.CUT_OFF),
                "space": space,
                "keys": list(request_keys),
            },
        )


def forget_malformed(connection: Connection, space: str, text_hashes: Sequence[str], run_id: str) -> None:
    """Take away what could not be used of these texts, so that it is asked again; what this run has asked stays."""
    connection.execute(
        "DELETE FROM model_replies WHERE space = $space AND outcome = 'malformed'"
        " AND text_hash IN (SELECT unnest($hashes))"
        " AND request_key NOT IN (SELECT request_key FROM model_calls WHERE run_id = $run)",
        {"space": space, "hashes": list(text_hashes), "run": run_id},
    )


def spent_today(connection: Connection) -> Amount:
    """What was spent since midnight (UTC), and what open batches can take at most."""
    row = connection.execute(
        "SELECT coalesce(sum(cost), 0), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM model_calls"
        " WHERE called_at >= CAST(now() AT TIME ZONE 'UTC' AS DATE)"
    ).fetchone()
    open_ = connection.execute(
        "SELECT coalesce(sum(most_cost), 0), coalesce(sum(most_tokens), 0) FROM model_batches"
    ).fetchone()
    assert row is not None and open_ is not None
    return Amount(float(row[0]) + float(open_[0]), int(row[1]) + int(open_[1]))
