"""A real local HTTP server that speaks the OpenAI API, for the edge of the network.

It answers chat completions from ``replies`` (or ``respond``), embeds by hashing, and misbehaves on demand: each request
takes the next of ``faults``, if there is one. ``requests`` holds everything that arrived.
"""

from __future__ import annotations

import enum
import json
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HANG_SECONDS = 5.0
"""A request that hangs is given up after this, so that no test run can."""

Respond = Callable[[dict[str, Any]], str]


class Fault(enum.Enum):
    """What a request may meet in place of an answer."""

    RATE_LIMITED = enum.auto()
    """429 with ``Retry-After: 0``."""
    SERVER_ERROR = enum.auto()
    """500."""
    UNAUTHORIZED = enum.auto()
    """401."""
    HANG = enum.auto()
    """No answer until the server closes or ``HANG_SECONDS`` are over."""
    NOT_JSON = enum.auto()
    """200, said to be JSON, and cut off in the middle."""
    NO_CONTENT = enum.auto()
    """200 and JSON, but with neither choices nor vectors."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: dict[str, Any]


class OpenAIServer:
    """The server; use it as a context manager and give ``url`` to the client as its base URL."""

    def __init__(self, *, structured: bool = True, dimensions: int = 16, obeys_dimensions: bool = True) -> None:
        self.structured = structured
        """Whether ``response_format`` is understood; otherwise it gives a 400."""
        self.dimensions = dimensions
        self.obeys_dimensions = obeys_dimensions
        self.replies: deque[str] = deque()
        """Contents of the next chat completions."""
        self.respond: Respond | None = None
        """Makes the content of a chat completion where ``replies`` is empty."""
        self.faults: deque[Fault] = deque()
        self.requests: list[Recorded] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
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
        if self.replies:
            content = self.replies.popleft()
        elif self.respond is not None:
            content = self.respond(body)
        else:
            return 500, _error("the test has queued no reply", "server_error")
        message = {"role": "assistant", "content": content, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return 200, {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }

    def _embeddings(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        wanted = body.get("dimensions") if self.obeys_dimensions else None
        items = [
            {"object": "embedding", "index": index, "embedding": self.vector(text, wanted)}
            for index, text in enumerate(texts)
        ]
        items.reverse()  # the API promises an index, not an order
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, {"object": "list", "model": body["model"], "data": items, "usage": usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append(Recorded(self.path, self._headers(), {}))
                models = [{"id": "test-model", "object": "model", "created": 1, "owned_by": "tests"}]
                known = self.path == "/v1/models"
                self._send(
                    *((200, {"object": "list", "data": models}) if known else (404, _error("no such path", "x")))
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(Recorded(self.path, self._headers(), body))
                fault = server.faults.popleft() if server.faults else None
                if fault is not None:
                    self._misbehave(fault)
                elif self.path == "/v1/chat/completions":
                    self._send(*server._chat(body))
                elif self.path == "/v1/embeddings":
                    self._send(*server._embeddings(body))
                else:
                    self._send(404, _error(f"there is no {self.path}", "invalid_request_error"))

            def _headers(self) -> dict[str, str]:
                return {name.lower(): value for name, value in self.headers.items()}

            def _misbehave(self, fault: Fault) -> None:
                if fault is Fault.HANG:
                    server._closing.wait(HANG_SECONDS)
                    self.close_connection = True
                elif fault is Fault.NOT_JSON:
                    self._send(200, '{"choices": [{"message": ')
                elif fault is Fault.NO_CONTENT:
                    self._send(200, {"object": "list", "choices": [], "data": []})
                elif fault is Fault.UNAUTHORIZED:
                    self._send(401, _error("Incorrect API key provided", "invalid_request_error"))
                elif fault is Fault.RATE_LIMITED:
                    self._send(429, _error("Rate limit reached", "requests"))
                else:
                    self._send(500, _error("The server had an error", "server_error"))

            def _send(self, status: int, body: dict[str, Any] | str) -> None:
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if status >= 429:
                    self.send_header("Retry-After", "0")
                    self.send_header("Retry-After-Ms", "1")  # the client reads it first, and takes a 0 as no answer
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        return Handler


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
