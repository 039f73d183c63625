"""One daemon a home: told from a dead one, and found by its record."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from runner.daemon.lockfile import DaemonRecord, only_daemon, read_record, write_record
from runner.errors import AlreadyRunning
from runner.paths import find_paths
from tests.real_daemon import ROOT

RECORD = DaemonRecord(pid=4711, address="127.0.0.1:1234", version="1.2.3", token="secret")

HOLDER = """
import sys
from runner.daemon.lockfile import only_daemon
from runner.paths import find_paths
with only_daemon(find_paths()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paths():
    found = find_paths()
    found.run.mkdir(parents=True)
    return found


@pytest.fixture
def holder(paths):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_daemon_of_the_same_home_is_refused_and_told_of_the_first(paths, holder):
    write_record(paths.daemon_file, RECORD)
    with pytest.raises(AlreadyRunning) as caught, only_daemon(paths):
        pass
    assert "pid 4711, at 127.0.0.1:1234" in caught.value.message
    assert "corral daemon stop" in caught.value.hint


def test_a_lock_whose_holder_was_killed_locks_nothing(paths, holder):
    write_record(paths.daemon_file, RECORD)
    holder.kill()
    holder.wait()
    assert paths.lock_file.exists()
    with only_daemon(paths):
        pass


def test_the_lock_can_be_taken_again_and_again(paths):
    for _ in range(3):
        with only_daemon(paths), pytest.raises(AlreadyRunning), only_daemon(paths):
            pass


def test_an_error_inside_lets_go_of_the_lock(paths):
    with pytest.raises(ValueError, match="inside"), only_daemon(paths):
        raise ValueError("inside")
    with only_daemon(paths):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_only_the_owner_reads_the_record(paths):
    umask = os.umask(0)
    try:
        write_record(paths.daemon_file, RECORD)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(paths.daemon_file.stat().st_mode) == 0o600
    assert read_record(paths.daemon_file) == RECORD
    assert sorted(file.name for file in paths.run.iterdir()) == ["daemon.json", "room"]


def test_a_record_takes_the_place_of_an_old_one_whatever_its_mode(paths):
    paths.daemon_file.write_text("old")
    paths.daemon_file.chmod(0o644)
    write_record(paths.daemon_file, RECORD)
    assert read_record(paths.daemon_file) == RECORD
    if sys.platform != "win32":
        assert stat.S_IMODE(paths.daemon_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"pid": 1}', "\x00", '{"pid": "x", "address": 1}', "null"]
)
def test_a_damaged_record_is_none(paths, text):
    paths.daemon_file.write_text(text)
    assert read_record(paths.daemon_file) is None


def test_a_missing_record_is_none(paths):
    assert read_record(paths.daemon_file) is None
