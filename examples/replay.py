"""Lay out the example corpus as it was at one of its dates, or build the example lake through all of them.

    python examples/replay.py FOLDER DATE     the corpus as of DATE, in FOLDER
    python examples/replay.py --build         every revision in turn, with a snapshot of each
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
CHANGES = "changes.toml"


def revisions() -> list[str]:
    """The dates of the corpus, oldest first."""
    return sorted(folder.name for folder in CORPUS.iterdir())


def lay_out(folder: Path, date: str) -> None:
    """Make ``folder`` hold the corpus as of ``date``; files that did not change keep their times."""
    if date == revisions()[0]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(CORPUS / date, folder)
        return
    overlay = CORPUS / date
    changes = tomllib.loads((overlay / CHANGES).read_text(encoding="utf-8"))
    for rename in changes.get("rename", []):
        (folder / rename["to"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / rename["from"]).rename(folder / rename["to"])
    for path in changes.get("delete", []):
        (folder / path).unlink()
    for file in sorted(overlay.rglob("*")):
        if file.is_file() and file.name != CHANGES:
            target = folder / file.relative_to(overlay)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def build(demo: Path) -> None:
    """Bring the example lake from the date it has reached to the last one, a snapshot for each."""
    reached = demo / "reached"
    done = reached.read_text(encoding="utf-8").strip() if reached.exists() else ""
    memlake = str(Path(sys.executable).with_name("memlake"))
    for date in revisions():
        if date <= done:
            continue
        print(f"-- The corpus as of {date}: memlake build --as-of {date}", flush=True)
        lay_out(demo / "corpus", date)
        subprocess.run([memlake, "build", "--as-of", date], check=True)
        reached.write_text(date, encoding="utf-8")
    if done == revisions()[-1]:
        subprocess.run([memlake, "build"], check=True)


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    if arguments == ["--build"]:
        build(Path(".demo"))
        return
    folder, last = Path(arguments[0]), arguments[1]
    for date in revisions():
        if date <= last:
            lay_out(folder, date)


if __name__ == "__main__":
    main(sys.argv[1:])
