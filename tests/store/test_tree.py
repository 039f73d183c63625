"""Folders that are read again only when they changed."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, strategies as st

from runner.store.tree import Sizes, Tree, is_settled


def later() -> int:
    """A clock by which everything on the disk has settled."""
    return time.time_ns() + 3_600_000_000_000


def test_a_folder_that_did_not_change_is_not_read_again(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    tree, sizes = Tree(later), Sizes(str(tmp_path), later)
    assert tree.walk(str(tmp_path), 0) == [str(tmp_path / "a")]
    assert sizes.read() == {"a": 1}
    monkeypatch.setattr(os, "scandir", None)
    assert tree.walk(str(tmp_path), 0) == [str(tmp_path / "a")]
    assert sizes.read() == {"a": 1}


def test_what_comes_and_goes_is_seen(tmp_path):
    tree = Tree()
    folder = tmp_path / "x" / "y"
    assert [*tree.walk(str(tmp_path), 2)] == []
    folder.mkdir(parents=True)
    assert [*tree.walk(str(tmp_path), 2)] == []
    (folder / "m").write_bytes(b"")
    assert [*tree.walk(str(tmp_path), 2)] == [str(folder / "m")]
    (folder / "m").unlink()
    assert [*tree.walk(str(tmp_path), 2)] == []


def test_a_folder_that_changed_just_now_is_not_trusted(tmp_path):
    tree, sizes = Tree(), Sizes(str(tmp_path))
    (tmp_path / "a").write_bytes(b"")
    assert len(tree.walk(str(tmp_path), 0)) == len(sizes.read()) == 1
    status = tmp_path.stat()
    (tmp_path / "b").write_bytes(b"")
    os.utime(tmp_path, ns=(status.st_atime_ns, status.st_mtime_ns))  # within one tick of the clock
    assert len(tree.walk(str(tmp_path), 0)) == len(sizes.read()) == 2


def test_hidden_files_and_missing_folders_are_nothing(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert Tree().walk(str(tmp_path), 0) == []
    assert Tree().walk(str(tmp_path / "none"), 0) == []
    assert Sizes(str(tmp_path / "none")).read() == {}


def test_a_link_that_leads_nowhere_has_no_size(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    try:
        (tmp_path / "b").symlink_to(tmp_path / "none")
    except OSError:  # Windows, where not everybody may
        pytest.skip("this system makes no links")
    assert Sizes(str(tmp_path)).read() == {"a": 1}


def test_where_a_folders_time_tells_nothing_it_is_read_each_time(tmp_path):
    """As on FAT under Windows: here its time is set back after each change."""
    tree = Tree(later, lambda: False)
    sizes = Sizes(str(tmp_path), later, lambda: False)
    for number in range(1, 4):
        (tmp_path / f"{number}").write_bytes(b"")
        os.utime(tmp_path, (1, 1))
        assert len(tree.walk(str(tmp_path), 0)) == len(sizes.read()) == number
    assert not tree.seen


def test_what_is_there_no_more_is_forgotten(tmp_path):
    tree = Tree(later)
    (tmp_path / "x").mkdir()
    tree.walk(str(tmp_path), 1)
    (tmp_path / "x").rename(tmp_path / "y")
    os.utime(tmp_path, (1, 1))
    tree.walk(str(tmp_path), 1)
    assert set(tree.seen) == {str(tmp_path), str(tmp_path / "y")}


ticks = st.sampled_from([1, 100, 4_000_000, 10_000_000, 1_000_000_000, 2_000_000_000])
moments = st.integers(0, 9_000_000_000)


@given(tick=ticks, written=moments, then_read=moments, then_written=moments, up=st.booleans())
def test_what_has_settled_cannot_change_under_the_same_stamp(
    tick, written, then_read, then_written, up
):
    """On disks of any tick up to FAT's two seconds, whether they round up or down."""

    def stamp(at: int) -> tuple[int, int, int, int]:
        time_ns = (at + (tick - 1 if up else 0)) // tick * tick
        return (time_ns, time_ns, 1, 100)

    read = written + then_read
    if is_settled(stamp(written), read):
        assert stamp(read + then_written) != stamp(written)
