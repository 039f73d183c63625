"""The plan of a download: every byte is asked for, none twice, whatever the order of events."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from runner.hub.ranges import Plan

sizes = st.tuples(st.integers(0, 120), st.integers(1, 20))


@given(size=sizes, n_workers=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_workers_that_stop_and_come_back_fetch_every_byte_once(size, n_workers, seed):
    n_bytes, part_bytes = size
    dice = random.Random(seed)
    plan = Plan(n_bytes, part_bytes)
    fetched = [0] * n_bytes
    runs: list[list[int]] = []
    for _ in range(5000):
        if plan.is_complete:
            break
        if len(runs) < n_workers and (run := plan.claim(n_workers)):
            assert not {part for other in runs for part in other} & set(run)
            assert run == list(range(run[0], run[0] + len(run)))
            runs.append(run)
            continue
        run = dice.choice(runs)
        part = next((part for part in run if not plan.is_whole(part)), None)
        if part is None or dice.random() < 0.2:  # done, or the connection ended
            plan.release(run)
            runs.remove(run)
            continue
        n = dice.randint(1, plan.end(part) - plan.next_byte(part))
        for byte in range(plan.next_byte(part), plan.next_byte(part) + n):
            fetched[byte] += 1
        plan.advance(part, n)
        assert plan.prefix == next((i for i, n in enumerate(fetched) if not n), n_bytes)
        assert plan.n_arrived == sum(fetched)
    assert plan.is_complete
    assert fetched == [1] * n_bytes


@given(
    size=sizes,
    arrived=st.dictionaries(st.integers(-3, 50), st.integers(-5, 60), max_size=20),
)
def test_whatever_is_said_to_be_there_makes_a_plan(size, arrived):
    plan = Plan(*size, arrived)
    for part in range(plan.n_parts):
        assert plan.start(part) <= plan.next_byte(part) <= plan.end(part)
    asked = set()
    while run := plan.claim(2):
        asked |= set(run)
    assert asked == {part for part in range(plan.n_parts) if not plan.is_whole(part)}


def test_a_part_that_is_forgotten_is_claimed_again():
    plan = Plan(100, 10, dict.fromkeys(range(10), 10))
    assert plan.is_complete
    plan.forget(3)
    assert (plan.prefix, plan.n_arrived, plan.claim(4)) == (30, 90, [3])


def test_one_worker_alone_asks_for_all_in_one_request():
    assert Plan(1000, 10).claim(1) == list(range(100))
    assert len(Plan(1000, 10).claim(4)) == 4


def test_a_part_cannot_hold_more_than_it_is_long():
    with pytest.raises(ValueError, match="part 0"):
        Plan(10, 10).advance(0, 11)
