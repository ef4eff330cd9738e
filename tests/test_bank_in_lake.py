"""The compressed bank in a lake: codes follow memories, codecs follow a drift, snapshots pin both, searches agree."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Workspace, kept_open
from crashing import opened
from hypothesis import given, settings
from hypothesis import strategies as st

from derivation.bank import bank_status, code_problems, read_bank, refresh_bank
from derivation.checks import check_orphans
from derivation.digest import lake_digest
from derivation.erasure import DOCUMENT, erase, plan_erasure
from derivation.layers import BANK_STEP_NAME, refresh_table
from derivation.repair import BANKS, diagnose, repair
from derivation.retention import enforce_retention
from derivation.snapshot import present_state, rollback
from derivation.upkeep import maintain_table
from derivation.verification import verify
from errors import SnapshotError
from memory.bank.codec import Vectors
from memory.embedding import HashingEmbedder
from retrieval import MemoryClient
from retrieval.bank import open_bank
from retrieval.memories import Memories
from retrieval.tables import SearchedTable
from warehouse import faults
from warehouse.searched import MEMORIES
from warehouse.sections import FusionSettings
from warehouse.snapshots import current_manifest, read_manifest
from warehouse.vectors import open_version

pytestmark = pytest.mark.histories

POINTS = [point for point in faults.POINTS if point.startswith("bank.")]
LEAST = 20
CODES = "SELECT row_id, text_hash, version, code FROM codes ORDER BY ALL"
MEMORIES_OF = "SELECT memory_id FROM memories WHERE space = 'default' ORDER BY ALL"
WORDS = (
    "cello orchestra greyhound loom silk ledger harbour engine relay moth winter letter bridge violin garden market "
    "captain lighthouse copper glacier pepper archive theatre comet orchard canal quarry falcon saddle lantern"
).split()


def talk(seed: int, turns: int = 8, words: list[str] | None = None) -> str:
    """A dated session as JSON."""
    chance = random.Random(seed)
    said = [
        {"speaker": ("Ann", "Ben")[turn % 2], "text": f"I saw the {' '.join(chance.sample(words or WORDS, 6))}."}
        for turn in range(turns)
    ]
    return json.dumps({"date": f"2023-05-{seed % 28 + 1:02}", "turns": said})


def configure(workspace: Workspace, of: str = "all", **sections: Any) -> Workspace:
    """Chats of one space, whose memories the bank holds."""
    bank = {"of": of, "bytes": 16, "least": LEAST, **sections.pop("bank", {})}
    workspace.configure([{"kind": "chat"}], bank=bank, **sections)
    return workspace


def filled(workspace: Workspace, sessions: int = 4) -> Workspace:
    configure(workspace)
    for seed in range(sessions):
        workspace.write(f"talk-{seed}.json", talk(seed))
    workspace.build()
    return workspace


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A lake that is built once and never changed."""
    return filled(Workspace(tmp_path_factory.mktemp("shared")))


@pytest.fixture
def closed(shared: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    return copied(shared, tmp_path / "lake")


@pytest.fixture
def built(closed: Workspace) -> Iterator[Workspace]:
    """A copy whose warehouse is kept open, as nothing in the test rewrites the file."""
    with kept_open(closed.lake()):
        yield closed


def copied(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.folder, folder)
    return opened(folder)


def searched(workspace: Workspace, snapshot: str = "") -> Memories:
    """The memories of a snapshot as a client opens them."""
    layout = workspace.layout
    state = (read_manifest(layout, snapshot) if snapshot else current_manifest(layout)).space("default")
    table = SearchedTable(layout, "default", state.memories_table, state.memories_version, MEMORIES.key)
    return Memories(table, open_bank(layout, "default", state))


def exact(workspace: Workspace) -> Memories:
    """The same without the bank."""
    state = current_manifest(workspace.layout).space("default")
    return Memories(
        SearchedTable(workspace.layout, "default", state.memories_table, state.memories_version, MEMORIES.key)
    )


def ranked(memories: Memories, vectors: Vectors, full: int = 200) -> dict[str, float]:
    found = memories.found(vectors, (), memories.names, FusionSettings(), full)
    return dict(zip(memories.ids, np.round(found.scores, 4).tolist(), strict=True))


def chill(workspace: Workspace, memories: list[str]) -> None:
    """Make memories cold, as the reinforcement does."""
    with workspace.lake().warehouse.session("fading") as connection:
        connection.execute(
            "INSERT INTO cold SELECT memory_id, document_id, space, source FROM memories WHERE memory_id IN"
            " (SELECT unnest($ids))",
            {"ids": memories},
        )
        connection.execute("UPDATE generations SET generation = generation + 1")


class TestFollowing:
    def test_every_memory_has_a_code_of_the_one_codec(self, built: Workspace) -> None:
        lake = built.lake()
        held = built.rows(CODES)
        assert [row[0] for row in held] == built.column(MEMORIES_OF)
        state = current_manifest(lake.layout).space("default")
        assert {row[2] for row in held} == {state.bank}
        table = open_version(lake.layout, "default", state.bank_table, state.bank_version).search().to_arrow()
        assert {row["row_id"]: row["code"] for row in table.to_pylist()} == {row[0]: row[3] for row in held}
        assert code_problems(lake, "default") == (len(held), [])
        (status,) = bank_status(lake)
        assert (status.memories, status.report.bytes, status.drift) == (len(held), 16, "")
        assert 0 < status.report.reranked_recall <= 1

    def test_codes_follow_additions_and_deletions(self, built: Workspace) -> None:
        before = dict(built.rows("SELECT row_id, code FROM codes"))
        built.write("talk-9.json", talk(9))
        built.build()
        added = dict(built.rows("SELECT row_id, code FROM codes"))
        assert sorted(added) == built.column(MEMORIES_OF) != sorted(before)
        built.delete("talk-0.json")
        built.build()
        after = dict(built.rows("SELECT row_id, code FROM codes"))
        assert sorted(after) == built.column(MEMORIES_OF) != sorted(added)
        assert code_problems(built.lake(), "default")[1] == []

    def test_with_nothing_new_nothing_is_written(self, built: Workspace) -> None:
        before = built.column("SELECT generation FROM generations")
        report = refresh_bank(built.lake(), "default")
        assert (report.processed, report.removed) == (0, 0)
        assert built.column("SELECT generation FROM generations") == before

    def test_after_a_drift_all_is_encoded_by_another_codec(self, built: Workspace) -> None:
        before = current_manifest(built.layout).space("default").bank
        for seed in range(4):
            built.delete(f"talk-{seed}.json")
        others = [f"{word}{number}" for number, word in enumerate(reversed(WORDS))]
        for seed in range(20, 28):
            built.write(f"talk-{seed}.json", talk(seed, words=others))
        built.build()
        lake = built.lake()
        after = current_manifest(lake.layout).space("default").bank
        assert after != before
        assert set(built.column("SELECT version FROM codes")) == {after}
        assert code_problems(lake, "default")[1] == []

    def test_the_learner_goes_on_while_another_codec_serves(
        self, built: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("derivation.bank.LEAST_BATCH", 5)
        monkeypatch.setattr("derivation.bank.needs_reencoding", lambda now, baseline: "")
        served = current_manifest(built.layout).space("default").bank
        built.write("talk-9.json", talk(9))
        built.build()
        bank = read_bank(built.lake(), "default")
        assert bank is not None
        assert (bank.serving.digest, bank.learner.digest != served) == (served, True)
        unlearnt = built.column("SELECT text_hash FROM codes WHERE NOT learnt")
        assert all(built.column("SELECT left(md5($key), 1)", key=key)[0] in "01" for key in unlearnt)
        folders = {path.name for path in built.layout.banks.iterdir()}
        enforce_retention(built.lake())
        assert {path.name for path in built.layout.banks.iterdir()} == {served, bank.learner.digest} <= folders

    def test_a_small_space_and_one_without_cold_memories_have_no_codec(self, workspace: Workspace) -> None:
        configure(workspace, bank={"least": 1000})
        workspace.write("talk.json", talk(1))
        workspace.build()
        assert (workspace.rows(CODES), workspace.layout.banks.exists()) == ([], False)
        configure(workspace, of="cold", bank={"least": 5})
        workspace.build()
        assert (workspace.rows(CODES), workspace.layout.banks.exists()) == ([], False)
        assert current_manifest(workspace.layout).space("default").bank == ""

    def test_another_length_of_code_is_another_codec(self, built: Workspace) -> None:
        configure(built, bank={"bytes": 8})
        built.build()
        assert {len(code) for code in built.column("SELECT code FROM codes")} == {8}
        assert bank_status(built.lake())[0].report.bytes == 8

    def test_each_space_has_its_own(self, workspace: Workspace) -> None:
        spaces = [{"name": name, "space": name, "kind": "chat"} for name in ("one", "two")]
        workspace.configure(spaces, bank={"of": "all", "bytes": 16, "least": LEAST})
        for number, name in enumerate(("one", "two")):
            for seed in range(3):
                workspace.write(f"talk-{seed}.json", talk(10 * number + seed), name)
        state = workspace.build().snapshot.spaces
        assert state["one"].bank != state["two"].bank != ""
        assert workspace.column("SELECT space FROM banks ORDER BY ALL") == ["one", "two"]
        workspace.configure(spaces[:1], bank={"of": "all", "bytes": 16, "least": LEAST})
        workspace.build()
        assert workspace.column("SELECT DISTINCT space FROM codes") == ["one"]


class TestSearch:
    @settings(max_examples=25)
    @given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), full=st.integers(1, 200))
    def test_where_the_candidates_hold_all_scores_are_exact(
        self, shared: Workspace, words: list[str], full: int
    ) -> None:
        vectors = HashingEmbedder(64, "any").encode([" ".join(words), words[0]])
        assert ranked(searched(shared), vectors, full) == pytest.approx(ranked(exact(shared), vectors, full), abs=1e-3)

    def test_only_codes_are_resident(self, shared: Workspace) -> None:
        memories = len(exact(shared))
        assert exact(shared).resident_bytes == memories * 64 * 4
        assert searched(shared).resident_bytes == memories * (16 + 8)

    def test_what_no_candidate_is_counts_as_not_found(self, shared: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retrieval.bank.candidates_of", lambda codes: 1)
        vectors = HashingEmbedder(64, "any").encode(["greyhound loom silk"])
        few = {key: score for key, score in ranked(searched(shared), vectors, 3).items() if score}
        assert 0 < len(few) <= 3 * len(searched(shared).names)

    def test_cold_memories_are_found_and_hot_ones_stay_exact(self, built: Workspace) -> None:
        configure(built, of="cold")
        turns = "SELECT memory_id, text FROM memories WHERE granularity = 'turn' ORDER BY memory_id LIMIT 7"
        cold = built.rows(turns)
        built.build()
        chill(built, [key for key, _ in cold])
        lake = built.lake()
        refresh_bank(lake, "default")
        refresh_table(lake, "default", BANK_STEP_NAME)
        assert built.column("SELECT row_id FROM codes ORDER BY ALL") == [key for key, _ in cold]
        present = present_state(lake)
        state = present.space("default")
        table = SearchedTable(built.layout, "default", state.memories_table, state.memories_version, MEMORIES.key)
        memories = Memories(table, open_bank(built.layout, "default", state))
        assert memories.resident_bytes == (len(memories) - 7) * 64 * 4 + 7 * (16 + 8)
        vectors = built.embedder.encode([cold[0][1]])
        assert ranked(memories, vectors) == pytest.approx(ranked(exact(built), vectors), abs=1e-3)
        with MemoryClient(built.layout, lake.settings, snapshot=present, embedder=built.embedder) as client:
            hits = client.search(cold[0][1], k=1)
        assert cold[0][1].split(": ")[1] in hits[0].text


class TestSnapshots:
    def test_a_rollback_reads_the_bank_of_before(self, built: Workspace) -> None:
        first = current_manifest(built.layout)
        ranks = ranked(searched(built), built.embedder.encode(["winter letter"]))
        configure(built, bank={"bytes": 8})
        second = built.build().snapshot
        assert first.space("default").bank != second.space("default").bank
        enforce_retention(built.lake())
        rollback(built.lake(), first.snapshot_id)
        assert ranked(searched(built), built.embedder.encode(["winter letter"])) == ranks

    def test_the_bank_changes_neither_the_digest_of_the_lake_nor_of_the_content(self, built: Workspace) -> None:
        before = (lake_digest(built.lake()), current_manifest(built.layout).space("default").digest)
        configure(built, of="none")
        state = built.build().snapshot.space("default")
        assert (lake_digest(built.lake()), state.digest) == before
        assert (state.bank, built.rows(CODES)) == ("", [])

    def test_a_codec_that_no_snapshot_needs_is_swept(self, built: Workspace) -> None:
        configure(built, of="none", retention={"keep_last": 1, "keep_days": 0})
        built.build()
        enforce_retention(built.lake())
        assert list(built.layout.banks.iterdir()) == []

    def test_an_erasure_leaves_no_code_and_no_codec_of_before(self, closed: Workspace) -> None:
        before = current_manifest(closed.layout).space("default").bank
        lake = closed.lake()
        (path,) = closed.column("SELECT path FROM documents WHERE path LIKE 'talk-0%'")
        gone = closed.column(
            "SELECT memory_id FROM memories JOIN documents USING (document_id) WHERE path = $p", p=path
        )
        assert erase(lake, plan_erasure(lake, DOCUMENT, path)).clean
        assert not set(gone) & set(closed.column("SELECT row_id FROM codes"))
        state = current_manifest(closed.layout).space("default")
        rows = open_version(closed.layout, "default", state.bank_table, state.bank_version).search().to_arrow()
        assert not set(gone) & set(rows["row_id"].to_pylist())
        assert [path.name for path in closed.layout.banks.iterdir()] == [state.bank] != [before]

    def test_upkeep_compacts_the_codes_and_asks_for_no_text_index(self, built: Workspace) -> None:
        assert maintain_table(built.lake(), "default", BANK_STEP_NAME).done == ()


class TestDamage:
    def test_repair_learns_a_damaged_codec_anew(self, closed: Workspace) -> None:
        state = current_manifest(closed.layout).space("default")
        (closed.layout.bank(state.bank) / "codec.json").write_text("{", encoding="utf-8")
        with pytest.raises(SnapshotError, match="repair"):
            searched(closed)
        assert BANKS in {item.store for item in diagnose(closed.lake())}
        repair(closed.lake())
        assert diagnose(closed.lake()) == []
        assert code_problems(closed.lake(), "default")[1] == []
        assert len(searched(closed)) == state.memories

    def test_a_code_that_is_not_that_of_its_vector_is_told(self, built: Workspace) -> None:
        assert verify(built.lake()).problems == {}
        with built.lake().warehouse.session("damaging") as connection:
            connection.execute("UPDATE codes SET code = '\\x00'::BLOB WHERE row_id = (SELECT min(row_id) FROM codes)")
        found = verify(built.lake()).problems
        assert any("is not that of its vector" in problem for problem in found["bank"])

    def test_a_code_without_its_memory_and_one_of_another_codec_are_orphans(self, built: Workspace) -> None:
        lake = built.lake()
        state = present_state(lake)
        assert check_orphans(lake, state).passed
        with lake.warehouse.session("damaging") as connection:
            connection.execute("UPDATE codes SET row_id = 'nobody' WHERE row_id = (SELECT min(row_id) FROM codes)")
            connection.execute("UPDATE codes SET version = 'other' WHERE row_id < 'nobody'")
        problems = check_orphans(lake, state).problems
        assert any(problem == "code without its memory: nobody" for problem in problems)
        assert any(problem.startswith("code of another codec") for problem in problems)

    @pytest.mark.parametrize("point", POINTS)
    def test_stopped_anywhere_the_next_run_converges(self, built: Workspace, point: str) -> None:
        class Stopped(Exception):
            pass

        def stop(at: str) -> None:
            if at == point:
                raise Stopped

        published = current_manifest(built.layout)
        built.write("talk-9.json", talk(9))
        configure(built, bank={"bytes": 8})
        faults.arm(stop)
        try:
            with pytest.raises(Stopped):
                built.build()
        finally:
            faults.arm(None)
        assert current_manifest(built.layout) == published
        assert len(searched(built)) == published.space("default").memories
        built.build()
        lake = built.lake()
        assert code_problems(lake, "default")[1] == []
        assert {len(code) for code in built.column("SELECT code FROM codes")} == {8}
        enforce_retention(lake)
        assert all(not path.name.startswith(".") for path in lake.layout.banks.iterdir())
