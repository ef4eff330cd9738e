"""Asking a chat model many things at once, each paid for once.

Every request that is taken up ends in exactly one :class:`Exchange`, whose call counts all tokens that the endpoint
billed, over all attempts. An error that would meet every request ends the whole, as does the end of the budget; then
requests without an exchange were not answered, and may be asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from errors import BudgetExhausted, MemlakeError, ModelUnavailable
from models.backoff import Backoff
from models.budget import Budget, Reservation, prompt_bound
from models.chat import Call, ChatRequest, Exchange, ModelSpec, Outcome, Reply, Usage, request_body
from models.endpoint import endpoint_key
from models.failures import Failure, classify, refusal, without_choices

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletion

_DEFAULT_BACKOFF = Backoff()

_DOWN_AFTER = 10
"""Requests without a reply, one after another and each after all its attempts, for the endpoint to be taken as down."""

_LONGEST_CONNECT_SECONDS = 10.0


@dataclass(slots=True)
class _Tally:
    """What a request has taken so far."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=Usage)
    sent: int = 0
    unreported: int = 0

    @property
    def milliseconds(self) -> int:
        return round(1000 * (time.monotonic() - self.clock))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one attempt brought."""

    text: str
    finish_reason: str
    failure: Failure | None
    usage: Usage | None
    """``None`` where the endpoint did not tell."""


class ChatClient:
    """One model behind one endpoint; remembers between runs what the endpoint does not know."""

    def __init__(
        self,
        spec: ModelSpec,
        budget: Budget | None = None,
        count_tokens: Callable[[str], int] | None = None,
        backoff: Backoff = _DEFAULT_BACKOFF,
    ) -> None:
        """
        Args:
            budget: what every attempt is put aside from before it is made.
            count_tokens: for the bound of a prompt's tokens; without it bytes are counted.

        Raises:
            ModelError: there is no key.
        """
        endpoint_key()
        self.spec = spec
        self._budget = budget
        self._count = count_tokens
        self._backoff = backoff
        self._structured = spec.structured != "never"
        self._limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        self._reached = False
        self._reserved = 0
        self._settled = asyncio.Event()

    def complete(self, request: ChatRequest) -> Exchange:
        """Ask one thing; raises what :meth:`run` does."""
        exchanges: list[Exchange] = []
        self.complete_all([request], exchanges.append)
        return exchanges[0]

    def complete_all(self, requests: Iterable[ChatRequest], take: Callable[[Exchange], None]) -> None:
        """:meth:`run`, from a thread in which no event loop runs."""
        asyncio.run(self.run(requests, take))

    async def run(self, requests: Iterable[ChatRequest], take: Callable[[Exchange], None]) -> None:
        """Ask all requests, ``spec.concurrency`` at a time, drawn from ``requests`` as there is room.

        Args:
            take: gets every exchange as it ends, in no particular order, one at a time; while it works, no reply is
                read.

        Raises:
            ModelError: the settings are wrong (a key, a model, a parameter); what is under way is dropped.
            ModelUnavailable: there is no route to the endpoint, or it is down; what else befalls a request is in its
                exchange.
            BudgetExhausted: the next attempt could exceed a limit; what is under way was finished and taken.
        """
        waiting = iter(requests)
        unanswered = 0
        exhausted: list[BudgetExhausted] = []

        async def work(connection: AsyncOpenAI) -> None:
            nonlocal unanswered
            while not exhausted and (request := next(waiting, None)) is not None:
                exchange, stop = await self._exchange(connection, request)
                if exchange is not None:
                    take(exchange)
                if isinstance(stop, BudgetExhausted):
                    exhausted.append(stop)
                elif stop is not None:
                    raise stop
                elif exchange is not None:
                    unanswered = unanswered + 1 if isinstance(exchange.error, ModelUnavailable) else 0
                    if exchange.error is not None and unanswered >= _DOWN_AFTER:
                        raise exchange.error

        async with self._connected() as connection:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.spec.concurrency):
                        group.create_task(work(connection))
            except BaseExceptionGroup as failed:
                raise _first(failed) from None
        if exhausted:
            raise exhausted[0]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncOpenAI]:
        """The ``openai`` client; its connections belong to the event loop, so that each run has its own."""
        import openai

        longest = self.spec.timeout_seconds
        timeout = openai.Timeout(longest, connect=min(longest / 2, _LONGEST_CONNECT_SECONDS))
        connection = openai.AsyncOpenAI(
            api_key=endpoint_key(), base_url=self.spec.base_url, timeout=timeout, max_retries=0
        )
        self._settled = asyncio.Event()
        async with connection:
            yield connection

    async def _exchange(
        self, connection: AsyncOpenAI, request: ChatRequest
    ) -> tuple[Exchange | None, MemlakeError | None]:
        """What became of a request, and what stops all others, if anything does."""
        tally = _Tally()
        failures = 0
        while True:
            structured, limit_name = self._structured, self._limit_name
            try:
                answer = await self._attempt(connection, request, tally)
            except BudgetExhausted as error:
                if not tally.sent:
                    return None, error
                spent = Failure(Outcome.UNAVAILABLE, error, "no budget for another attempt")
                return self._failed(request, tally, spent), error
            failure = answer.failure
            if failure is None:
                return self._answered(request, tally, answer), None
            if failure.adapt and self._adapt(failure, structured, limit_name):
                continue
            failures += 1
            pause = self._backoff.pause(failures, failure.asked)
            if not failure.retry or failures >= self.spec.attempts or pause is None:
                return self._failed(request, tally, failure), failure.error if failure.fatal else None
            await asyncio.sleep(pause)

    async def _attempt(self, connection: AsyncOpenAI, request: ChatRequest, tally: _Tally) -> _Answer:
        """One HTTP request, its budget reserved before and settled after, whatever happens.

        Raises:
            BudgetExhausted: it was not sent.
        """
        reservation = await self._reserve(self._budget, request) if self._budget else None
        answer = None
        tally.sent += 1
        try:
            answer = await self._send(connection, request)
        finally:
            unreported = answer is None or answer.usage is None
            tally.unreported += unreported
            if answer is not None and answer.usage is not None:
                tally.usage += answer.usage
            if self._budget and reservation:
                self._budget.settle(reservation, answer.usage if answer else None)
                self._reserved -= 1
                self._settled.set()
        return answer

    async def _reserve(self, budget: Budget, request: ChatRequest) -> Reservation:
        """Put an attempt's budget aside, once those under way have given back what they do not need.

        Raises:
            BudgetExhausted: nothing is under way, and it does not suffice.
        """
        prompt_tokens = prompt_bound(self.spec, request, self._count)
        while True:
            try:
                reservation = budget.reserve(prompt_tokens, request.max_tokens or self.spec.max_tokens)
            except BudgetExhausted:
                if not self._reserved:
                    raise
                self._settled.clear()
                await self._settled.wait()
            else:
                self._reserved += 1
                return reservation

    async def _send(self, connection: AsyncOpenAI, request: ChatRequest) -> _Answer:
        body = request_body(self.spec, request, self._structured, self._limit_name)
        try:
            async with asyncio.timeout(self.spec.timeout_seconds):  # the client's own is one for each read
                completion = await connection.chat.completions.create(**body)
            self._reached = True
            return self._read(completion)
        except Exception as error:
            failure = classify(error, self.spec, self._reached)
            if failure is None:
                raise
            self._reached |= not (failure.fatal and failure.outcome is Outcome.UNAVAILABLE)
            return _Answer("", "", failure, None if failure.unreported else Usage())

    def _read(self, completion: ChatCompletion) -> _Answer:
        """The first choice; the client does not validate, so that anything may be missing."""
        usage = _usage(completion.usage)
        if not completion.choices:
            return _Answer("", "", without_choices(self.spec), usage)
        choice = completion.choices[0]
        filtered = choice.finish_reason == "content_filter"
        if filtered or choice.message.refusal:
            return _Answer("", "", refusal(self.spec, filtered), usage)
        return _Answer(str(choice.message.content or ""), str(choice.finish_reason), None, usage)

    def _adapt(self, failure: Failure, structured: bool, limit_name: str) -> bool:
        """Say in another way what the endpoint does not know; whether there is such a way.

        Args:
            structured: how the request was sent that failed; another one may have found the way meanwhile.
            limit_name: likewise.
        """
        if failure.adapt == "schema" and structured and self.spec.structured == "auto":
            self._structured = False
            return True
        if failure.adapt == "limit" and limit_name == "max_tokens":
            self._limit_name = "max_completion_tokens"
            return True
        return False

    def _answered(self, request: ChatRequest, tally: _Tally, answer: _Answer) -> Exchange:
        reply = Reply(answer.text, tally.usage, answer.finish_reason, tally.milliseconds, tally.sent)
        outcome = Outcome.CUT_OFF if answer.finish_reason == "length" else Outcome.OK
        return Exchange(request, self._call(request, tally, outcome), reply)

    def _failed(self, request: ChatRequest, tally: _Tally, failure: Failure) -> Exchange:
        return Exchange(request, self._call(request, tally, failure.outcome, failure.brief), error=failure.error)

    def _call(self, request: ChatRequest, tally: _Tally, outcome: Outcome, error: str | None = None) -> Call:
        return Call(
            prompt_name=request.prompt.name,
            prompt_version=request.prompt.version,
            model=self.spec.model,
            started_at=tally.started_at,
            latency_ms=tally.milliseconds,
            prompt_tokens=tally.usage.prompt_tokens,
            completion_tokens=tally.usage.completion_tokens,
            cost=self.spec.cost(tally.usage),
            outcome=outcome,
            attempts=tally.sent,
            unreported=tally.unreported,
            error=error,
        )


def _usage(told: CompletionUsage | None) -> Usage | None:
    """What the endpoint billed; ``None`` where it tells nothing that can be counted."""
    prompt, completion = getattr(told, "prompt_tokens", None), getattr(told, "completion_tokens", None)
    if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
        return Usage(prompt, completion)
    return None


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group, however deep."""
    error = failed.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
