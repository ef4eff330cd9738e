"""The gate before publishing: every check that a candidate must pass before a reader may see it."""

from __future__ import annotations

from collections.abc import Callable

from derivation.canary import CANARY, check_canary
from derivation.checks import CHECKS, CheckResult
from derivation.lake import Lake
from warehouse.snapshots import Manifest

GATE: dict[str, Callable[[Lake, Manifest], CheckResult]] = {**CHECKS, CANARY: check_canary}
"""Every blocking check by name; a snapshot is published only when all of them have run and passed."""
