"""The systems that are compared: each channel alone, and all of them fused."""

from __future__ import annotations

from retrieval import CHANNELS

SYSTEMS: dict[str, tuple[str, ...]] = {"fused": CHANNELS, **{name: (name,) for name in CHANNELS}}
"""System to the channels that it searches."""
