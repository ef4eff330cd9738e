"""When facts hold: the values of an attribute that has one value at a time, as their documents' dates tell them.

Nothing is deleted: a fact of which a later document states another value keeps its row and gets an end, and the fact
that took its place. The intervals are a function of the set of statements. Where in doubt a fact stays valid: an
attribute is known to have one value at a time only where it is in the vocabulary below as a whole, a statement in the
past tense or without a date closes nothing, and an attribute with several values on its latest date is no such one.
"""

from __future__ import annotations

import re

import polars as pl

from graph.normalise import normalise

CODE_VERSION = "1"

VALIDITY = {
    "fact_id": pl.String,
    "valid_from": pl.Date,
    "valid_until": pl.Date,
    "superseded_by": pl.String,
}

OFFICES = frozenset(
    {
        *"ceo cto cfo coo manager head coach leader chair chairman chairwoman chairperson president chancellor".split(),
        *"mayor governor captain owner maintainer landlord principal king queen monarch holder incumbent".split(),
        *("chief executive", "chief executive officer", "chief technology officer", "chief financial officer"),
        *("managing director", "executive director", "general manager", "project manager", "product owner"),
        *("prime minister", "head coach", "team lead", "record holder", "editor in chief"),
    }
)
"""Held by one at a time: `Acme, CEO, Ann`, and as `Ann, CEO of, Acme` the other way round."""

VALUES = frozenset(
    {
        *"status stage phase priority severity price cost fee rate salary rent budget balance limit quota".split(),
        *"version deadline address email phone telephone headquarters employer residence assignee contact".split(),
        *("list price", "unit price", "day rate", "hourly rate", "interest rate", "exchange rate", "tax rate"),
        *("rate limit", "current version", "latest version", "stable version", "due date", "release date", "end date"),
        *("delivery date", "expiry date", "expiration date", "home address", "postal address", "email address"),
        *("e mail", "phone number", "telephone number", "mobile number", "head office", "place of residence"),
        *("job title", "contact person", "marital status", "relationship status", "on call", "line manager"),
        *("default value", "timeout", "retention period"),
    }
)
"""Have one value at a time."""

_STATING = {
    "live in": "residence", "live at": "address", "reside in": "residence", "reside at": "address",
    "work at": "employer", "work for": "employer", "employed by": "employer", "employed at": "employer",
    "based in": "headquarters", "headquartered in": "headquarters", "headquartered at": "headquarters",
    "owned by": "owner", "led by": "leader", "headed by": "head", "chaired by": "chair", "managed by": "manager",
    "coached by": "coach", "maintained by": "maintainer", "assigned to": "assignee", "report to": "line manager",
    "cost": "price", "priced at": "price", "due": "deadline", "due on": "deadline", "due by": "deadline",
}  # fmt: skip
"""Verbs in the present tense that state a value of their subject, and the attribute that they state."""

_HOLDING = {
    "owns": "owner", "leads": "leader", "heads": "head", "chairs": "chair", "coaches": "coach",
    "maintains": "maintainer",
}  # fmt: skip
"""Verbs whose subject is the value, and whose object has the attribute."""

_SAME_ATTRIBUTE = {
    "chief executive": "ceo", "chief executive officer": "ceo", "chief technology officer": "cto",
    "chief financial officer": "cfo", "chairman": "chair", "chairwoman": "chair", "chairperson": "chair",
    "email address": "email", "e mail": "email", "phone number": "phone", "telephone": "phone",
    "telephone number": "phone", "head office": "headquarters", "place of residence": "residence",
    "home address": "address", "current version": "version", "due date": "deadline", "unit price": "price",
}  # fmt: skip

_OPENING = re.compile(
    r"^(?:(?:is|are|has|have|now|currently|presently|current|new|the|a|an|its|his|her|their) )+(?=\S)"
)
_CLOSING = re.compile(r" (?:is|are|now|currently)$")
_INFLECTED = re.compile(r"^(?:(live|reside|work|report|cost)s(?= |$)|(liv|resid)ing(?= )|(work|report)ing(?= ))")


def attribute_of(predicate: str) -> tuple[str, bool] | None:
    """The attribute that a predicate states, and whether its *object* is what has it; None where many values may hold.

    >>> attribute_of("is the CEO of"), attribute_of("works at"), attribute_of("was CEO of"), attribute_of("member of")
    (('ceo', True), ('employer', False), None, None)
    """
    words = _CLOSING.sub("", _OPENING.sub("", normalise(predicate)))
    if words in _HOLDING:
        return _HOLDING[words], True
    stem = _INFLECTED.sub(lambda m: m[1] or m[3] or f"{m[2]}e", words)
    if stem in _STATING:
        return _STATING[stem], False
    if words in OFFICES or words in VALUES:
        return _SAME_ATTRIBUTE.get(words, words), False
    office = words.removesuffix(" of")
    if office != words and office in OFFICES:
        return _SAME_ATTRIBUTE.get(office, office), True
    return None


def validity(since: pl.DataFrame, dated: pl.DataFrame) -> pl.DataFrame:
    """When each fact is valid, a row a fact, in no order, as :data:`VALIDITY`; ends are exclusive, null is open.

    ``valid_from`` is the date of the first document that states the fact. Of an attribute with one value at a time it
    begins the *latest* interval of the value: A in 2020, B in 2021 and A in 2022 gives A from 2022 on, B from 2021 to
    2022, superseded by A. A value ends on the next date on which the attribute is stated without it; of several facts
    that then took its place the smallest id is named. A fact that no dated document states has no dates.

    Args:
        since: ``fact_id, stated``: the first date on which each fact is stated, or null.
        dated: ``fact_id, subject_id, predicate, object_id, stated_on`` (a date): the statements. Those whose predicate
            :func:`attribute_of` does not know may be left out: they change nothing.
    """
    return (
        since.join(_intervals(_single_valued(dated)), on="fact_id", how="left")
        .with_columns(valid_from=pl.coalesce("valid_from", "stated"))
        .select(pl.col(name).cast(kind) for name, kind in VALIDITY.items())
    )


def _single_valued(dated: pl.DataFrame) -> pl.DataFrame:
    """``holder, attribute, value, stated_on, fact_id`` of what has one value at a time."""
    predicates = dated["predicate"].unique().to_list()
    rows = [(predicate, *found) for predicate in predicates if (found := attribute_of(predicate)) is not None]
    vocabulary = pl.DataFrame(
        rows, schema={"predicate": pl.String, "attribute": pl.String, "inverse": pl.Boolean}, orient="row"
    )
    held = dated.join(vocabulary, on="predicate").select(
        "attribute",
        "stated_on",
        "fact_id",
        holder=pl.when("inverse").then("object_id").otherwise("subject_id"),
        value=pl.when("inverse").then("subject_id").otherwise("object_id"),
    )
    group = ["holder", "attribute"]
    latest = held.filter(pl.col("stated_on") == pl.col("stated_on").max().over(group))
    several = latest.group_by(group).agg(pl.col("value").n_unique()).filter(pl.col("value") > 1)
    return held.join(several, on=group, how="anti")


def _intervals(held: pl.DataFrame) -> pl.DataFrame:
    """``fact_id, valid_from, valid_until, superseded_by``: the latest unbroken run of dates that state the value."""
    group, one = ["holder", "attribute"], ["holder", "attribute", "value"]
    held = held.with_columns(at=pl.col("stated_on").rank("dense").over(group).cast(pl.Int64))
    runs = (
        held.unique([*one, "at"])
        .sort(*one, "at")
        .with_columns(begins=pl.col("at").diff().over(one).fill_null(0) != 1)
        .group_by(one)
        .agg(valid_from=pl.col("stated_on").filter("begins").max(), at=pl.col("at").max() + 1)
    )
    successors = held.group_by(*group, "at").agg(
        valid_until=pl.col("stated_on").first(), superseded_by=pl.col("fact_id").min()
    )
    return (
        held.select(*one, "fact_id")
        .unique("fact_id")
        .join(runs, on=one)
        .join(successors, on=[*group, "at"], how="left")
        .select("fact_id", "valid_from", "valid_until", "superseded_by")
    )
