"""A log that gets long while the daemon runs is put aside, and nothing that is said is lost."""

from __future__ import annotations

import os

import pytest

from runner.client import launch
from runner.daemon.log_file import begin_anew


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_LOG_LIMIT", 100)
    return tmp_path / "daemon.log"


@pytest.fixture
def printing(log):
    """Two descriptors that write into the log, as a daemon's are when it starts."""
    with log.open("ab", buffering=0) as out, log.open("ab", buffering=0) as errors:
        yield [out.fileno(), errors.fileno()]


def old(log):
    return log.with_suffix(".log.old").read_bytes()


def test_a_long_log_is_put_aside_and_what_comes_goes_into_a_new_one(log, printing):
    os.write(printing[0], b"a" * 101)
    assert begin_anew(log, printing)
    for descriptor in printing:
        os.write(descriptor, b"new ")
    assert log.read_bytes() == b"new new "
    assert old(log) == b"a" * 101


def test_the_next_one_takes_the_place_of_the_last(log, printing):
    for letter in (b"a", b"b"):
        os.write(printing[1], letter * 101)
        assert begin_anew(log, printing)
    assert old(log) == b"b" * 101
    assert log.read_bytes() == b""


def test_a_short_log_stays(log, printing):
    os.write(printing[0], b"a" * 100)
    assert not begin_anew(log, printing)
    assert log.stat().st_size == 100


def test_the_log_of_another_program_stays(log, printing, tmp_path):
    log.write_bytes(b"a" * 101)
    with (tmp_path / "other").open("wb") as elsewhere:
        assert not begin_anew(log, [elsewhere.fileno()])
    assert not begin_anew(tmp_path / "nowhere", printing)
    assert log.stat().st_size == 101
