"""Asking many things through a provider's Batch API: at half the price, within a day.

A batch outlives processes: :class:`BatchHandle` is a plain value that a later process polls with. When a batch has
ended, every request of it has either a reply or an error, also when the batch expired or failed half-way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from errors import MemlakeError, ModelError, ModelUnavailable
from models.chat import Call, ChatRequest, ModelSpec, Outcome, Reply, Usage, request_body, request_key
from models.endpoint import endpoint_errors, open_endpoint, scrub
from models.failures import Failure, of_status, refusal, unreadable, without_choices

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import Batch

BATCH_DISCOUNT = 0.5
"""What providers take of the usual prices."""

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
"""Limits of one batch, OpenAI's."""

_ENDPOINT: Final = "/v1/chat/completions"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_IN_VAIN = frozenset({"failed", "expired", "cancelling", "cancelled"})
_TAG = "memlake_requests"


@dataclass(frozen=True, slots=True)
class BatchHandle:
    """A batch under way."""

    batch_id: str
    model: str
    submitted_at: str
    """ISO 8601, UTC."""
    prompts: Mapping[str, tuple[str, str]]
    """Name and version of the prompt of each request, by :func:`models.chat.request_key`."""

    def to_json(self) -> dict[str, Any]:
        """A value that ``json`` can write."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> BatchHandle:
        """What :meth:`to_json` gave."""
        prompts = {key: (name, version) for key, (name, version) in value["prompts"].items()}
        return BatchHandle(value["batch_id"], value["model"], value["submitted_at"], prompts)


@dataclass(frozen=True, slots=True)
class Pending:
    """Not ended yet."""

    status: str
    completed: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """A batch that has ended. The keys of replies and errors together are those of the handle."""

    status: str
    """``completed``, ``expired``, ``cancelled``, or ``failed``: nothing was done."""
    replies: Mapping[str, Reply]
    errors: Mapping[str, MemlakeError]
    """Transient ones may be asked again."""
    calls: Mapping[str, Call]
    """For every key, with the discount in the cost."""


def submit(spec: ModelSpec, requests: Sequence[ChatRequest]) -> BatchHandle:
    """Upload requests and start their batch; equal ones are asked once.

    It is not tried again by itself, since a batch that was started unnoticed would be paid for.

    Raises:
        ModelError: there are too many requests, or the endpoint refuses them.
        ModelUnavailable: the endpoint did not answer.
    """
    by_key = {request_key(spec, request): request for request in requests}
    structured = spec.structured != "never"
    lines = [
        json.dumps(
            {"custom_id": key, "method": "POST", "url": _ENDPOINT, "body": request_body(spec, request, structured)}
        ).encode()
        for key, request in by_key.items()
    ]
    content = b"\n".join(lines) + b"\n"
    if not lines or len(lines) > MAX_REQUESTS or len(content) > MAX_BYTES:
        raise ModelError(
            f"A batch was to hold {len(lines):,} requests of {len(content):,} bytes.",
            f"Submit 1 to {MAX_REQUESTS:,} requests, of at most {MAX_BYTES:,} bytes.",
        )
    client = _open(spec)
    with endpoint_errors(spec.model, "the model"):
        uploaded = client.files.create(file=("requests.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint=_ENDPOINT, completion_window="24h", metadata={_TAG: _tag(by_key)}
        )
    return _handle(spec, batch, by_key)


def find(spec: ModelSpec, requests: Sequence[ChatRequest]) -> BatchHandle | None:
    """The newest batch of exactly these requests that is under way or completed, if the endpoint knows one.

    For whoever may have died between submitting a batch and noting its handle: it need not be paid for again.

    Raises:
        ModelError: the endpoint refuses to list batches.
        ModelUnavailable: the endpoint did not answer.
    """
    by_key = {request_key(spec, request): request for request in requests}
    with endpoint_errors(spec.model, "the model"):
        for batch in _open(spec).batches.list(limit=100):  # goes on to further pages by itself; the newest come first
            if (batch.metadata or {}).get(_TAG) == _tag(by_key) and batch.status not in _IN_VAIN:
                return _handle(spec, batch, by_key)
    return None


def poll(spec: ModelSpec, handle: BatchHandle, discount: float = BATCH_DISCOUNT) -> Pending | Done:
    """Look once whether a batch has ended; reads its results if so.

    Raises:
        ModelError: the endpoint does not know the batch.
        ModelUnavailable: the endpoint did not answer.
    """
    client = _open(spec)
    with endpoint_errors(spec.model, "the model"):
        batch = client.batches.retrieve(handle.batch_id)
        if batch.status not in _ENDED:
            counts = batch.request_counts
            return Pending(batch.status, counts.completed if counts else 0, counts.total if counts else 0)
        lines = [line for file_id in (batch.output_file_id, batch.error_file_id) for line in _lines(client, file_id)]
    return _done(spec, handle, batch, lines, discount)


def cancel(spec: ModelSpec, handle: BatchHandle) -> None:
    """Ask the endpoint to end a batch; what it has done until then is still polled, and paid for.

    Raises:
        ModelError: the endpoint does not know the batch, or it has ended.
        ModelUnavailable: the endpoint did not answer.
    """
    with endpoint_errors(spec.model, "the model"):
        _open(spec).batches.cancel(handle.batch_id)


def _handle(spec: ModelSpec, batch: Batch, by_key: Mapping[str, ChatRequest]) -> BatchHandle:
    prompts = {key: (request.prompt.name, request.prompt.version) for key, request in by_key.items()}
    return BatchHandle(batch.id, spec.model, datetime.fromtimestamp(batch.created_at, UTC).isoformat(), prompts)


def _tag(keys: Iterable[str]) -> str:
    """Names a set of requests."""
    return hashlib.blake2b(" ".join(sorted(keys)).encode(), digest_size=16).hexdigest()


def _open(spec: ModelSpec) -> OpenAI:
    return open_endpoint(spec.base_url, spec.timeout_seconds, retries=0)


def _lines(client: OpenAI, file_id: str | None) -> Iterator[dict[str, Any]]:
    """The objects of a result file; a line that is none is passed over, so that it does not cost the others."""
    for line in client.files.content(file_id).text.split("\n") if file_id else []:
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                yield value


def _done(
    spec: ModelSpec, handle: BatchHandle, batch: Batch, lines: Sequence[Mapping[str, Any]], discount: float
) -> Done:
    replies: dict[str, Reply] = {}
    errors: dict[str, MemlakeError] = {}
    calls: dict[str, Call] = {}
    started_at = datetime.fromisoformat(handle.submitted_at)
    ended = batch.completed_at or batch.expired_at or batch.cancelled_at or batch.failed_at or batch.created_at
    latency = max(1000 * (ended - batch.created_at), 0)
    unmentioned: list[Mapping[str, Any]] = [{"custom_id": key} for key in handle.prompts]
    for line in [*lines, *unmentioned]:
        key = str(line.get("custom_id"))
        if key not in handle.prompts or key in calls:
            continue
        usage = Usage()
        result: Reply | Failure
        try:
            usage = _usage(line)
            result = _result(spec, batch, line, latency)
        except (AttributeError, LookupError, TypeError, ValueError):
            result = unreadable(spec)
        if isinstance(result, Failure):
            errors[key], outcome, brief = result.error, result.outcome, result.brief
        else:
            replies[key] = result
            outcome, brief = (Outcome.CUT_OFF if result.finish_reason == "length" else Outcome.OK), None
        calls[key] = Call(
            prompt_name=handle.prompts[key][0],
            prompt_version=handle.prompts[key][1],
            model=handle.model,
            started_at=started_at,
            latency_ms=latency,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=spec.cost(usage, discount),
            outcome=outcome,
            attempts=1,
            error=brief,
        )
    return Done(batch.status, replies, errors, calls)


def _result(spec: ModelSpec, batch: Batch, line: Mapping[str, Any], latency_ms: int) -> Reply | Failure:
    """What a line of a result file says."""
    response = line.get("response") or {}
    body = response.get("body") or {}
    status = response.get("status_code")
    if status == 200 and body.get("choices"):
        choice = body["choices"][0]
        message, finish_reason = choice["message"], str(choice["finish_reason"])
        if message.get("refusal") or finish_reason == "content_filter":
            return refusal(spec, finish_reason == "content_filter")
        return Reply(str(message.get("content") or ""), _usage(line), finish_reason, latency_ms, 1)
    error = line.get("error") or body.get("error") or {}
    if status == 200:
        return without_choices(spec)
    if status is not None:
        return of_status(spec, int(status), error.get("code"), error.get("param"), error.get("message"))
    return _unanswered(spec, batch)


def _unanswered(spec: ModelSpec, batch: Batch) -> Failure:
    """A request that a batch has not got to."""
    reasons = [scrub(item.message) for item in (batch.errors.data or [])] if batch.errors else []
    error = ModelUnavailable(
        f"The batch of {spec.model} is {batch.status} and holds no reply. {' '.join(reasons[:3])}".strip(),
        "Submit the request again.",
    )
    return Failure(Outcome.UNAVAILABLE, error, f"the batch is {batch.status}", retry=True)


def _usage(line: Mapping[str, Any]) -> Usage:
    """What a line says of tokens; they are billed also where the reply is of no use."""
    told = ((line.get("response") or {}).get("body") or {}).get("usage") or {}
    return Usage(int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0))
