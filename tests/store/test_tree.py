"""Folders that are read again only when they changed."""

from __future__ import annotations

import os

from runner.store.tree import Tree

LONG_AGO = 1_000_000_000_000_000_000


def settle(folder):
    """Let ``folder`` look as if it had not changed for long."""
    os.utime(folder, ns=(LONG_AGO, LONG_AGO))


def test_a_folder_that_did_not_change_is_not_read_again(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    settle(tmp_path)
    tree = Tree()
    assert tree.files(str(tmp_path)) == {str(tmp_path / "a"): 1}
    monkeypatch.setattr(os, "scandir", None)
    assert tree.files(str(tmp_path)) == {str(tmp_path / "a"): 1}


def test_what_comes_and_goes_is_seen(tmp_path):
    tree = Tree()
    folder = tmp_path / "x" / "y"
    assert [*tree.walk(str(tmp_path), 2)] == []
    folder.mkdir(parents=True)
    for one in (tmp_path, tmp_path / "x", folder):
        settle(one)
    assert [*tree.walk(str(tmp_path), 2)] == []
    (folder / "m").write_bytes(b"")
    assert [*tree.walk(str(tmp_path), 2)] == [str(folder / "m")]
    (folder / "m").unlink()
    assert [*tree.walk(str(tmp_path), 2)] == []


def test_a_folder_that_changed_just_now_is_not_trusted(tmp_path):
    tree = Tree()
    (tmp_path / "a").write_bytes(b"")
    assert len(tree.files(str(tmp_path))) == 1
    status = tmp_path.stat()
    (tmp_path / "b").write_bytes(b"")
    os.utime(tmp_path, ns=(status.st_atime_ns, status.st_mtime_ns))  # within one tick of the clock
    assert len(tree.files(str(tmp_path))) == 2


def test_hidden_files_and_missing_folders_are_nothing(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert Tree().files(str(tmp_path)) == {}
    assert Tree().files(str(tmp_path / "none")) == {}
