"""Entries: what was written is read, and whatever else lies there is refused, never served."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.kv.entry import (
    FORMAT,
    BadEntry,
    Entry,
    Header,
    NewerEntry,
    Stopped,
    block_of,
    file_name,
    read_entry,
    read_facts,
    read_header,
    write_entry,
)
from runner.kv.packed import block_name, pack

ROOT = Path(__file__).parents[2]
HEADER = Header('{"model":"m"}', "sha256:ab", "somebody é", 1_700_000_000.25)


def entry(n_tokens=300, state=b"state" * 100):
    return Entry(HEADER, pack(range(n_tokens)), state)


def same(a, b):
    return (a.header, a.tokens, a.state) == (b.header, b.tokens, b.state)


@settings(max_examples=30)
@given(
    n_tokens=st.integers(64, 400),
    state=st.binary(max_size=2000),
    owner=st.text(max_size=20),
    created_s=st.floats(0, 1e10),
    talk=st.text(max_size=20),
)
def test_what_was_written_is_read(tmp_path_factory, n_tokens, state, owner, created_s, talk):
    folder = tmp_path_factory.mktemp("kv")
    header = Header("key", "model", owner, created_s, talk)
    written = Entry(header, pack(range(n_tokens)), state)
    path = write_entry(folder, written)
    assert same(read_entry(path), written)
    assert read_header(path) == (written.header, written.tokens)
    assert read_facts(path) == (written.header, n_tokens)
    assert block_of(path.name) == block_name(written.tokens)


def test_only_its_owner_may_read_it(tmp_path):
    path = write_entry(tmp_path / "a" / "b", entry())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = write_entry(tmp_path_factory.mktemp("kv"), entry())
    return path, path.read_bytes()


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_entry_is_refused_whatever_is_damaged(written, data):
    """Bytes changed, cut off, added or moved: ``BadEntry``, and never another prompt's state."""
    path, whole = written
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1) | st.integers(0, 300)) % len(raw)
        match data.draw(st.sampled_from(["change", "cut", "add", "drop"])):
            case "change":
                raw[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del raw[at + 1 :]
            case "add":
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=9))
            case "drop":
                del raw[at : at + data.draw(st.integers(1, 9))]
        raw = raw or bytearray(b"x")
    path.write_bytes(raw)
    try:
        if bytes(raw) == whole:
            assert same(read_entry(path), entry())
            return
        with pytest.raises(BadEntry):
            read_entry(path)
        for read in (read_header, read_facts):
            try:
                read(path)
            except BadEntry as error:
                assert str(error)
    finally:
        path.write_bytes(whole)


@given(st.binary(max_size=400))
def test_any_file_is_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("kv") / file_name(pack(range(64)))
    path.write_bytes(raw)
    for read in (read_header, read_facts, read_entry):
        with pytest.raises(BadEntry):
            read(path)


def test_a_newer_format_is_told_from_damage(tmp_path):
    path = write_entry(tmp_path, entry())
    raw = bytearray(path.read_bytes())
    raw[8:12] = (FORMAT + 1).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(NewerEntry, match=f"format {FORMAT + 1}"):
        read_entry(path)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"key": 1, "model": "m", "owner_id": "", "created_s": 1.0},
        {"key": "k", "model": "m", "owner_id": "", "created_s": 1e300},
        {"key": "k", "model": "m", "owner_id": "", "created_s": float("nan")},
        [],
        "text",
    ],
)
def test_a_header_of_another_shape_is_refused(tmp_path, header):
    path = write_entry(tmp_path, entry())
    raw = path.read_bytes()
    n_old = int.from_bytes(raw[12:16], "little")
    new = json.dumps(header).encode()
    raw = raw[:12] + len(new).to_bytes(4, "little") + raw[16:32] + new + raw[32 + n_old :]
    path.write_bytes(raw)
    with pytest.raises(BadEntry, match="header"):
        read_facts(path)


def test_writing_that_is_broken_off_leaves_nothing(tmp_path):
    answers = iter([False, False, True])
    with pytest.raises(Stopped):
        write_entry(tmp_path, entry(), must_stop=lambda: next(answers))
    assert list(tmp_path.iterdir()) == []


WRITER = """
    import resource, signal, sys
    from pathlib import Path
    from runner.kv.entry import Entry, Header, write_entry
    from runner.kv.packed import pack
    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    print("ready", flush=True)
    n = 0
    while True:
        n += 1
        tokens = pack(range(n, n + 300))
        entry = Entry(Header("k", "m", "", 1.0), tokens, bytes([n % 256]) * 300_000)
        try:
            write_entry(folder, entry)
        except OSError as error:
            print(type(error).__name__, flush=True)
            break
"""


def start_writer(folder, limit=0):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(folder), str(limit)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")
def test_a_disk_that_refuses_leaves_nothing(tmp_path):
    with start_writer(tmp_path, limit=100_000) as writer:
        assert writer.stdout.read().split() == [b"ready", b"OSError"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize("n_most", [1, 2, 5])
def test_a_writer_killed_at_any_moment_leaves_whole_entries_only(tmp_path, n_most):
    with start_writer(tmp_path) as writer:
        assert writer.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.kv"))) < n_most:
            assert time.monotonic() < deadline
        os.kill(writer.pid, signal.SIGKILL)
    found = list(tmp_path.glob("*.kv"))
    assert len(found) >= n_most
    for path in found:
        read = read_entry(path)
        assert len(read.state) == 300_000
        assert len(set(read.state)) == 1
