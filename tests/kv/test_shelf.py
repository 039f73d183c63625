"""The folder of all entries: who goes, what is counted, and that nothing else is touched."""

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.kv.entry import Entry, Header, write_entry
from runner.kv.key import CacheKey
from runner.kv.packed import pack
from runner.kv.shelf import Shelf

ROOT = Path(__file__).parents[2]


def put(shelf, *, model="m", owner="", start=0, n_state=1000, used_s=None, talk=""):
    key = CacheKey(model, "build")
    tokens = pack(range(start, start + 300))
    written = Entry(Header(key.as_text(), model, owner, 5.0, talk), tokens, b"x" * n_state)
    path = write_entry(shelf.folder(key.folder_name, owner), written)
    if used_s is not None:
        os.utime(path, (used_s, used_s))
    return path


def test_entries_are_listed_the_last_used_first(tmp_path):
    shelf = Shelf(tmp_path / "kv")
    paths = [put(shelf, start=i, owner=f"o{i}", used_s=[30, 10, 20][i]) for i in range(3)]
    told = shelf.prompts()
    assert [prompt.file.path for prompt in told] == [paths[0], paths[2], paths[1]]
    first = told[0]
    assert (first.model, first.owner_id, first.n_tokens, first.created_s) == ("m", "o0", 300, 5.0)
    assert first.file.n_bytes == paths[0].stat().st_size


def test_what_is_no_entry_is_neither_listed_nor_fatal(tmp_path):
    shelf = Shelf(tmp_path / "kv")
    assert shelf.prompts() == []
    path = put(shelf)
    (path.parent / "notes.txt").write_text("mine")
    (path.parent / "0123456789abcdef-00.kv").write_bytes(b"damaged")
    (shelf.root / "file").write_text("not a folder")
    assert [prompt.file.path for prompt in shelf.prompts()] == [path]
    shelf.tidy()
    shelf.clear()
    assert (path.parent / "notes.txt").exists()
    assert shelf.files() == []


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({}, set()),
        ({"model": "a"}, {("b", "x"), ("b", "y")}),
        ({"owner_id": "x"}, {("a", "y"), ("b", "y")}),
        ({"model": "b", "owner_id": "y"}, {("a", "x"), ("a", "y"), ("b", "x")}),
        ({"model": "c"}, {("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")}),
    ],
)
def test_clearing_takes_what_was_asked_for(tmp_path, which, left):
    shelf = Shelf(tmp_path / "kv")
    for model in "ab":
        for owner in "xy":
            put(shelf, model=model, owner=owner)
    n_before = sum(file.n_bytes for file in shelf.files())
    n_files, n_bytes = shelf.clear(**which)
    assert {(prompt.model, prompt.owner_id) for prompt in shelf.prompts()} == left
    assert n_files == 4 - len(left)
    assert n_bytes == n_before - sum(file.n_bytes for file in shelf.files())
    if not left:
        assert list(shelf.root.iterdir()) == []


def test_one_conversation_is_cleared_and_no_other(tmp_path):
    shelf = Shelf(tmp_path / "kv")
    paths = {talk: put(shelf, start=n, talk=talk) for n, talk in enumerate(("", "one", "two"))}
    mine = put(shelf, owner="x", talk="one")
    assert shelf.clear(owner_id="", conversation_id="one")[0] == 1
    assert {file.path for file in shelf.files()} == {paths[""], paths["two"], mine}
    assert shelf.clear(conversation_id="one")[0] == 1
    assert shelf.clear(conversation_id="nothing")[0] == 0


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    uses=st.permutations(range(6)),
    wanted=st.integers(0, 6000),
    limit=st.integers(0, 20_000),
)
def test_the_least_recently_used_make_room_and_no_more_than_needed(
    tmp_path_factory, sizes, uses, wanted, limit
):
    shelf = Shelf(tmp_path_factory.mktemp("kv"))
    paths = [put(shelf, start=i, n_state=n, used_s=uses[i]) for i, n in enumerate(sizes)]
    n_bytes = {path: path.stat().st_size for path in paths}
    removed = shelf.make_room(wanted, limit)
    if wanted > limit:
        assert removed is None
        assert all(path.exists() for path in paths)
        return
    by_use = sorted(paths, key=lambda path: uses[paths.index(path)])
    n_all, expected = sum(n_bytes.values()), []
    for path in by_use:
        if n_all + wanted > limit:
            expected.append(path)
            n_all -= n_bytes[path]
    assert removed == expected
    assert {file.path for file in shelf.files()} == set(paths) - set(expected)


def test_only_parts_are_tidied_away(tmp_path):
    shelf = Shelf(tmp_path / "kv")
    path = put(shelf)
    part = path.parent / ".part-1-1"
    part.write_bytes(b"half")
    shelf.tidy()
    assert path.exists()
    assert not part.exists()


@pytest.mark.parametrize("look", [Shelf.clear, lambda shelf: shelf.make_room(1, 1 << 30)])
def test_the_part_of_a_writer_that_was_killed_goes_at_the_next_look(tmp_path, look):
    """It has a prompt in it, and no limit counts it; that of one at work stays."""
    shelf = Shelf(tmp_path / "kv")
    folder = put(shelf).parent
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, own, others = (folder / f".part-{pid}-1" for pid in (gone.pid, os.getpid(), os.getppid()))
    for part in (left, own, others):
        part.write_bytes(b"half")
    look(shelf)
    assert [part.exists() for part in (left, own, others)] == [False, True, True]


@pytest.mark.parametrize(
    ("total", "free", "n_bytes", "is_low"),
    [
        (1 << 40, 3 << 30, 0, False),
        (1 << 40, 3 << 30, 1 << 30 | 1, True),
        (20 << 30, 2 << 30, 0, False),  # a small disk: a twentieth of it
        (20 << 30, 2 << 30, 1 << 30 | 1, True),
    ],
)
def test_a_disk_is_low_below_its_share_or_some_gigabytes(
    tmp_path, monkeypatch, total, free, n_bytes, is_low
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(total, total - free, free))
    assert Shelf(tmp_path / "not" / "there").disk_is_low(n_bytes) is is_low


OTHER = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from pathlib import Path
    from runner.kv.entry import BadEntry, read_entry
    from runner.kv.shelf import Shelf
    from tests.kv.test_shelf import put
    shelf = Shelf(Path(sys.argv[1]))
    for i in range(60):
        put(shelf, start=i % 7, owner=str(i % 2), n_state=20_000)
        shelf.make_room(20_000, 100_000)
        shelf.prompts()
        for file in shelf.files():
            try:
                assert len(read_entry(file.path).state) == 20_000
            except FileNotFoundError:
                pass
        if i % 20 == 19:
            shelf.clear(owner_id="1")
"""


def test_two_processes_share_the_folder(tmp_path):
    """They write, read, make room and clear at once; each sees whole entries or none."""
    command = [sys.executable, "-c", textwrap.dedent(OTHER), str(tmp_path / "kv"), str(ROOT)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=100)[1] == b""
        assert process.returncode == 0
    shelf = Shelf(tmp_path / "kv")
    assert len(shelf.prompts()) == len(shelf.files()) <= 6


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_folders_are_closed_to_others(tmp_path):
    shelf = Shelf(tmp_path / "kv")
    path = put(shelf)
    for folder in (path.parent, path.parent.parent, shelf.root):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
