"""Files change whole or not at all, and failures have numbers."""

from __future__ import annotations

import errno
import ntpath
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given, strategies as st

from runner.errors import DiskFull, StoreError
from runner.store.disk import explained, extended, make_folder, plain, replace_file
from tests.fakes.gguf_files import write_model

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, DiskFull, "5000 bytes are needed, [0-9]+ bytes are free in"),
        (errno.EDQUOT, DiskFull, "5000 bytes are needed"),
        (errno.EACCES, StoreError, "corral folder"),
        (errno.EROFS, StoreError, "read-only"),
        (errno.EFBIG, StoreError, "file system"),
        (errno.EIO, StoreError, "check the disk"),
    ],
)
def test_what_the_system_refuses_is_told_with_a_next_step(tmp_path, number, kind, words):
    context = explained("cannot write x", folder=tmp_path / "not" / "there", n_bytes=5000)
    with pytest.raises(kind, match="cannot write x") as caught, context:
        raise OSError(number, "the system's words", "some/path")
    error = caught.value
    assert type(error) is kind
    assert re.search(words, f"{error.message} {error.hint}")
    assert error.hint


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for content in (b"one", b"", b"three" * 10_000):
        replace_file(path, content, scratch=tmp_path / "scratch", prefix="new-")
        assert path.read_bytes() == content
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(path, b"new", scratch=tmp_path / "scratch", prefix="new-")
    assert path.is_dir()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_folder_is_made_with_its_parents_once(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


#: Imports a file while no file may grow beyond 100,000 bytes.
LIMITED = """
import resource, sys
from pathlib import Path, PureWindowsPath
from runner.domain.name import ModelName
from runner.errors import CorralError
from runner.store.library import Library
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    list(Library(Path(sys.argv[1])).import_file(
        Path(sys.argv[2]), ModelName.parse("large"), provenance={}))
except CorralError as error:
    print(error.code, error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_write_that_fails_half_way_leaves_nothing(tmp_path):
    """The real thing: the system refuses in the middle of a copy."""
    large = write_model(tmp_path / "large.gguf", n_vocab=4000)
    models = tmp_path / "models"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(models), str(large)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("store_failed cannot copy the model: ")
    assert f"{large.stat().st_size} bytes" in done.stdout
    assert [path for path in models.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("C:\\models\\manifests", "\\\\?\\C:\\models\\manifests"),
        ("\\\\host\\share\\m", "\\\\?\\UNC\\host\\share\\m"),
        ("\\\\?\\C:\\m", "\\\\?\\C:\\m"),
        ("models", "models"),
        ("C:\\Users\\me\\..\\models", "\\\\?\\C:\\Users\\models"),
        ("\\\\host\\share\\a\\..\\m", "\\\\?\\UNC\\host\\share\\m"),
    ],
)
def test_windows_takes_long_paths_with_a_prefix(path, long):
    """Behind it nothing has a meaning any more, so what means the folder above is gone."""
    assert str(extended(PureWindowsPath(path), is_windows=True)) == long
    assert str(extended(PureWindowsPath(path), is_windows=False)) == path


segments = st.lists(st.text("ab.- é", min_size=1, max_size=90), max_size=6)


@given(start=st.sampled_from(["C:\\", "\\\\host\\share\\"]), segments=segments)
def test_people_see_a_path_as_they_write_it(start, segments):
    """The prefix is for Windows alone; what lies below a path keeps it."""
    path = PureWindowsPath(start, *segments)
    long = extended(path, is_windows=True)
    assert str(long).startswith("\\\\?\\")
    assert plain(long) == ntpath.normpath(path)
    assert plain(path) == str(path)
    assert extended(long, is_windows=True) == long
    assert plain(long / "blobs") == ntpath.normpath(path / "blobs")
    assert ".." not in long.parts
    assert (long / "blobs").relative_to(long) == PureWindowsPath("blobs")
