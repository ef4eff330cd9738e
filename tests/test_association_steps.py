"""Links of memories in a lake: the same whatever order the memories came in, at the cost of what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Workspace, kept_open
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derivation import association
from derivation.association import NEIGHBOURS, every_association, refresh_association
from derivation.lake import Lake
from memory.association import nearest_earlier
from memory.embedding import HashingEmbedder
from memory.granularity import Granularity

TOPICS = ("harbour ferry crew", "garden roses rain", "violin concert hall", "ferry concert", "rain")
SPACE = "default"


def text_of(number: int) -> str:
    """Memories of few topics, with words of their own, and now and then the very same text."""
    return f"{TOPICS[number % len(TOPICS)]} {'' if number % 4 == 0 else f'word{number % 7} word{number % 11}'}"


def put(
    lake: Lake, numbers: Iterable[int], granularity: str = "episode", day: Callable[[int], date | None] | None = None
) -> None:
    """Insert memories, each of a document of its own, with their vectors; every fifth document is undated."""
    wanted = list(numbers)
    vectors = HashingEmbedder(16, "test").encode([text_of(number) for number in wanted])
    with lake.warehouse.session("putting memories") as connection:
        for number, vector in zip(wanted, vectors, strict=True):
            known = {"id": f"m{number:03d}", "document": f"d{number:03d}", "text": text_of(number)}
            dated = None if number % 5 == 4 else date(2024, 1, 1) + timedelta(days=number * 7 % 13)
            connection.execute(
                "INSERT INTO documents VALUES ($document, 'default', 'notes', $document, $document, 'r', '', NULL,"
                " $day, 'text/plain', TIMESTAMP '2024-01-01')",
                {"document": known["document"], "day": day(number) if day else dated},
            )
            connection.execute(
                "INSERT INTO memories VALUES ($id, 'default', 'notes', $document, $granularity, 0, NULL, $text,"
                " md5($text), false, 3, '', '', '', NULL, NULL)",
                {**known, "granularity": granularity},
            )
            connection.execute(
                "INSERT INTO embeddings VALUES ('default', md5($text), $embedder, $vector) ON CONFLICT DO NOTHING",
                {"text": known["text"], "embedder": lake.embedder_spec.identity, "vector": vector.tolist()},
            )


def take(lake: Lake, numbers: Iterable[int]) -> None:
    with lake.warehouse.session("taking memories") as connection:
        for number in numbers:
            connection.execute("DELETE FROM memories WHERE memory_id = $id", {"id": f"m{number:03d}"})
            connection.execute("DELETE FROM documents WHERE document_id = $id", {"id": f"d{number:03d}"})


def stored(lake: Lake) -> list[tuple[Any, ...]]:
    with lake.warehouse.session("looking") as connection:
        return connection.execute("SELECT * FROM association_neighbours ORDER BY ALL").fetchall()


def ledger(lake: Lake) -> list[tuple[Any, ...]]:
    with lake.warehouse.session("looking") as connection:
        return connection.execute(
            "SELECT step, source, input_id, input_hash, fingerprint, status, outputs FROM ledger ORDER BY ALL"
        ).fetchall()


def at_once(lake: Lake) -> list[tuple[Any, ...]]:
    return sorted(every_association(lake, SPACE).rows())


def small_lake(workspace: Workspace, root: Path | None = None) -> Lake:
    lake = workspace.lake(root=root)
    lake.layout.root.mkdir(parents=True, exist_ok=True)
    return lake


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many memories each call compared with how many."""
    calls: list[tuple[int, int]] = []

    def counted(vectors: Any, ranks: Any, others: Any, *rest: Any) -> Any:
        calls.append((len(vectors), len(others)))
        return nearest_earlier(vectors, ranks, others, *rest)

    monkeypatch.setattr(association, "nearest_earlier", counted)
    return calls


def test_any_history_gives_the_links_that_are_made_at_once(make_workspace: Callable[[], Workspace]) -> None:
    @settings(max_examples=8, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sets(st.integers(0, 59), max_size=40), st.booleans()), min_size=1, max_size=5))
    def check(changes: list[tuple[set[int], bool]]) -> None:
        lake = small_lake(make_workspace())
        present: set[int] = set()
        with kept_open(lake):
            for numbers, adds in changes:
                if adds:
                    put(lake, sorted(numbers - present))
                    present |= numbers
                else:
                    take(lake, numbers & present)
                    present -= numbers
                refresh_association(lake, SPACE)
                assert stored(lake) == at_once(lake)

    check()


def test_to_take_memories_away_is_never_to_have_had_them(make_workspace: Callable[[], Workspace]) -> None:
    whole, half = small_lake(make_workspace()), small_lake(make_workspace())
    with kept_open(whole), kept_open(half):
        put(whole, range(50))
        refresh_association(whole, SPACE)
        before = stored(whole)
        take(whole, range(0, 50, 2))
        refresh_association(whole, SPACE)
        put(half, range(1, 50, 2))
        refresh_association(half, SPACE)
        assert ledger(whole) == ledger(half)
        assert stored(whole) == stored(half) != before


def test_the_earlier_ones_are_told_by_date_and_then_by_id_undated_first(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    days = {0: date(2024, 3, 1), 5: None, 10: date(2024, 2, 1), 15: date(2024, 2, 1)}
    put(lake, days, day=days.get)
    refresh_association(lake, SPACE)
    earlier: dict[str, set[str]] = {}
    for memory, neighbour, *_ in stored(lake):
        earlier.setdefault(memory, set()).add(neighbour)
    assert earlier == {"m010": {"m005"}, "m015": {"m005", "m010"}, "m000": {"m005", "m010", "m015"}}


def test_the_topic_is_linked_and_the_rest_is_not(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    put(lake, range(1, 60), day=lambda number: date(2024, 1, 1) + timedelta(days=number))
    refresh_association(lake, SPACE)
    rows = [row for row in stored(lake) if row[0] == "m056"]
    assert len(rows) == NEIGHBOURS
    scores = {True: [row[4] for row in rows if row[6]], False: [row[4] for row in rows if not row[6]]}
    assert min(scores[True]) > max(scores[False])
    assert all(row[6] == (row[5] > 0.5) for row in rows)


def test_a_later_memory_is_compared_with_all_and_nothing_else_is(
    workspace: Workspace, compared: list[tuple[int, int]]
) -> None:
    lake = small_lake(workspace)
    put(lake, range(20), day=lambda number: date(2024, 1, 1))
    first = refresh_association(lake, SPACE)
    assert first.changes.added == len(stored(lake)) == first.processed
    compared.clear()
    put(lake, [30], day=lambda number: date(2025, 1, 1))
    refresh_association(lake, SPACE)
    assert sorted(compared) == [(0, 1), (1, 21)]
    compared.clear()
    report = refresh_association(lake, SPACE)
    assert compared == []
    assert (report.processed, report.untouched, report.removed) == (0, len(stored(lake)), 0)


def test_an_earlier_memory_that_arrives_late_enters_the_lists_of_later_ones(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    put(lake, range(40), day=lambda number: date(2024, 6, 1))
    refresh_association(lake, SPACE)
    put(lake, [40], day=lambda number: date(2023, 1, 1))
    report = refresh_association(lake, SPACE)
    assert [row[0] for row in stored(lake) if row[1] == "m040"]
    assert report.changes.removed, "others made room for it"
    assert stored(lake) == at_once(lake)


def test_a_document_that_gets_another_date_moves_its_memories(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    put(lake, range(30))
    refresh_association(lake, SPACE)
    before = stored(lake)
    with lake.warehouse.session("dating") as connection:
        connection.execute("UPDATE documents SET document_date = DATE '2020-01-01' WHERE document_id = 'd007'")
    refresh_association(lake, SPACE)
    assert stored(lake) == at_once(lake) != before


def test_only_the_granularities_that_are_asked_for_are_linked(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    put(lake, range(6))
    put(lake, range(6, 12), "fact")
    refresh_association(lake, SPACE)
    assert {row[0] for row in stored(lake)} < {f"m{number:03d}" for number in range(6)}
    refresh_association(lake, SPACE, (Granularity.FACT,))
    assert {row[1] for row in stored(lake)} < {f"m{number:03d}" for number in range(6, 12)}


def test_another_embedder_links_anew_and_memories_without_a_vector_wait(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    put(lake, range(10))
    refresh_association(lake, SPACE)
    workspace.configure(embedding={"dimensions": 32})
    other = workspace.lake()
    refresh_association(other, SPACE)
    assert stored(other) == []
    with other.warehouse.session("embedding") as connection:
        connection.execute(
            "INSERT INTO embeddings SELECT space, text_hash, $embedder, list_concat(vector, vector) FROM embeddings",
            {"embedder": other.embedder_spec.identity},
        )
    refresh_association(other, SPACE)
    assert {row[3] for row in stored(other)} == {other.embedder_spec.identity}
    assert stored(other) == at_once(other)


def test_a_space_without_memories_has_no_links(workspace: Workspace) -> None:
    lake = small_lake(workspace)
    report = refresh_association(lake, SPACE)
    assert (report.processed, report.changes.any) == (0, False)
    assert every_association(lake, SPACE).is_empty()
    assert np.array(stored(lake)).size == 0
