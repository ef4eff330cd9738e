"""``python -m testing``: a server for a person to run memlake against.

Chat completions that ask for an extraction are answered from the recording, or by rule; any other reply is the
smallest one of its schema, so that whatever is asked for gets an answer of the right shape.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testing.faults import Fault
from testing.recorded import KINDS, Recording, document_of, kind_of
from testing.server import OpenAIServer

_SMALLEST: Mapping[str, Any] = {"array": [], "boolean": False, "integer": 0, "number": 0, "string": ""}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m testing", description="A local OpenAI-compatible server.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--recorded", type=Path, help="a JSON file of HippoRAG's OpenIE format")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--retry-after", help="what passing faults ask to wait: seconds, or an HTTP date")
    parser.add_argument("--unstructured", action="store_true", help="refuse response_format, as simple servers do")
    parser.add_argument(
        "--fault-every", metavar="N:FAULT", action="append", default=[], type=_every,
        help=f"let every N-th request meet one of: {', '.join(fault.name.lower() for fault in Fault)}",
    )  # fmt: skip
    chosen = parser.parse_args()
    recording = Recording.from_file(chosen.recorded) if chosen.recorded else Recording()
    server = OpenAIServer(port=chosen.port, structured=not chosen.unstructured, recording=recording)
    server.latency = chosen.latency
    if chosen.retry_after:
        server.retry_after = {"Retry-After": chosen.retry_after}
    server.respond = lambda body: reply(recording, body)
    for count, fault in chosen.fault_every:
        server.faults.every(count, fault)
    with server:
        print(f"Serving {server.url}; set OPENAI_API_KEY to anything. Ctrl-C ends it.", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print(f"{len(server.requests)} requests, {server.most_at_once} at once at most.")


def reply(recording: Recording, body: Mapping[str, Any]) -> str:
    """The content of a chat completion: an extraction, or the smallest value of the schema."""
    kind = kind_of(body)
    if kind in KINDS:
        title, text = document_of(body)
        return recording.extraction(text, title).content(kind)
    schema = (body.get("response_format") or {}).get("json_schema") or {}
    return json.dumps(smallest(schema.get("schema") or {"type": "object"}))


def smallest(schema: Mapping[str, Any]) -> Any:
    """The smallest value of a JSON schema without references."""
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: smallest(part) for name, part in schema.get("properties", {}).items()}
    return _SMALLEST.get(str(schema.get("type")))


def _every(text: str) -> tuple[int, Fault]:
    count, _, name = text.partition(":")
    try:
        return max(int(count), 1), Fault[name.upper()]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form 20:rate_limited") from None


if __name__ == "__main__":
    main()
