"""The knowledge graph that a snapshot holds, as tables: for showing, exporting and explaining it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from graph.compiled import LIST_SEPARATOR, CompiledGraph
from graph.extraction import entity_type
from graph.knowledge import TABLES, KnowledgeGraph

_PASSAGE_SCHEMA = {
    "passage_id": pl.String,
    "source": pl.String,
    "path": pl.String,
    "title": pl.String,
    "char_start": pl.Int64,
}

PASSAGE_COLUMNS = tuple(_PASSAGE_SCHEMA)
"""What of a passage the tables are made of."""


def knowledge_of(graph: CompiledGraph, passages: Sequence[dict[str, Any]]) -> KnowledgeGraph:
    """The tables of a compiled graph.

    Args:
        passages: rows with :data:`PASSAGE_COLUMNS` of every passage of the snapshot.

    Evidence is in characters of its document's revision, as citations are.
    """
    of_passages = pl.DataFrame(passages, schema=_PASSAGE_SCHEMA)
    starts = dict(zip(of_passages["passage_id"], of_passages["char_start"], strict=True))
    begins = np.array([starts[key] for key in graph.passage_ids()], dtype=np.int64)[np.asarray(graph.support_indices)]
    entity_ids, fact_ids = graph.entity_table["entity_id"], graph.fact_table["fact_id"]
    passage_ids = pl.Series("passage_id", graph.passage_ids(), dtype=pl.String)
    in_passages = np.repeat(np.arange(graph.passages), np.diff(graph.incidence_indptr))
    of_facts = np.repeat(np.arange(graph.facts), np.diff(graph.support_indptr))
    entities = graph.entity_table.select(
        "entity_id",
        "key",
        "name",
        "kind",
        pl.Series("type", [entity_type(kind) for kind in graph.entity_table["kind"]], dtype=pl.String),
        pl.when(pl.col("aliases") == "").then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.col("aliases").str.split(LIST_SEPARATOR)).alias("aliases"),
    )  # fmt: skip
    return KnowledgeGraph(
        entities=_typed("entities", entities),
        passages=_typed("passages", of_passages),
        facts=_typed(
            "facts",
            graph.fact_table.with_columns(
                subject_id=entity_ids.gather(graph.fact_subject), object_id=entity_ids.gather(graph.fact_object)
            ),
        ),
        supports=_typed(
            "supports",
            pl.DataFrame(
                {
                    "fact_id": fact_ids.gather(of_facts),
                    "passage_id": passage_ids.gather(graph.support_indices),
                    "char_start": begins + graph.support_spans[:, 0],
                    "char_end": begins + graph.support_spans[:, 1],
                }
            ),
        ),
        mentions=_typed(
            "mentions",
            pl.DataFrame(
                {
                    "passage_id": passage_ids.gather(in_passages),
                    "entity_id": entity_ids.gather(graph.incidence_indices),
                    "titled": np.asarray(graph.incidence_titled),
                }
            ),
        ),
        synonyms=_typed(
            "synonyms",
            graph.synonym_table.with_columns(
                left_id=entity_ids.gather(graph.synonym_table["low"]),
                right_id=entity_ids.gather(graph.synonym_table["high"]),
            ),
        ),
    )


def _typed(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(name).cast(kind) for name, kind in TABLES[table].items())
