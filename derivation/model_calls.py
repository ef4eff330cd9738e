"""Asking a language model from a step: what was paid for once is kept, counted, and held within the budget.

A reply goes to a journal beside the warehouse the moment it arrives, and into the warehouse when a round of requests
has ended; so a process that is killed loses no more than the requests that are under way. Whoever asks next takes the
journal over first. Replies are named by model, parameters and prompt (``models.chat.request_key``) and kept while a
passage of the space has the text that they are about.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from derivation.lake import Lake
from errors import BatchPending, BudgetExhausted, MemlakeError
from models.batch_api import BatchHandle, Done, poll, submit
from models.budget import Amount, Budget, Limits, prompt_bound
from models.chat import Call, ChatRequest, Exchange, ModelSpec, Reply, request_key
from models.client import ChatClient
from warehouse.database import Connection
from warehouse.delta import Scope
from warehouse.faults import reach
from warehouse.files import append_line


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
    seconds: float = 0.0
    tokens: int = 0


class ModelCalls:
    """The calls of one step on one source."""

    def __init__(self, lake: Lake, step: str, scope: Scope, spec: ModelSpec, text_hashes: Sequence[str]) -> None:
        """Takes over what an interrupted run has journalled, and reads what is recorded of these texts."""
        self._lake = lake
        self._step = step
        self._scope = scope
        self._spec = spec
        absorb_replies(lake)
        with lake.warehouse.session("reading recorded replies") as connection:
            rows = connection.execute(
                "SELECT request_key, reply FROM model_replies WHERE space = $space"
                " AND text_hash IN (SELECT unnest($hashes))",
                {"space": scope.space, "hashes": list(text_hashes)},
            ).fetchall()
        self._replies: dict[str, str] = dict(rows)

    def key(self, request: ChatRequest) -> str:
        """What a request is recorded by."""
        return request_key(self._spec, request)

    def reply(self, request: ChatRequest) -> str | None:
        """What the model is recorded to have said to a request."""
        return self._replies.get(request_key(self._spec, request))

    def ask(self, questions: Iterable[Question]) -> Asked:
        """Ask what is not recorded, each request once, and record the replies."""
        by_key = {request_key(self._spec, question.request): question for question in questions}
        if self._lake.settings.extraction.mode == "batch":
            return self._ask_in_batch(by_key)
        errors: dict[str, MemlakeError] = {}
        started = datetime.now(UTC)
        tokens = 0
        stopped: MemlakeError | None = None

        def take(exchange: Exchange) -> None:
            nonlocal tokens
            key = request_key(self._spec, exchange.request)
            tokens += exchange.call.prompt_tokens + exchange.call.completion_tokens
            if exchange.error is not None:
                errors[key] = exchange.error
            self._note(by_key[key], key, exchange.call, exchange.reply)

        client = ChatClient(self._spec, self._budget(), lambda text: self._lake.token_counter([text])[0])
        try:
            with self._lake.warehouse.released():
                client.complete_all([question.request for question in by_key.values()], take)
        except MemlakeError as error:
            stopped = error
        absorb_replies(self._lake)
        return Asked(errors, stopped, None, (datetime.now(UTC) - started).total_seconds(), tokens)

    def _note(self, question: Question, key: str, call: Call, reply: Reply | None) -> None:
        """Put a call and its reply on the disk."""
        if reply is not None:
            self._replies[key] = reply.text
        record = {
            "call_id": uuid4().hex,
            "run_id": self._lake.run_id,
            "step": self._step,
            "space": self._scope.space,
            "source": self._scope.source,
            "input_id": question.input_id,
            "request_key": key,
            "text_hash": question.text_hash,
            "reply": None if reply is None else reply.text,
            "prompt_chars": question.prompt_chars,
            "input_chars": question.chars,
            **asdict(call),
        }
        append_line(self._lake.layout.replies, json.dumps(record, ensure_ascii=False, default=str))
        reach("replies.noted")

    def _budget(self) -> Budget:
        """The run's budget: one for all steps of this process, so that what one has spent counts for the next."""
        if self._lake.budget is None:
            setting = self._lake.settings.budget
            limits = Limits(setting.run_cost, setting.day_cost, setting.run_tokens, setting.day_tokens)
            with self._lake.warehouse.session("reading what was spent") as connection:
                self._lake.budget = Budget(self._spec, limits, spent_today(connection))
        return self._lake.budget

    def _ask_in_batch(self, by_key: Mapping[str, Question]) -> Asked:
        """Fetch what batches have brought since; hand over what is in none."""
        under_way = self._fetch_batches()
        if all(key in self._replies for key in by_key):
            return Asked({})
        new = {key: item for key, item in by_key.items() if key not in under_way and key not in self._replies}
        stopped: MemlakeError | None = None
        bounds: dict[str, tuple[int, Amount]] = {}
        budget, discount = self._budget(), self._lake.settings.extraction.batch_price
        for key, question in new.items():
            prompt = prompt_bound(self._spec, question.request, lambda text: self._lake.token_counter([text])[0])
            try:
                reservation = budget.reserve(prompt, self._spec.max_tokens, discount)
            except BudgetExhausted as error:
                stopped = error
                break
            budget.settle(reservation, None)
            bounds[key] = (prompt, reservation.most)
        if bounds:
            try:
                with self._lake.warehouse.released():
                    handle = submit(self._spec, [new[key].request for key in bounds])
                self._note_batch(handle, new, {key: most for key, (_, most) in bounds.items()})
            except MemlakeError as error:
                return Asked({}, stopped=error)
        waiting = len(bounds) + len(under_way & set(by_key))
        pending = BatchPending(
            f"{waiting:,} requests are with the batch interface of {self._spec.model}.",
            "Run the build again later: it fetches what is done and goes on from there.",
        )
        return Asked({}, stopped, pending if waiting else None)

    def _note_batch(self, handle: BatchHandle, questions: Mapping[str, Question], most: Mapping[str, Amount]) -> None:
        with self._lake.warehouse.session("noting a batch") as connection:
            for key in most:
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
                        "tokens": most[key].tokens,
                        "cost": most[key].money,
                        "prompt": questions[key].prompt_chars,
                        "chars": questions[key].chars,
                    },
                )

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
            self._lake.polled_batches.add(batch_id)
            with self._lake.warehouse.released():
                state = poll(self._spec, opened, self._lake.settings.extraction.batch_price)
            if isinstance(state, Done):
                self._take_batch(batch_id, state)
            else:
                under_way |= set(opened.prompts)
        return under_way

    def _take_batch(self, batch_id: str, done: Done) -> None:
        with self._lake.warehouse.session("reading a batch") as connection:
            asked = connection.execute(
                "SELECT request_key, input_id, text_hash, prompt_chars, input_chars FROM model_batches"
                " WHERE batch_id = $id",
                {"id": batch_id},
            ).fetchall()
            records = []
            for key, input_id, text_hash, prompt_chars, input_chars in asked:
                reply = done.replies.get(key)
                if reply is not None:
                    self._replies[key] = reply.text
                records.append(
                    {
                        "call_id": f"{batch_id}-{key}",
                        "run_id": self._lake.run_id,
                        "step": self._step,
                        "space": self._scope.space,
                        "source": self._scope.source,
                        "input_id": input_id,
                        "request_key": key,
                        "text_hash": text_hash,
                        "reply": None if reply is None else reply.text,
                        "prompt_chars": prompt_chars,
                        "input_chars": input_chars,
                        **asdict(done.calls[key]),
                    }
                )
            _insert(connection, records)
            connection.execute("DELETE FROM model_batches WHERE batch_id = $id", {"id": batch_id})


def absorb_replies(lake: Lake) -> int:
    """Take the journal into the warehouse and empty it; returns how many calls it held."""
    journal = lake.layout.replies
    if not journal.exists():
        return 0
    records = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:  # the last line of a process that was killed while it wrote
            continue
    with lake.warehouse.session("recording replies") as connection:
        _insert(connection, records)
    reach("replies.absorbed")
    journal.unlink()
    return len(records)


def spent_today(connection: Connection) -> Amount:
    """What was spent since midnight (UTC), and what open batches can take at most."""
    row = connection.execute(
        "SELECT coalesce(sum(cost), 0), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM model_calls"
        " WHERE called_at >= CAST(now() AT TIME ZONE 'UTC' AS DATE)"
    ).fetchone()
    open_ = connection.execute(
        "SELECT coalesce(sum(most_cost), 0), coalesce(sum(most_tokens), 0) FROM model_batches"
    ).fetchone()
    assert row is not None and open_ is not None
    return Amount(float(row[0]) + float(open_[0]), int(row[1]) + int(open_[1]))


_INSERT_CALL = """
INSERT INTO model_calls VALUES ($call_id, $run_id, $step, $space, $source, $input_id, $request_key, $model,
    $prompt_name, $prompt_version, $started_at, $latency_ms, $prompt_tokens, $completion_tokens, $cost, $attempts,
    $outcome, $error, $prompt_chars, $input_chars) ON CONFLICT DO NOTHING
"""
_INSERT_REPLY = """
INSERT INTO model_replies VALUES ($space, $text_hash, $request_key, $reply, $outcome, $started_at)
ON CONFLICT DO UPDATE SET reply = excluded.reply, outcome = excluded.outcome, replied_at = excluded.replied_at
"""


def _insert(connection: Connection, records: Sequence[Mapping[str, Any]]) -> None:
    for record in records:
        moment = datetime.fromisoformat(str(record["started_at"])).astimezone(UTC).replace(tzinfo=None)
        values = {**record, "started_at": moment, "outcome": str(record["outcome"])}
        connection.execute(_INSERT_CALL, {name: values[name] for name in _CALL_COLUMNS})
        if record["reply"] is not None:
            connection.execute(_INSERT_REPLY, {name: values[name] for name in _REPLY_COLUMNS})


_CALL_COLUMNS = (
    "call_id", "run_id", "step", "space", "source", "input_id", "request_key", "model", "prompt_name",
    "prompt_version", "started_at", "latency_ms", "prompt_tokens", "completion_tokens", "cost", "attempts", "outcome",
    "error", "prompt_chars", "input_chars",
)  # fmt: skip
_REPLY_COLUMNS = ("space", "text_hash", "request_key", "reply", "outcome", "started_at")
