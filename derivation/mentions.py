"""Passages to entity mentions, the entities that titles name, and acronyms with their long forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from derivation.runner import Inputs
from graph.acronyms import extract_acronyms
from graph.mentions import CODE_VERSION, extract_mentions, title_mentions
from graph.normalise import normalise
from warehouse.database import Changes, Connection, frame, replace_rows
from warehouse.delta import Outcome, Scope, Status, Step, Task
from warehouse.ids import entity_id

_OWNED = {"passage_id": pl.String, "space": pl.String, "source": pl.String}
_MENTIONS = {
    **_OWNED,
    "entity_id": pl.String,
    "entity_key": pl.String,
    "kind": pl.String,
    "surface": pl.String,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
}
_TITLES = {**_OWNED, "entity_id": pl.String, "entity_key": pl.String, "kind": pl.String, "surface": pl.String}
_ACRONYMS = {
    **_OWNED,
    "short_id": pl.String,
    "long_id": pl.String,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
}
_KEYS = {
    "mentions": ["passage_id", "char_start", "char_end", "entity_id"],
    "titles": ["passage_id", "entity_id"],
    "acronyms": ["passage_id", "short_id", "long_id"],
}


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows of the three tables for a batch of passages."""

    mentions: pl.DataFrame
    titles: pl.DataFrame
    acronyms: pl.DataFrame


class Mentions:
    """Reads each passage alone, so that what it mentions depends on nothing else in the lake."""

    step = Step("mentions", CODE_VERSION, {"extractor": "rules"})

    def inputs(self, scope: Scope) -> Inputs:
        return Inputs(
            "SELECT p.passage_id AS input_id, p.text_hash AS input_hash, d.path AS label"
            " FROM passages p JOIN documents d USING (document_id)"
            " WHERE p.space = $of_space AND p.source = $of_source",
            {"of_space": scope.space, "of_source": scope.source},
        )

    def load(self, connection: Connection, tasks: Sequence[Task]) -> pl.DataFrame:
        return frame(
            connection,
            "SELECT p.passage_id, p.space, p.source, p.text, d.title"
            " FROM passages p JOIN documents d USING (document_id) WHERE p.passage_id IN (SELECT unnest($ids))",
            {"ids": [task.input_id for task in tasks]},
        )

    def compute(self, tasks: Sequence[Task], loaded: pl.DataFrame) -> tuple[_Found, list[Outcome]]:
        mentions: list[tuple[object, ...]] = []
        titles: list[tuple[object, ...]] = []
        acronyms: list[tuple[object, ...]] = []
        counts: dict[str, int] = {}
        for passage, space, source, text, title in loaded.iter_rows():
            found = extract_mentions(text, title)
            counts[passage] = len(found)
            for item in found:
                key = entity_id(space, item.key)
                mentions.append((passage, space, source, key, item.key, item.kind, item.surface, item.start, item.end))
            for key, item in {entity_id(space, item.key): item for item in title_mentions(title)}.items():
                titles.append((passage, space, source, key, item.key, item.kind, item.surface))
            pairs: dict[tuple[str, str], tuple[int, int]] = {}
            for short, long in extract_acronyms(text):
                short_key, long_key = normalise(text[slice(*short)]), normalise(text[slice(*long)])
                if short_key and long_key and short_key != long_key:
                    pair = (entity_id(space, short_key), entity_id(space, long_key))
                    pairs.setdefault(pair, (min(short[0], long[0]), max(short[1], long[1])))
            acronyms.extend((passage, space, source, *pair, *span) for pair, span in pairs.items())
        outcomes = [Outcome(task, Status.DONE, outputs=counts[task.input_id]) for task in tasks]
        return _Found(_frame(mentions, _MENTIONS), _frame(titles, _TITLES), _frame(acronyms, _ACRONYMS)), outcomes

    def tables(self, computed: _Found) -> dict[str, pl.DataFrame]:
        return {"mentions": computed.mentions, "titles": computed.titles, "acronyms": computed.acronyms}

    def write(self, connection: Connection, tasks: Sequence[Task], computed: _Found) -> Changes:
        owners = [task.input_id for task in tasks]
        changes = [
            replace_rows(connection, name, _KEYS[name], rows, "passage_id", owners)
            for name, rows in self.tables(computed).items()
        ]
        return sum(changes, Changes())

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        removed = 0
        for table in _KEYS:
            removed += len(
                connection.execute(
                    f"DELETE FROM {table} WHERE passage_id IN (SELECT unnest($ids)) RETURNING 1",
                    {"ids": list(input_ids)},
                ).fetchall()
            )
        return Changes(removed=removed)


def _frame(rows: list[tuple[object, ...]], schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")
