"""For how long facts of conversations hold: a later value of the same subject and attribute ends the earlier one's.

Nothing is deleted: the earlier fact keeps its row and gets an end, and a pointer to the fact that holds instead. The
intervals are a function of the set of facts, and those of one subject and attribute depend on no others, so that a new
session asks for a handful of groups to be worked out again.
"""

from __future__ import annotations

import polars as pl

from memory.conversations.attributes import value_of

CODE_VERSION = "1"

FACTS = {
    "memory_id": pl.String,
    "document_id": pl.String,
    "ordinal": pl.Int64,
    "subject": pl.String,
    "attribute": pl.String,
    "text": pl.String,
    "stated_on": pl.Date,
}
VALIDITY = {
    "memory_id": pl.String,
    "valid_from": pl.Date,
    "valid_until": pl.Date,
    "superseded_by": pl.String,
}


def update_validity(facts: pl.DataFrame) -> pl.DataFrame:
    """When each dated fact holds, a row a fact in the order of ``memory_id``, as :data:`VALIDITY`; ends are exclusive.

    Facts of one subject and attribute are taken in the order of their dates, on one day in that of their documents and
    places in them. A fact holds from the day on which it was stated until a later one gives another value, which then
    supersedes it; one that repeats the value ends nothing. A fact without an attribute, or without a subject, holds on.

    Args:
        facts: columns as :data:`FACTS`; the same fact may be there twice. ``stated_on`` is the session's date; facts
            without one take no part and get no row.
    """
    dated = facts.select(FACTS.keys()).unique("memory_id").filter(pl.col("stated_on").is_not_null())
    can_end = (pl.col("subject") != "") & (pl.col("attribute") != "")
    group = ["subject", "attribute"]
    single = (
        dated.filter(can_end)
        .sort(*group, "stated_on", "document_id", "ordinal", "memory_id")
        .with_columns(
            value=pl.struct("text", "attribute").map_elements(
                lambda fact: value_of(fact["text"], fact["attribute"]), return_dtype=pl.String
            )
        )
        .with_columns(changes=(pl.col("value") != pl.col("value").shift(1)).fill_null(value=False).over(group))
        .with_columns(run=pl.col("changes").cum_sum().over(group))
    )
    begins = single.group_by([*group, "run"], maintain_order=True).agg(
        valid_until=pl.col("stated_on").first(), superseded_by=pl.col("memory_id").first()
    )
    ended = single.join(begins.with_columns(run=pl.col("run") - 1), on=[*group, "run"], how="left")
    held = dated.filter(~can_end).with_columns(valid_until=pl.lit(None, pl.Date), superseded_by=pl.lit(None, pl.String))
    columns = ["memory_id", "stated_on", "valid_until", "superseded_by"]
    rows = pl.concat([ended.select(columns), held.select(columns)]).rename({"stated_on": "valid_from"})
    return rows.select(pl.col(name).cast(kind) for name, kind in VALIDITY.items()).sort("memory_id")
