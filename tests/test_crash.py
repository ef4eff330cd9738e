"""Killed at every named point of the write path: readers see nothing of it, and the next run converges.

``make crash-table`` prints what became of each crash.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crashing import (
    SECRET,
    Crash,
    Killer,
    Reader,
    Template,
    assert_converged,
    converge,
    crashes,
    files_with,
    make_template,
    points,
    prepare,
)

pytestmark = pytest.mark.histories


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Killer, Reader]]:
    """The processes that are shared by all crashes."""
    killer, reader = Killer(), Reader()
    try:
        killer.wait_ready()
        reader.wait_ready()
        yield killer, reader
    finally:
        killer.stop()
        reader.stop()


@pytest.fixture(scope="module")
def template(servers: tuple[Killer, Reader], tmp_path_factory: pytest.TempPathFactory) -> Template:
    return make_template(tmp_path_factory.mktemp("template"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One crash at every point; with ``--crash-table`` also those on other ways to it."""
    if "crash" in metafunc.fixturenames:
        every = metafunc.config.getoption("--crash-table")
        metafunc.parametrize("crash", crashes() if every else crashes()[: len(points())], ids=str)


def test_every_point_has_a_crash() -> None:
    assert {crash.point for crash in crashes()} == set(points())
    assert len(points()) >= 15


def test_readers_see_nothing_of_a_crash_and_the_next_run_converges(
    crash: Crash,
    template: Template,
    servers: tuple[Killer, Reader],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    killer, reader = servers
    workspace = template.copy(tmp_path / "crash")
    prepare(workspace, crash)
    with reader.reading(workspace.config) as reading:
        ended = killer.kill_at(workspace.config, crash)
        lake = converge(workspace, crash, reading)
    assert ended == -signal.SIGKILL, f"{crash.operation} did not reach {crash.point}: {''.join(killer.errors)}"
    assert reading.problems == ()
    assert reading.queries > 0
    assert_converged(lake, template.digest)
    if crash.operation == "erase":
        assert files_with(lake.layout, SECRET) == []
    told = f"{reading.queries} of {len(reading.snapshots)} snapshots"
    record_property("crash", [crash.point, str(crash.reach), crash.operation, "SIGKILL", told, "equal to the rebuild"])
