"""A disk that fills up during a build, a publication, upkeep or an erasure: named, survived, and gone on from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Workspace, build_lake
from crashing import OPERATIONS, SECRET, Crash, Template, assert_converged, converge, files_with, make_template, opened
from disk import fill, mounted

from errors import MemlakeError, StorageFull
from warehouse import faults
from warehouse.snapshots import current_id

pytestmark = pytest.mark.histories

GOOD = "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage in London.\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def small(tmp_path: Path, small_disk: Path, template: Template) -> Workspace:
    """The template's lake on a small disk; its sources are elsewhere."""
    folder = tmp_path / "workspace"
    template.copy(folder)
    shutil.move(folder / "memlake-lake", small_disk / "lake")
    (folder / "memlake-lake").symlink_to(small_disk / "lake")
    return opened(folder)


PLACES = (
    ("build", "", 0),
    ("build", "", 300_000),
    ("build", "embeddings.committed", 40_000),
    ("build", "vectors.merged", 40_000),
    ("build", "candidate.pinned", 0),
    ("maintain", "", 0),
    ("maintain", "compaction.merged", 300_000),
    ("erase", "", 0),
    ("erase", "erase.removed", 300_000),
)
"""What is done, where the disk fills up (before it begins, without a name), and the bytes that are left."""


@pytest.mark.parametrize(("operation", "place", "left"), PLACES)
def test_a_disk_that_fills_up_is_named_and_survived(
    small: Workspace, template: Template, operation: str, place: str, left: int
) -> None:
    disk = small.layout.root.resolve().parent
    before = current_id(small.layout)

    def fill_up(point: str) -> None:
        if point == place:
            faults.arm(None)
            fill(disk, left)

    if place:
        faults.arm(fill_up)
    else:
        fill(disk, left)
    told = ""
    try:
        OPERATIONS[operation](small.lake())
    except StorageFull as error:
        told = str(error)
    finally:
        faults.arm(None)
    assert not told or ("is full" in told and "Free some space" in told)
    if left == 0 and place in ("", "documents.written", "embeddings.committed"):
        assert current_id(small.layout) == before
    assert small.client().search("Analytical Engine"), "what is published can be read"
    assert (disk / "filler").exists(), f"{operation} did not reach {place}"
    (disk / "filler").unlink()
    lake = converge(small, Crash(place, operation))
    assert_converged(lake, template.digest)
    if operation == "erase":
        assert files_with(lake.layout, SECRET) == []


@pytest.mark.parametrize("left", [0, 65_536, 400_000, 1_500_000])
def test_a_first_big_build_that_fills_the_disk_completes_later(
    workspace: Workspace, small_disk: Path, left: int
) -> None:
    workspace.configure(lake={"root": "disk/lake"})
    workspace.write("ada.md", GOOD)
    first = workspace.build()
    filler = fill(small_disk, left)
    for number in range(40):
        body = "".join(f"Letter {number}-{line} to Charles Babbage in London on paper. " for line in range(700))
        workspace.write(f"note{number}.md", f"# Note {number}\n\n{body}\n")
    lake = workspace.lake()
    with pytest.raises(StorageFull, match="is full") as caught:
        build_lake(lake)
    assert isinstance(caught.value, MemlakeError)
    assert workspace.client().search("Ada Lovelace")[0].location.path == "ada.md"
    filler.unlink()
    for number in range(2, 40):
        workspace.delete(f"note{number}.md")
    second = workspace.build()
    assert second.snapshot.parent == first.id
    assert second.snapshot.space("default").documents == 3


def test_a_lake_cannot_begin_on_a_full_disk(workspace: Workspace, small_disk: Path) -> None:
    workspace.configure(lake={"root": "disk/lake"})
    workspace.write("ada.md", GOOD)
    (small_disk / "lake").mkdir()
    fill(small_disk)
    with pytest.raises(StorageFull, match="is full"):
        build_lake(workspace.lake())
