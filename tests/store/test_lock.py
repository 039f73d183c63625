"""One writer at a time, and a dead one is none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.errors import StoreBusy, StoreError
from runner.store.lock import StoreLock

ROOT = Path(__file__).parents[2]

#: Takes the lock, says so, and holds it until its input ends.
HOLDER = """
import sys
from pathlib import Path
from runner.store.lock import StoreLock
with StoreLock(Path(sys.argv[1])).hold("hold on"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_told_who_holds_the_lock(holder, tmp_path):
    lock = StoreLock(tmp_path / "lock", wait_s=0.05)
    with pytest.raises(StoreBusy) as caught, lock.hold("try"):
        pass
    assert f"process {holder.pid} (hold on)" in caught.value.message
    assert "0.05 seconds" in caught.value.message


def test_a_killed_holder_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait(60)
    path = tmp_path / "lock"
    assert str(holder.pid) in path.read_text()  # what it wrote is still there
    with StoreLock(path, wait_s=0).hold("after"):
        assert str(os.getpid()) in path.read_text()


def test_a_waiting_writer_gets_the_lock_when_it_is_free(holder, tmp_path):
    got = threading.Event()

    def wait() -> None:
        with StoreLock(tmp_path / "lock", wait_s=30).hold("wait"):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    holder.stdin.close()  # the holder ends
    thread.join(60)
    assert got.is_set()


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    path = tmp_path / "new" / "folder" / "lock"
    first, second = StoreLock(path).hold("first"), StoreLock(path, wait_s=0).hold("second")
    with first, pytest.raises(StoreBusy), second:
        pass
    with StoreLock(path, wait_s=0).hold("third"):
        pass
    assert path.read_text() == ""


def test_a_lock_ends_with_its_block_however_that_ends(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(RuntimeError, match="inside"), StoreLock(path).hold("first"):
        raise RuntimeError("inside")
    with StoreLock(path, wait_s=0).hold("second"):
        pass


def test_a_holder_who_wrote_nonsense_is_another_process(tmp_path):
    path = tmp_path / "lock"
    with StoreLock(path).hold("first"):
        path.write_text("nonsense")
        second = StoreLock(path, wait_s=0).hold("second")
        with pytest.raises(StoreBusy, match="by another process"), second:
            pass


def test_a_lock_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    lock = StoreLock(tmp_path / "file" / "lock").hold("first")
    with pytest.raises(StoreError, match="cannot lock"), lock:
        pass
