"""Evaluation: every configured dataset, asked of the published snapshot or of a lake of its own."""

from base64 import b64encode
from typing import Any

import dagster as dg

from assets.partitions import dataset_partitions
from assets.reporting import EVALUATION_POOL, outside_dagster
from assets.snapshots import published_snapshot
from derivation.evaluations import evaluate_configured
from derivation.lake import Lake
from errors import MemlakeError, MissingExtra, NotComparable, Transient
from evaluation.charts import main_chart_png
from evaluation.output import SHOWN, comparisons, summary_of
from evaluation.record import EvaluatedRun
from evaluation.statistics import Comparison
from evaluation.summary import Summary


@dg.asset(
    deps=[published_snapshot],
    group_name="evaluate",
    kinds={"duckdb"},
    partitions_def=dataset_partitions,
    pool=EVALUATION_POOL,
    code_version="1",
)
def qa_evaluation(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """Questions with known gold: every system's metrics with intervals, and paired tests between them."""
    try:
        run = outside_dagster(evaluate_configured, lake, context.partition_key)
    except MemlakeError as error:
        raise dg.Failure(
            str(error), metadata={"error": type(error).__name__}, allow_retries=isinstance(error, Transient)
        ) from error
    return _result(run)


def _result(run: EvaluatedRun) -> dg.MaterializeResult[Any]:
    summary, record = summary_of(run), run.record
    try:
        compared = comparisons(run)
    except NotComparable:
        compared = []  # questions without gold: there is nothing to rank by
    return dg.MaterializeResult(
        data_version=dg.DataVersion(record.run_id),
        metadata={
            "run": record.run_id,
            "snapshot": record.snapshot_id,
            "dagster/row_count": len(run.rows),
            "dagster/table_name": "warehouse.evaluation_results",
            "questions": record.questions,
            "left_out": len(record.problems),
            record.metric: summary.systems[compared[0].system][record.metric].value if compared else None,
            "systems": _systems_table(summary),
            "comparisons": _comparisons_table(compared),
            "hashes": dg.MetadataValue.json(dict(record.hashes)),
            "report": dg.MetadataValue.md(f"`memlake eval report {record.run_id}`"),
            **_chart(run, summary),
        },
    )


def _systems_table(summary: Summary) -> dg.MetadataValue[Any]:
    names = [name for name in SHOWN if any(name in scores for scores in summary.systems.values())]
    records = [
        dg.TableRecord(
            {"system": system}
            | {name: "" if (value := _value(scores, name)) is None else f"{value:.3f}" for name in names}
        )
        for system, scores in summary.systems.items()
    ]
    return dg.MetadataValue.table(records)


def _value(scores: Any, name: str) -> float | None:
    estimate = scores.get(name)
    return estimate.value if estimate else None


def _comparisons_table(compared: list[Comparison]) -> dg.MetadataValue[Any]:
    records = [
        dg.TableRecord(
            {
                "comparison": f"{item.system} - {item.baseline}",
                "difference": f"{item.difference.value:+.3f} ({item.difference.low:.3f} to {item.difference.high:.3f})",
                "p, Holm": f"{item.p_corrected:.4f}",
                "significant": str(item.significant),
                "better / worse / same": f"{item.wins} / {item.losses} / {item.ties}",
            }
        )
        for item in compared
    ]
    return dg.MetadataValue.table(records)


def _chart(run: EvaluatedRun, summary: Summary) -> dict[str, Any]:
    """A picture of the main metric, where the extra that draws it is installed."""
    try:
        picture = b64encode(main_chart_png(run.record, summary)).decode()
    except MissingExtra:
        return {}
    return {"chart": dg.MetadataValue.md(f"![{run.record.metric} by system](data:image/png;base64,{picture})")}
