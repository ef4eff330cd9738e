"""Asking a language model from a step: what was paid for once is kept, counted, and held within the budget.

Requests go out one by one, or to the provider's batch interface, whose replies a later run fetches. Either way a reply
that is recorded (``derivation/replies.py``) is never asked for again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from derivation.lake import Lake
from derivation.replies import (
    absorb_replies,
    adopt_replies,
    forget_malformed,
    insert_calls,
    journal_call,
    mark_malformed,
    recorded_replies,
    spent_today,
)
from errors import BatchPending, BudgetExhausted, MemlakeError, Transient
from models.batch_api import BatchHandle, Done, find, poll, submit
from models.budget import Amount, Budget, Limits, prompt_bound
from models.chat import Call, ChatRequest, Exchange, ModelSpec, Reply, request_key
from models.client import ChatClient
from warehouse.delta import Scope
from warehouse.faults import reach


@dataclass(frozen=True, slots=True)
class Question:
    """A request about one input."""

    input_id: str
    text_hash: str
    request: ChatRequest
    chars: int
    """Of the document in it."""

    @property
    def prompt_chars(self) -> int:
        """Of what is sent."""
        return len(self.request.prompt.system) + len(self.request.user)


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a round of questions."""

    errors: Mapping[str, MemlakeError]
    """By request key: errors that concern one request only."""
    stopped: MemlakeError | None = None
    """Why no further request is made in this run."""
    deferred: MemlakeError | None = None
    """That replies come later, from a batch."""


class ModelCalls:
    """The calls of one step on one source."""

    def __init__(
        self,
        lake: Lake,
        step: str,
        scope: Scope,
        spec: ModelSpec,
        text_hashes: Sequence[str],
        again: Sequence[str] = (),
    ) -> None:
        """Takes over what an interrupted run has journalled, and reads what is recorded of these texts.

        Args:
            again: those of the texts about which the model is to be asked anew where its reply was of no use.
        """
        self.seconds = 0.0
        """Spent in the model, or waiting for it."""
        self.tokens = 0
        self.cost = 0.0
        """Of all calls; 0 where prices are not known."""
        self._lake = lake
        self._step = step
        self._scope = scope
        self._spec = spec
        self._rejected: set[str] = set()
        absorb_replies(lake)
        with lake.warehouse.session("reading recorded replies") as connection:
            if again:
                forget_malformed(connection, scope.space, again, lake.run_id)
            self._replies = recorded_replies(connection, scope.space, text_hashes)

    def key(self, request: ChatRequest) -> str:
        """What a request is recorded by."""
        return request_key(self._spec, request)

    def reply(self, request: ChatRequest) -> str | None:
        """What the model is recorded to have said to a request."""
        return self._replies.get(self.key(request))

    def reject(self, request: ChatRequest) -> None:
        """The reply to a request is not of the shape that was asked for."""
        self._rejected.add(self.key(request))

    def note_rejected(self) -> None:
        """Record which replies were rejected."""
        if self._rejected:
            with self._lake.warehouse.session("noting replies of no use") as connection:
                mark_malformed(connection, self._scope.space, sorted(self._rejected))

    def ask(self, questions: Sequence[Question]) -> Asked:
        """Ask what is not recorded, each request once, and record the replies."""
        asked = {self.key(question.request): question for question in questions}
        batched = self._lake.settings.extraction.mode == "batch"
        started = time.perf_counter()
        try:
            under_way = self._fetch_batches() if batched else set()
            self._adopt(questions)
            open_ = {key: item for key, item in asked.items() if key not in self._replies}
            done = self._ask_in_batch(open_, under_way) if batched else self._ask_now(open_)
        except MemlakeError as error:
            done = Asked({}, stopped=error)
        absorb_replies(self._lake)
        self._adopt(questions)
        self.seconds += time.perf_counter() - started
        return done

    def _adopt(self, questions: Sequence[Question]) -> None:
        """Keep what is recorded with each of the texts that it is about."""
        wanted = [(question.text_hash, self.key(question.request)) for question in questions]
        with self._lake.warehouse.session("reading recorded replies") as connection:
            self._replies |= adopt_replies(connection, self._scope.space, wanted)

    def _ask_now(self, by_key: Mapping[str, Question]) -> Asked:
        errors: dict[str, MemlakeError] = {}

        def take(exchange: Exchange) -> None:
            key = self.key(exchange.request)
            if exchange.error is not None:
                errors[key] = exchange.error
            question = by_key[key]
            chars = (question.prompt_chars, question.chars)
            about = (question.input_id, self._scope.source, self._step, question.text_hash, *chars)
            journal_call(self._lake, self._record(key, uuid4().hex, about, exchange.call, exchange.reply))

        if not by_key:
            return Asked({})
        client = ChatClient(self._spec, self._budget(), self._count_tokens)
        try:
            with self._lake.warehouse.released():
                client.complete_all([question.request for question in by_key.values()], take)
        except MemlakeError as error:  # those that met the same are not to blame, and stay planned
            return Asked({key: one for key, one in errors.items() if type(one) is not type(error)}, stopped=error)
        return Asked(errors)

    def _record(
        self, key: str, call_id: str, about: tuple[object, ...], call: Call, reply: Reply | None
    ) -> dict[str, Any]:
        """A call and its reply as a row; what they took is added up. ``about`` has the values of ``_ABOUT``."""
        self.tokens += call.prompt_tokens + call.completion_tokens
        self.cost += call.cost or 0.0
        text = None if reply is None else reply.text.encode("utf-8", "replace").decode()  # half a character is no text
        if text is not None:
            self._replies[key] = text
        return {
            "call_id": call_id,
            "run_id": self._lake.run_id,
            "space": self._scope.space,
            "request_key": key,
            "reply": text,
            **dict(zip(_ABOUT, about, strict=True)),
            **asdict(call),
        }

    def _count_tokens(self, text: str) -> int:
        return self._lake.token_counter([text])[0]

    def _budget(self) -> Budget:
        """The run's budget: one for all steps of this process, so that what one has spent counts for the next."""
        if self._lake.budget is None:
            setting = self._lake.settings.budget
            limits = Limits(setting.run_cost, setting.day_cost, setting.run_tokens, setting.day_tokens)
            with self._lake.warehouse.session("reading what was spent") as connection:
                self._lake.budget = Budget(self._spec, limits, spent_today(connection))
        return self._lake.budget

    # --- batches ----------------------------------------------------------------------------------------------------

    def _ask_in_batch(self, by_key: Mapping[str, Question], under_way: set[str]) -> Asked:
        """Hand over what is in no batch and was not refused in one."""
        errors = {key: self._lake.batch_errors[key] for key in by_key if key in self._lake.batch_errors}
        new = {key: item for key, item in by_key.items() if key not in under_way and key not in errors}
        stopped: MemlakeError | None = None
        most: dict[str, Amount] = {}
        budget, discount = self._budget(), self._lake.settings.extraction.batch_price
        for key, question in new.items():
            prompt = prompt_bound(self._spec, question.request, self._count_tokens)
            try:
                reservation = budget.reserve(prompt, self._spec.max_tokens, discount)
            except BudgetExhausted as error:
                stopped = error
                break
            budget.settle(reservation, None)
            most[key] = reservation.most
        if most:
            self._submit(new, most)
        waiting = len(most) + len(under_way.intersection(by_key))
        pending = BatchPending(
            f"{waiting:,} requests are with the batch interface of {self._spec.model}.",
            "Run the build again later: it fetches what is done and goes on from there.",
        )
        return Asked(errors, stopped, pending if waiting else None)

    def _submit(self, questions: Mapping[str, Question], most: Mapping[str, Amount]) -> None:
        """Start a batch of the requests in ``most``, or take over one of these that a killed process has started."""
        requests = [questions[key].request for key in most]
        with self._lake.warehouse.released():
            handle = find(self._spec, requests)
        if handle is None or self._was_taken(handle):
            with self._lake.warehouse.released():
                handle = submit(self._spec, requests)
            reach("batches.submitted")
        self._lake.polled_batches.add(handle.batch_id)
        with self._lake.warehouse.session("noting a batch") as connection:
            for key, amount in most.items():
                connection.execute(
                    "INSERT INTO model_batches VALUES ($batch, $space, $source, $step, $input, $hash, $key, $handle,"
                    " $now, $tokens, $cost, $prompt, $chars)",
                    {
                        "batch": handle.batch_id,
                        "space": self._scope.space,
                        "source": self._scope.source,
                        "step": self._step,
                        "input": questions[key].input_id,
                        "hash": questions[key].text_hash,
                        "key": key,
                        "handle": json.dumps(handle.to_json()),
                        "now": datetime.now(UTC).replace(tzinfo=None),
                        "tokens": amount.tokens,
                        "cost": amount.money,
                        "prompt": questions[key].prompt_chars,
                        "chars": questions[key].chars,
                    },
                )

    def _was_taken(self, handle: BatchHandle) -> bool:
        """Whether a batch's replies are recorded already, and the same is to be asked again."""
        with self._lake.warehouse.session("looking for a batch") as connection:
            found = connection.execute(
                "SELECT 1 FROM model_calls WHERE call_id IN (SELECT unnest($ids)) LIMIT 1",
                {"ids": [_call_id(handle.batch_id, key) for key in handle.prompts]},
            ).fetchone()
        return found is not None

    def _fetch_batches(self) -> set[str]:
        """Record what batches have brought; returns the keys that are still under way."""
        with self._lake.warehouse.session("reading batches") as connection:
            rows = connection.execute(
                "SELECT batch_id, any_value(handle) FROM model_batches WHERE space = $space"
                " GROUP BY batch_id ORDER BY batch_id",
                {"space": self._scope.space},
            ).fetchall()
        under_way: set[str] = set()
        for batch_id, handle in rows:
            opened = BatchHandle.from_json(json.loads(handle))
            if batch_id in self._lake.polled_batches:
                under_way |= set(opened.prompts)
                continue
            with self._lake.warehouse.released():
                state = poll(self._spec, opened, self._lake.settings.extraction.batch_price)
            self._lake.polled_batches.add(batch_id)
            if isinstance(state, Done):
                self._take_batch(batch_id, state)
            else:
                under_way |= set(opened.prompts)
        return under_way

    def _take_batch(self, batch_id: str, done: Done) -> None:
        """Record a batch that has ended. What it has not got to is asked again; what it refused is an error."""
        self._lake.batch_errors |= {
            key: error
            for key, error in done.errors.items()
            if done.status == "completed" or not isinstance(error, Transient)
        }
        with self._lake.warehouse.session("recording a batch") as connection:
            asked = connection.execute(
                f"SELECT request_key, submitted_at, {', '.join(_ABOUT)} FROM model_batches WHERE batch_id = $id",
                {"id": batch_id},
            ).fetchall()
            calls = {  # by our clock: a budget of a day goes by it
                key: replace(done.calls[key], started_at=at.replace(tzinfo=UTC)) for key, at, *_ in asked
            }
            insert_calls(
                connection,
                [
                    self._record(key, _call_id(batch_id, key), tuple(about), calls[key], done.replies.get(key))
                    for key, _, *about in asked
                ],
            )
            connection.execute("DELETE FROM model_batches WHERE batch_id = $id", {"id": batch_id})


_ABOUT = ("input_id", "source", "step", "text_hash", "prompt_chars", "input_chars")
"""What a call is about; a batch may be fetched by another step than the one that asked."""


def _call_id(batch_id: str, key: str) -> str:
    return f"{batch_id}-{key}"
