"""Reading inputs from what a model is recorded to have said of them, and asking for what is missing, in rounds.

Whoever reads an input takes one reply after another; the first that is not recorded ends the reading, is asked for
together with those of all other inputs, and the input is read again. So a reading is a function of recorded replies,
and nobody who writes one needs to know when a model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from derivation.model_calls import ModelCalls, Question
from errors import Malformed, MemlakeError
from models.chat import ChatRequest
from models.prompts import load_prompt
from models.structured import parse_reply, strict_schema

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


class Wanted(Exception):
    """A reply that is not recorded."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request


@dataclass(frozen=True, slots=True)
class Readings(Generic[T]):
    """What was read of each input."""

    found: Sequence[T | MemlakeError | None]
    """The reading, why there is none, or nothing where the model was not asked."""
    stopped: MemlakeError | None = None
    deferred: MemlakeError | None = None


def read_all(
    calls: ModelCalls,
    inputs: Sequence[I],
    read: Callable[[I], T],
    question: Callable[[I, ChatRequest], Question],
    recorded_only: bool,
) -> Readings[T]:
    """Read every input, asking for what each needs next, all inputs side by side.

    Args:
        read: raises :class:`Wanted` where a reply is missing, and MemlakeError where one is of no use.
        recorded_only: nothing is asked.
    """
    found: list[T | MemlakeError | None] = [None] * len(inputs)
    open_ = dict(enumerate(inputs))
    failed: dict[str, MemlakeError] = {}
    tried: set[str] = set()
    stopped: MemlakeError | None = None
    deferred: MemlakeError | None = None
    while open_:
        questions = []
        for at, item in list(open_.items()):
            try:
                found[at] = read(item)
            except Wanted as wanted:
                key = calls.key(wanted.request)
                if key not in failed:
                    questions.append(question(item, wanted.request))
                    continue
                found[at] = failed[key]
            except MemlakeError as error:
                found[at] = error
            del open_[at]
        fresh = [each for each in questions if calls.key(each.request) not in tried]
        if not fresh or recorded_only or stopped:
            break
        asked = calls.ask(fresh)
        tried |= {calls.key(each.request) for each in fresh}
        stopped, deferred = asked.stopped, asked.deferred or deferred
        failed |= asked.errors
    if not recorded_only:
        calls.note_rejected()
    return Readings(found, stopped, deferred)


def missing(
    calls: ModelCalls,
    inputs: Sequence[I],
    read: Callable[[I], T],
    question: Callable[[I, ChatRequest], Question],
) -> list[Question]:
    """What each input needs next and is not recorded, each request once; nothing is asked."""
    questions = {}
    for item in inputs:
        try:
            read(item)
        except Wanted as wanted:
            questions[calls.key(wanted.request)] = question(item, wanted.request)
        except MemlakeError:  # what is recorded is of no use, and nothing more is asked
            continue
    return list(questions.values())


def first_request(prompt: str, user: str, shape: type[BaseModel]) -> ChatRequest:
    """What is asked before anything was said that is not of the shape."""
    return ChatRequest(load_prompt(prompt), user, prompt, strict_schema(shape))


def reply_of_shape(calls: ModelCalls, prompt: str, user: str, shape: type[R], repairs: int) -> R:
    """The recorded reply to a prompt, asked again with the reason where it is not of the shape.

    Raises:
        Wanted: it is not recorded.
        Malformed: the model keeps saying what was not asked for.
    """
    said = user
    for attempt in range(repairs + 1):
        request = first_request(prompt, said, shape)
        text = calls.reply(request)
        if text is None:
            raise Wanted(request)
        try:
            return parse_reply(text, shape).value
        except Malformed as error:
            calls.reject(request)
            if attempt == repairs:
                raise Malformed(f"{error.message} It said: {text[:200]!r}", error.remedy) from error
            said = f"{user}\n\nAn earlier reply ({attempt + 1}) could not be used. {error.message}"
    raise AssertionError("unreachable")
