"""What the times of a disk tell is tried, and the disk is left as it was."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from runner.store import probe
from runner.store.probe import Tells, try_times

LONG_AGO = (1_000_000_000, 1_000_000_000)


def test_this_disk_is_left_as_it_was(tmp_path):
    scratch = tmp_path / "scratch"
    for _ in range(2):
        try_times(scratch)
        assert [*scratch.iterdir()] == []


def test_where_nobody_may_write_folders_are_silent(tmp_path):
    assert try_times(tmp_path / "no" / "such" / "folder") == Tells(folders=False, files=True)


@pytest.mark.parametrize("call", ["rename", "unlink", "mkdir", "rmdir"])
def test_a_folder_whose_time_misses_one_kind_of_change_is_silent(tmp_path, monkeypatch, call):
    """As with drivers that leave it alone when a file is renamed into it."""
    real = getattr(os, call)

    def without_time(path, *more, **named):
        real(path, *more, **named)
        for one in (path, *more) if call == "rename" else (path,):
            os.utime(Path(one).parent, LONG_AGO)

    monkeypatch.setattr(os, call, without_time)
    told = try_times(tmp_path)
    monkeypatch.undo()
    assert not told.folders
    assert [*tmp_path.iterdir()] == []


def test_a_disk_without_times_is_silent(tmp_path, monkeypatch):
    """Such as a network drive that says of everything that it is of one and the same day."""
    real = os.stat

    def timeless(path, **named):
        found = real(path, **named)
        none = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), 0)
        return os.stat_result([*found[:7], 0, 0, 0], none)

    monkeypatch.setattr(os, "stat", timeless)
    told = try_times(tmp_path)
    monkeypatch.undo()
    assert told == Tells(folders=False, files=False)


def test_a_time_that_is_set_back_may_show_nowhere(tmp_path, monkeypatch):
    """As on Windows and on FAT: nothing else says that a file of the same size was written."""
    monkeypatch.setattr(probe, "stamp_of", lambda status: (status.st_mtime_ns, status.st_size))
    assert not try_times(tmp_path).files
    changes = itertools.count()  # as the time of change does that nobody sets
    monkeypatch.setattr(probe, "stamp_of", lambda status: (status.st_mtime_ns, next(changes)))
    assert try_times(tmp_path).files
