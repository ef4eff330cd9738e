"""The Batch API over HTTP: every request of a batch comes to a reply or an error, whatever becomes of the batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from errors import ModelError, ModelUnavailable, Refused
from models.batch_api import BatchHandle, Done, Pending, cancel, find, poll, submit
from models.chat import ChatRequest, ModelSpec, Outcome, request_body, request_key
from models.fencing import fence
from models.prompts import Prompt
from testing.batches import Batches
from testing.faults import Fault
from testing.server import OpenAIServer

KEY = "sk-secret-of-a-test-0123456789"
PROMPT = Prompt("extraction", "Extract the names.")
TEXTS = ["Ana Reyes came.", 'Bo\u2028Lund "went".', "Grüße from Eve.", "Nobody stayed."]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer() as running:
        yield running


def a_spec(server: OpenAIServer, **options: Any) -> ModelSpec:
    prices = {"price_prompt_per_million": 1e6, "price_completion_per_million": 1e6}
    return ModelSpec("m", server.url, **{"timeout_seconds": 5.0, **prices, **options})


def requests(texts: list[str] = TEXTS) -> list[ChatRequest]:
    return [ChatRequest(PROMPT, fence(text), "named_entities", {"type": "object"}) for text in texts]


def finish(spec: ModelSpec, handle: BatchHandle) -> Done:
    for _ in range(10):
        polled = poll(spec, handle)
        if isinstance(polled, Done):
            assert not polled.replies.keys() & polled.errors.keys()
            assert polled.replies.keys() | polled.errors.keys() == polled.calls.keys() == handle.prompts.keys()
            return polled
    raise AssertionError("the batch does not end")


def key_of(spec: ModelSpec, text: str) -> str:
    (request,) = requests([text])
    return request_key(spec, request)


def test_a_batch_goes_its_way_and_answers_everything(server: OpenAIServer) -> None:
    server.batches.polls = 3
    spec = a_spec(server)
    handle = submit(spec, requests())
    assert [poll(spec, handle) for _ in range(2)] == [Pending("in_progress", 0, 0)] * 2
    done = poll(spec, handle)
    assert isinstance(done, Done)
    assert (done.status, done.errors) == ("completed", {})
    for text, first in zip(TEXTS, ("Ana Reyes", "Bo", "Grüße", "Nobody"), strict=True):
        reply = done.replies[key_of(spec, text)]
        assert json.loads(reply.text)["entities"][0]["name"].startswith(first)
        assert (reply.finish_reason, reply.attempts, reply.latency_ms) == ("stop", 1, 180_000)


def test_the_uploaded_lines_are_the_requests_that_would_be_sent_one_by_one(server: OpenAIServer) -> None:
    spec = a_spec(server)
    submit(spec, requests())
    content = server.batches.content(server.bodies("/batches")[0]["input_file_id"])
    assert content is not None
    lines = [json.loads(line) for line in content.decode().split("\n") if line]
    assert [line["custom_id"] for line in lines] == [request_key(spec, request) for request in requests()]
    assert [line["body"] for line in lines] == [request_body(spec, request, True) for request in requests()]
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}


def test_equal_requests_are_asked_once(server: OpenAIServer) -> None:
    handle = submit(a_spec(server), requests() + requests())
    assert len(handle.prompts) == 4
    assert len(finish(a_spec(server), handle).replies) == 4


def test_a_later_process_polls_with_the_handle_alone(server: OpenAIServer) -> None:
    spec = a_spec(server)
    handle = submit(spec, requests())
    told = json.loads(json.dumps(handle.to_json()))
    assert BatchHandle.from_json(told) == handle
    assert len(finish(spec, BatchHandle.from_json(told)).replies) == 4
    assert len(finish(spec, handle).replies) == 4, "it can be polled again"


def test_a_batch_whose_handle_was_lost_is_found_by_its_requests(server: OpenAIServer) -> None:
    spec = a_spec(server)
    assert find(spec, requests()) is None
    submit(spec, requests(TEXTS[:2]))
    older, handle = submit(spec, requests()), submit(spec, requests())
    assert find(spec, requests(TEXTS[::-1])) == handle
    cancel(spec, handle)
    assert find(spec, requests()) == older
    finish(spec, older)
    assert find(spec, requests()) == older, "its results can still be read"
    assert find(replace(spec, seed=7), requests()) is None


def test_calls_are_recorded_at_half_the_price(server: OpenAIServer) -> None:
    spec = a_spec(server)
    done = finish(spec, submit(spec, requests()))
    for key, call in done.calls.items():
        usage = done.replies[key].usage
        assert (call.prompt_name, call.prompt_version) == ("extraction", PROMPT.version)
        assert (call.outcome, call.attempts, call.error) == (Outcome.OK, 1, None)
        assert call.cost == pytest.approx(0.5 * (usage.prompt_tokens + usage.completion_tokens))
        assert usage.completion_tokens > 0


def test_words_alone_are_used_where_the_settings_say_so(server: OpenAIServer) -> None:
    server.structured = False
    spec = a_spec(server, structured="never")
    assert len(finish(spec, submit(spec, requests())).replies) == 4


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "error", "outcome", "brief"),
        [
            (Fault.SERVER_ERROR, ModelUnavailable, Outcome.UNAVAILABLE, "HTTP 500"),
            (Fault.RATE_LIMITED, ModelUnavailable, Outcome.UNAVAILABLE, "HTTP 429, rate_limit_exceeded"),
            (Fault.TOO_LONG, Refused, Outcome.REJECTED, "HTTP 400, context_length_exceeded"),
            (Fault.UNKNOWN_MODEL, ModelError, Outcome.REJECTED, "HTTP 404, model_not_found"),
            (Fault.REFUSAL, Refused, Outcome.REFUSED, "declined by the model"),
            (Fault.NO_CONTENT, ModelUnavailable, Outcome.UNAVAILABLE, "the response holds no reply"),
        ],
    )
    def test_one_request_fails_and_the_others_do_not(
        self, server: OpenAIServer, fault: Fault, error: type[Exception], outcome: Outcome, brief: str
    ) -> None:
        server.faults.mark("Eve", fault)
        spec = a_spec(server)
        done = finish(spec, submit(spec, requests()))
        (failed,) = done.errors
        assert failed == key_of(spec, TEXTS[2])
        assert type(done.errors[failed]) is error
        assert "Eve" not in f"{done.errors[failed]} {done.calls[failed]}"
        assert (done.calls[failed].outcome, done.calls[failed].error) == (outcome, brief)
        billed = fault in (Fault.REFUSAL, Fault.NO_CONTENT)
        assert (done.calls[failed].completion_tokens > 0) == billed

    def test_a_reply_that_is_cut_off_is_a_reply(self, server: OpenAIServer) -> None:
        server.faults.mark("Eve", Fault.CUT_OFF)
        spec = a_spec(server)
        done = finish(spec, submit(spec, requests()))
        assert done.replies[key_of(spec, TEXTS[2])].finish_reason == "length"
        assert done.calls[key_of(spec, TEXTS[2])].outcome is Outcome.CUT_OFF

    def test_lines_that_cannot_be_read_cost_their_own_requests_only(
        self, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = a_spec(server)
        handle = submit(spec, requests())
        keys = list(handle.prompts)
        whole = Batches.content

        def spoilt(batches: Batches, file_id: str) -> bytes | None:
            lines = [json.loads(line) for line in (whole(batches, file_id) or b"").splitlines()]
            by_key = {line["custom_id"]: line for line in lines}
            by_key[keys[0]]["response"]["body"]["choices"] = [7]
            by_key[keys[1]]["response"]["body"]["usage"] = {"prompt_tokens": "x"}
            by_key[keys[2]]["custom_id"] = "of another"
            return b"\n".join(json.dumps(line).encode() for line in lines) + b"\nnot JSON\n[]\n"

        monkeypatch.setattr(Batches, "content", spoilt)
        done = finish(spec, handle)
        assert set(done.replies) == {keys[3]}
        assert {type(error) for error in done.errors.values()} == {ModelUnavailable}

    def test_what_a_batch_did_before_it_expired_is_kept(self, server: OpenAIServer) -> None:
        server.batches.ends = "expired"
        server.batches.reached = 3
        spec = a_spec(server)
        done = finish(spec, submit(spec, requests()))
        assert (done.status, len(done.replies)) == ("expired", 3)
        (error,) = done.errors.values()
        assert isinstance(error, ModelUnavailable)
        assert done.calls[key_of(spec, TEXTS[3])].error == "the batch is expired"

    def test_a_batch_that_failed_did_nothing_and_says_why(self, server: OpenAIServer) -> None:
        server.batches.ends = "failed"
        spec = a_spec(server)
        done = finish(spec, submit(spec, requests()))
        assert (done.status, done.replies, len(done.errors)) == ("failed", {}, 4)
        for error in done.errors.values():
            assert isinstance(error, ModelUnavailable)
            assert "A line is not JSON." in str(error)
        assert {call.cost for call in done.calls.values()} == {0.0}

    def test_a_cancelled_batch_has_ended(self, server: OpenAIServer) -> None:
        spec = a_spec(server)
        handle = submit(spec, requests())
        cancel(spec, handle)
        done = finish(spec, handle)
        assert (done.status, len(done.errors)) == ("cancelled", 4)

    def test_a_batch_that_is_not_known_is_a_lasting_error(self, server: OpenAIServer) -> None:
        spec = a_spec(server)
        handle = replace(submit(spec, requests()), batch_id="batch_of_another")
        for attempt in (lambda: poll(spec, handle), lambda: cancel(spec, handle)):
            with pytest.raises(ModelError, match="batch_of_another"):
                attempt()

    @pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.CUT_CONNECTION, Fault.NOT_JSON])
    def test_an_upload_that_fails_is_not_repeated_by_itself(self, server: OpenAIServer, fault: Fault) -> None:
        server.faults.append(fault)
        with pytest.raises(ModelUnavailable):
            submit(a_spec(server), requests())
        assert len(server.requests) == 1

    def test_a_wrong_key_is_not_told(self, server: OpenAIServer) -> None:
        server.faults.append(Fault.UNAUTHORIZED)
        with pytest.raises(ModelError, match="Incorrect API key") as caught:
            submit(a_spec(server), requests())
        assert KEY not in f"{caught.value} {caught.value!r}"

    def test_an_empty_batch_is_not_submitted(self, server: OpenAIServer) -> None:
        with pytest.raises(ModelError, match="0 requests"):
            submit(a_spec(server), [])
        assert server.requests == []

    def test_a_batch_that_is_too_large_is_not_submitted(
        self, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("models.batch_api.MAX_REQUESTS", 3)
        with pytest.raises(ModelError, match="4 requests"):
            submit(a_spec(server), requests())
        assert server.requests == []
