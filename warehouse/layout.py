"""Where things are in a lake: one root folder, and nothing else in the code spells these names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LakeLayout:
    """The paths of one lake. Only ``CURRENT`` is ever overwritten in place (by an atomic rename)."""

    root: Path

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def work_lock(self) -> Path:
        return self.root / "work.lock"

    @property
    def warehouse_lock(self) -> Path:
        return self.root / "warehouse.lock"

    @property
    def vectors(self) -> Path:
        return self.root / "vectors"

    @property
    def graphs(self) -> Path:
        return self.root / "graphs"

    @property
    def banks(self) -> Path:
        return self.root / "banks"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def expired(self) -> Path:
        return self.root / "expired.json"

    @property
    def erasures(self) -> Path:
        return self.root / "erasures.jsonl"

    @property
    def overrides(self) -> Path:
        return self.root / "overrides.jsonl"

    @property
    def replies(self) -> Path:
        return self.root / "replies.jsonl"

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def current(self) -> Path:
        return self.root / "CURRENT"

    def space_vectors(self, space: str) -> Path:
        """The Lance database of one space: tables of two spaces never share statistics or files."""
        return self.vectors / space

    def graph(self, digest: str) -> Path:
        return self.graphs / digest

    def bank(self, digest: str) -> Path:
        return self.banks / digest

    def manifest(self, snapshot_id: str) -> Path:
        return self.snapshots / f"{snapshot_id}.json"

    def pin(self, snapshot_id: str) -> Path:
        return self.snapshots / f"{snapshot_id}.pinned"
