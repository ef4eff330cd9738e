"""Memories by a language model: outlines and cores of texts section by section, conversations part by part.

What the model says is data: parsed against a schema, located in the document, and kept only where it stands there
(``memory/documents/model_reply.py``, ``memory/conversations/replies.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from derivation.lake import Lake
from derivation.model_calls import ModelCalls, Question
from derivation.model_extraction import model_spec
from derivation.model_reading import Readings, first_request, missing, read_all, reply_of_shape
from memory.conversations.replies import CODE_VERSION as REPLIES_VERSION
from memory.conversations.replies import PROMPT as SESSION_PROMPT
from memory.conversations.replies import Reply, from_replies
from memory.conversations.session import numbered, parts
from memory.conversations.times import time_expressions
from memory.documents.model_reply import PROMPT as OUTLINE_PROMPT
from memory.documents.model_reply import (
    DocumentOutline,
    OutlinedSection,
    outline_by_model,
    outline_message,
    outline_sections,
)
from memory.remembering import Remembered, RememberedDocument
from models.chat import ChatRequest
from models.prompts import Prompt, load_prompt
from warehouse.delta import Scope

MEMORIES = "memories"
"""Name of the step."""

PART_CHARS = 24_000
"""Characters of a conversation that one call is about: some 6,000 tokens."""


class ModelMemories:
    """Asks the model that ``[extraction]`` names about the documents of one source."""

    def __init__(self, lake: Lake, scope: Scope, recorded_only: bool = False, again: Sequence[str] = ()) -> None:
        """``again``: hashes of texts about which the model is asked anew where its reply was of no use."""
        self._lake = lake
        self._scope = scope
        self._recorded_only = recorded_only
        self._again = again
        self.seconds = 0.0
        """Spent in the model."""
        self.tokens = 0
        self.cost = 0.0

    def remember(self, documents: Sequence[RememberedDocument]) -> Readings[Remembered]:
        """The memories of each document, asked for where they are not recorded."""
        calls = self._calls(documents, self._again)
        read = read_all(calls, documents, partial(self._read, calls), _question, self._recorded_only)
        self.seconds, self.tokens, self.cost = calls.seconds, calls.tokens, calls.cost
        return read

    def missing(self, documents: Sequence[RememberedDocument]) -> list[Question]:
        """Everything that the documents need and that is not recorded, each request once; nothing is asked.

        What a document needs is known from the start, but for replies that are asked for again.
        """
        calls = self._calls(documents)
        next_ones = missing(calls, documents, partial(self._read, calls), _question)
        waiting = {question.input_id for question in next_ones}
        found = {calls.key(question.request): question for question in next_ones}
        for document in documents:
            if document.document_id in waiting:
                for request in self._requests(document):
                    if calls.reply(request) is None:
                        found[calls.key(request)] = _question(document, request)
        return list(found.values())

    def _requests(self, document: RememberedDocument) -> list[ChatRequest]:
        """What is asked about a document, whatever the replies."""
        if document.turn_starts:
            session = document.session
            said = [numbered(session, part) for part in parts(session, PART_CHARS)]
            return [first_request(SESSION_PROMPT, message, Reply) for message in said]
        sections = outline_sections(document.text, document.media_type)
        return [
            first_request(
                OUTLINE_PROMPT, outline_message(document.text, section, document.title, sample), DocumentOutline
            )
            for sample in range(self._lake.settings.memory.samples)
            for section in sections
        ]

    def _calls(self, documents: Sequence[RememberedDocument], again: Sequence[str] = ()) -> ModelCalls:
        hashes = [document.content_hash for document in documents]
        return ModelCalls(self._lake, MEMORIES, self._scope, model_spec(self._lake.settings.extraction), hashes, again)

    def _read(self, calls: ModelCalls, document: RememberedDocument) -> Remembered:
        """The memories of a document from recorded replies.

        Raises:
            Wanted: one is missing.
            Malformed: the model keeps saying what was not asked for.
        """
        repairs = self._lake.settings.extraction.repairs
        if document.turn_starts:
            session = document.session
            replies = [
                (part, reply_of_shape(calls, SESSION_PROMPT, numbered(session, part), Reply, repairs))
                for part in parts(session, PART_CHARS)
            ]
            told = from_replies(session, replies)
            return Remembered(
                memories=tuple(told.memories),
                times=tuple(time_expressions(document.text, document.day)),
                unlocated=told.invented_turns + told.unlocated_keywords + told.unusable,
                is_verbatim=False,
            )
        sections = outline_sections(document.text, document.media_type)
        samples = []
        for sample in range(self._lake.settings.memory.samples):
            read = []
            for section in sections:
                message = outline_message(document.text, section, document.title, sample)
                reply = reply_of_shape(calls, OUTLINE_PROMPT, message, DocumentOutline, repairs)
                read.append(OutlinedSection(*section, tuple(reply.parts)))
            samples.append(read)
        outlined = outline_by_model(document.text, samples, document.media_type, document.title)
        return Remembered(outlined.memories, outlined.candidates, (), outlined.unlocated, is_verbatim=False)


def memory_prompts() -> list[Prompt]:
    """The prompts that remembering takes."""
    return [load_prompt(OUTLINE_PROMPT), load_prompt(SESSION_PROMPT)]


def model_parameters(lake: Lake) -> dict[str, object]:
    """What of the settings shapes what a model says of a document."""
    return {
        "model": lake.settings.extraction.model,
        "prompts": {prompt.name: prompt.version for prompt in memory_prompts()},
        "max_tokens": lake.settings.extraction.max_tokens,
        "repairs": lake.settings.extraction.repairs,
        "samples": lake.settings.memory.samples,
        "replies": REPLIES_VERSION,
    }


def _question(document: RememberedDocument, request: ChatRequest) -> Question:
    return Question(document.document_id, document.content_hash, request, len(request.user))
