"""The user's word on entities: which are one and which are not, in an append-only file of the lake.

It is no derived row, so it lies beside the warehouse and survives rebuilds and repairs. Entities are named by their
ids, which are hashes of space, name and type, so that a rebuilt lake knows them again. A later line wins over an
earlier one of the same pair; ``undone`` takes both back.
"""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime

import polars as pl

from derivation.lake import Lake, exclusive
from errors import InvalidQuery
from warehouse.database import bump_generation
from warehouse.files import append_line
from warehouse.layout import LakeLayout

MERGE, SPLIT, UNDONE = "merge", "split", "undone"

_SCHEMA = {"left_id": pl.String, "right_id": pl.String, "verdict": pl.String, "number": pl.Int64}


@exclusive("overriding an entity decision")
def override(lake: Lake, space: str, one: str, other: str, verdict: str, reason: str = "") -> None:
    """Note that two entities (by id) are one or are not; the next refresh of the served layers follows.

    Raises:
        InvalidQuery: they are the same row.
    """
    if one == other:
        raise InvalidQuery("Both names are of one entity.", "Name two entities; memlake graph show tells what each is.")
    left, right = sorted((one, other))
    line = {
        "space": space,
        "left_id": left,
        "right_id": right,
        "verdict": verdict,
        "reason": reason,
        "by": getpass.getuser(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    append_line(lake.layout.overrides, json.dumps(line, ensure_ascii=False))
    with lake.warehouse.session("noting an override") as connection:
        bump_generation(connection)


def read_overrides(layout: LakeLayout, space: str) -> pl.DataFrame:
    """What stands for a space: ``left_id, right_id, verdict, number``, a row a pair."""
    standing: dict[tuple[str, str], tuple[str, int]] = {}
    if layout.overrides.exists():
        for number, line in enumerate(layout.overrides.read_text(encoding="utf-8").splitlines()):
            item = json.loads(line)
            if item["space"] == space:
                standing[item["left_id"], item["right_id"]] = (item["verdict"], number)
    rows = [(*pair, *said) for pair, said in standing.items() if said[0] != UNDONE]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
