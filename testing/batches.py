"""Files and batches of the API, kept in memory.

A batch moves when it is looked at: validating, in progress, and after ``polls`` looks what ``ends`` says. Its requests
are answered then, those that fail in a file of errors of their own; an expired batch has got to ``reached`` of them.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any, Literal

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
"""Status and body for the body of one request."""

_CREATED = 1_700_000_000


@dataclass(slots=True)
class _File:
    name: str
    purpose: str
    content: bytes


@dataclass(slots=True)
class _Batch:
    input_file_id: str
    endpoint: str
    looks: int = 0
    status: str = "validating"
    completed: int = 0
    failed: int = 0
    total: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class Batches:
    """The stores of files and batches; safe to use from several threads."""

    def __init__(self, answer: Answer) -> None:
        self.polls = 2
        """Looks at a batch after which it has ended."""
        self.ends: Literal["completed", "failed", "expired"] = "completed"
        self.reached: int | None = None
        """Requests that an expired batch has answered; ``None``: half of them."""
        self._answer = answer
        self._files: dict[str, _File] = {}
        self._batches: dict[str, _Batch] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def upload(self, content_type: str, body: bytes) -> dict[str, Any]:
        """Keep what a multipart form holds; gives its file object."""
        form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
        fields = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        purpose = str(fields["purpose"].get_content()).strip()
        name = str(fields["file"].get_filename())
        content: Any = fields["file"].get_payload(decode=True)
        return self._file_object(self._keep(name, purpose, content))

    def file(self, file_id: str) -> dict[str, Any] | None:
        """The file object; ``None`` where there is none."""
        return self._file_object(file_id) if file_id in self._files else None

    def content(self, file_id: str) -> bytes | None:
        """What a file holds; ``None`` where there is none."""
        kept = self._files.get(file_id)
        return kept.content if kept else None

    def create(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Start a batch; ``None`` where its file is not known."""
        if body["input_file_id"] not in self._files:
            return None
        batch_id = f"batch_{next(self._numbers)}"
        self._batches[batch_id] = _Batch(body["input_file_id"], body["endpoint"], metadata=body.get("metadata") or {})
        return self._batch_object(batch_id)

    def listed(self) -> dict[str, Any]:
        """All batches on one page, the newest first; they do not move."""
        found = [self._batch_object(batch_id) for batch_id in reversed(list(self._batches))]
        return {"object": "list", "data": found, "has_more": False}

    def look(self, batch_id: str) -> dict[str, Any] | None:
        """Let a batch move on, and say where it is; ``None`` where there is none."""
        with self._lock:
            batch = self._batches.get(batch_id)
            if batch is None:
                return None
            if batch.status in ("validating", "in_progress"):
                batch.looks += 1
                batch.status = "in_progress"
                if batch.looks >= self.polls:
                    self._end(batch)
            return self._batch_object(batch_id)

    def cancel(self, batch_id: str) -> dict[str, Any] | None:
        """End a batch before it has answered anything; ``None`` where there is none."""
        with self._lock:
            batch = self._batches.get(batch_id)
            if batch is None:
                return None
            if batch.status in ("validating", "in_progress"):
                batch.status = "cancelled"
            return self._batch_object(batch_id)

    def _end(self, batch: _Batch) -> None:
        batch.status = self.ends
        if self.ends == "failed":
            return
        lines = [json.loads(line) for line in self._files[batch.input_file_id].content.splitlines() if line.strip()]
        batch.total = len(lines)
        reached = len(lines)
        if self.ends == "expired":
            reached = len(lines) // 2 if self.reached is None else self.reached
        outputs: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(lines):
            result: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "error": None}
            if number >= reached:
                said = {"code": "batch_expired", "message": "This request was not executed before the batch expired."}
                errors.append({**result, "response": None, "error": said})
                continue
            status, body = self._answer(line["body"])
            result["response"] = {"status_code": status, "request_id": f"req_{number}", "body": body}
            (outputs if status == 200 else errors).append(result)
        batch.completed, batch.failed = len(outputs), len(errors)
        outputs.reverse()  # the API promises no order
        if outputs:
            batch.output_file_id = self._keep("output.jsonl", "batch_output", _jsonl(outputs))
        if errors:
            batch.error_file_id = self._keep("errors.jsonl", "batch_output", _jsonl(errors))

    def _keep(self, name: str, purpose: str, content: bytes) -> str:
        file_id = f"file-{next(self._numbers)}"
        self._files[file_id] = _File(name, purpose, content)
        return file_id

    def _file_object(self, file_id: str) -> dict[str, Any]:
        kept = self._files[file_id]
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(kept.content),
            "created_at": _CREATED,
            "filename": kept.name,
            "purpose": kept.purpose,
            "status": "processed",
        }

    def _batch_object(self, batch_id: str) -> dict[str, Any]:
        batch = self._batches[batch_id]
        ended = _CREATED + 60 * batch.looks
        problem = {"code": "invalid_json_line", "message": "A line is not JSON.", "line": 1, "param": None}
        return {
            "id": batch_id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "input_file_id": batch.input_file_id,
            "completion_window": "24h",
            "status": batch.status,
            "created_at": _CREATED,
            "completed_at": ended if batch.status == "completed" else None,
            "failed_at": ended if batch.status == "failed" else None,
            "expired_at": ended if batch.status == "expired" else None,
            "cancelled_at": ended if batch.status == "cancelled" else None,
            "output_file_id": batch.output_file_id,
            "error_file_id": batch.error_file_id,
            "errors": {"object": "list", "data": [problem]} if batch.status == "failed" else None,
            "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
            "metadata": batch.metadata,
        }


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
