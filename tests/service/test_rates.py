"""Requests in a minute."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.service.rates import Rates


@given(st.integers(1, 600), st.lists(st.floats(0, 20), max_size=200))
def test_in_no_minute_are_there_more_than_twice_the_rate(n_per_minute, pauses):
    """A full bucket and what flows in meanwhile: never more, whatever the pauses are."""
    rates, now, taken = Rates(), 0.0, []
    for pause in pauses:
        now += pause
        if not rates.take("a", n_per_minute, now):
            taken.append(now)
    for start in taken:
        in_a_minute = [at for at in taken if start <= at < start + 60]
        assert len(in_a_minute) <= 2 * n_per_minute


@given(st.integers(1, 600))
def test_who_waits_as_long_as_told_may_come_in(n_per_minute):
    rates = Rates()
    for _ in range(n_per_minute):
        assert rates.take("a", n_per_minute, 0.0) == 0
    wait_s = rates.take("a", n_per_minute, 0.0)
    assert wait_s == pytest.approx(60 / n_per_minute)
    assert rates.take("a", n_per_minute, wait_s / 2) > 0
    assert rates.take("a", n_per_minute, wait_s) == 0


def test_keys_do_not_share_and_a_forgotten_one_begins_anew():
    rates = Rates()
    assert rates.take("a", 1, 0.0) == 0
    assert rates.take("a", 1, 0.0) > 0
    assert rates.take("b", 1, 0.0) == 0
    rates.forget("a")
    assert rates.take("a", 1, 0.0) == 0
