"""What the machine has, as it says itself."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from runner.workers.devices import memory_bytes, n_cores


def test_there_is_a_core_and_no_more_than_the_machine_has():
    assert 1 <= n_cores() <= (os.cpu_count() or 1)


def test_memory_is_the_machines():
    assert memory_bytes() == psutil.virtual_memory().total > 2**28


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has affinity")
def test_a_process_that_may_use_one_core_counts_one():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
