"""Copies that share their bytes: the same blob, whether the file system has them or not."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest

from runner.errors import BadModelFile
from runner.store import blobs as module
from runner.store.blobs import Blobs
from runner.store.intake import bring
from runner.store.reflink import reflink


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(os.urandom(3_000_000))
    return path


def brought(blobs, path, n_bytes=None):
    """The copy of a file, committed, and its digest."""
    moments = bring(blobs, path, path.stat().st_size if n_bytes is None else n_bytes)
    told = []
    while True:
        try:
            told.append(next(moments))
        except StopIteration as end:
            partial, digest = end.value
            break
    blobs.commit(partial)
    return digest, told


def shares(source, target):
    """A file system that can: what is in the one is in the other at once."""
    shutil.copyfileobj(source, target)
    target.flush()
    source.seek(0)
    return True


@pytest.mark.parametrize("can_share", [True, False])
def test_a_blob_is_the_same_however_it_was_copied(tmp_path, source, monkeypatch, can_share):
    monkeypatch.setattr(module, "reflink", shares if can_share else lambda *_: False)
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    blobs = Blobs(tmp_path / "models")
    digest, told = brought(blobs, source)
    assert digest == f"sha256:{before}"
    assert hashlib.sha256(blobs.path(digest).read_bytes()).hexdigest() == before
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    assert [one.n_done for one in told][-1] == source.stat().st_size
    assert blobs.path(digest).stat().st_ino != source.stat().st_ino
    assert blobs.path(digest).stat().st_nlink == source.stat().st_nlink == 1


def test_what_this_file_system_does_is_right(tmp_path, source):
    blobs = Blobs(tmp_path / "models")
    digest, _ = brought(blobs, source)
    with source.open("r+b") as file:  # whoever writes to the one does not change the other
        file.write(b"other")
    list(blobs.verify(digest))


def test_a_shared_copy_needs_no_room(tmp_path, source, monkeypatch):
    monkeypatch.setattr(module, "reflink", shares)
    monkeypatch.setattr(module, "n_free_bytes", lambda _: 10)
    blobs = Blobs(tmp_path / "models")
    assert blobs.has(brought(blobs, source)[0])


@pytest.mark.parametrize("can_share", [True, False])
@pytest.mark.parametrize("n_told", [2_999_999, 3_000_001])
def test_a_file_of_another_length_is_refused(tmp_path, source, monkeypatch, can_share, n_told):
    monkeypatch.setattr(module, "reflink", shares if can_share else lambda *_: False)
    blobs = Blobs(tmp_path / "models")
    with pytest.raises(BadModelFile, match="changed while it was copied"):
        brought(blobs, source, n_told)
    assert list(blobs.partial.iterdir()) == []


def test_what_cannot_be_shared_is_left_empty(tmp_path, source):
    """A pipe has no bytes to share."""
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as pipe,
        os.fdopen(writing, "wb"),
        (tmp_path / "target").open("wb") as target,
    ):
        assert not reflink(pipe, target)
        assert target.tell() == 0
