"""The warehouse lock: one holder at a time among threads and processes, and a dead one lets go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import python

from errors import LockTimeout, Transient
from warehouse.database import Warehouse
from warehouse.layout import LakeLayout
from warehouse.lock import warehouse_lock

_HOLD = """
import sys
from pathlib import Path
from warehouse.layout import LakeLayout
from warehouse.lock import warehouse_lock
with warehouse_lock(LakeLayout(Path({root!r})), 10).held("counting sheep"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def layout(tmp_path: Path) -> LakeLayout:
    return LakeLayout(tmp_path / "lake")


@pytest.fixture
def other_process(layout: LakeLayout) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that holds the lock until it gets a line."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = python(_HOLD.format(root=str(layout.root)))
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def is_free(layout: LakeLayout) -> bool:
    try:
        with warehouse_lock(layout, 0.05).held("trying"):
            return True
    except LockTimeout:
        return False


def test_a_second_process_waits_until_the_first_lets_go(
    layout: LakeLayout, other_process: Callable[[], subprocess.Popen[str]]
) -> None:
    holder = other_process()
    entered = threading.Event()

    def wait() -> None:
        with warehouse_lock(layout, 60).held("waiting"):
            entered.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert not entered.wait(0.3)
    assert holder.poll() is None
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert entered.wait(60)
    waiter.join()


def test_who_waits_in_vain_is_told_who_holds_it(
    layout: LakeLayout, other_process: Callable[[], subprocess.Popen[str]]
) -> None:
    holder = other_process()
    with pytest.raises(LockTimeout) as caught, warehouse_lock(layout, 0.1).held("trying"):
        pass
    message = str(caught.value)
    assert f"process {holder.pid} on {socket.gethostname()}" in message
    assert "counting sheep" in message
    assert str(layout.warehouse) in message
    assert "lake.lock_timeout_seconds" in caught.value.remedy
    assert isinstance(caught.value, Transient)


def test_a_session_waits_for_the_same_lock(
    layout: LakeLayout, other_process: Callable[[], subprocess.Popen[str]]
) -> None:
    other_process()
    with pytest.raises(LockTimeout, match="counting sheep"), Warehouse(layout, 0.1).session():
        pass


def test_a_killed_process_lets_go(layout: LakeLayout, other_process: Callable[[], subprocess.Popen[str]]) -> None:
    holder = other_process()
    assert not is_free(layout)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert is_free(layout)


def test_an_error_inside_lets_go(layout: LakeLayout) -> None:
    with pytest.raises(LookupError), warehouse_lock(layout, 1).held("failing"):
        raise LookupError
    assert is_free(layout)


def test_it_can_be_taken_again_by_who_has_it(layout: LakeLayout) -> None:
    lock = warehouse_lock(layout, 0.2)
    with lock.held("outer"):
        with lock.held("inner"):
            assert not is_free(layout)
        assert not is_free(layout), "the inner end is not the outer one"
        assert '"outer"' in layout.warehouse_lock.with_suffix(".lock.json").read_text(), "the holder is who came first"
    assert is_free(layout)


@pytest.mark.parametrize("shared", [True, False], ids=["one lock", "a lock each"])
def test_threads_keep_each_other_out(layout: LakeLayout, shared: bool) -> None:
    one = warehouse_lock(layout, 60)
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        lock = one if shared else warehouse_lock(layout, 60)
        for _ in range(10):
            with lock.held("working"):
                inside.append(number)
                threading.Event().wait(0.001)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 40


def test_another_thread_times_out_on_the_same_lock(layout: LakeLayout) -> None:
    lock = warehouse_lock(layout, 0.1)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with lock.held("intruding"):
                pass
        except LockTimeout as error:
            caught.append(error)

    with lock.held("sleeping"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(caught) == 1
    assert "sleeping" in str(caught[0])


@pytest.mark.parametrize("left", ["", "{", "{}", "[]"])
def test_a_damaged_note_of_the_holder_does_not_hide_the_timeout(layout: LakeLayout, left: str) -> None:
    with warehouse_lock(layout, 1).held("first"):
        layout.warehouse_lock.with_suffix(".lock.json").write_text(left)
        with pytest.raises(LockTimeout, match="locked by a process that left no name"):
            warehouse_lock(layout, 0.05).held("second").__enter__()
