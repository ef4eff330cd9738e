"""What a build would cost, told before it: texts, tokens, time at the measured rate, and money.

Texts that have a vector, and inputs about which a model was asked, cost nothing. Documents that are to be cut anew
are cut here, in memory, since that needs no model and tells exactly which passages would be new. Files that are yet to
be read are counted by their size, which is more than plain text comes to and less than a compressed format may, or read
in a rehearsal, which also tells which memories they have.
"""

from __future__ import annotations

from dataclasses import dataclass

from derivation.documents import list_source, plan_documents
from derivation.embeddings import embeddings_step
from derivation.lake import Lake
from derivation.memory_vectors import missing_memories
from derivation.model_costs import ModelCost, model_costs
from derivation.passages import Passages
from derivation.rehearsal import rehearsed
from errors import MemlakeError
from sources import Item
from warehouse.database import Connection
from warehouse.delta import Scope, Task, plan_step
from warehouse.sections import SourceSettings

_CHARS_PER_TOKEN = 3
"""Fewer than most texts have."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What embedding would cost, and the layers that a model makes."""

    texts: int
    """Known texts without a vector, of passages and memories, each counted once a space."""
    tokens: int
    memory_texts: int
    """Those of memories; what is the mean of pieces of passages is read by no model, and not among them."""
    memory_tokens: int
    unread_files: int
    unread_tokens: int
    """By the size of the files that are yet to be read."""
    seconds: float | None
    """At the rate of earlier runs of this embedder; ``None`` where there were none."""
    price: float | None
    """By ``embedding.price_per_million_tokens``; ``None`` where that is not set."""
    models: tuple[ModelCost, ...]
    """Of the layers that a model makes, in the order of the steps."""


def rehearsed_cost(lake: Lake, sources: list[SourceSettings]) -> CostEstimate:
    """As :func:`estimate_cost`, with every changed document read and cut first, in a copy that is thrown away."""
    with rehearsed(lake, sources) as copy:
        return estimate_cost(copy, sources)


def estimate_cost(lake: Lake, sources: list[SourceSettings]) -> CostEstimate:
    """The cost of building these sources; a source that does not answer is left out."""
    texts: dict[tuple[str, str], int] = {}
    unread_files = unread_tokens = 0
    for source in sources:
        try:
            listing = list_source(source)
        except MemlakeError:
            continue
        scope = Scope(source.space, source.name)
        with lake.warehouse.session("estimating the cost") as connection:
            unread = plan_documents(connection, source, listing, lake.retry_quarantined).tasks
            passages = Passages(lake)
            inputs = passages.inputs(scope)
            recut = plan_step(connection, passages.step, scope, inputs.sql, inputs.parameters).tasks
            texts |= _uncut(connection, scope, recut)
        entries = [listing.entries[task.input_id] for task in unread if task.input_id in listing.entries]
        unread_files += len(entries)
        unread_tokens += sum(entry.size // _CHARS_PER_TOKEN for entry in entries if isinstance(entry, Item))
        size = lake.settings.lake.batch_rows
        for start in range(0, len(recut), size):
            texts |= _recut(lake, passages, scope, recut[start : start + size])
    with lake.warehouse.session("estimating the cost") as connection:
        known = set(
            connection.execute(
                "SELECT space, text_hash FROM embeddings WHERE embedder = $embedder",
                {"embedder": lake.embedder_spec.identity},
            ).fetchall()
        )
        remembered = _memories(connection, lake, {source.space for source in sources})
        rate = _seconds_per_token(connection, lake)
    new_memories = {key: count for key, count in remembered.items() if key not in texts}
    texts |= new_memories
    tokens = sum(count for key, count in texts.items() if key not in known)
    price = lake.settings.embedding.price_per_million_tokens
    return CostEstimate(
        texts=sum(key not in known for key in texts),
        tokens=tokens,
        memory_texts=len(new_memories),
        memory_tokens=sum(new_memories.values()),
        unread_files=unread_files,
        unread_tokens=unread_tokens,
        seconds=None if rate is None else rate * (tokens + unread_tokens),
        price=None if price is None else price * (tokens + unread_tokens) / 1e6,
        models=model_costs(lake, [Scope(source.space, source.name) for source in sources]),
    )


def _uncut(connection: Connection, scope: Scope, recut: tuple[Task, ...]) -> dict[tuple[str, str], int]:
    """Texts of the passages that stay as they are cut, with their tokens."""
    rows = connection.execute(
        "SELECT text_hash, max(tokens) FROM passages WHERE space = $space AND source = $source"
        " AND document_id NOT IN (SELECT unnest($recut)) GROUP BY text_hash",
        {"space": scope.space, "source": scope.source, "recut": [task.input_id for task in recut]},
    ).fetchall()
    return {(scope.space, key): int(tokens) for key, tokens in rows}


def _recut(lake: Lake, passages: Passages, scope: Scope, tasks: tuple[Task, ...]) -> dict[tuple[str, str], int]:
    with lake.warehouse.session("reading revisions") as connection:
        loaded = passages.load(connection, tasks)
    computed = passages.compute(tasks, loaded).outputs
    return {(scope.space, key): tokens for key, tokens in computed.select("text_hash", "tokens").iter_rows()}


def _memories(connection: Connection, lake: Lake, spaces: set[str]) -> dict[tuple[str, str], int]:
    """Texts of memories that have no vector and that a model would read, with their tokens."""
    return {
        (space, text_hash): tokens
        for space in sorted(spaces)
        for text_hash, tokens in missing_memories(connection, lake, space, is_pooled=False)
        .select("text_hash", "tokens")
        .iter_rows()
    }


def _seconds_per_token(connection: Connection, lake: Lake) -> float | None:
    row = connection.execute(
        "SELECT sum(model_seconds), sum(tokens) FROM step_runs"
        " WHERE step = 'embeddings' AND fingerprint = $fingerprint",
        {"fingerprint": embeddings_step(lake).fingerprint},
    ).fetchone()
    return float(row[0]) / float(row[1]) if row and row[1] else None
