"""The user's word on entities: which are one and which are not, in an append-only file of the lake.

It is no derived row, so it lies beside the warehouse and survives rebuilds and repairs. Entities are named by their
ids, which are hashes of space, name and type, so that a rebuilt lake knows them again. A later line wins over an
earlier one of the same pair; ``undone`` takes both back.
"""

from __future__ import annotations

import json

import polars as pl

from warehouse.layout import LakeLayout

MERGE, SPLIT, UNDONE = "merge", "split", "undone"

_SCHEMA = {
    "left_id": pl.String,
    "right_id": pl.String,
    "verdict": pl.String,
    "reason": pl.String,
    "number": pl.Int64,
}


def read_overrides(layout: LakeLayout, space: str) -> pl.DataFrame:
    """What stands for a space: ``left_id, right_id, verdict, reason, number``, a row a pair."""
    standing: dict[tuple[str, str], tuple[str, str, int]] = {}
    if layout.overrides.exists():
        for number, line in enumerate(layout.overrides.read_bytes().split(b"\n")):
            try:
                item = json.loads(line)
            except ValueError:  # the empty end, or a line that a killed process began
                continue
            if item["space"] == space:
                standing[item["left_id"], item["right_id"]] = (item["verdict"], item["reason"], number)
    rows = [(*pair, *said) for pair, said in standing.items() if said[0] != UNDONE]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")
