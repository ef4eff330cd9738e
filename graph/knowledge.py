"""What a snapshot knows, as tables: entities, facts with their evidence, mentions, synonyms.

A read-only view of frames with fixed columns (:data:`TABLES`); every answer is in an order that depends on the rows'
content alone, the strongest first.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields

import polars as pl
from rapidfuzz import fuzz, process

from errors import UnknownName
from graph.normalise import normalise, normalise_identifier

TABLES: dict[str, dict[str, pl.DataType | type[pl.DataType]]] = {
    "entities": {
        "entity_id": pl.String,
        "key": pl.String,
        "name": pl.String,
        "kind": pl.String,
        "type": pl.String,
        "aliases": pl.List(pl.String),
    },
    "passages": {"passage_id": pl.String, "source": pl.String, "path": pl.String, "title": pl.String},
    "facts": {
        "fact_id": pl.String,
        "subject_id": pl.String,
        "predicate": pl.String,
        "object_id": pl.String,
        "passages": pl.Int64,
        "valid_from": pl.Date,
        "valid_until": pl.Date,
        "superseded_by": pl.String,
    },
    "supports": {"fact_id": pl.String, "passage_id": pl.String, "char_start": pl.Int64, "char_end": pl.Int64},
    "mentions": {"passage_id": pl.String, "entity_id": pl.String, "titled": pl.Boolean},
    "synonyms": {"left_id": pl.String, "right_id": pl.String, "method": pl.String, "score": pl.Float64},
}
"""Columns of each table. An entity's `aliases` are the other names of what was merged into it."""

_NEAREST = 3
_LEAST_LIKENESS = 60.0


@dataclass(frozen=True, slots=True)
class Entity:
    entity_id: str
    name: str
    kind: str
    type: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a fact is stated: characters of a passage, and the document that it is in."""

    passage_id: str
    source: str
    path: str
    title: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about an entity, seen from there; ``outgoing`` where the entity is its subject."""

    fact_id: str
    outgoing: bool
    predicate: str
    other: Entity
    passages: int
    valid_from: dt.date | None
    valid_until: dt.date | None
    superseded_by: str | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Synonym:
    other: Entity
    method: str
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that mentions an entity; ``titled`` where its document is about it."""

    passage_id: str
    source: str
    path: str
    title: str
    titled: bool


@dataclass(frozen=True, slots=True)
class Companion:
    """An entity that is mentioned in the same passages, and in how many."""

    other: Entity
    shared: int


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What is known about one entity, each list the strongest first and cut at the limit; ``totals`` before the cut.

    Facts: those that hold before those that are superseded, then by passages. Synonyms: by score. Passages: those
    about the entity first, then by source and path. Companions: by shared passages.
    """

    entity: Entity
    facts: tuple[Fact, ...]
    synonyms: tuple[Synonym, ...]
    passages: tuple[Passage, ...]
    companions: tuple[Companion, ...]
    totals: dict[str, int]
    """Of ``facts``, ``synonyms``, ``passages`` and ``companions``."""


@dataclass(frozen=True, slots=True, eq=False)
class KnowledgeGraph:
    """The tables of one space; columns and types as in :data:`TABLES`, else a ``ValueError``."""

    entities: pl.DataFrame
    passages: pl.DataFrame
    facts: pl.DataFrame
    supports: pl.DataFrame
    mentions: pl.DataFrame
    synonyms: pl.DataFrame

    def __post_init__(self) -> None:
        for table in fields(self):
            found, wanted = getattr(self, table.name).schema, pl.Schema(TABLES[table.name])
            if found != wanted:
                raise ValueError(f"the table {table.name} needs the columns {dict(wanted)}, not {dict(found)}")

    def find(self, name: str) -> list[str]:
        """Ids of the entities of this name: by key first, then by alias, each the most mentioned first; never empty.

        Raises:
            UnknownName: there is none; the message names the nearest ones.
        """
        keys = [normalise(name), normalise_identifier(name)]
        by_key = pl.col("key").is_in(keys)
        aliases = self.entities.select("entity_id", alias="aliases").explode("alias").drop_nulls()
        called = aliases.filter(pl.Series([normalise(alias) in keys for alias in aliases["alias"]], dtype=pl.Boolean))
        named = self.entities.filter(by_key | pl.col("entity_id").is_in(called["entity_id"].to_list()))
        if not named.height or not keys[0]:
            raise UnknownName(f"No entity is called '{name}'.", self._nearest(name))
        count = self.mentions.group_by("entity_id").agg(mentions=pl.len())
        ranked = named.with_columns(second=~by_key).join(count, on="entity_id", how="left")
        order = ["second", "mentions", "entity_id"]
        return ranked.sort(order, descending=[False, True, False], nulls_last=True)["entity_id"].to_list()

    def neighbourhood(self, entity_id: str, limit: int = 20) -> Neighbourhood:
        """What is known about an entity, at most `limit` of each kind.

        Raises:
            UnknownName: there is no entity of this id.
        """
        row = self.entities.filter(pl.col("entity_id") == entity_id)
        if not row.height:
            raise UnknownName(f"No entity has the id '{entity_id}'.", "Ids are those that find() gives.")
        facts, synonyms = self._facts(entity_id), self._synonyms(entity_id)
        mine = self.mentions.filter(pl.col("entity_id") == entity_id)
        passages = (
            mine.group_by("passage_id")
            .agg(pl.col("titled").any())
            .join(self.passages, on="passage_id")
            .sort("titled", "source", "path", "passage_id", descending=[True, False, False, False])
        )
        companions = (
            self.mentions.join(mine.select("passage_id").unique(), on="passage_id", how="semi")
            .filter(pl.col("entity_id") != entity_id)
            .group_by("entity_id")
            .agg(shared=pl.col("passage_id").n_unique())
            .join(self.entities, on="entity_id", how="semi")
            .sort("shared", "entity_id", descending=[True, False])
        )
        tables = {"facts": facts, "synonyms": synonyms, "passages": passages, "companions": companions}
        shown = {name: table.head(limit) for name, table in tables.items()}
        known = self._known(
            {*shown["facts"]["other_id"], *shown["synonyms"]["other_id"], *shown["companions"]["entity_id"]}
        )
        evidence = self._evidence(shown["facts"]["fact_id"].to_list())
        return Neighbourhood(
            entity=_entity(row.row(0, named=True)),
            facts=tuple(
                Fact(
                    fact["fact_id"],
                    fact["outgoing"],
                    fact["predicate"],
                    known[fact["other_id"]],
                    fact["passages"],
                    fact["valid_from"],
                    fact["valid_until"],
                    fact["superseded_by"],
                    evidence.get(fact["fact_id"], ()),
                )
                for fact in shown["facts"].iter_rows(named=True)
            ),
            synonyms=tuple(
                Synonym(known[other], method, score) for other, method, score in shown["synonyms"].iter_rows()
            ),
            passages=tuple(Passage(**one) for one in shown["passages"].select(Passage.__slots__).iter_rows(named=True)),
            companions=tuple(Companion(known[other], shared) for other, shared in shown["companions"].iter_rows()),
            totals={name: table.height for name, table in tables.items()},
        )

    def _nearest(self, name: str) -> str:
        """The remedy of an unknown name: the names that are most like it."""
        key = normalise(name)
        keys = self.entities["key"].to_list()
        close = (
            process.extract(key, keys, scorer=fuzz.ratio, limit=_NEAREST, score_cutoff=_LEAST_LIKENESS) if key else []
        )
        if not close:
            return "Names are those that documents of this space mention."
        names = self.entities["name"].gather(sorted({at for _, _, at in close})).to_list()
        return f"Did you mean {' or '.join(repr(one) for one in dict.fromkeys(names))}?"

    def _facts(self, entity_id: str) -> pl.DataFrame:
        """Facts of an entity with ``other_id`` and ``outgoing``, strongest first, where the other entity is known."""
        subject, target = pl.col("subject_id"), pl.col("object_id")
        return (
            self.facts.filter((subject == entity_id) | (target == entity_id))
            .with_columns(
                outgoing=subject == entity_id, other_id=pl.when(subject == entity_id).then(target).otherwise(subject)
            )
            .join(self.entities, left_on="other_id", right_on="entity_id", how="semi")
            .with_columns(ended=pl.col("superseded_by").is_not_null())
            .sort("ended", "passages", "fact_id", descending=[False, True, False])
        )

    def _synonyms(self, entity_id: str) -> pl.DataFrame:
        left, right = pl.col("left_id"), pl.col("right_id")
        return (
            self.synonyms.filter((left == entity_id) | (right == entity_id))
            .select(pl.when(left == entity_id).then(right).otherwise(left).alias("other_id"), "method", "score")
            .join(self.entities, left_on="other_id", right_on="entity_id", how="semi")
            .sort("score", "other_id", "method", descending=[True, False, False])
        )

    def _known(self, ids: set[str]) -> dict[str, Entity]:
        rows = self.entities.filter(pl.col("entity_id").is_in(sorted(ids)))
        return {row["entity_id"]: _entity(row) for row in rows.iter_rows(named=True)}

    def _evidence(self, fact_ids: list[str]) -> dict[str, tuple[Evidence, ...]]:
        rows = (
            self.supports.filter(pl.col("fact_id").is_in(fact_ids))
            .join(self.passages, on="passage_id")
            .sort("fact_id", "source", "path", "passage_id", "char_start", "char_end")
        )
        groups = rows.group_by("fact_id", maintain_order=True)
        columns = list(Evidence.__slots__)
        return {str(key[0]): tuple(Evidence(*row) for row in group.select(columns).rows()) for key, group in groups}


def _entity(row: dict[str, object]) -> Entity:
    aliases = row["aliases"]
    return Entity(
        str(row["entity_id"]),
        str(row["name"]),
        str(row["kind"]),
        str(row["type"]),
        tuple(aliases) if isinstance(aliases, list) else (),
    )
