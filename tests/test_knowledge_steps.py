"""Entities that are one, in a lake: by what is decided, at what cost, and the same whatever history led there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Workspace, kept_open
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derivation import resolution
from derivation.digest import lake_digest
from derivation.graphs import open_graph
from derivation.verification import verify
from graph.candidates import neighbours
from testing.recorded import Recording
from testing.server import OpenAIServer

pytestmark = pytest.mark.histories
"""Many builds, which take minutes together."""

CORPUS = {
    "union.md": "---\ntitle: Union\ndate: 2024-01-10\n---\n\n"
    "The North Atlantic Freight Union (NAFU) met Ann Lindqvist in Oslo. NAFU is based in Oslo.\n",
    "crew.md": "---\ntitle: Crew\ndate: 2025-02-01\n---\n\nThe crew of Petrel Ferry trusts NAFU. NAFU is based in Port"
    " Hallin.\n",
    "archive.md": "# Archive\n\nThe North Atlantic Field University (NAFU) keeps the archive of PetrelFerry.\n",
    "harbour.md": "---\ntitle: Port Hallin\ndate: 2025-03-01\n---\n\nOwner: Ana Reyes\n\n"
    "C.S. Lewis saw it from Oslo.\n",
    "harbour-new.md": "---\ntitle: Port Hallin\ndate: 2025-09-01\n---\n\nOwner: Jon Berg\n\n"
    "The letters of C S Lewis are in Oslo.\n",
    "copy.md": "# Copy\n\nPetrel Ferries and Petrel Ferry, says Ann Lindqvist, belong to Jon Berg of Port Hallin.\n",
}
"""Acronyms, of which one is ambiguous, spellings of one name, and a changed owner."""

TABLES = ("facts", "validity", "phrases", "decisions", "resolutions", "neighbours")

WAYS: dict[str, dict[str, Any]] = {
    "rules": {},
    "vectors": {"graph": {"embed_phrases": True, "synonym_similarity": 0.6}},
    "model": {"graph": {"synonym_similarity": 0.6}},
}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(recording=Recording()) as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")


def configured(workspace: Workspace, way: str, server: OpenAIServer) -> Workspace:
    asked = {"extraction": {"provider": "openai", "model": "test-model", "base_url": server.url, "attempts": 1}}
    workspace.configure(**WAYS[way], **(asked if way == "model" else {}))
    return workspace


def same(workspace: Workspace, verdict: str = "same") -> set[tuple[str, str, str]]:
    """Pairs of names with a verdict, and by what."""
    rows = workspace.rows(
        "SELECT least(l.name, r.name), greatest(l.name, r.name), d.method FROM decisions d"
        " JOIN entities l ON l.entity_id = d.left_id JOIN entities r ON r.entity_id = d.right_id"
        " WHERE d.verdict = $verdict",
        verdict=verdict,
    )
    return set(rows)


class TestDecisions:
    def test_an_acronym_and_a_spelling_are_merged_and_found_by_either_name(self, workspace: Workspace) -> None:
        for name in ("union.md", "crew.md", "harbour.md", "harbour-new.md"):
            workspace.write(name, CORPUS[name])
        built = workspace.build()
        assert same(workspace) == {
            ("NAFU", "North Atlantic Freight Union", "acronym"),
            ("C S Lewis", "C.S. Lewis", "spelling"),
        }
        stands = workspace.rows(
            "SELECT e.name, c.name FROM resolutions r JOIN entities e USING (entity_id)"
            " JOIN entities c ON c.entity_id = r.canonical_id ORDER BY ALL"
        )
        assert stands == [("C S Lewis", "C.S. Lewis"), ("North Atlantic Freight Union", "NAFU")]
        graph = open_graph(built.lake, built.snapshot.space("default").graph)
        rows = graph.entity_rows(["nafu", "north atlantic freight union"])
        assert rows["nafu"] == rows["north atlantic freight union"]
        known = workspace.client().knowledge()
        assert known.find("North Atlantic Freight Union") == known.find("NAFU")

    def test_an_acronym_of_two_names_merges_with_neither_until_one_goes(self, workspace: Workspace) -> None:
        for name in ("union.md", "archive.md"):
            workspace.write(name, CORPUS[name])
        workspace.build()
        assert not [pair for pair in same(workspace) if "NAFU" in pair]
        assert len([pair for pair in same(workspace, "similar") if "NAFU" in pair]) == 2
        workspace.delete("archive.md")
        workspace.assert_equals_rebuild(workspace.build().lake)
        assert ("NAFU", "North Atlantic Freight Union", "acronym") in same(workspace)


class TestNeighbours:
    @pytest.fixture
    def compared(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """How many entities each call compared with how many."""
        calls: list[tuple[int, int]] = []

        def counted(new_ids: list[str], new: Any, ids: list[str], *rest: Any) -> Any:
            calls.append((len(new_ids), len(ids)))
            return neighbours(new_ids, new, ids, *rest)

        monkeypatch.setattr(resolution, "neighbours", counted)
        return calls

    def named(self, workspace: Workspace) -> int:
        return int(workspace.column("SELECT count(*) FROM phrases WHERE kind = 'entity'")[0])

    def test_only_new_entities_are_compared_and_only_new_phrases_embedded(
        self, workspace: Workspace, compared: list[tuple[int, int]]
    ) -> None:
        workspace.configure(graph=WAYS["vectors"]["graph"])
        for name in ("union.md", "harbour.md", "copy.md"):
            workspace.write(name, CORPUS[name])
        built = workspace.build()
        first = self.named(workspace)
        assert compared == [(first, first)]
        read = "SELECT count(*) FROM embeddings WHERE text_hash NOT IN (SELECT text_hash FROM memories WHERE pooled)"
        assert built.embedded == workspace.column(read)[0]
        assert workspace.column("SELECT count(*) FROM neighbours")[0] > 0
        workspace.write("more.md", "# Copy\n\nAnn Lindqvist visited Tern Island.\n")
        built = workspace.build()
        new = self.named(workspace) - first
        assert new > 0
        assert compared[1:] == [(new, first + new)]
        assert built.embedded == new + 3, "besides a passage, its fact and an outline"
        workspace.build()
        assert len(compared) == 2, "nothing is new"

    def test_pairs_go_with_their_entities_and_come_back(
        self, workspace: Workspace, compared: list[tuple[int, int]]
    ) -> None:
        workspace.configure(graph=WAYS["vectors"]["graph"])
        for name in ("crew.md", "copy.md"):
            workspace.write(name, CORPUS[name])
        workspace.build()
        before = workspace.rows("SELECT * FROM neighbours ORDER BY ALL")
        workspace.delete("copy.md")
        workspace.build()
        left = workspace.rows("SELECT * FROM neighbours ORDER BY ALL")
        assert set(left) < set(before)
        gone = "SELECT left_id FROM neighbours WHERE left_id NOT IN (SELECT entity_id FROM entities)"
        assert workspace.column(gone) == []
        workspace.write("copy.md", CORPUS["copy.md"])
        workspace.build()
        assert workspace.rows("SELECT * FROM neighbours ORDER BY ALL") == before

    @pytest.mark.parametrize("similarity", [0.4, 0.9])
    def test_another_threshold_gives_the_lake_of_that_threshold(self, workspace: Workspace, similarity: float) -> None:
        for name, text in CORPUS.items():
            workspace.write(name, text)
        workspace.configure(graph=WAYS["vectors"]["graph"])
        workspace.build()
        before = workspace.column("SELECT count(*) FROM decisions WHERE method = 'embedding'")
        for again in (similarity, 0.6):
            workspace.configure(graph={"embed_phrases": True, "synonym_similarity": again})
            built = workspace.build()
            found = workspace.column("SELECT count(*) FROM decisions WHERE method = 'embedding'")
            assert (found == before) == (again == 0.6)
            assert verify(built.lake).whole
            workspace.assert_equals_rebuild(built.lake)

    def test_without_vectors_nothing_of_them_is_left(self, workspace: Workspace) -> None:
        for name, text in CORPUS.items():
            workspace.write(name, text)
        workspace.configure(graph=WAYS["vectors"]["graph"])
        workspace.build()
        workspace.configure()
        built = workspace.build()
        for table in ("phrases", "neighbours", "compared"):
            assert workspace.column(f"SELECT count(*) FROM {table}") == [0]
        workspace.assert_equals_rebuild(built.lake)


def rows_of(workspace: Workspace, root: Path | None = None) -> dict[str, list[Any]]:
    lake = workspace.lake(root=root)
    with lake.warehouse.session("looking") as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_any_split_into_builds_and_any_deletions_give_the_lake_that_is_built_at_once(
    make_workspace: Callable[[], Workspace], server: OpenAIServer, way: str
) -> None:
    @settings(max_examples=2, suppress_health_check=list(HealthCheck))
    @given(
        order=st.permutations(sorted(CORPUS)), cuts=st.sets(st.integers(1, 5), min_size=1, max_size=2), data=st.data()
    )
    def check(order: list[str], cuts: set[int], data: st.DataObject) -> None:
        workspace = configured(make_workspace(), way, server)
        present: set[str] = set()
        with kept_open(workspace.lake()):
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(order)], strict=True):
                for name in data.draw(st.sets(st.sampled_from(sorted(present)), max_size=2)) if present else set():
                    workspace.delete(name)
                    present.discard(name)
                for name in order[start:end]:
                    workspace.write(name, CORPUS[name])
                    present.add(name)
                built = workspace.build()
            anew = workspace.folder / "anew"
            with kept_open(workspace.lake(root=anew)):
                other = workspace.build(root=anew).lake
                assert rows_of(workspace) == rows_of(workspace, anew)
                assert lake_digest(built.lake) == lake_digest(other)

    check()


@pytest.mark.parametrize("way", sorted(WAYS))
def test_to_delete_half_is_never_to_have_had_it(
    make_workspace: Callable[[], Workspace], server: OpenAIServer, way: str
) -> None:
    whole, half = (configured(make_workspace(), way, server) for _ in range(2))
    kept = Random(way).sample(sorted(CORPUS), len(CORPUS) // 2)
    with kept_open(whole.lake()), kept_open(half.lake()):
        for name, text in CORPUS.items():
            whole.write(name, text)
        before = lake_digest(whole.build().lake)
        for name in CORPUS.keys() - set(kept):
            whole.delete(name)
        for name in kept:
            half.write(name, CORPUS[name])
        deleted, never = lake_digest(whole.build().lake), lake_digest(half.build().lake)
        assert deleted == never != before
        assert verify(whole.lake()).whole
        if way == "model":
            assert whole.column("SELECT count(*) FROM facts")[0] > 0
            assert whole.column("SELECT count(*) FROM model_replies")[0] == 2 * len(kept)
