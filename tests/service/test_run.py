"""How fast a job is, by what it told lately."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.service.run import Pace

gains = st.lists(st.integers(0, 1000), min_size=1, max_size=30)


@given(n_before=st.integers(1, 10**12), gains=gains)
def test_what_was_there_before_is_no_speed(n_before, gains):
    """A download that goes on tells nothing, then where it is, then what comes: that counts."""
    pace, n_done = Pace(), n_before
    assert pace.record(0.0, "a", 0) == 0
    assert pace.record(0.1, "a", n_before) == 0
    for number, gain in enumerate(gains, 2):
        n_done += gain
        assert pace.record(number / 10, "a", n_done) <= max(gains) * 10 + 1


@given(rate=st.integers(1, 10**9), n=st.integers(2, 40))
def test_a_steady_pace_is_told_as_it_is(rate, n):
    pace = Pace()
    for second in range(1, n + 1):
        told = pace.record(float(second), "a", second * rate)
    assert told == rate


def test_the_count_begins_anew_with_something_else_and_when_bytes_are_lost():
    pace = Pace()
    pace.record(0.0, "a", 5)
    assert pace.record(1.0, "a", 105) == 100
    assert pace.record(2.0, "b", 500) == 0
    assert pace.record(3.0, "b", 600) == 100
    assert pace.record(4.0, "b", 50) == 0
