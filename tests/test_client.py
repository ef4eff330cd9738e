"""The client: what it returns, what it follows, what it never touches."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime

import pytest
from conftest import Workspace

from errors import InvalidQuery, ModelError, SettingsError, SnapshotError, UnknownName
from memory.embedding import HashingEmbedder
from retrieval import CHANNELS, Filters, MemoryClient

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
TUESDAY = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.fixture
def harbour(workspace: Workspace) -> Workspace:
    """Three documents, one of them dated and signed."""
    workspace.write("harbour.md", "# Port Hallin\n\nAna Reyes is the harbour master of Port Hallin.\n")
    workspace.write("lamp.txt", "The lamp of Gull Point was lit in 1911 and turned by a clockwork.\n")
    workspace.write(
        "ferry/petrel.md",
        "---\ntitle: The Petrel\nauthor: Jon O'Neil\ndate: 2025-05-01\n---\n"
        "# Petrel\n\nThe ferry leaves Gull Point at 07:15.\n",
    )
    workspace.build(as_of=MONDAY)
    return workspace


def test_a_hit_says_where_it_is_and_which_channel_found_it(harbour: Workspace) -> None:
    hit = harbour.client().search("Who is the harbour master of Port Hallin?", k=1)[0]
    assert hit.rank == 1
    assert (hit.location.path, hit.title) == ("harbour.md", "Port Hallin")
    text = "# Port Hallin\n\nAna Reyes is the harbour master of Port Hallin."
    assert (hit.text, hit.span.start, hit.span.end) == (text, 0, len(text))
    assert set(hit.channel_ranks) == set(CHANNELS)
    assert json.loads(json.dumps(hit.as_record()))["location"]["path"] == "harbour.md"


@pytest.mark.parametrize("channel", CHANNELS)
def test_each_channel_searches_alone(harbour: Workspace, channel: str) -> None:
    hits = harbour.client().search("harbour master of Port Hallin", k=1, channels=[channel])
    assert hits[0].location.path == "harbour.md"
    assert channel in hits[0].channel_ranks


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        (Filters(path_prefix="ferry/"), {"ferry/petrel.md"}),
        (Filters(authors=("Jon O'Neil",)), {"ferry/petrel.md"}),
        (Filters(since=date(2025, 5, 1)), {"ferry/petrel.md"}),
        (Filters(until=date(2025, 4, 30)), set()),
        (Filters(sources=("elsewhere",)), set()),
        (Filters(kinds=("prose",)), {"harbour.md", "lamp.txt", "ferry/petrel.md"}),
        (Filters(), {"harbour.md", "lamp.txt", "ferry/petrel.md"}),
    ],
    ids=["path", "author", "since", "until", "source", "kind", "none"],
)
@pytest.mark.parametrize("channels", [None, ["graph"], ["dense"]], ids=["all", "graph", "dense"])
def test_filters_hold_in_every_channel(
    harbour: Workspace, filters: Filters, paths: set[str], channels: list[str] | None
) -> None:
    hits = harbour.client().search("lamp of Gull Point in Port Hallin", filters=filters, channels=channels)
    found = {hit.location.path for hit in hits}
    assert found <= paths
    assert bool(found) == bool(paths)


def test_a_client_moves_to_a_newly_published_snapshot_between_queries(harbour: Workspace) -> None:
    client = harbour.client()
    first = client.snapshot.snapshot_id
    harbour.write("harbour.md", "# Port Hallin\n\nJon Berg is the harbour master of Port Hallin.\n")
    harbour.build(as_of=TUESDAY)
    assert "Jon Berg" in client.search("harbour master of Port Hallin", k=1)[0].text
    assert client.snapshot.snapshot_id != first
    then = client.search("harbour master of Port Hallin", k=1, as_of="2026-03-02")[0]
    assert "Ana Reyes" in then.text
    pinned = MemoryClient.open(harbour.config, snapshot=first, embedder=harbour.embedder)
    assert "Ana Reyes" in pinned.search("harbour master of Port Hallin", k=1)[0].text
    with pytest.raises(SnapshotError, match="history begins at 2026-03-02"):
        client.search("harbour", as_of=date(2026, 3, 1))


def test_a_client_needs_no_warehouse(harbour: Workspace) -> None:
    client = harbour.client()
    harbour.lake().layout.warehouse.unlink()
    assert client.search("harbour master", k=1)
    assert harbour.client().search("harbour master", k=1)


def test_several_threads_get_what_one_gets(harbour: Workspace) -> None:
    client = harbour.client()
    expected = [hit.passage_id for hit in client.search("lamp of Gull Point")]
    results: list[list[str]] = []

    def ask() -> None:
        results.extend([hit.passage_id for hit in client.search("lamp of Gull Point")] for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 20


def test_queries_while_snapshots_are_published_never_mix_two(harbour: Workspace) -> None:
    client = harbour.client()
    seen: set[tuple[str, ...]] = set()
    stop = threading.Event()
    failures: list[BaseException] = []

    def query() -> None:
        try:
            while not stop.is_set():
                hits = client.search("version of the two notes", k=10, filters=Filters(path_prefix="pair/"))
                seen.add(tuple(sorted(hit.text for hit in hits)))
        except BaseException as error:
            failures.append(error)

    harbour.write("pair/a.txt", "The note is at version 0 of A.\n")
    harbour.write("pair/b.txt", "The note is at version 0 of B.\n")
    harbour.build(as_of=TUESDAY)
    thread = threading.Thread(target=query)
    thread.start()
    for version in range(1, 4):
        for name in "ab":
            harbour.write(f"pair/{name}.txt", f"The note is at version {version} of {name.upper()}.\n")
        harbour.build(as_of=TUESDAY.replace(hour=12 + version))
    stop.set()
    thread.join()
    assert not failures
    whole = {tuple(f"The note is at version {version} of {name}." for name in "AB") for version in range(4)} | {()}
    assert seen <= whole
    assert len(seen) > 1


def test_spaces_are_apart(workspace: Workspace) -> None:
    workspace.configure([{"name": "ours", "space": "one"}, {"name": "theirs", "space": "two"}])
    (workspace.folder / "ours").mkdir(exist_ok=True)
    (workspace.folder / "theirs").mkdir(exist_ok=True)
    (workspace.folder / "ours" / "a.txt").write_text("Port Hallin has a canary called Zephyrine.\n")
    for number in range(5):
        (workspace.folder / "theirs" / f"{number}.txt").write_text(f"Port Hallin is far from here, {number} miles.\n")
    workspace.build()
    one = MemoryClient.open(workspace.config, space="one", embedder=workspace.embedder)
    alone = [(hit.text, hit.score) for hit in one.search("canary Zephyrine of Port Hallin")]
    two = MemoryClient.open(workspace.config, space="two", embedder=workspace.embedder)
    for channels in (None, *([name] for name in CHANNELS)):
        assert all("Zephyrine" not in hit.text for hit in two.search("canary Zephyrine", channels=channels))

    for number in range(5, 30):
        (workspace.folder / "theirs" / f"{number}.txt").write_text(f"Zephyrine the canary of Port Hallin {number}.\n")
    workspace.build()
    assert [(hit.text, hit.score) for hit in one.search("canary Zephyrine of Port Hallin")] == alone


def test_mistakes_are_named(harbour: Workspace) -> None:
    client = harbour.client()
    with pytest.raises(InvalidQuery, match="empty"):
        client.search("  ")
    with pytest.raises(InvalidQuery, match="empty"):
        client.ask("")
    with pytest.raises(InvalidQuery, match="k is 0"):
        client.search("lamp", k=0)
    with pytest.raises(UnknownName, match="Did you mean 'graph'"):
        client.search("lamp", channels=["grap"])
    with pytest.raises(UnknownName, match="no space named 'other'"):
        MemoryClient.open(harbour.config, space="other", embedder=harbour.embedder)
    with pytest.raises(SettingsError, match="no lake"):
        MemoryClient.open(harbour.folder / "nowhere")
    stranger = HashingEmbedder(32, "another")
    with pytest.raises(ModelError, match="was embedded with"):
        MemoryClient.open(harbour.config, embedder=stranger).search("lamp")


def test_words_that_no_document_has_find_nothing_lexically(harbour: Workspace) -> None:
    assert harbour.client().search("xylophone quasar", channels=["lexical"]) == []


@pytest.mark.parametrize("query", ['"', "a AND (b", "\\", "it's; DROP TABLE", "中村", "?", "x" * 5000])
def test_any_text_is_a_query(harbour: Workspace, query: str) -> None:
    assert len(harbour.client().search(query)) <= 10
