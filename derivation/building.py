"""A whole build in this process, step after step, without Dagster: for lakes that no schedule and no UI looks after."""

from __future__ import annotations

from derivation.documents import refresh_documents
from derivation.lake import Lake
from derivation.settling import refresh_derived, refresh_served
from derivation.snapshot import publish_present
from warehouse.delta import Scope
from warehouse.snapshots import Manifest


def build_directly(lake: Lake) -> Manifest:
    """Bring every source up to date, check what comes of it, and publish it.

    Raises:
        SourceUnavailable: a source cannot be listed.
        CheckFailed: a blocking check failed; the published snapshot stays.
    """
    for source in lake.settings.sources:
        refresh_documents(lake, source)
        refresh_derived(lake, Scope(source.space, source.name))
    refresh_served(lake)
    return publish_present(lake)
