"""Damage is found when a lake is opened, named with its remedy, and mended from the warehouse."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import Built, Workspace, state_of

from derivation.digest import lake_digest
from derivation.erasure import DOCUMENT, erase, plan_erasure
from derivation.repair import diagnose, repair
from derivation.verification import verify
from errors import MemlakeError, SettingsError, SnapshotError, WarehouseError
from warehouse.compaction import table_path
from warehouse.database import Warehouse
from warehouse.searched import PASSAGES
from warehouse.snapshots import current_id, list_ids, manifest_as_of
from warehouse.vectors import connect

pytestmark = pytest.mark.histories

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXTS = {
    "ada.md": "# Ada\n\nAda Lovelace wrote the first program for the Analytical Engine (AE) of Charles Babbage.\n",
    "grace.md": "# Grace\n\nGrace Hopper wrote a compiler at Remington Rand and found a moth in the Mark II.\n",
    "alan.md": "# Alan\n\nAlan Turing worked at Bletchley Park with Gordon Welchman in 1939.\n",
}


@pytest.fixture
def built(workspace: Workspace) -> Built:
    """A lake with two snapshots."""
    for number, (name, text) in enumerate(TEXTS.items()):
        workspace.write(name, text)
        if number:
            last = workspace.build(as_of=START + timedelta(hours=number))
    return last


def table_folder(workspace: Workspace) -> Path:
    return table_path(workspace.layout, "default", PASSAGES.table(workspace.embedder.identity))


def corrupt_warehouse(workspace: Workspace) -> None:
    path = workspace.layout.warehouse
    data = bytearray(path.read_bytes())
    data[8192 : len(data) // 2] = os.urandom(len(data) // 2 - 8192)
    path.write_bytes(data)


def drop_table(workspace: Workspace) -> None:
    shutil.rmtree(table_folder(workspace))


def truncate_table(workspace: Workspace) -> None:
    for path in table_folder(workspace).glob("data/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete_rows(workspace: Workspace) -> None:
    connect(workspace.layout, "default").open_table(PASSAGES.table(workspace.embedder.identity)).delete(
        "path = 'ada.md'"
    )


def change_text(workspace: Workspace) -> None:
    table = connect(workspace.layout, "default").open_table(PASSAGES.table(workspace.embedder.identity))
    table.update(where="path = 'ada.md'", values={"text": "Somebody else did."})


def drop_index(workspace: Workspace) -> None:
    table = connect(workspace.layout, "default").open_table(PASSAGES.table(workspace.embedder.identity))
    for index in table.list_indices():
        table.drop_index(index.name)


def drop_graphs(workspace: Workspace) -> None:
    shutil.rmtree(workspace.layout.graphs)


def falsify_graph(workspace: Workspace) -> None:
    for path in workspace.layout.graphs.glob("*/walk_weights.npy"):
        data = bytearray(path.read_bytes())
        data[-4:] = b"\x00\x00\x00\x3f"
        path.write_bytes(data)


def break_manifest(workspace: Workspace) -> None:
    workspace.layout.manifest(str(current_id(workspace.layout))).write_text('{"format": 1, "spaces"')


def drop_manifest(workspace: Workspace) -> None:
    workspace.layout.manifest(str(current_id(workspace.layout))).unlink()


def point_nowhere(workspace: Workspace) -> None:
    workspace.layout.current.write_text("20260101T000000-deadbeef\n")


def scramble_current(workspace: Workspace) -> None:
    workspace.layout.current.write_bytes(b"\xff\xfe\x00\x81")


def drop_current(workspace: Workspace) -> None:
    workspace.layout.current.unlink()


def break_history(workspace: Workspace) -> None:
    workspace.layout.expired.write_text("[[")


def drop_warehouse(workspace: Workspace) -> None:
    workspace.layout.warehouse.unlink()


Damage = Callable[[Workspace], None]
SEEN = [
    corrupt_warehouse,
    drop_warehouse,
    drop_table,
    truncate_table,
    drop_graphs,
    falsify_graph,
    break_manifest,
    drop_manifest,
    point_nowhere,
    scramble_current,
    drop_current,
    break_history,
]
FOUND_BY_VERIFY = [delete_rows, change_text, drop_index, falsify_graph]


def test_a_whole_lake_has_nothing_to_mend(workspace: Workspace, built: Built) -> None:
    assert diagnose(workspace.lake()) == []
    found = verify(workspace.lake(), embedded_again=2)
    assert found.whole, found.problems
    assert found.digest == lake_digest(built.lake)
    assert all(found.compared[area] > 0 for area in ("passages", "mentions", "entities", "vectors", "graph", "model"))


@pytest.mark.parametrize("damage", SEEN, ids=lambda damage: damage.__name__)
def test_what_is_damaged_is_seen_mended_and_nothing_is_lost(workspace: Workspace, built: Built, damage: Damage) -> None:
    before = state_of(built.lake)
    damage(workspace)
    found = diagnose(workspace.lake())
    assert found, "seen by opening"
    assert all(item.problem and item.name for item in found)
    report = repair(workspace.lake(as_of=START + timedelta(hours=8)))
    assert report.done
    after = workspace.build(as_of=START + timedelta(hours=9))
    assert after.embedded == 0, "what was paid for is kept"
    assert diagnose(workspace.lake()) == []
    assert state_of(after.lake) == before
    assert verify(workspace.lake()).whole
    assert "Lovelace" in workspace.client().search("Analytical Engine")[0].text


@pytest.mark.parametrize("damage", FOUND_BY_VERIFY, ids=lambda damage: damage.__name__)
def test_what_only_comparing_can_see_is_told_and_mended(workspace: Workspace, built: Built, damage: Damage) -> None:
    digest = lake_digest(built.lake)
    damage(workspace)
    found = verify(workspace.lake())
    assert not found.whole
    repair(workspace.lake(as_of=START + timedelta(hours=8)))
    after = verify(workspace.lake())
    assert after.whole, after.problems
    assert after.digest == digest


@pytest.mark.parametrize(
    ("sql", "area"),
    [
        ("UPDATE passages SET char_start = char_start + 1 WHERE ordinal = 0", "checks"),
        ("UPDATE passages SET heading = 'Another'", "passages"),
        ("DELETE FROM mentions WHERE surface = 'Grace Hopper'", "mentions"),
        ("UPDATE entities SET passages = passages + 1 WHERE name = 'Grace Hopper'", "entities"),
        ("UPDATE signatures SET bands = list_reverse(bands)", "duplicates"),
        ("UPDATE embeddings SET vector = list_transform(vector, lambda x: -x)", "vectors"),
        ("DELETE FROM acronyms", "mentions"),
    ],
)
def test_a_row_that_was_changed_by_hand_is_told(workspace: Workspace, built: Built, sql: str, area: str) -> None:
    with workspace.lake().warehouse.session("changing by hand") as connection:
        connection.execute(sql)
    found = verify(workspace.lake())
    assert area in found.problems
    assert not found.whole


KNOWN = {
    "gannet.md": "---\ndate: 2024-01-10\n---\n\nThe North Atlantic Freight Union (NAFU) is based in Oslo.\n",
    "moved.md": "---\ndate: 2025-01-10\n---\n\nNAFU is based in Bergen, and the North Atlantic Freight Unit is not.\n",
}
"""A fact that another supersedes, and names that are one, or near."""


@pytest.mark.histories
@pytest.mark.parametrize(
    ("sql", "area"),
    [
        ("UPDATE supports SET char_end = char_end - 1", "mentions"),
        ("UPDATE supports SET predicate = 'is not based in'", "mentions"),
        ("DELETE FROM supports", "mentions"),
        ("UPDATE mentions SET surface = upper(surface) WHERE surface = 'Oslo'", "mentions"),
        ("UPDATE facts SET passages = passages + 1", "facts"),
        ("UPDATE facts SET predicate = 'is not based in'", "facts"),
        ("DELETE FROM facts", "facts"),
        ("UPDATE validity SET superseded_by = NULL, valid_until = NULL", "facts"),
        ("DELETE FROM validity", "facts"),
        ("UPDATE decisions SET verdict = 'different'", "facts"),
        ("DELETE FROM decisions WHERE method = 'acronym'", "facts"),
        ("DELETE FROM resolutions", "facts"),
        ("UPDATE resolutions SET canonical_id = (SELECT entity_id FROM entities WHERE name = 'Oslo')", "facts"),
        ("DELETE FROM neighbours", "facts"),
        ("UPDATE neighbours SET score = 0.99", "facts"),
        ("UPDATE phrases SET text_hash = 'another'", "facts"),
        ("UPDATE phrases SET text_hash = 'another' WHERE kind = 'fact'", "checks"),
    ],
)
def test_a_row_of_the_knowledge_graph_that_was_changed_is_told_and_mended(
    workspace: Workspace, sql: str, area: str
) -> None:
    for name, text in KNOWN.items():
        workspace.write(name, text)
    workspace.configure(graph={"embed_phrases": True, "synonym_similarity": 0.6})
    before = state_of(workspace.build().lake)
    with workspace.lake().warehouse.session("changing by hand") as connection:
        touched = connection.execute(sql).fetchall()
    assert touched[0][0] > 0, "the damage was done"
    assert area in verify(workspace.lake()).problems
    repair(workspace.lake())
    assert verify(workspace.lake()).whole
    assert state_of(workspace.lake()) == before


def test_a_reader_says_what_is_damaged_and_which_command_mends_it(workspace: Workspace, built: Built) -> None:
    for damage in (break_manifest, point_nowhere, drop_graphs, drop_table):
        damage(workspace)
        with pytest.raises(SnapshotError) as caught:
            workspace.client().search("engine")
        assert "memlake repair" in str(caught.value), damage.__name__
        repair(workspace.lake(as_of=START + timedelta(hours=8)))


def test_a_damaged_warehouse_names_the_command(workspace: Workspace, built: Built) -> None:
    corrupt_warehouse(workspace)
    with pytest.raises(WarehouseError, match="memlake repair"), workspace.lake().warehouse.session("looking"):
        pass
    assert "Lovelace" in workspace.client().search("Analytical Engine")[0].text, "readers do not need it"


def test_a_lake_of_a_newer_memlake_is_left_alone(workspace: Workspace, built: Built) -> None:
    with workspace.lake().warehouse.session("from the future") as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, 'future', now() AT TIME ZONE 'UTC')")
    for act in (diagnose, repair):
        with pytest.raises(WarehouseError, match="newer memlake"):
            act(workspace.lake())


def test_a_manifest_of_a_newer_memlake_is_left_alone(workspace: Workspace, built: Built) -> None:
    path = workspace.layout.manifest(built.id)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(SnapshotError, match="newer memlake"):
        workspace.client()
    with pytest.raises(SnapshotError, match="newer memlake"):
        repair(workspace.lake())
    assert path.exists()


def test_a_past_whose_files_are_gone_says_so(workspace: Workspace, built: Built) -> None:
    first = list_ids(workspace.layout)[0]
    drop_table(workspace)
    report = repair(workspace.lake(as_of=START + timedelta(hours=8)))
    assert first in report.expired
    with pytest.raises(SnapshotError, match=r"no longer kept \(damage\)"):
        manifest_as_of(workspace.layout, START + timedelta(hours=1))


def test_what_was_erased_stays_erased_when_the_warehouse_is_lost(workspace: Workspace, built: Built) -> None:
    lake = workspace.lake(as_of=START + timedelta(hours=8))
    erase(lake, plan_erasure(lake, DOCUMENT, "grace.md"))
    drop_warehouse(workspace)
    report = repair(workspace.lake())
    assert report.reads_sources
    assert report.salvaged_vectors == 4, "of two passages and two outlines"
    workspace.build(as_of=START + timedelta(hours=9))
    assert workspace.paths() == ["ada.md", "alan.md"]


def test_a_clock_that_went_back_is_named(workspace: Workspace, built: Built) -> None:
    workspace.write("new.md", "# New\n\nEdsger Dijkstra in Rotterdam.\n")
    with pytest.raises(SettingsError, match="clock"):
        workspace.build(as_of=START - timedelta(days=1))
    assert workspace.build(as_of=START + timedelta(days=1)).published


def test_a_file_open_in_another_program_is_waited_for_by_name(workspace: Workspace, built: Built) -> None:
    from conftest import python

    holder = python(
        f"import duckdb, sys; c = duckdb.connect({str(workspace.layout.warehouse)!r}); print('open', flush=True);"
        " sys.stdin.readline()"
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    waited: list[str] = []
    warehouse = Warehouse(workspace.layout, 0.5, waited.append)
    with pytest.raises(MemlakeError, match="open in another program") as caught, warehouse.session("looking"):
        pass
    assert str(holder.pid) in str(caught.value)
    assert len(waited) == 1
    holder.communicate("\n")
    with warehouse.session("looking") as connection:
        assert isinstance(connection, duckdb.DuckDBPyConnection)
