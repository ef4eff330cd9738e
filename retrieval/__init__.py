"""Retrieval: open a snapshot, search it, answer from it."""

from __future__ import annotations

from retrieval.client import MemoryClient
from retrieval.model import CHANNELS, PASSAGE, Answer, Citation, Filters, FurtherSource, Hit, Location, Span

__all__ = [
    "CHANNELS",
    "PASSAGE",
    "Answer",
    "Citation",
    "Filters",
    "FurtherSource",
    "Hit",
    "Location",
    "MemoryClient",
    "Span",
]
