"""A list on a disk whose times tell little: it is never other than the disk is.

The disk is made of a usual one: what has changed gets the time that the coarse one would give it,
and nothing but times and sizes is looked at, as on FAT.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from runner.store import index as index_file, tree
from runner.store.probe import Tells, try_times
from tests.store.test_index import (
    BLOB,
    EDITS,
    NAMES,
    OTHER,
    change,
    content,
    edit,
    fresh,
    opened,
    put,
    read_afresh,
    told,
)

#: What a disk says of the time of a thing that it does not keep times of.
ONE_DAY = 1_500_000_000_000_000_000
BEGIN = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def _as_on_fat(monkeypatch, tmp_path):
    """Neither inode nor time of change; and there is a file of what manifests said."""
    if not try_times(tmp_path).folders:
        pytest.skip("the disk below keeps no times to give others for")

    def stamp_of(status):
        return (status.st_mtime_ns, status.st_mtime_ns, 0, status.st_size)

    for module in (index_file, tree):
        monkeypatch.setattr(module, "stamp_of", stamp_of)
    monkeypatch.setattr(index_file, "_MAX_UNKEPT", 0)


class Disk:
    """One whose clock only moves when it is told to, in ticks.

    Attributes:
        clock_ns: What time it is.
        are_folders_told: Whether folders get a new time.
        are_files_told: Whether files do.
    """

    def __init__(
        self, models: Path, tick_ns: int, *, are_folders_told: bool, are_files_told: bool
    ) -> None:
        self.models, self.tick_ns = models, tick_ns
        self.are_folders_told, self.are_files_told = are_folders_told, are_files_told
        self.clock_ns = BEGIN
        self._is_new_since_ns = time.time_ns() - 3_600_000_000_000

    def now_ns(self) -> int:
        return self.clock_ns

    def stamp(self) -> None:
        """Give what was changed just now its time, but for what somebody set by hand."""
        for path in [self.models, *self.models.rglob("*")]:
            if path.stat().st_mtime_ns > self._is_new_since_ns:
                is_told = self.are_folders_told if path.is_dir() else self.are_files_told
                at = self.clock_ns // self.tick_ns * self.tick_ns if is_told else ONE_DAY
                os.utime(path, ns=(at, at))


#: Seconds before somebody looks; None: nobody does.
pauses = st.sampled_from([0.0, 0.3, 1.9, 2.1, 7.0, None])
changes = st.tuples(
    st.sampled_from((*EDITS, "write", "drop_blob", "put_blob")),
    st.sampled_from(NAMES[:2]),
    st.sampled_from((BLOB, OTHER)),
)


@settings(max_examples=30, deadline=None)
@given(
    story=st.lists(st.tuples(changes, pauses, pauses), min_size=2, max_size=10),
    tick_ns=st.sampled_from([10_000_000, 1_000_000_000, 2_000_000_000]),
    told_of=st.fixed_dictionaries(
        {"are_folders_told": st.booleans(), "are_files_told": st.booleans()}
    ),
)
def test_whatever_changes_on_a_coarse_disk_the_list_shows_it(
    story, tick_ns, told_of, tmp_path_factory
):
    """For a process that has been here all the time, and for one that begins with the file."""
    disk = Disk(fresh(tmp_path_factory.mktemp("disk")), tick_ns, **told_of)
    tells = Tells(folders=disk.are_folders_told, files=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_file, "try_times", lambda scratch: tells)
        old = opened(disk.models, now_ns=disk.now_ns)
        for number, ((what, name, digest), before_s, after_s) in enumerate(story):
            change(disk.models, what, name, digest, number % 10)
            disk.stamp()
            wanted = read_afresh(disk.models)
            for pause_s in (before_s, after_s):
                if pause_s is None:
                    continue
                disk.clock_ns += int(pause_s * 1e9)
                assert told(old) == wanted
                assert told(opened(disk.models, now_ns=disk.now_ns)) == wanted
            disk.stamp()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_file_whose_time_was_set_back_is_compared(tmp_path, monkeypatch, is_known):
    """The same time, the same size, long settled: only its bytes tell that it is another."""
    monkeypatch.setattr(index_file, "try_times", lambda scratch: Tells(folders=True, files=False))
    models = fresh(tmp_path)
    path = put(models, NAMES[0], digest=BLOB)
    os.utime(path, ns=(ONE_DAY, ONE_DAY))
    index = opened(models)
    assert index.entry(NAMES[0]).key == index.scan()[0][0].key == BLOB
    edit(path, "overwrite", content(NAMES[0], OTHER))
    os.utime(path, ns=(ONE_DAY, ONE_DAY))
    if not is_known:
        index = opened(models)
    assert index.entry(NAMES[0]).key == index.scan()[0][0].key == OTHER
    assert index.manifest(NAMES[0]).model.digest == OTHER
    assert index.used() == {OTHER}
