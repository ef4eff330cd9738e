"""Any history of a lake ends in the lake that is built at once, and no text is paid for twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from exactness import run_histories

pytestmark = pytest.mark.histories

SEQUENCES = 23
"""Of each layout; together more than two hundred."""

LAYOUTS = (
    {"notes": "default"},
    {"tickets": "default"},
    {"team": "default"},
    {"notes": "default", "archive": "default"},
    {"archive": "default", "tickets": "default"},
    {"notes": "default", "archive": "vault"},
    {"notes": "vault", "tickets": "default"},
    {"team": "vault", "tickets": "default"},
    {"notes": "default", "team": "vault"},
)
"""The sources that a sequence begins with, and their spaces."""


@pytest.mark.parametrize(
    "layout", LAYOUTS, ids=lambda layout: "-".join(f"{source}-in-{space}" for source, space in layout.items())
)
def test_any_history_equals_a_lake_built_at_once(
    layout: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    tally = run_histories(layout, SEQUENCES)
    record_property("exactness", str(tally))
    assert tally.sequences >= SEQUENCES
