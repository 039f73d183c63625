"""A file that arrives: what is kept between two who open it, and what is not believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import DiskFull
from runner.store.arrival import PART_BYTES, discard_arrival, open_arrival, tidy_arrivals

KEY = "sha256:" + "c" * 64
N_BYTES = 2 * PART_BYTES + 10


@pytest.fixture
def opened(tmp_path):
    made = []

    def open_(**more):
        made.append(open_arrival(tmp_path, KEY, N_BYTES, **more))
        return made[-1]

    yield open_
    for one in made:
        if one is not None:
            one.close()


def test_what_was_noted_is_there_for_the_next_one(opened):
    first = opened()
    first.write_at(0, b"x" * 100)
    first.note(0, 100)
    first.write_at(2 * PART_BYTES, b"0123456789")
    first.note_whole(2, "d" * 64)
    first.close()
    second = opened()
    assert second.arrived == {0: 100, 2: 10}
    assert second.digests == {2: "d" * 64}
    second.forget(2)
    second.sync()
    second.close()
    assert opened().arrived == {0: 100}


def test_only_one_at_a_time_has_it(opened):
    first = opened()
    assert opened() is None
    first.close()
    assert opened() is not None


def test_a_journal_is_not_believed_beyond_the_files_end(opened):
    first = opened()
    first.write_at(0, b"x" * 100)
    first.note(0, 100)
    first.note(1, 500)
    first.close()
    assert opened().arrived == {0: 100}


def test_a_journal_without_its_file_is_not_believed_and_tidied(opened, tmp_path):
    first = opened()
    first.note_whole(0, "d" * 64)
    first.close()
    first.path.unlink()
    tidy_arrivals(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert opened().arrived == {}


def test_a_key_without_a_digest_begins_empty_when_asked(opened):
    first = opened()
    first.write_at(0, b"x" * 100)
    first.note(0, 100)
    first.close()
    assert opened(is_kept=False).arrived == {}


def test_what_is_discarded_is_gone(opened, tmp_path):
    opened().close()
    discard_arrival(tmp_path, KEY)
    discard_arrival(tmp_path, KEY)
    assert list(tmp_path.iterdir()) == []


def test_what_is_quarantined_lies_elsewhere(opened, tmp_path):
    first = opened()
    first.write_at(0, b"bad")
    place = first.quarantine(tmp_path / "quarantine")
    assert place.read_bytes() == b"bad"
    assert [path.name for path in tmp_path.iterdir()] == ["quarantine"]


def test_room_is_told_in_numbers(opened):
    with pytest.raises(DiskFull, match=f"{10**18} bytes are needed, [0-9]+ bytes are free"):
        opened().check_room(10**18)


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_a_system_that_takes_no_more_bytes_is_told_and_nothing_is_lost(tmp_path):
    """A limit on file size stands for a disk that is full: the write fails in the middle."""
    child = f"""
import resource, signal
from pathlib import Path
from runner.errors import StoreError
from runner.store.arrival import open_arrival
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
one = open_arrival(Path({str(tmp_path)!r}), {KEY!r}, {N_BYTES})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
one.write_at(0, b"x" * 4000)
one.note(0, 4000)
try:
    one.write_at(4000, b"y" * 4000)
except StoreError as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", child],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "cannot keep what was downloaded" in done.stdout, done.stderr
    arrival = open_arrival(tmp_path, KEY, N_BYTES)
    assert arrival.arrived == {0: 4000}
    arrival.close()


def test_what_was_noted_is_there_where_text_has_other_line_ends(opened, monkeypatch):
    """Windows writes two bytes for the end of a line, unless a file is opened as bytes."""
    as_bytes, real_open, real_write = 1 << 30, os.open, os.write
    texts: set[int] = set()

    def open_as_windows(path, flags, *more, **named):
        fd = real_open(path, flags & ~as_bytes, *more, **named)
        (texts.discard if flags & as_bytes else texts.add)(fd)
        return fd

    def write_as_windows(fd, said):
        if fd not in texts:
            return real_write(fd, said)
        real_write(fd, bytes(said).replace(b"\n", b"\r\n"))
        return len(said)

    monkeypatch.setattr(os, "O_BINARY", as_bytes, raising=False)
    monkeypatch.setattr(os, "open", open_as_windows)
    monkeypatch.setattr(os, "write", write_as_windows)
    first = opened()
    first.write_at(0, b"x" * 100)
    first.note(0, 50)
    first.note(0, 100)
    first.close()
    assert opened().arrived == {0: 100}
