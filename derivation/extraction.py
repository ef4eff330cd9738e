"""Passages to mentions, the entities that titles name, acronyms with their long forms, and stated facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from derivation.lake import Lake
from derivation.model_calls import Question
from derivation.model_extraction import EXTRACTION, ModelExtractor, prompt_versions
from derivation.progress import ModelUse
from derivation.runner import Computed, Inputs, failure
from errors import MemlakeError
from graph.extraction import Extraction, Extractor, Passage, RulesExtractor, entity_type
from graph.locating import CODE_VERSION as LOCATING_VERSION
from graph.mentions import CODE_VERSION as MENTIONS_VERSION
from graph.mentions import Mention
from graph.normalise import normalise
from graph.triples import CODE_VERSION as TRIPLES_VERSION
from graph.triples import Triple
from warehouse.database import Changes, Connection, replace_rows
from warehouse.delta import Outcome, Scope, Status, Step, Task, Verdict
from warehouse.ids import entity_id, fact_id

CODE_VERSION = f"{MENTIONS_VERSION}.{TRIPLES_VERSION}"

_OWNED = {"passage_id": pl.String, "space": pl.String, "source": pl.String}
_SCHEMAS: dict[str, dict[str, type[pl.DataType]]] = {
    "mentions": {
        **_OWNED,
        "entity_id": pl.String,
        "entity_key": pl.String,
        "kind": pl.String,
        "surface": pl.String,
        "char_start": pl.Int32,
        "char_end": pl.Int32,
    },
    "titles": {**_OWNED, "entity_id": pl.String, "entity_key": pl.String, "kind": pl.String, "surface": pl.String},
    "acronyms": {
        **_OWNED,
        "short_id": pl.String,
        "long_id": pl.String,
        "char_start": pl.Int32,
        "char_end": pl.Int32,
    },
    "supports": {
        **_OWNED,
        "fact_id": pl.String,
        "subject_id": pl.String,
        "predicate": pl.String,
        "object_id": pl.String,
        "char_start": pl.Int32,
        "char_end": pl.Int32,
        "subject_start": pl.Int32,
        "subject_end": pl.Int32,
        "subject_titled": pl.Boolean,
        "object_start": pl.Int32,
        "object_end": pl.Int32,
        "object_titled": pl.Boolean,
    },
}
_KEYS = {
    "mentions": ["passage_id", "char_start", "char_end", "entity_id"],
    "titles": ["passage_id", "entity_id"],
    "acronyms": ["passage_id", "short_id", "long_id"],
    "supports": ["passage_id", "fact_id"],
}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What an extractor needs of a batch."""

    passages: list[Passage]
    owners: dict[str, tuple[str, str, str]]
    """Passage id to itself, its space and its source."""


class ExtractionStep:
    """Reads each passage alone, so that what it mentions and states depends on nothing else in the lake."""

    def __init__(self, lake: Lake, recorded_only: bool = False) -> None:
        """``recorded_only`` takes only passages whose replies are recorded, so that no model is asked."""
        self._lake = lake
        self._recorded_only = recorded_only
        self.step = extraction_step(lake)

    def inputs(self, scope: Scope) -> Inputs:
        return Inputs(
            "SELECT p.passage_id AS input_id, p.text_hash AS input_hash, d.path AS label"
            " FROM passages p JOIN documents d USING (document_id)"
            " WHERE p.space = $of_space AND p.source = $of_source",
            {"of_space": scope.space, "of_source": scope.source},
        )

    def load(self, connection: Connection, tasks: Sequence[Task]) -> _Loaded:
        rows = connection.execute(
            "SELECT p.passage_id, p.space, p.source, d.title, p.text, p.text_hash"
            " FROM passages p JOIN documents d USING (document_id) WHERE p.passage_id IN (SELECT unnest($ids))"
            " ORDER BY p.passage_id",
            {"ids": [task.input_id for task in tasks]},
        ).fetchall()
        return _Loaded(
            [Passage(key, title, text, text_hash) for key, _, _, title, text, text_hash in rows],
            {key: (key, space, source) for key, space, source, *_ in rows},
        )

    def compute(self, tasks: Sequence[Task], loaded: _Loaded) -> Computed:
        by_id = {task.input_id: task for task in tasks}
        extracted = self._extractor(loaded, self._again(tasks)).extract(loaded.passages)
        rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _SCHEMAS}
        outcomes = []
        unlocated = 0
        for passage, found in zip(loaded.passages, extracted.found, strict=True):
            task = by_id[passage.passage_id]
            if isinstance(found, MemlakeError):
                outcomes.append(failure(task, found))
            elif found is not None:
                unlocated += found.unlocated
                _add_rows(rows, loaded.owners[passage.passage_id], found)
                outcomes.append(Outcome(task, Status.DONE, outputs=len(found.mentions) + len(found.triples)))
        outputs = {name: pl.DataFrame(rows[name], schema=schema, orient="row") for name, schema in _SCHEMAS.items()}
        used = ModelUse(extracted.seconds, extracted.tokens, extracted.cost, unlocated)
        return Computed(outputs, outcomes, extracted.stopped, extracted.deferred, used)

    def tables(self, outputs: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
        return outputs

    def write(self, connection: Connection, owners: Sequence[str], outputs: Mapping[str, pl.DataFrame]) -> Changes:
        changes = [
            replace_rows(connection, name, _KEYS[name], rows, "passage_id", owners) for name, rows in outputs.items()
        ]
        return sum(changes, Changes())

    def owned(self, table: str, owners: Sequence[str]) -> tuple[str, Sequence[str]]:
        return "passage_id", owners

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        removed = 0
        for table in _SCHEMAS:
            removed += len(
                connection.execute(
                    f"DELETE FROM {table} WHERE passage_id IN (SELECT unnest($ids)) RETURNING 1",
                    {"ids": list(input_ids)},
                ).fetchall()
            )
        return Changes(removed=removed)

    def missing(self, tasks: Sequence[Task], loaded: _Loaded) -> list[Question]:
        """What a model is to be asked next about these passages, each request once; nothing where rules extract."""
        extractor = self._extractor(loaded, frozenset())
        return extractor.missing(loaded.passages) if isinstance(extractor, ModelExtractor) else []

    def _again(self, tasks: Sequence[Task]) -> frozenset[str]:
        """Passages about which the model is asked anew where its reply was of no use."""
        retried = tasks if self._lake.retry_quarantined else ()
        return frozenset(task.input_id for task in retried if task.verdict is Verdict.FAILED)

    def _extractor(self, loaded: _Loaded, again: Collection[str]) -> Extractor:
        if self._lake.settings.extraction.provider == "rules" or not loaded.owners:
            return RulesExtractor()
        _, space, source = next(iter(loaded.owners.values()))
        hashes = [passage.text_hash for passage in loaded.passages if passage.passage_id in again]
        return ModelExtractor(self._lake, Scope(space, source), self._recorded_only, hashes)


def extraction_step(lake: Lake) -> Step:
    """The step; what a model is asked, and what is made of its reply, are part of its fingerprint."""
    setting = lake.settings.extraction
    parameters: dict[str, object] = {"extractor": setting.provider}
    if setting.provider == "openai":
        parameters |= {
            "model": setting.model,
            "calls": setting.calls,
            "prompts": prompt_versions(setting.calls),
            "max_tokens": setting.max_tokens,
            "repairs": setting.repairs,
            "located": LOCATING_VERSION,
        }
    return Step(EXTRACTION, CODE_VERSION, parameters)


def _add_rows(rows: dict[str, list[tuple[object, ...]]], owner: tuple[str, str, str], found: Extraction) -> None:
    """Append the rows of one passage, each key once."""
    space = owner[1]
    seen: set[tuple[object, ...]] = set()

    def new(*key: object) -> bool:
        is_new = key not in seen
        seen.add(key)
        return is_new

    ends = [(triple.subject, triple.subject_in_title) for triple in found.triples]
    ends += [(triple.object, triple.object_in_title) for triple in found.triples]
    for item in (*found.mentions, *(end for end, titled in ends if not titled)):
        key = _entity(space, item)
        if new("mention", item.start, item.end, key):
            rows["mentions"].append((*owner, key, item.key, item.kind, item.surface, item.start, item.end))
    for item in (*found.titles, *(end for end, titled in ends if titled)):
        key = _entity(space, item)
        if new("title", key):
            rows["titles"].append((*owner, key, item.key, item.kind, item.surface))
    for short, long in found.acronyms:
        text = found.text
        short_key, long_key = normalise(text[slice(*short)]), normalise(text[slice(*long)])
        if short_key and long_key and short_key != long_key:
            pair = (entity_id(space, short_key), entity_id(space, long_key))
            if new("acronym", *pair):
                rows["acronyms"].append((*owner, *pair, min(short[0], long[0]), max(short[1], long[1])))
    for triple in found.triples:
        fact = _fact_row(space, triple)
        if new("support", fact[0]):
            rows["supports"].append((*owner, *fact))


def _fact_row(space: str, triple: Triple) -> tuple[object, ...]:
    subject, obj = _entity(space, triple.subject), _entity(space, triple.object)
    return (
        fact_id(subject, triple.predicate, obj),
        subject,
        triple.predicate,
        obj,
        triple.start,
        triple.end,
        triple.subject.start,
        triple.subject.end,
        triple.subject_in_title,
        triple.object.start,
        triple.object.end,
        triple.object_in_title,
    )


def _entity(space: str, mention: Mention) -> str:
    return entity_id(space, mention.key, entity_type(mention.kind))
