"""Any history of a lake of several spaces ends in the lake that is built at once, and no text is paid for twice."""

from __future__ import annotations

from exactness import AnyHistory, run_histories

SEQUENCES = 150


class SeveralSpaces(AnyHistory):
    """Begins with sources in two spaces."""

    layouts = (
        {"notes": "default", "archive": "vault"},
        {"notes": "vault", "tickets": "default"},
        {"team": "vault", "tickets": "default"},
    )


def test_any_history_of_several_spaces_equals_a_lake_built_at_once(record_property) -> None:  # type: ignore[no-untyped-def]
    tally = run_histories(SeveralSpaces, SEQUENCES)
    record_property("exactness", str(tally))
    assert tally.sequences >= SEQUENCES
