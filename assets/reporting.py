"""What the assets have in common: what a run shows in the UI, data versions, and how errors reach Dagster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import Context
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from derivation.lake import Lake
from derivation.progress import StepReport
from errors import MemlakeError, Transient
from warehouse.compaction import Compaction
from warehouse.database import Connection
from warehouse.delta import Scope
from warehouse.files import size_of
from warehouse.sections import SourceSettings

WAREHOUSE_POOL = "warehouse"
"""Assets that write the DuckDB file run one at a time."""

UPKEEP_POOL = "upkeep"
"""Assets that rewrite a store run one at a time; the lake's work lock keeps them apart from all others."""

EVALUATION_POOL = "evaluation"
"""One evaluation at a time; it holds no lock of the lake, so builds go on meanwhile."""

RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)
"""For what fails in passing: an unanswering source or model."""

_ON_NEW_DATA = (
    dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed() | dg.AutomationCondition.will_be_requested()
    ).since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_in_progress()
)
ON_NEW_DATA = _ON_NEW_DATA.with_label("on_new_data")
"""When the data version of something upstream changed; a re-run that changed nothing stops here.

Dagster's own ``eager()`` waits until every partition of the upstream exists, which a new source would block for ever.
"""

P = ParamSpec("P")
R = TypeVar("R")

_MEMORY = (
    "concat_ws(chr(31), memory_id, text_hash, text, ordinal, coalesce(parent_id, ''), speaker, subject, attribute,"
    " coalesce(CAST(since AS VARCHAR), ''), coalesce(CAST(until AS VARCHAR), ''))"
)
_VERSIONED = {
    "documents": ("revisions", "document_id || content_hash"),
    "passages": ("passages", "passage_id || revision_id || char_start || text_hash"),
    "embeddings": ("passages", "text_hash"),
    "memories": ("memories", _MEMORY),
    "mentions": ("mentions", "passage_id || entity_id || char_start || char_end"),
    "duplicates": ("families", "passage_id || representative || kind"),
    "entities": ("entities", "entity_id || name || passages"),
    "facts": ("facts", "fact_id || predicate || passages"),
    "phrases": ("phrases", "owner_id || text_hash"),
    "resolutions": ("entity_links", "left_id || right_id || verdict || method || score"),
    "reinforcement": ("reinforcement", "target_id || strength || coalesce(CAST(recalled_at AS VARCHAR), '')"),
    "periods": ("memories", _MEMORY),
    "memory_validity": (
        "memory_validity",
        "memory_id || valid_from || coalesce(CAST(valid_until AS VARCHAR), '') || coalesce(superseded_by, '')",
    ),
    "memory_embeddings": ("memories", "text_hash"),
    "associations": ("association_neighbours", "memory_id || neighbour_id || embedder || linked"),
    "validity": ("validity", "fact_id || valid_from || coalesce(superseded_by, '')"),
}
"""Table and content of a row, for each layer that lives in the warehouse."""

_ONLY = {"memories": "granularity <> 'period'", "periods": "granularity = 'period'"}
"""Which rows are a layer's, where two share a table."""

_SPANS = ("memory_spans", "memory_id || document_id || revision_id || char_start || char_end")
_FURTHER = {
    "memories": (*_SPANS, "owner_id <> ''"),
    "periods": (*_SPANS, "owner_id = ''"),
}
"""Another table with rows of a layer: what follows from it follows from these, too."""


def raises_failures(function: Callable[P, R]) -> Callable[P, R]:
    """Do a step's work in one turn; our errors become Dagster failures, and only transient ones are retried."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        lake = kwargs.get("lake")
        try:
            with lake.working(function.__name__) if isinstance(lake, Lake) else nullcontext():
                return outside_dagster(function, *args, **kwargs)
        except MemlakeError as error:
            raise dg.Failure(
                str(error),
                metadata={"error": type(error).__name__, "remedy": error.remedy},
                allow_retries=isinstance(error, Transient),
            ) from error

    return guarded


def outside_dagster(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``function`` in an empty context.

    LanceDB's background event loop keeps the context of its last caller until the process ends. Dagster's holds the
    whole run, and through it native objects that then outlive their libraries and are reported as leaks.
    """
    return Context().run(functools.partial(function, *args, **kwargs))


def source_scope(context: dg.AssetExecutionContext, lake: Lake) -> tuple[SourceSettings, Scope]:
    """The source that this run's partition names."""
    source = lake.settings.source(context.partition_key)
    return source, Scope(source.space, source.name)


def layer_result(
    lake: Lake, layer: str, scopes: Sequence[Scope], reports: Sequence[StepReport]
) -> dg.MaterializeResult[Any]:
    """Metadata and data version of a layer that lives in the warehouse."""
    rows, version = _content_version(lake, layer, scopes)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            **report_metadata(reports),
            "dagster/row_count": rows,
            "dagster/table_name": f"warehouse.{_VERSIONED[layer][0]}",
            "bytes": dg.MetadataValue.int(size_of(lake.layout.warehouse)),
        },
    )


def report_metadata(reports: Sequence[StepReport]) -> dict[str, Any]:
    """What a run of a step did."""
    return {
        "processed": sum(report.processed for report in reports),
        "skipped": sum(report.untouched for report in reports),
        "removed": sum(report.removed for report in reports),
        "failed": sum(report.failed for report in reports),
        "rows_added": sum(report.changes.added for report in reports),
        "rows_updated": sum(report.changes.updated for report in reports),
        "rows_removed": sum(report.changes.removed for report in reports),
        "seconds": dg.MetadataValue.float(round(sum(report.seconds for report in reports), 3)),
        "tokens": sum(report.tokens for report in reports),
        "model_seconds": dg.MetadataValue.float(round(sum(report.model_seconds for report in reports), 3)),
        "cost": dg.MetadataValue.float(round(sum(report.cost for report in reports), 6)),
        "unlocated": sum(report.unlocated for report in reports),
    }


def compaction_metadata(done: Compaction) -> dict[str, Any]:
    """What rewriting a store did."""
    return {
        "bytes_before": dg.MetadataValue.int(done.bytes_before),
        "bytes_after": dg.MetadataValue.int(done.bytes_after),
        "reasons": ", ".join(done.done) or "no threshold passed",
    }


def _content_version(lake: Lake, layer: str, scopes: Sequence[Scope]) -> tuple[int, str]:
    """Row count and an order-free hash of the rows of ``scopes``."""
    counted = (*_VERSIONED[layer], _ONLY.get(layer, "true"))
    further = [_FURTHER[layer]] if layer in _FURTHER else []
    count, total = 0, 0
    with lake.warehouse.session(f"hashing {layer}") as connection:
        for scope in scopes:
            rows, value = _hashed(connection, scope, *counted)
            count += rows
            total ^= value
            for table, content, only in further:
                total ^= _hashed(connection, scope, table, content, only)[1]
    return count, f"{count}-{total:016x}"


def _hashed(connection: Connection, scope: Scope, table: str, content: str, only: str) -> tuple[int, int]:
    """How many rows of a table are of ``scope``, and an order-free hash of them."""
    where = "space = $space AND source = $source" if scope.source else "space = $space"
    row = connection.execute(
        f"SELECT count(*), coalesce(bit_xor(md5_number_lower({content})), 0) FROM {table} WHERE {where} AND {only}",
        {"space": scope.space, **({"source": scope.source} if scope.source else {})},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
