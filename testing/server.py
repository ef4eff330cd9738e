"""A real local HTTP server that speaks the OpenAI API: chat completions, embeddings, models, files and batches.

It answers chat completions from ``replies``, by ``respond``, or as its recording has it; embeds by hashing; and
misbehaves as ``faults`` tells. ``requests`` holds everything that arrived. The same requests in the same order are
answered in the same way.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from testing.batches import Batches
from testing.faults import Fault, Faults
from testing.misshapen import MISSHAPING, misshape
from testing.recorded import KINDS, Recording, document_of, kind_of, user_text

HANG_SECONDS = 5.0
"""A request that hangs is given up after this, so that no test run can."""

_CHARS_PER_TOKEN = 4
"""Characters of a token: what usage is reckoned with."""

Respond = Callable[[dict[str, Any]], str]

_STATUS: Mapping[Fault, int] = {
    Fault.RATE_LIMITED: 429,
    Fault.QUOTA: 429,
    Fault.SERVER_ERROR: 500,
    Fault.UNAVAILABLE: 503,
    Fault.UNAUTHORIZED: 401,
    Fault.UNKNOWN_MODEL: 404,
    Fault.TOO_LONG: 400,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: dict[str, Any]
    """Empty where it is not JSON."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, clients that connect at once wait a second


class OpenAIServer:
    """The server; use it as a context manager and give ``url`` to the client as its base URL."""

    def __init__(
        self,
        *,
        port: int = 0,
        structured: bool = True,
        dimensions: int = 16,
        obeys_dimensions: bool = True,
        recording: Recording | None = None,
    ) -> None:
        self.structured = structured
        """Whether ``response_format`` is understood; otherwise it gives a 400."""
        self.limit_name: str | None = None
        """The only name of the limit of tokens that is taken; ``None``: any."""
        self.dimensions = dimensions
        self.obeys_dimensions = obeys_dimensions
        self.recording = recording or Recording()
        """What documents are answered from whose extraction is asked for."""
        self.replies: deque[str] = deque()
        """Contents of the next chat completions."""
        self.respond: Respond | None = None
        """Makes the content of a chat completion where ``replies`` is empty."""
        self.faults = Faults()
        self.retry_after = {"Retry-After": "0", "Retry-After-Ms": "1"}
        """Headers of passing faults. The client reads the milliseconds first, and takes a 0 as no answer."""
        self.latency = 0.0
        """Seconds that every answer takes."""
        self.batches = Batches(self._batched)
        self.requests: list[Recorded] = []
        self.most_at_once = 0
        """The highest number of requests that were under way together."""
        self._under_way = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """What was posted to ``path`` (without ``/v1``), in order."""
        return [request.body for request in self.requests if request.path == f"/v1{path}"]

    def vector(self, text: str, dimensions: int | None = None) -> list[float]:
        """What the server embeds ``text`` as; not of unit length."""
        numbers = random.Random(f"embedding of {text}")
        return [numbers.gauss(0.0, 3.0) for _ in range(dimensions or self.dimensions)]

    def _chat(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "response_format" in body and not self.structured:
            return 400, _error("response_format is not supported by this server", "invalid_request_error")
        for name in ("max_tokens", "max_completion_tokens"):
            if name in body and self.limit_name not in (None, name):
                said = f"Unsupported parameter: '{name}'. Use '{self.limit_name}' instead."
                return 400, _error(said, "invalid_request_error", param=name, code="unsupported_parameter")
        content = self._content(body)
        if content is None:
            return 500, _error("no reply is queued, and none is recorded for what is asked", "server_error")
        message = {"role": "assistant", "content": content, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        prompt = sum(_tokens(str(message["content"])) for message in body["messages"])
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": _tokens(content),
            "total_tokens": prompt + _tokens(content),
        }
        return 200, {
            "id": f"chatcmpl-{next(self._numbers)}",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }

    def _content(self, body: dict[str, Any]) -> str | None:
        with self._lock:
            if self.replies:
                return self.replies.popleft()
        if self.respond is not None:
            return self.respond(body)
        kind = kind_of(body)
        if kind not in KINDS:
            return None
        title, text = document_of(body)
        return self.recording.extraction(text, title).content(kind)

    def _embeddings(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        wanted = body.get("dimensions") if self.obeys_dimensions else None
        items = [
            {"object": "embedding", "index": index, "embedding": self.vector(text, wanted)}
            for index, text in enumerate(texts)
        ]
        items.reverse()  # the API promises an index, not an order
        tokens = sum(_tokens(text) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return 200, {"object": "list", "model": body["model"], "data": items, "usage": usage}

    def _batched(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer to one request of a batch, with its fault; there is no connection that could break."""
        fault = self.faults.next(user_text(body))
        if fault is not None and fault in _STATUS:
            return _STATUS[fault], _refused(fault, body, "")
        status, answer = self._chat(body)
        if fault in MISSHAPING and status == 200:
            answer = misshape(answer, fault, document_of(body)[1])
        return status, answer

    def _get(self, path: str) -> tuple[int, dict[str, Any] | bytes]:
        if path == "/v1/models":
            models = [{"id": "test-model", "object": "model", "created": 1, "owned_by": "tests"}]
            return 200, {"object": "list", "data": models}
        found: dict[str, Any] | bytes | None = None
        match path.partition("?")[0].removeprefix("/v1/").split("/"):
            case ["batches"]:
                found = self.batches.listed()
            case ["files", file_id, "content"]:
                found = self.batches.content(file_id)
            case ["files", file_id]:
                found = self.batches.file(file_id)
            case ["batches", batch_id]:
                found = self.batches.look(batch_id)
        return (200, found) if found is not None else (404, _error(f"there is no {path}", "invalid_request_error"))

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match path.removeprefix("/v1/").split("/"):
            case ["chat", "completions"]:
                return self._chat(body)
            case ["embeddings"]:
                return self._embeddings(body)
            case ["batches"]:
                found = self.batches.create(body)
            case ["batches", batch_id, "cancel"]:
                found = self.batches.cancel(batch_id)
            case _:
                found = None
        return (200, found) if found is not None else (404, _error(f"there is no {path}", "invalid_request_error"))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts who is under way, and takes the time that an answer takes."""
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if self.latency:
                time.sleep(self.latency)
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes; together with a delayed ACK 40 ms

            def do_GET(self) -> None:
                server.requests.append(Recorded(self.path, self._headers(), {}))
                with server._counted():
                    self._send(*server._get(self.path))

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"] or 0))
                kind = self.headers.get("Content-Type", "")
                body = json.loads(data) if kind.startswith("application/json") and data else {}
                server.requests.append(Recorded(self.path, self._headers(), body))
                with server._counted():
                    fault = server.faults.next(user_text(body))
                    if fault is not None and fault not in MISSHAPING:
                        self._misbehave(fault, body)
                    elif self.path == "/v1/files":
                        self._send(200, server.batches.upload(kind, data))
                    else:
                        status, answer = server._post(self.path, body)
                        if fault is not None and status == 200:
                            answer = self._misshapen(answer, fault, body)
                        self._send(status, answer)

            def _headers(self) -> dict[str, str]:
                return {name.lower(): value for name, value in self.headers.items()}

            def _misshapen(self, answer: dict[str, Any], fault: Fault, body: dict[str, Any]) -> dict[str, Any]:
                if "choices" in answer:
                    return misshape(answer, fault, document_of(body)[1])
                return {**answer, "data": []} if fault is Fault.NO_CONTENT else answer

            def _misbehave(self, fault: Fault, body: dict[str, Any]) -> None:
                if fault is Fault.HANG:
                    server._closing.wait(HANG_SECONDS)
                    self.close_connection = True
                elif fault is Fault.TRICKLE:
                    self._trickle()
                elif fault is Fault.NOT_JSON:
                    self._send(200, b'{"choices": [{"message": ')
                elif fault is Fault.CUT_CONNECTION:
                    self._send(200, b'{"choices": [{"message": ', missing=100)
                else:
                    self._send(_STATUS[fault], _refused(fault, body, self.headers.get("Authorization", "")))

            def _trickle(self) -> None:
                self._send(200, b" ", missing=1000)
                ends = time.monotonic() + HANG_SECONDS
                with suppress(OSError):  # whoever waited has gone
                    while time.monotonic() < ends and not server._closing.wait(0.05):
                        self.wfile.write(b" ")

            def _send(self, status: int, body: dict[str, Any] | bytes, missing: int = 0) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data) + missing))
                if status >= 429:
                    for name, value in server.retry_after.items():
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = self.close_connection or missing > 0

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        return Handler


def _tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARS_PER_TOKEN)


def _refused(fault: Fault, body: Mapping[str, Any], authorization: str) -> dict[str, Any]:
    """The error of a fault, phrased as OpenAI does; some of these repeat what should stay secret."""
    if fault is Fault.UNAUTHORIZED:
        key = authorization.removeprefix("Bearer ")
        return _error(f"Incorrect API key provided: {key}.", "invalid_request_error", code="invalid_api_key")
    if fault is Fault.UNKNOWN_MODEL:
        said = f"The model `{body.get('model')}` does not exist."
        return _error(said, "invalid_request_error", code="model_not_found")
    if fault is Fault.TOO_LONG:
        said = f"This model's maximum context length is 8192 tokens: {user_text(body)[:200]}"
        return _error(said, "invalid_request_error", param="messages", code="context_length_exceeded")
    if fault is Fault.QUOTA:
        return _error("You exceeded your current quota.", "insufficient_quota", code="insufficient_quota")
    if fault is Fault.RATE_LIMITED:
        return _error("Rate limit reached", "requests", code="rate_limit_exceeded")
    return _error("The server had an error", "server_error")


def _error(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
