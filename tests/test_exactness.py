"""Any history of a lake of one space ends in the lake that is built at once, and no text is paid for twice."""

from __future__ import annotations

from exactness import AnyHistory, run_histories

SEQUENCES = 150


class OneSpace(AnyHistory):
    """Begins with one or two sources of a space."""

    layouts = (
        {"notes": "default"},
        {"tickets": "default"},
        {"team": "default"},
        {"notes": "default", "archive": "default"},
        {"archive": "default", "tickets": "default"},
    )


def test_any_history_of_a_space_equals_a_lake_built_at_once(record_property) -> None:  # type: ignore[no-untyped-def]
    tally = run_histories(OneSpace, SEQUENCES)
    record_property("exactness", str(tally))
    assert tally.sequences >= SEQUENCES
