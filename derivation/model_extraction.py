"""Extraction by a language model: entities, then the facts between them, each located in its passage.

HippoRAG's two steps (arXiv 2405.14831): one call for the named entities, one for the triples given these; or one call
for both. What the model says is data: parsed against a schema, never evaluated, and kept only where the passage holds
it. The names that rules find are free and stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import BaseModel

from derivation.lake import Lake
from derivation.model_calls import ModelCalls, Question
from derivation.model_reading import missing, read_all, reply_of_shape
from graph.extraction import TYPES, Extracted, Extraction, Passage, extract_by_rules
from graph.locating import located
from graph.mentions import Mention
from models.chat import ChatRequest, ModelSpec
from models.fencing import fence
from models.prompts import Prompt, load_prompt
from warehouse.delta import Scope
from warehouse.sections import ExtractionSettings

EXTRACTION = "mentions"
"""Name of the step."""


class NamedEntity(BaseModel):
    """One entity as a model names it."""

    name: str
    type: str


class StatedFact(BaseModel):
    """One fact as a model states it."""

    subject: str
    predicate: str
    object: str


class NamedEntities(BaseModel):
    """The reply to ``named_entities``."""

    entities: list[NamedEntity]


class StatedFacts(BaseModel):
    """The reply to ``triples``."""

    triples: list[StatedFact]


class EntitiesAndFacts(BaseModel):
    """The reply to ``entities_and_triples``."""

    entities: list[NamedEntity]
    triples: list[StatedFact]


class ModelExtractor:
    """Asks the configured model about the passages of one source."""

    def __init__(self, lake: Lake, scope: Scope, recorded_only: bool = False, again: Sequence[str] = ()) -> None:
        """``again``: hashes of texts about which the model is asked anew where its reply was of no use."""
        self._lake = lake
        self._scope = scope
        self._recorded_only = recorded_only
        self._again = again
        self._setting = lake.settings.extraction

    def extract(self, passages: Sequence[Passage]) -> Extracted:
        """What each passage needs next and is not recorded is asked for, all passages side by side."""
        calls = self._calls(passages, self._again)
        read = read_all(calls, passages, partial(self._read, calls), _question, self._recorded_only)
        return Extracted(list(read.found), read.stopped, read.deferred, calls.seconds, calls.tokens, calls.cost)

    def missing(self, passages: Sequence[Passage]) -> list[Question]:
        """What each passage needs next and is not recorded; nothing is asked."""
        calls = self._calls(passages)
        return missing(calls, passages, partial(self._read, calls), _question)

    def _calls(self, passages: Sequence[Passage], again: Sequence[str] = ()) -> ModelCalls:
        hashes = [passage.text_hash for passage in passages]
        return ModelCalls(self._lake, EXTRACTION, self._scope, model_spec(self._setting), hashes, again)

    def _read(self, calls: ModelCalls, passage: Passage) -> Extraction:
        """The extraction of a passage from recorded replies.

        Raises:
            Wanted: one is missing.
            Malformed: the model keeps saying what was not asked for.
        """
        document, repairs = fence(passage.text, passage.title), self._setting.repairs
        if self._setting.calls == "one":
            both = reply_of_shape(calls, "entities_and_triples", document, EntitiesAndFacts, repairs)
            entities, facts = both.entities, both.triples
        else:
            entities = reply_of_shape(calls, "named_entities", document, NamedEntities, repairs).entities
            names = json.dumps(list(dict.fromkeys(item.name for item in entities)), ensure_ascii=False)
            user = f"{document}\n\n{fence(names, 'named entities', 'entities')}"
            facts = reply_of_shape(calls, "triples", user, StatedFacts, repairs).triples
        return _located(passage, entities, facts)


def _question(passage: Passage, request: ChatRequest) -> Question:
    return Question(passage.passage_id, passage.text_hash, request, len(passage.text))


def model_spec(setting: ExtractionSettings) -> ModelSpec:
    """How the settings say that the model is asked."""
    assert setting.model is not None
    return ModelSpec(
        model=setting.model,
        base_url=setting.base_url,
        max_tokens=setting.max_tokens,
        timeout_seconds=setting.timeout_seconds,
        structured=setting.structured,
        concurrency=setting.concurrency,
        attempts=setting.attempts,
        price_prompt_per_million=setting.price_per_million_prompt_tokens,
        price_completion_per_million=setting.price_per_million_completion_tokens,
    )


def prompts_of(calls: Literal["two", "one"]) -> list[Prompt]:
    """The prompts that an extraction takes, in order."""
    names = ["named_entities", "triples"] if calls == "two" else ["entities_and_triples"]
    return [load_prompt(name) for name in names]


def prompt_versions(calls: Literal["two", "one"]) -> dict[str, str]:
    """Name and version of each: a changed prompt makes exactly its rows stale."""
    return {prompt.name: prompt.version for prompt in prompts_of(calls)}


def _located(passage: Passage, entities: Sequence[NamedEntity], facts: Sequence[StatedFact]) -> Extraction:
    """What the model said and the passage holds, with what the rules find; a name is of one type in a passage."""
    said = located(
        [(item.name, _known_type(item.type)) for item in entities],
        [(item.subject, item.predicate, item.object) for item in facts],
        passage.text,
        passage.title,
    )
    rules = extract_by_rules(passage)
    types: dict[str, str] = {}
    for item in (*said.mentions, *said.title_mentions):
        if item.kind in TYPES:
            types.setdefault(item.key, item.kind)
    return Extraction(
        text=passage.text,
        mentions=[_typed(item, types) for item in (*said.mentions, *rules.mentions)],
        titles=[_typed(item, types) for item in (*rules.titles, *said.title_mentions)],
        acronyms=rules.acronyms,
        triples=[
            replace(triple, subject=_typed(triple.subject, types), object=_typed(triple.object, types))
            for triple in said.triples
        ],
        unlocated=said.unlocated_entities + said.unlocated_triples,
    )


def _known_type(said: str) -> str:
    """A type of ours, or nothing."""
    word = said.strip().casefold().replace("organization", "organisation")
    return {"location": "place", "company": "organisation"}.get(word, word if word in TYPES else "")


def _typed(mention: Mention, types: Mapping[str, str]) -> Mention:
    """A name, whoever found it, is the entity of that name which the model typed in the same passage."""
    known = types.get(mention.key)
    return replace(mention, kind=known) if known and mention.kind not in ("date", "identifier", "title") else mention
