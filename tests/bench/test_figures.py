"""The arithmetic of benchmarks: rates, ratios and their intervals."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bench.figures import measure, paired_ratio, spread
from bench.load import Reply

rates = st.floats(1, 1000)


def reply(sent_s: float, first_s: float, last_s: float, n: int) -> Reply:
    return Reply(sent_s, first_s, last_s, 0.1, "text", n_prompt=10, n_cached=1, n_generated=n)


def test_the_clock_of_a_burst_runs_from_its_first_request_to_its_last_token():
    run = measure([reply(1.0, 2.0, 5.0, 31), reply(1.5, 3.5, 6.0, 19)])
    assert run.wall_s == 5.0
    assert run.tokens_per_s == 10.0  # 50 tokens in 5 s, prompts included
    assert run.decode_per_s == pytest.approx(30 / 3.0 + 18 / 2.5)
    assert run.ttft_s == 1.5  # the middle of 1 s and 2 s
    assert (run.n_prompt, run.n_cached, run.n_generated) == (20, 2, 50)


def test_spread_is_half_the_range_over_the_median():
    assert spread([90.0, 100.0, 120.0]) == pytest.approx(0.15)


@given(pairs=st.lists(st.tuples(rates, rates), min_size=1, max_size=7))
def test_the_interval_holds_the_median_and_stays_within_the_pairs(pairs):
    ratio = paired_ratio([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    assert min(ratio.pairs) <= ratio.low <= ratio.median <= ratio.high <= max(ratio.pairs)


@given(slow=st.lists(st.floats(0.2, 1.0), min_size=5, max_size=5), true=st.floats(0.5, 2.0))
def test_what_slows_a_whole_pair_leaves_its_ratio_alone(slow, true):
    ratio = paired_ratio([true * 100 * s for s in slow], [100 * s for s in slow])
    assert ratio.low == pytest.approx(true)
    assert ratio.high == pytest.approx(true)


def test_a_lone_bad_pair_widens_the_interval_but_does_not_move_the_median():
    ratio = paired_ratio([99.0, 100.0, 50.0, 100.0, 101.0], [100.0] * 5)
    assert ratio.median == 1.0
    assert ratio.low < 0.99
