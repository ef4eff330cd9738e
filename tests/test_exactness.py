"""Any history of a lake of one space ends in the lake that is built at once, and no text is paid for twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from exactness import run_histories

pytestmark = pytest.mark.histories

SEQUENCES = 24
"""Of each layout; together with the other file, more than two hundred."""

LAYOUTS = (
    {"notes": "default"},
    {"tickets": "default"},
    {"team": "default"},
    {"notes": "default", "archive": "default"},
    {"archive": "default", "tickets": "default"},
)
"""The sources that a sequence begins with, and their spaces."""


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(layout))
def test_any_history_of_a_space_equals_a_lake_built_at_once(
    layout: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    tally = run_histories(layout, SEQUENCES)
    record_property("exactness", str(tally))
    assert tally.sequences >= SEQUENCES
