"""The candidate snapshot, its blocking checks, and the published snapshot."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.bank import bank
from assets.compaction import compaction_assets
from assets.graph import knowledge_graph
from assets.remembered import associations
from assets.reporting import ON_NEW_DATA, WAREHOUSE_POOL, outside_dagster, raises_failures
from assets.vectors import memory_vectors, vectors
from derivation.gate import GATE
from derivation.lake import Lake
from derivation.snapshot import check_candidate, make_candidate, publish_latest
from warehouse.snapshots import Manifest

_SHOWN_PROBLEMS = 20


@dg.asset(
    deps=[vectors, memory_vectors, bank, associations, knowledge_graph, *compaction_assets],
    group_name="serve",
    kinds={"json"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def candidate_snapshot(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """A manifest that pins one version of everything; nobody reads it before its checks have passed."""
    manifest = make_candidate(lake)
    return _snapshot_result(manifest, {})


@dg.multi_asset_check(
    name="snapshot_gate",
    pool=WAREHOUSE_POOL,
    specs=[
        dg.AssetCheckSpec(name, asset=candidate_snapshot, blocking=True, description=(check.__doc__ or "").strip())
        for name, check in GATE.items()
    ],
)
def snapshot_gate(lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """What must hold before a reader may see the candidate."""
    manifest, results = outside_dagster(check_candidate, lake)
    for result in results:
        yield dg.AssetCheckResult(
            asset_key=candidate_snapshot.key,
            check_name=result.name,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.ERROR,
            description=result.problems[0] if result.problems else result.note or None,
            metadata={
                "snapshot": manifest.snapshot_id,
                "problems": len(result.problems),
                "first_problems": dg.MetadataValue.md("\n".join(f"- {p}" for p in result.problems[:_SHOWN_PROBLEMS])),
            },
        )


@dg.asset(
    deps=[candidate_snapshot],
    group_name="serve",
    kinds={"json"},
    pool=WAREHOUSE_POOL,
    code_version="1",
    automation_condition=ON_NEW_DATA,
)
@raises_failures
def published_snapshot(lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult[Any]:
    """What readers open: CURRENT points at the candidate, once every blocking check has passed."""
    manifest, is_new = publish_latest(lake)
    return _snapshot_result(manifest, {"newly_published": is_new})


def _snapshot_result(manifest: Manifest, metadata: dict[str, bool]) -> dg.MaterializeResult[Any]:
    states = manifest.spaces.values()
    table = [
        dg.TableRecord(
            {
                "space": name,
                "documents": state.documents,
                "passages": state.passages,
                "memories": state.memories,
                "entities": state.entities,
                "edges": state.edges,
            }
        )
        for name, state in manifest.spaces.items()
    ]
    shown = {"spaces": dg.MetadataValue.table(table)} if table else {}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.snapshot_id),
        metadata={
            "snapshot": manifest.snapshot_id,
            "as_of": dg.MetadataValue.timestamp(manifest.as_of),
            "dagster/row_count": sum(state.passages for state in states),
            **shown,
            **metadata,
        },
    )
