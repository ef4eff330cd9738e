"""Memories to vectors: the mean of their pieces where these have vectors, else their text embedded, each once.

As for passages, the ``embeddings`` table is its own ledger: what a memory's vector is of is there for an embedder or
to be computed. What a model reads are outlines, summaries, keywords and periods, a small part of a document's length.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.embeddings import embed_texts
from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import log_run
from memory.pieces import Cut, parts_of, pieces, pooled
from memory.segmentation import contextual_text
from warehouse.database import Changes, Connection, bump_generation, frame, registered
from warehouse.delta import Scope, Step
from warehouse.faults import reach
from warehouse.ids import pooled_id

MEMORY_EMBEDDINGS_STEP_NAME = "memory_embeddings"
CODE_VERSION = "1"
_DOCUMENTS_AT_ONCE = 64

_MISSING = """
SELECT m.text_hash, min(m.memory_id) AS memory_id, max(m.tokens) AS tokens,
    arg_min(m.document_id, m.memory_id) AS document_id
FROM memories m
WHERE m.space = $space AND m.pooled = $pooled AND NOT EXISTS (
    SELECT 1 FROM embeddings e WHERE e.space = m.space AND e.embedder = $embedder AND e.text_hash = m.text_hash
)
GROUP BY m.text_hash
ORDER BY {order}
"""


def memory_embeddings_step(lake: Lake) -> Step:
    """The step; the embedder's identity is all that shapes a vector besides what it is of."""
    return Step(MEMORY_EMBEDDINGS_STEP_NAME, CODE_VERSION, {"embedder": lake.embedder_spec.identity})


def missing_memories(connection: Connection, lake: Lake, space: str, is_pooled: bool) -> pl.DataFrame:
    """``text_hash``, ``tokens`` and of one memory its ``memory_id`` and ``document_id``, for all without a vector."""
    order = "arg_min(m.document_id, m.memory_id), m.text_hash" if is_pooled else "max(m.tokens), m.text_hash"
    asked = {"space": space, "pooled": is_pooled, "embedder": lake.embedder_spec.identity}
    return frame(connection, _MISSING.format(order=order), asked)


def count_missing(connection: Connection, lake: Lake, scope: Scope) -> int:
    """How many different vectors the memories of a source lack."""
    [(count,)] = connection.execute(
        "SELECT count(DISTINCT m.text_hash) FROM memories m WHERE m.space = $space AND m.source = $source"
        " AND NOT EXISTS (SELECT 1 FROM embeddings e"
        " WHERE e.space = m.space AND e.embedder = $embedder AND e.text_hash = m.text_hash)",
        {"space": scope.space, "source": scope.source, "embedder": lake.embedder_spec.identity},
    ).fetchall()
    return int(count)


@exclusive("embedding memories")
def refresh_memory_embeddings(lake: Lake, space: str) -> StepReport:
    """Give every memory of a space its vector.

    Raises:
        ModelError, ModelUnavailable: the embedder failed; the batches before are kept.
    """
    started = time.perf_counter()
    step = memory_embeddings_step(lake)
    with lake.warehouse.session("planning memories") as connection:
        read = missing_memories(connection, lake, space, is_pooled=False)
        made = missing_memories(connection, lake, space, is_pooled=True)
        total = connection.execute(
            "SELECT count(DISTINCT text_hash) FROM memories WHERE space = $space", {"space": space}
        ).fetchone()
    lake.progress.start(step.name, space, read.height + made.height)
    model_seconds = 0.0
    for batch in read.iter_slices(lake.settings.lake.batch_rows):
        with lake.warehouse.session("reading memories") as connection:
            rows = connection.execute(
                "SELECT m.text_hash, coalesce(d.title, ''), m.text FROM memories m LEFT JOIN documents d"
                " USING (document_id) WHERE m.memory_id IN (SELECT unnest($ids))",
                {"ids": batch["memory_id"].to_list()},
            ).fetchall()
        texts = [contextual_text(title, "", text) for _, title, text in rows]
        model_seconds += embed_texts(lake, space, [row[0] for row in rows], texts)
    documents = made["document_id"].unique(maintain_order=True).to_list()
    processed = read.height
    for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        processed += _pool(lake, space, made, documents[start : start + _DOCUMENTS_AT_ONCE])
    lake.progress.finish()
    assert total is not None
    report = StepReport(
        step=step.name,
        source="",
        fingerprint=step.fingerprint,
        processed=processed,
        untouched=int(total[0]) - processed,
        changes=Changes(added=processed),
        seconds=time.perf_counter() - started,
        model_seconds=model_seconds,
        tokens=int(read["tokens"].sum()),
    )
    log_run(lake, report)
    return report


def _pool(lake: Lake, space: str, made: pl.DataFrame, documents: Sequence[str]) -> int:
    """Make the missing vectors of these documents' memories from those of the passages' pieces; returns how many.

    A document whose passages were cut since it was remembered, or have no vectors yet, is left to the run that has
    brought its source up to date.
    """
    wanted = made.filter(pl.col("document_id").is_in(documents))
    of = {"ids": list(documents), "space": space, "embedder": lake.embedder_spec.identity}
    with lake.warehouse.session("reading pieces") as connection:
        spans = connection.execute(
            "SELECT m.text_hash, m.document_id, list(struct_pack(a := s.char_start, b := s.char_end)"
            " ORDER BY s.char_start) FROM memories m JOIN memory_spans s USING (memory_id)"
            " WHERE m.memory_id IN (SELECT unnest($ids)) GROUP BY ALL ORDER BY ALL",
            {"ids": wanted["memory_id"].to_list()},
        ).fetchall()
        rows = connection.execute(
            "SELECT p.document_id, p.text_hash, p.char_start, p.text, p.kind, v.vectors FROM passages p"
            " LEFT JOIN piece_vectors v ON v.space = p.space AND v.text_hash = p.text_hash AND v.embedder = $embedder"
            " WHERE p.space = $space AND p.document_id IN (SELECT unnest($ids)) ORDER BY p.document_id, p.ordinal",
            of,
        ).fetchall()
    cuts: dict[str, list[Cut]] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    for document, text_hash, start, text, kind, packed in rows:
        cut = Cut(text_hash, start, pieces(text, kind))
        cuts.setdefault(document, []).append(cut)
        if packed is not None:
            vectors[text_hash] = unpacked(packed, len(cut.pieces))
    hashes, computed = [], []
    for text_hash, document, places in spans:
        parts = parts_of([(place["a"], place["b"]) for place in places], cuts.get(document, []))
        if pooled_id(parts) != text_hash or any(key not in vectors for key, _, _ in parts):
            continue
        weights = np.array([weight for _, _, weight in parts], dtype=np.float32)
        hashes.append(text_hash)
        computed.append(pooled(weights, np.stack([vectors[key][number] for key, number, _ in parts])))
    if not hashes:
        return 0
    reach("memory_vectors.computed")
    made_frame = pl.DataFrame(
        {
            "space": [space] * len(hashes),
            "text_hash": hashes,
            "embedder": [lake.embedder_spec.identity] * len(hashes),
            "vector": np.stack(computed),
        }
    )
    with lake.warehouse.session("writing memories") as connection, registered(connection, "made_frame", made_frame):
        connection.execute("INSERT INTO embeddings SELECT * FROM made_frame ON CONFLICT DO NOTHING")
        bump_generation(connection)
    reach("memory_vectors.committed")
    lake.progress.advance(len(hashes))
    return len(hashes)


def unpacked(packed: bytes, count: int) -> NDArray[np.float32]:
    """The vectors of a passage's pieces, ``(count, dimensions)``."""
    return np.frombuffer(packed, dtype=np.float16).astype(np.float32).reshape(count, -1)
