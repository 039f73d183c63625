"""What the machine has, as it says itself."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from runner.workers.devices import available_bytes, containers, memory_bytes, n_cores


def test_there_is_a_core_and_no_more_than_the_machine_has():
    assert 1 <= n_cores() <= (os.cpu_count() or 1)


def test_memory_is_the_machines():
    assert 2**20 < memory_bytes() <= psutil.virtual_memory().total
    assert 0 <= available_bytes() <= memory_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has affinity")
def test_a_process_that_may_use_one_core_counts_one():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def own(tmp_path):
    return tmp_path / "cgroup"


def test_each_container_around_this_process_has_a_say(tmp_path, own):
    """A limit is often that of a group around the own one, which has none."""
    root = tmp_path / "fs"
    own.write_text("0::/user.slice/app.service\n")
    stat = "anon 5\ninactive_file 100"
    put(root / "user.slice", memory__max=5000, memory__current=700, memory__stat=stat)
    inner = root / "user.slice" / "app.service"
    put(inner, memory__max="max", memory__current=300, memory__stat=stat)
    assert containers(root, own) == [(5000, 600)]
    put(inner, memory__max=900)
    assert containers(root, own) == [(900, 200), (5000, 600)]


def test_a_container_that_sees_its_own_group_as_the_root_has_that_one_limit(tmp_path, own):
    root = tmp_path / "fs"
    own.write_text("0::/docker/12ab\n")
    put(root, memory__max=800, memory__current=50, memory__stat="inactive_file 60")
    assert containers(root, own) == [(800, 0)]


def test_the_older_kind_is_read_too(tmp_path, own):
    own.write_text("9:name=systemd:/\n4:memory:/jobs/7\n1:cpu,cpuacct:/\n0::/\n")
    folder = tmp_path / "fs" / "memory" / "jobs" / "7"
    stat = "inactive_file 1\ntotal_inactive_file 40"
    put(folder, memory__limit_in_bytes=700, memory__usage_in_bytes=90, memory__stat=stat)
    assert containers(tmp_path / "fs", own) == [(700, 50)]


@pytest.mark.parametrize("text", ["", "nonsense", "0::/../..", ":::", "4:memory:/nowhere"])
def test_what_says_nothing_limits_nothing(tmp_path, own, text):
    own.write_text(text)
    assert containers(tmp_path / "fs", own) == []
    assert containers(tmp_path / "fs", tmp_path / "not there") == []
