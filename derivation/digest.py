"""The canonical dump of a lake: what it holds, in an order that depends on nothing else, and the digest of it.

Two lakes with equal digests hold the same documents, passages, vectors, mentions, families, strengths, index rows and
graph, however they came by them. Left out is what tells when and how often, not what: times, attempts, Lance version
numbers; which memories are cold, since that changes with the hour; and the compressed bank, whose codec is learnt in
the order in which memories come, while scores are those of the originals. A vector is named by its text and embedder;
``verify`` compares its floats, since batches of another shape round otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from derivation.graphs import GRAPH_STEP_NAME
from derivation.lake import Lake
from derivation.layers import layer_state
from warehouse.database import Connection
from warehouse.searched import KINDS
from warehouse.vectors import open_latest

_TABLES = {
    "documents": "document_id, space, source, path, item_path, revision_id, title, author, document_date, media_type",
    "revisions": (
        "revision_id, document_id, space, source, content_hash, md5(text) AS text, page_starts, turn_starts, speakers"
    ),
    "passages": (
        "passage_id, space, source, document_id, revision_id, ordinal, char_start, char_end, page, kind, heading,"
        " tokens, md5(text) AS text, text_hash"
    ),
    "mentions": "passage_id, space, source, entity_id, entity_key, kind, surface, char_start, char_end",
    "titles": "passage_id, space, source, entity_id, entity_key, kind, surface",
    "acronyms": "passage_id, space, source, short_id, long_id, char_start, char_end",
    "supports": (
        "passage_id, space, source, fact_id, subject_id, predicate, object_id, char_start, char_end, subject_start,"
        " subject_end, subject_titled, object_start, object_end, object_titled"
    ),
    "entities": "entity_id, space, entity_key, name, kind, passages",
    "facts": "fact_id, space, subject_id, predicate, object_id, passages",
    "validity": "fact_id, space, valid_from, valid_until, superseded_by",
    "phrases": "owner_id, space, kind, text_hash",
    "decisions": "left_id, right_id, space, method, score, verdict, reason",
    "resolutions": "entity_id, space, canonical_id, method, score",
    "reinforcement": (
        "target_id, document_id, space, source, returned, cited, confirmed, rejected, strength, recalled_at"
    ),
    "signatures": "space, text_key, fingerprint, bands",
    "duplicate_pairs": "space, leader_key, member_key, fingerprint, score, jaccard, duplicate",
    "families": "passage_id, space, source, representative, kind, score, suppressed",
    "memories": (
        "memory_id, space, source, document_id, granularity, ordinal, parent_id, md5(text) AS text, text_hash, pooled,"
        " tokens, speaker, subject, attribute, since, until"
    ),
    "memory_spans": "memory_id, space, source, owner_id, document_id, revision_id, char_start, char_end",
    "memory_validity": "memory_id, space, valid_from, valid_until, superseded_by",
    "association_neighbours": "memory_id, neighbour_id, space, embedder, score, probability, linked",
    "outline_candidates": "document_id, space, source, candidate, chunks, clarity, completeness, fused, kept",
    "time_expressions": "document_id, space, source, revision_id, char_start, char_end, words, since, until",
    "ledger": "step, space, source, input_id, input_hash, fingerprint, status, label, error, remedy, outputs",
}
"""Columns of each table that belong to what a lake holds."""

_INPUT_HASH_OF_FILES = "CASE WHEN step = 'documents' THEN '' ELSE input_hash END AS input_hash"
"""A file is told apart by its time and inode, which a copy of the same content does not share."""

_EMBEDDINGS = "SELECT space, text_hash, embedder, len(vector) FROM embeddings WHERE embedder = $embedder ORDER BY ALL"

_PIECES = """
SELECT space, text_hash, embedder, octet_length(vectors) FROM piece_vectors WHERE embedder = $embedder ORDER BY ALL
"""

_FETCHED_ROWS = 10_000


def canonical_rows(lake: Lake) -> Iterator[tuple[str, list[Any]]]:
    """Every row of the lake with the name of its table, in the canonical order.

    Raises:
        SnapshotError: the Lance table of a space is missing.
    """
    with lake.warehouse.session("dumping the lake") as connection:
        for table, columns in _TABLES.items():
            chosen = columns.replace("input_hash", _INPUT_HASH_OF_FILES, 1) if table == "ledger" else columns
            yield from _fetched(connection, table, f"SELECT {chosen} FROM {table} ORDER BY ALL", {})
        yield from _fetched(connection, "embeddings", _EMBEDDINGS, {"embedder": lake.embedder_spec.identity})
        yield from _fetched(connection, "pieces", _PIECES, {"embedder": lake.embedder_spec.identity})
        graphs = {space: layer_state(connection, space, GRAPH_STEP_NAME) or {} for space in lake.settings.spaces}
    for space in lake.settings.spaces:
        for kind in KINDS:
            if not kind.is_searched:
                continue
            searched = open_latest(lake.layout, space, kind.table(lake.embedder_spec.identity))
            for row in searched.search().select([kind.key, "row_hash"]).to_arrow().sort_by(kind.key).to_pylist():
                yield f"searched {kind.name} of {space}", [row[kind.key], row["row_hash"]]
        yield f"graph of {space}", [graphs[space].get("digest")]


def lake_digest(lake: Lake) -> str:
    """64 hexadecimal digits over the canonical dump."""
    digest = hashlib.blake2b(digest_size=32)
    for table, row in canonical_rows(lake):
        digest.update(dump_line(table, row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def dump_line(table: str, row: list[Any]) -> str:
    """One line of the dump, so that two dumps can be compared with ``diff``."""
    return json.dumps([table, *row], ensure_ascii=False, default=str) + "\n"


def _fetched(
    connection: Connection, table: str, sql: str, parameters: dict[str, object]
) -> Iterator[tuple[str, list[Any]]]:
    result = connection.execute(sql, parameters)
    while rows := result.fetchmany(_FETCHED_ROWS):
        for row in rows:
            yield table, list(row)
