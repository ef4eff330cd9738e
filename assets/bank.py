"""Vectors of memories to the codes of the compressed bank, and the Lance table that shows them."""

from typing import Any

import dagster as dg

from assets.reinforcement import reinforcement
from assets.remembered import memory_embeddings
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, raises_failures, report_metadata
from derivation.bank import bank_status, refresh_bank
from derivation.lake import Lake
from derivation.layers import BANK_STEP_NAME, refresh_table
from derivation.snapshot import layer_versions
from warehouse.files import size_of


@dg.asset(
    deps=[memory_embeddings, reinforcement],
    group_name="serve",
    kinds={"lancedb", "numpy"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def bank(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A code a memory that the bank holds; how well the codec of each space fits what is there."""
    reports = [refresh_bank(lake, space) for space in lake.settings.spaces]
    for space in lake.settings.spaces:
        refresh_table(lake, space, BANK_STEP_NAME)
    rows, version = layer_versions(lake, BANK_STEP_NAME, "rows")
    spaces = bank_status(lake)
    table = [
        dg.TableRecord(
            {
                "space": status.space,
                "memories": status.memories,
                "bytes_a_memory": status.report.bytes,
                "perplexity": round(status.report.perplexity, 1),
                "dead_codes": status.report.dead,
                "error": round(status.report.error, 4),
                "recall_by_codes": round(status.report.recall, 4),
                "recall_kept": round(status.report.reranked_recall, 4),
                "drift": status.drift,
            }
        )
        for status in spaces
    ]
    shown = {"spaces": dg.MetadataValue.table(table)} if table else {}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            **report_metadata(reports),
            "dagster/row_count": rows,
            "bytes": dg.MetadataValue.int(size_of(lake.layout.banks)),
            **shown,
        },
    )
