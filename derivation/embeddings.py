"""Passages to vectors, each distinct text of a space once for each embedder.

The ``embeddings`` table is its own ledger: a text hash is either there for an embedder or to be computed. Rows that no
passage needs are removed by ``remove_unused`` after all sources are up to date, so that a text which moves from one
document or source to another is not embedded again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.replies import absorb_replies
from derivation.runner import log_run
from errors import ModelError
from memory.pieces import pieces
from memory.segmentation import contextual_text
from warehouse.database import Changes, Connection, bump_generation, frame, registered
from warehouse.delta import Scope, Step
from warehouse.faults import reach

EMBEDDINGS_STEP_NAME = "embeddings"
_CODE_VERSION = "1"
_BATCH_BYTES = 24_000_000
"""Vectors of one batch; the number of texts follows from the dimensions."""

_MISSING = """
SELECT p.text_hash, min(p.passage_id) AS passage_id, max(p.tokens) AS tokens
FROM passages p
WHERE p.space = $space AND p.source = $source AND (NOT EXISTS (
    SELECT 1 FROM embeddings e WHERE e.space = p.space AND e.embedder = $embedder AND e.text_hash = p.text_hash
) OR ($pieces AND NOT EXISTS (
    SELECT 1 FROM piece_vectors e WHERE e.space = p.space AND e.embedder = $embedder AND e.text_hash = p.text_hash
)))
GROUP BY p.text_hash
ORDER BY max(p.tokens), p.text_hash
"""


def embeddings_step(lake: Lake) -> Step:
    """The step; the embedder's identity is all that shapes a vector besides its text."""
    return Step(EMBEDDINGS_STEP_NAME, _CODE_VERSION, {"embedder": lake.embedder_spec.identity})


def missing_texts(connection: Connection, lake: Lake, scope: Scope) -> pl.DataFrame:
    """``text_hash``, a ``passage_id`` and ``tokens`` of every text in ``scope`` without a vector, short texts first.

    Sorted by length over the whole plan, so that a batch holds texts of like length and none is padded in vain.
    """
    return frame(
        connection,
        _MISSING,
        {
            "space": scope.space,
            "source": scope.source,
            "embedder": lake.embedder_spec.identity,
            "pieces": keeps_pieces(lake),
        },
    )


def count_texts(connection: Connection, scope: Scope) -> int:
    """Distinct texts of the passages in ``scope``."""
    row = connection.execute(
        "SELECT count(DISTINCT text_hash) FROM passages WHERE space = $space AND source = $source",
        {"space": scope.space, "source": scope.source},
    ).fetchone()
    assert row is not None
    return int(row[0])


@exclusive("embedding")
def refresh_embeddings(lake: Lake, scope: Scope) -> StepReport:
    """Embed every text of ``scope`` that has no vector yet.

    Raises:
        ModelError, ModelUnavailable: the embedder failed; the batches before are kept.
    """
    started = time.perf_counter()
    step = embeddings_step(lake)
    with lake.warehouse.session("planning embeddings") as connection:
        missing = missing_texts(connection, lake, scope)
        known = count_texts(connection, scope) - missing.height
    lake.progress.start(step.name, scope.source, missing.height)
    model_seconds = 0.0
    if missing.height:
        rows = min(lake.settings.lake.batch_rows, max(_BATCH_BYTES // (4 * lake.embedder.dimensions), 1))
        for batch in missing.iter_slices(rows):
            model_seconds += _embed_batch(lake, scope, batch)
    lake.progress.finish()
    report = StepReport(
        step=step.name,
        source=scope.source,
        fingerprint=step.fingerprint,
        processed=missing.height,
        untouched=known,
        changes=Changes(added=missing.height),
        seconds=time.perf_counter() - started,
        model_seconds=model_seconds,
        tokens=int(missing["tokens"].sum()),
    )
    log_run(lake, report)
    return report


def _embed_batch(lake: Lake, scope: Scope, batch: pl.DataFrame) -> float:
    """Embed and commit one batch, with its pieces; returns the seconds spent in the model."""
    with lake.warehouse.session("reading texts") as connection:
        rows = connection.execute(
            "SELECT p.text_hash, d.title, p.heading, p.text, p.kind"
            " FROM passages p JOIN documents d USING (document_id) WHERE p.passage_id IN (SELECT unnest($ids))",
            {"ids": batch["passage_id"].to_list()},
        ).fetchall()
    texts = [contextual_text(title, heading, text) for _, title, heading, text, _ in rows]
    spans = None
    if keeps_pieces(lake):
        spans = []
        for context, (_, _, _, text, kind) in zip(texts, rows, strict=True):
            shift = len(context) - len(text)
            spans.append([(start + shift, end + shift) for start, end in pieces(text, kind)])
    return embed_texts(lake, scope.space, [row[0] for row in rows], texts, spans)


def keeps_pieces(lake: Lake) -> bool:
    """Whether the pieces of passages have vectors of their own."""
    return lake.settings.memory.pieces and lake.embedder_spec.pools_pieces


def embed_texts(
    lake: Lake,
    space: str,
    hashes: Sequence[str],
    texts: Sequence[str],
    spans: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> float:
    """Embed texts, and spans of them, and commit their vectors; returns the seconds spent in the model.

    Raises:
        ModelError: a vector is not finite.
    """
    begun = time.perf_counter()
    with lake.warehouse.released():
        of_spans: list[NDArray[np.float32]] = []
        if spans is None:
            vectors = lake.embedder.encode(texts, lake.progress.advance)
        else:
            vectors, of_spans = lake.embedder.encode_pieces(texts, spans, lake.progress.advance)
    seconds = time.perf_counter() - begun
    if not np.isfinite(vectors).all():
        bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ModelError(
            f"The embedder {lake.embedder_spec.identity} gave a vector that is not finite for: {texts[bad][:80]!r}.",
            "Choose another embedding.precision or model.",
        )
    reach("embeddings.computed")
    computed = pl.DataFrame(
        {
            "space": [space] * len(texts),
            "text_hash": list(hashes),
            "embedder": [lake.embedder_spec.identity] * len(texts),
            "vector": vectors,
        }
    )
    packed = [each.astype(np.float16).tobytes() for each in of_spans]
    with lake.warehouse.session("writing embeddings") as connection, registered(connection, "vectors_frame", computed):
        connection.execute(
            "INSERT INTO embeddings SELECT space, text_hash, embedder, vector FROM vectors_frame ON CONFLICT DO NOTHING"
        )
        if packed:
            of_pieces = computed.drop("vector").with_columns(vectors=pl.Series(packed, dtype=pl.Binary))
            with registered(connection, "pieces_frame", of_pieces):
                connection.execute("INSERT INTO piece_vectors SELECT * FROM pieces_frame ON CONFLICT DO NOTHING")
        bump_generation(connection)
    reach("embeddings.committed")
    return seconds


@exclusive("removing unused embeddings")
def remove_unused(lake: Lake, space: str) -> int:
    """Remove vectors and model replies of texts that nothing in the space has any more; returns how many vectors."""
    absorb_replies(lake)
    with lake.warehouse.session("removing unused embeddings") as connection:
        gone = connection.execute(
            "DELETE FROM embeddings e WHERE e.space = $space"
            " AND NOT EXISTS (SELECT 1 FROM passages p WHERE p.space = e.space AND p.text_hash = e.text_hash)"
            " AND NOT EXISTS (SELECT 1 FROM phrases p WHERE p.space = e.space AND p.text_hash = e.text_hash)"
            " AND NOT EXISTS (SELECT 1 FROM memories m WHERE m.space = e.space AND m.text_hash = e.text_hash)"
            " RETURNING 1",
            {"space": space},
        ).fetchall()
        connection.execute(
            "DELETE FROM piece_vectors e WHERE e.space = $space AND (NOT $kept"
            " OR NOT EXISTS (SELECT 1 FROM passages p WHERE p.space = e.space AND p.text_hash = e.text_hash))",
            {"space": space, "kept": keeps_pieces(lake)},
        )
        connection.execute(
            "DELETE FROM model_replies m WHERE m.space = $space"
            " AND NOT EXISTS (SELECT 1 FROM passages p WHERE p.space = m.space AND p.text_hash = m.text_hash)"
            " AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.space = m.space AND r.content_hash = m.text_hash)",
            {"space": space},
        )
    reach("embeddings.removed")
    return len(gone)
