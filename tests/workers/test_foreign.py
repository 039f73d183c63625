"""What others do with the cores: arithmetic on readings, and readings of a real busy program."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from hypothesis import given, strategies as st

from runner.workers.foreign import Reading, foreign_cores, read
from tests.real_daemon import wait_for

seconds = st.floats(0, 1000, allow_nan=False)


@given(st.floats(0.1, 1000), seconds, st.lists(seconds, max_size=4))
def test_what_is_not_ours_is_theirs(elapsed, foreign_s, own):
    own_s = dict(enumerate(own))
    before = Reading(5.0, 100.0, dict.fromkeys(own_s, 1.0))
    after = Reading(
        5.0 + elapsed,
        100.0 + foreign_s + sum(own),
        {pid: 1.0 + spent for pid, spent in own_s.items()},
    )
    found = foreign_cores(before, after)
    if found is None:  # of 5.0 and a tenth nothing but a rounding is left
        assert elapsed < 0.11
        return
    assert abs(found - foreign_s / elapsed) < 1e-3 + foreign_s * 1e-6


def test_counts_that_disagree_by_a_tick_are_never_less_than_nothing():
    assert foreign_cores(Reading(0, 10.0, {1: 0.0}), Reading(1, 10.5, {1: 0.6})) == 0


def test_a_short_time_and_a_process_that_came_or_went_say_nothing():
    before = Reading(0.0, 10.0, {1: 0.0, 2: 3.0})
    assert foreign_cores(before, Reading(0.05, 11.0, {1: 0.0, 2: 3.0})) is None
    assert foreign_cores(before, Reading(1.0, 11.0, {1: 0.0})) is None
    assert foreign_cores(before, Reading(1.0, 11.0, {1: 0.0, 2: 3.0, 3: 0.5})) is None


def test_a_process_that_ended_is_left_out():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert read([ended.pid]).own_s.keys() == {os.getpid()}


def test_the_work_of_a_process_counts_as_ours_when_it_is_ours():
    """A child works for a while: its own count grows by it, and so does the machine's."""
    code = "import sys; print(flush=True)\nwhile True: sum(range(10000))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        try:
            child.stdout.readline()
            before = read([child.pid])
            began = time.monotonic()
            wait_for(lambda: read([child.pid]).own_s[child.pid] > before.own_s[child.pid] + 0.2,
                     "the child's work", timeout_s=60)  # fmt: skip
            worked_s = time.monotonic() - began
            after = read([child.pid])
        finally:
            child.kill()
    assert after.at_s - before.at_s >= worked_s
    assert foreign_cores(before, after) is not None
