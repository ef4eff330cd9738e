"""Asking a chat model over HTTP: what every way of an endpoint to fail comes to, and what it costs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from errors import (
    BudgetExhausted,
    Malformed,
    MemlakeError,
    ModelError,
    ModelUnavailable,
    Refused,
    Terminal,
    Transient,
)
from models.backoff import Backoff, asked_pause
from models.budget import Budget, Limits, prompt_bound
from models.chat import Call, ChatRequest, Exchange, ModelSpec, Outcome, Usage, request_body, request_key
from models.client import ChatClient
from models.endpoint import scrub
from models.failures import classify, of_status
from models.fencing import fence
from models.prompts import Prompt
from models.structured import parse_reply, strict_schema
from testing.faults import Fault
from testing.server import OpenAIServer

KEY = "sk-secret-of-a-test-0123456789"
PROMPT = Prompt("extraction", "Extract the names.")
SECRET = "Nobody may read of the sunken harbour."
FAST = Backoff(base=0.001, longest=0.01, patience=2.0)


class Entity(BaseModel):
    name: str
    type: str


class Entities(BaseModel):
    entities: list[Entity]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer() as running:
        yield running


def a_request(text: str = f"Ana Reyes met Bo Lund. {SECRET}", **options: Any) -> ChatRequest:
    return ChatRequest(PROMPT, fence(text), "named_entities", strict_schema(Entities), **options)


def a_spec(server: OpenAIServer, **options: Any) -> ModelSpec:
    prices = {"price_prompt_per_million": 1e6, "price_completion_per_million": 1e7}
    return ModelSpec("test-model", server.url, **{"timeout_seconds": 5.0, "attempts": 3, **prices, **options})


def a_client(server: OpenAIServer, **options: Any) -> ChatClient:
    return ChatClient(a_spec(server, **options), backoff=FAST)


def billed(server: OpenAIServer) -> Usage:
    """What an unspoilt reply to the request costs."""
    exchange = a_client(server).complete(a_request())
    server.requests.clear()
    assert exchange.reply is not None
    return exchange.reply.usage


def safe(exchange: Exchange) -> Exchange:
    """Neither key nor document is in what is recorded of it."""
    recorded = f"{asdict(exchange.call)} {exchange.error!r} {exchange.error}"
    assert KEY not in recorded
    assert "harbour" not in recorded
    return exchange


class TestReplies:
    def test_a_reply_is_read_and_recorded(self, server: OpenAIServer) -> None:
        before = datetime.now(UTC)
        exchange = a_client(server).complete(a_request())
        reply, call = exchange.reply, exchange.call
        assert reply is not None
        assert [entity.name for entity in parse_reply(reply.text, Entities).value.entities][:2] == [
            "Ana Reyes",
            "Bo Lund",
        ]
        assert (reply.finish_reason, reply.attempts, reply.cached) == ("stop", 1, False)
        assert (call.prompt_name, call.prompt_version, call.model) == ("extraction", PROMPT.version, "test-model")
        assert before <= call.started_at <= datetime.now(UTC)
        assert (call.outcome, call.attempts, call.unreported, call.error) == (Outcome.OK, 1, 0, None)
        assert (call.prompt_tokens, call.completion_tokens) == (
            reply.usage.prompt_tokens,
            reply.usage.completion_tokens,
        )
        assert call.cost == call.prompt_tokens + 10 * call.completion_tokens
        assert 0 <= reply.latency_ms <= call.latency_ms

    def test_the_request_is_what_the_settings_say(self, server: OpenAIServer) -> None:
        a_client(server, seed=3, max_tokens=77).complete(a_request())
        (body,) = server.bodies("/chat/completions")
        assert body == {
            "model": "test-model",
            "messages": [
                {"role": "system", "content": PROMPT.system},
                {"role": "user", "content": a_request().user},
            ],
            "temperature": 0,
            "seed": 3,
            "max_tokens": 77,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "named_entities", "strict": True, "schema": strict_schema(Entities)},
            },
        }
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"

    def test_a_temperature_of_none_is_not_sent(self, server: OpenAIServer) -> None:
        a_client(server, temperature=None).complete(a_request(max_tokens=5))
        (body,) = server.bodies("/chat/completions")
        assert "temperature" not in body
        assert body["max_tokens"] == 5

    def test_without_prices_there_is_no_cost(self, server: OpenAIServer) -> None:
        assert a_client(server, price_prompt_per_million=None).complete(a_request()).call.cost is None

    def test_many_are_asked_side_by_side_but_not_more_than_allowed(self, server: OpenAIServer) -> None:
        server.latency = 0.05
        taken: list[Exchange] = []
        requests = [a_request(f"Ana-{number} met Bo.") for number in range(12)]
        a_client(server, concurrency=3).complete_all(requests, taken.append)
        assert server.most_at_once == 3
        assert {exchange.request.user for exchange in taken} == {request.user for request in requests}
        for exchange in taken:
            assert exchange.reply is not None
            assert exchange.request.user.split()[2] in exchange.reply.text

    def test_requests_are_drawn_as_there_is_room(self, server: OpenAIServer) -> None:
        drawn, taken = [0], [0]

        def requests() -> Iterator[ChatRequest]:
            for number in range(20):
                assert drawn[0] - taken[0] <= 2
                drawn[0] += 1
                yield a_request(f"Text {number}.")

        def take(_: Exchange) -> None:
            taken[0] += 1

        a_client(server, concurrency=2).complete_all(requests(), take)
        assert taken == [20]

    def test_it_runs_in_an_event_loop_too(self, server: OpenAIServer) -> None:
        taken: list[Exchange] = []
        asyncio.run(a_client(server).run([a_request()], taken.append))
        assert len(taken) == 1

    def test_an_error_of_whoever_takes_ends_the_run(self, server: OpenAIServer) -> None:
        def take(_: Exchange) -> None:
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            a_client(server).complete_all([a_request()] * 20, take)


class TestFormats:
    def test_a_server_without_structured_outputs_is_asked_in_words_from_then_on(self, server: OpenAIServer) -> None:
        server.structured = False
        client = a_client(server)
        first, second = client.complete(a_request()), client.complete(a_request())
        assert first.reply is not None
        assert first.reply.text == second.reply.text if second.reply else False
        assert (first.call.attempts, second.call.attempts) == (2, 1)
        refused, *others = server.bodies("/chat/completions")
        assert "response_format" in refused
        for body in others:
            assert "response_format" not in body
            system = body["messages"][0]["content"]
            assert "Reply format: named_entities" in system
            assert json.dumps(strict_schema(Entities)) in system

    def test_many_that_are_refused_at_once_find_the_way_together(self, server: OpenAIServer) -> None:
        server.structured = False
        server.latency = 0.05
        taken: list[Exchange] = []
        a_client(server, concurrency=4, attempts=1).complete_all([a_request()] * 8, taken.append)
        assert [exchange.call.outcome for exchange in taken] == [Outcome.OK] * 8
        assert len(server.requests) == 12

    def test_words_alone_are_used_where_the_settings_say_so(self, server: OpenAIServer) -> None:
        assert a_client(server, structured="never").complete(a_request()).reply
        assert "response_format" not in server.bodies("/chat/completions")[0]

    def test_a_schema_that_must_be_taken_and_is_not_ends_the_run(self, server: OpenAIServer) -> None:
        server.structured = False
        with pytest.raises(ModelError, match="response_format"):
            a_client(server, structured="always").complete(a_request())
        assert len(server.requests) == 1

    def test_a_limit_of_another_name_is_found(self, server: OpenAIServer) -> None:
        server.limit_name = "max_completion_tokens"
        client = a_client(server)
        assert [client.complete(a_request()).call.attempts for _ in range(2)] == [2, 1]
        assert server.bodies("/chat/completions")[-1]["max_completion_tokens"] == 2048


class TestPassingFaults:
    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.UNAVAILABLE])
    def test_it_is_retried_and_not_billed(self, server: OpenAIServer, fault: Fault) -> None:
        usage = billed(server)
        server.faults.extend([fault] * 2)
        exchange = a_client(server).complete(a_request())
        assert exchange.reply is not None
        assert exchange.reply.usage == usage
        assert (exchange.call.outcome, exchange.call.attempts, exchange.call.unreported) == (Outcome.OK, 3, 0)

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault.RATE_LIMITED, "HTTP 429, rate_limit_exceeded"),
            (Fault.SERVER_ERROR, "HTTP 500"),
            (Fault.UNAVAILABLE, "HTTP 503"),
            (Fault.CUT_CONNECTION, "the connection broke"),
            (Fault.NOT_JSON, "the reply is not of OpenAI's protocol"),
            (Fault.NO_CONTENT, "the response holds no reply"),
        ],
    )
    def test_one_that_stays_is_given_up_after_so_many_attempts(
        self, server: OpenAIServer, fault: Fault, said: str
    ) -> None:
        server.faults.extend([fault] * 10)
        exchange = safe(a_client(server).complete(a_request()))
        assert exchange.reply is None
        assert isinstance(exchange.error, ModelUnavailable)
        assert isinstance(exchange.error, Transient)
        assert (exchange.call.outcome, exchange.call.attempts) == (Outcome.UNAVAILABLE, 3)
        assert exchange.call.error == said
        assert len(server.requests) == 3

    def test_one_request_that_fails_does_not_stop_the_others(self, server: OpenAIServer) -> None:
        server.faults.mark("poison", Fault.SERVER_ERROR)
        taken: list[Exchange] = []
        texts = ["Ana.", "poison.", "Bo.", "poison too.", "Eve."]
        a_client(server).complete_all([a_request(text) for text in texts], taken.append)
        failed = {exchange.request.user for exchange in taken if exchange.error}
        assert len(taken) == 5
        assert failed == {a_request(text).user for text in texts if "poison" in text}

    def test_a_model_that_hangs_is_a_timeout(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.HANG)
        client = a_client(server, timeout_seconds=0.5, attempts=2)
        exchange = client.complete(a_request())
        assert (exchange.call.outcome, exchange.call.attempts, exchange.call.unreported) == (Outcome.OK, 2, 1)
        server.faults.extend([Fault.HANG] * 5)
        exchange = safe(client.complete(a_request()))
        assert isinstance(exchange.error, ModelUnavailable)
        assert (exchange.call.outcome, exchange.call.error) == (Outcome.TIMEOUT, "no answer within 0.5 s")
        assert exchange.call.unreported == 2

    def test_an_answer_that_trickles_is_a_timeout_too(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.TRICKLE)
        exchange = a_client(server, timeout_seconds=0.5, attempts=1).complete(a_request())
        assert (exchange.call.outcome, exchange.call.unreported) == (Outcome.TIMEOUT, 1)

    def test_every_attempt_that_was_billed_is_counted(self, server: OpenAIServer) -> None:
        usage = billed(server)
        server.faults.extend([Fault.NO_CONTENT] * 2)
        exchange = a_client(server).complete(a_request())
        assert exchange.reply is not None
        assert exchange.reply.usage == Usage(3 * usage.prompt_tokens, 3 * usage.completion_tokens)
        assert exchange.call.cost == 3 * (usage.prompt_tokens + 10 * usage.completion_tokens)

    def test_a_broken_connection_may_have_been_billed(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.CUT_CONNECTION)
        call = a_client(server).complete(a_request()).call
        assert (call.outcome, call.attempts, call.unreported) == (Outcome.OK, 2, 1)

    def test_an_endpoint_that_goes_away_later_is_a_passing_fault(self, server: OpenAIServer) -> None:
        client = a_client(server)
        assert client.complete(a_request()).reply
        server.close()
        exchange = safe(client.complete(a_request()))
        assert isinstance(exchange.error, ModelUnavailable)
        assert (exchange.call.attempts, exchange.call.error) == (3, "the connection was refused")


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "waits"),
        [
            ({"Retry-After": "1"}, 1.0),
            ({"Retry-After-Ms": "300"}, 0.3),
            ({"Retry-After": "0"}, 0.0),
            ({"Retry-After": "soon"}, 0.0),
        ],
    )
    def test_what_the_endpoint_asks_for_is_waited(
        self, server: OpenAIServer, headers: Mapping[str, str], waits: float
    ) -> None:
        server.retry_after = dict(headers)
        server.faults.append(Fault.RATE_LIMITED)
        call = a_client(server).complete(a_request()).call
        assert call.outcome is Outcome.OK
        assert call.latency_ms >= 1000 * waits

    def test_a_date_is_waited_for(self, server: OpenAIServer) -> None:
        moment = datetime.now(UTC) + timedelta(seconds=1)
        server.retry_after = {"Retry-After": format_datetime(moment, usegmt=True)}
        server.faults.append(Fault.UNAVAILABLE)
        assert a_client(server).complete(a_request()).call.outcome is Outcome.OK
        assert datetime.now(UTC) >= moment.replace(microsecond=0)

    def test_who_asks_for_too_much_patience_is_given_up(self, server: OpenAIServer) -> None:
        server.retry_after = {"Retry-After": "3600"}
        server.faults.append(Fault.RATE_LIMITED)
        exchange = a_client(server).complete(a_request())
        assert isinstance(exchange.error, ModelUnavailable)
        assert exchange.call.attempts == 1

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "12"}, 12.0),
            ({"retry-after": "1.5"}, 1.5),
            ({"retry-after": "-3"}, 0.0),
            ({"retry-after": "nan"}, None),
            ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
            ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
            ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
            ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
            ({"retry-after": "Sat, 99 Nov 2026"}, None),
        ],
    )
    def test_headers_are_read(self, headers: Mapping[str, str], seconds: float | None) -> None:
        assert asked_pause(headers, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds

    @given(attempt=st.integers(1, 10_000), asked=st.none() | st.floats(0, 200))
    def test_pauses_grow_up_to_a_limit_and_are_never_shorter_than_asked(
        self, attempt: int, asked: float | None
    ) -> None:
        pause = Backoff(base=0.5, longest=20, patience=120).pause(attempt, asked)
        if asked is not None and asked > 120:
            assert pause is None
        else:
            assert pause is not None
            assert 0 <= pause - (asked or 0) <= min(20, 0.5 * 2 ** min(attempt - 1, 10)) + 1e-9


class TestLastingErrors:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (Fault.UNAUTHORIZED, "Incorrect API key"),
            (Fault.UNKNOWN_MODEL, "does not exist"),
            (Fault.QUOTA, "exceeded your current quota"),
        ],
    )
    def test_one_that_would_meet_all_ends_the_run_at_once(self, server: OpenAIServer, fault: Fault, said: str) -> None:
        server.faults.extend([fault] * 99)
        taken: list[Exchange] = []
        with pytest.raises(ModelError, match=said) as caught:
            a_client(server, concurrency=2).complete_all([a_request()] * 50, taken.append)
        assert "OPENAI_API_KEY" in caught.value.remedy
        assert len(server.requests) <= 2, "nothing is retried, and the others are not asked"
        assert taken, "the call is recorded"
        assert {safe(exchange).call.outcome for exchange in taken} == {Outcome.REJECTED}

    def test_what_is_under_way_is_dropped(self, server: OpenAIServer) -> None:
        server.faults.mark("slow", Fault.HANG)
        server.faults.mark("wrong", Fault.UNAUTHORIZED)
        taken: list[Exchange] = []
        with pytest.raises(ModelError):
            a_client(server, concurrency=2).complete_all([a_request("slow"), a_request("wrong")], taken.append)
        assert len(taken) == 1

    def test_no_route_at_first_ends_the_run_at_once(self, server: OpenAIServer) -> None:
        server.close()
        with pytest.raises(ModelUnavailable, match="no route") as caught:
            a_client(server).complete(a_request())
        assert "base_url" in caught.value.remedy

    def test_no_answer_to_the_first_connection_is_no_route(self, server: OpenAIServer) -> None:
        import httpx2
        import openai

        error = openai.APITimeoutError(httpx2.Request("POST", server.url))
        error.__cause__ = httpx2.ConnectTimeout("silence")
        first, later = classify(error, a_spec(server), False), classify(error, a_spec(server), True)
        assert first is not None
        assert later is not None
        assert (first.fatal, first.retry, first.unreported) == (True, False, False)
        assert (later.fatal, later.retry, later.unreported) == (False, True, False)

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT_CONNECTION])
    def test_an_endpoint_that_answers_nobody_any_more_is_down(self, server: OpenAIServer, fault: Fault) -> None:
        client = a_client(server, attempts=2, concurrency=2)
        assert client.complete(a_request()).reply
        server.faults.every(1, fault)
        taken: list[Exchange] = []
        with pytest.raises(ModelUnavailable, match="gave no reply"):
            client.complete_all([a_request()] * 200, taken.append)
        assert len(taken) == 10

    def test_without_a_key_nothing_is_asked(self, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
        client = a_client(server)
        monkeypatch.delenv("OPENAI_API_KEY")
        for attempt in (lambda: a_client(server), lambda: client.complete(a_request())):
            with pytest.raises(ModelError) as caught:
                attempt()
            assert "OPENAI_API_KEY" in caught.value.remedy
        assert server.requests == []

    def test_a_key_is_never_told(
        self, server: OpenAIServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key in (KEY, "plain-key", "starred-sk-abc"):
            monkeypatch.setenv("OPENAI_API_KEY", key)
            server.faults.append(Fault.UNAUTHORIZED)
            client = a_client(server)
            with caplog.at_level(logging.DEBUG), pytest.raises(ModelError) as caught:
                client.complete(a_request())
            for text in (str(caught.value), repr(caught.value), repr(client), repr(client.spec), caplog.text):
                assert key not in text
            assert caught.value.__cause__ is None

    @pytest.mark.parametrize(
        ("status", "code", "param", "message", "retried", "fatal"),
        [
            (408, None, None, "", True, False),
            (409, None, None, "", True, False),
            (429, "rate_limit_exceeded", None, "", True, False),
            (502, None, None, "<html>bad gateway</html>", True, False),
            (429, "insufficient_quota", None, "", False, True),
            (402, None, None, "Insufficient balance", False, True),
            (403, None, None, "not allowed here", False, True),
            (400, "unsupported_value", "temperature", "0 is not supported", False, True),
            (422, None, None, "extra fields not permitted: seed", False, True),
            (400, "400", None, "max_tokens is too large: this model's context length is 4096", False, False),
            (413, None, None, "request entity too large", False, False),
            (400, "content_filter", None, "the response_format was fine", False, False),
            (400, None, "messages[1].content", "invalid", False, False),
        ],
    )
    def test_a_status_tells_whom_an_error_concerns(
        self, status: int, code: str | None, param: str | None, message: str, retried: bool, fatal: bool
    ) -> None:
        failure = of_status(ModelSpec("m"), status, code, param, message)
        assert (failure.retry, failure.fatal) == (retried, fatal)
        assert isinstance(failure.error, Transient if retried else Terminal)
        assert isinstance(failure.error, ModelError) == fatal
        assert failure.brief == f"HTTP {status}" + (f", {code}" if code and code != "400" else "")

    @pytest.mark.parametrize(
        "said",
        [
            f"the key {KEY} is wrong",
            f"key={KEY}",
            "you gave sk-abcd***************wxyz",
            "Incorrect API key provided: abcd****wxyz",
            "Authorization: Bearer abcdwxyz",
        ],
    )
    def test_whatever_looks_like_a_key_is_struck_out(self, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY if KEY in said else "another")
        for secret in (KEY, "sk-", "abcd", "wxyz"):
            assert secret not in scrub(said)
        monkeypatch.setenv("OPENAI_API_KEY", "plain words")
        assert scrub("no such\nkey: plain words!") == "no such key: ***!"

    def test_an_input_that_is_too_long_concerns_itself_only(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.TOO_LONG)
        exchange = safe(a_client(server).complete(a_request()))
        assert isinstance(exchange.error, Refused)
        assert isinstance(exchange.error, Terminal)
        assert (exchange.call.outcome, exchange.call.attempts) == (Outcome.REJECTED, 1)
        assert exchange.call.error == "HTTP 400, context_length_exceeded"


class TestSpoiltReplies:
    def complete(self, server: OpenAIServer, fault: Fault) -> Exchange:
        server.faults.append(fault)
        exchange = safe(a_client(server).complete(a_request()))
        assert exchange.call.completion_tokens > 0, "it is billed"
        return exchange

    def test_a_refusal_concerns_this_input(self, server: OpenAIServer) -> None:
        exchange = self.complete(server, Fault.REFUSAL)
        assert exchange.reply is None
        assert isinstance(exchange.error, Refused)
        assert (exchange.call.outcome, exchange.call.attempts) == (Outcome.REFUSED, 1)

    def test_a_reply_that_is_cut_off_keeps_its_whole_items(self, server: OpenAIServer) -> None:
        exchange = self.complete(server, Fault.CUT_OFF)
        assert exchange.call.outcome is Outcome.CUT_OFF
        assert exchange.reply is not None
        assert exchange.reply.finish_reason == "length"
        parsed = parse_reply(exchange.reply.text, Entities)
        assert parsed.cut
        assert [entity.name for entity in parsed.value.entities] == ["Ana Reyes"]

    @pytest.mark.parametrize("fault", [Fault.TRAILING_COMMAS, Fault.SINGLE_QUOTES, Fault.CODE_FENCE, Fault.PROSE])
    def test_a_flaw_of_form_is_mended(self, server: OpenAIServer, fault: Fault) -> None:
        exchange = self.complete(server, fault)
        assert exchange.reply is not None
        parsed = parse_reply(exchange.reply.text, Entities)
        assert [entity.name for entity in parsed.value.entities] == ["Ana Reyes", "Bo Lund", "Nobody"]
        assert parsed.repaired

    @pytest.mark.parametrize("fault", [Fault.MISSING_KEY, Fault.WRONG_TYPES, Fault.INJECTED])
    def test_a_reply_of_another_shape_is_malformed(self, server: OpenAIServer, fault: Fault) -> None:
        exchange = self.complete(server, fault)
        assert exchange.reply is not None
        with pytest.raises(Malformed):
            parse_reply(exchange.reply.text, Entities)


class TestBudgets:
    def limited(self, server: OpenAIServer, tokens: int, **options: Any) -> tuple[ChatClient, Budget]:
        spec = a_spec(server, **{"max_tokens": 100, **options})
        budget = Budget(spec, Limits(tokens_per_run=tokens))
        return ChatClient(spec, budget, backoff=FAST), budget

    def most(self, server: OpenAIServer) -> int:
        """Tokens that are put aside for one request."""
        return prompt_bound(a_spec(server), a_request()) + 100

    def test_a_run_stops_before_the_limit_and_keeps_what_it_has(self, server: OpenAIServer) -> None:
        usage = billed(server)
        each = usage.prompt_tokens + usage.completion_tokens
        limit = self.most(server) + 4 * each
        client, budget = self.limited(server, limit, concurrency=4)
        taken: list[Exchange] = []
        with pytest.raises(BudgetExhausted):
            client.complete_all([a_request()] * 50, taken.append)
        assert len(taken) == len(server.requests) == 5, "those under way give back what they do not need"
        assert {exchange.call.outcome for exchange in taken} == {Outcome.OK}
        assert budget.spent_run.tokens == 5 * each <= limit
        assert budget.reserved.tokens == 0

    def test_nothing_is_sent_that_could_exceed_the_limit(self, server: OpenAIServer) -> None:
        client, _ = self.limited(server, self.most(server) - 1)
        with pytest.raises(BudgetExhausted):
            client.complete(a_request())
        assert server.requests == []

    def test_an_attempt_that_may_have_been_billed_counts_in_full(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.CUT_CONNECTION)
        client, budget = self.limited(server, 10**6)
        call = client.complete(a_request()).call
        assert budget.spent_run.tokens == self.most(server) + call.prompt_tokens + call.completion_tokens

    def test_a_fault_that_is_not_billed_costs_nothing(self, server: OpenAIServer) -> None:
        server.faults.extend([Fault.SERVER_ERROR] * 3)
        client, budget = self.limited(server, 10**6)
        client.complete(a_request())
        assert (budget.spent_run.tokens, budget.reserved.tokens) == (0, 0)

    def test_a_retry_needs_budget_too(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.CUT_CONNECTION)
        client, budget = self.limited(server, self.most(server) + 10)
        taken: list[Exchange] = []
        with pytest.raises(BudgetExhausted):
            client.complete_all([a_request()], taken.append)
        assert [(e.call.outcome, e.call.attempts) for e in taken] == [(Outcome.UNAVAILABLE, 1)]
        assert budget.spent_run.tokens == self.most(server)

    def test_what_is_dropped_gives_its_reservation_up(self, server: OpenAIServer) -> None:
        server.faults.mark("slow", Fault.HANG)
        server.faults.mark("wrong", Fault.UNAUTHORIZED)
        client, budget = self.limited(server, 10**6, concurrency=2)
        with pytest.raises(ModelError):
            client.complete_all([a_request("slow"), a_request("wrong")], lambda _: None)
        assert budget.reserved.tokens == 0
        assert budget.spent_run.tokens > 100, "it may have been billed"


class TestKeys:
    SPEC = ModelSpec("m", "http://one/v1")

    @pytest.mark.parametrize(
        "change",
        [
            lambda spec, request: (replace(spec, model="n"), request),
            lambda spec, request: (replace(spec, temperature=0.5), request),
            lambda spec, request: (replace(spec, max_tokens=7), request),
            lambda spec, request: (replace(spec, seed=7), request),
            lambda spec, request: (spec, replace(request, prompt=Prompt("extraction", "Other."))),
            lambda spec, request: (spec, replace(request, user="other")),
            lambda spec, request: (spec, replace(request, schema_name="other")),
            lambda spec, request: (spec, replace(request, schema={})),
            lambda spec, request: (spec, replace(request, max_tokens=7)),
        ],
    )
    def test_what_a_reply_depends_on_changes_the_key(
        self, change: Callable[[ModelSpec, ChatRequest], tuple[ModelSpec, ChatRequest]]
    ) -> None:
        assert request_key(*change(self.SPEC, a_request())) != request_key(self.SPEC, a_request())

    def test_what_it_does_not_depend_on_does_not(self) -> None:
        other = replace(
            self.SPEC, base_url="http://two/v1", concurrency=1, attempts=9, timeout_seconds=1, structured="never"
        )
        renamed = replace(a_request(), prompt=Prompt("renamed", PROMPT.system))
        assert request_key(other, renamed) == request_key(self.SPEC, a_request())

    def test_the_limit_is_the_one_that_is_sent(self) -> None:
        same = replace(a_request(), max_tokens=self.SPEC.max_tokens)
        assert request_key(self.SPEC, same) == request_key(self.SPEC, a_request())
        assert request_body(self.SPEC, same, True) == request_body(self.SPEC, a_request(), True)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"attempts": 0}])
def test_settings_that_would_ask_nothing_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="0"):
        ModelSpec("m", **wrong)


def test_a_call_is_a_row_of_plain_values(server: OpenAIServer) -> None:
    call = a_client(server).complete(a_request()).call
    assert isinstance(call, Call)
    assert all(isinstance(value, (str, int, float, datetime, type(None))) for value in asdict(call).values())


def test_errors_reach_a_person_as_one_line(server: OpenAIServer) -> None:
    server.faults.append(Fault.UNAUTHORIZED)
    with pytest.raises(MemlakeError) as caught:
        a_client(server).complete(a_request())
    assert "\n" not in str(caught.value)
