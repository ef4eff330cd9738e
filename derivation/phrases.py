"""Vectors of the graph's phrases: entities by their keys, facts by "subject predicate object", each distinct text once.

They stand in the ``embeddings`` table beside those of passages, under the hash of their text, so that what two facts or
two runs share is not embedded again. They serve synonyms (``graph/resolution.py``) and linking questions to facts.
"""

from __future__ import annotations

import time

import polars as pl

from derivation.embeddings import embed_texts
from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import log_run
from warehouse.database import Connection, bump_generation, frame, replace_rows
from warehouse.delta import Step
from warehouse.ids import phrase_hash

PHRASES_STEP_NAME = "phrases"
_CODE_VERSION = "1"

_PHRASES = """
SELECT entity_id AS owner_id, 'entity' AS kind, entity_key AS text FROM entities
WHERE space = $space AND kind NOT IN ('date', 'identifier')
UNION ALL
SELECT f.fact_id, 'fact', s.entity_key || ' ' || f.predicate || ' ' || o.entity_key FROM facts f
JOIN entities s ON s.entity_id = f.subject_id JOIN entities o ON o.entity_id = f.object_id WHERE f.space = $space
ORDER BY ALL
"""

_MISSING = """
SELECT DISTINCT text_hash FROM phrases p WHERE p.space = $space AND NOT EXISTS (
    SELECT 1 FROM embeddings e WHERE e.space = p.space AND e.embedder = $embedder AND e.text_hash = p.text_hash
)
"""


def embeds_phrases(lake: Lake) -> bool:
    """Whether phrases are embedded: as set, and by default where a model extracts them."""
    wanted = lake.settings.graph.embed_phrases
    return lake.settings.extraction.provider == "openai" if wanted is None else wanted


def phrases_step(lake: Lake) -> Step:
    """The step; without vectors it only sees to it that there are none."""
    return Step(
        PHRASES_STEP_NAME, _CODE_VERSION, {"embedder": lake.embedder_spec.identity if embeds_phrases(lake) else ""}
    )


def wanted_phrases(connection: Connection, lake: Lake, space: str) -> pl.DataFrame:
    """``owner_id, space, kind, text_hash, text`` of every phrase of a space that needs a vector."""
    rows = frame(connection, _PHRASES, {"space": space})
    if not embeds_phrases(lake):
        rows = rows.clear()
    hashes = pl.Series("text_hash", [phrase_hash(text) for text in rows["text"]], dtype=pl.String)
    return rows.select("owner_id", pl.lit(space).alias("space"), "kind", hashes, "text")


@exclusive("embedding phrases")
def refresh_phrases(lake: Lake, space: str) -> StepReport:
    """Embed every phrase of a space that has no vector yet.

    Raises:
        ModelError, ModelUnavailable: the embedder failed; the batches before are kept.
    """
    started = time.perf_counter()
    step = phrases_step(lake)
    with lake.warehouse.session("reading phrases") as connection:
        wanted = wanted_phrases(connection, lake, space)
        changes = replace_rows(
            connection, "phrases", ["space", "kind", "owner_id"], wanted.drop("text"), "space", [space]
        )
        if changes.any:
            bump_generation(connection)
        missing = frame(connection, _MISSING, {"space": space, "embedder": lake.embedder_spec.identity})
    texts = wanted.select("text_hash", "text").unique("text_hash").join(missing, on="text_hash", how="semi")
    texts = texts.sort(pl.col("text").str.len_chars(), "text_hash")
    lake.progress.start(step.name, space, texts.height)
    seconds = 0.0
    for batch in texts.iter_slices(lake.settings.lake.batch_rows):
        seconds += embed_texts(lake, space, batch["text_hash"].to_list(), batch["text"].to_list())
    lake.progress.finish()
    report = StepReport(
        step=step.name,
        source="",
        fingerprint=step.fingerprint,
        processed=texts.height,
        untouched=wanted.height - texts.height,
        removed=changes.removed,
        changes=changes,
        seconds=time.perf_counter() - started,
        model_seconds=seconds,
    )
    log_run(lake, report)
    return report
