"""The share of a step that a prompt gets follows the machine's speed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from runner.engine.pace import Pace


@example([(8, 1e-313)])  # a clock that hardly moved
@given(st.lists(st.tuples(st.integers(0, 4096), st.floats(0, 100)), max_size=30))
def test_a_prompt_always_gets_on(steps):
    pace = Pace()
    for n_tokens, seconds in steps:
        pace.learn(n_tokens, seconds)
        assert pace.n_prompt >= 1


@pytest.mark.parametrize(("token_s", "n"), [(0.002, 40), (0.0005, 160), (1.0, 8)])
def test_on_a_steady_machine_a_step_stays_within_the_target(token_s, n):
    pace = Pace(target_s=0.08)
    for _ in range(50):
        pace.learn(pace.n_prompt, pace.n_prompt * token_s)
    assert pace.n_prompt == pytest.approx(n, abs=1)


def test_a_machine_that_gets_busy_is_noticed_within_a_few_steps():
    pace = Pace(target_s=0.08)
    for _ in range(20):
        pace.learn(512, 512 * 0.001)
    assert pace.n_prompt == pytest.approx(80, abs=1)
    for _ in range(5):
        pace.learn(pace.n_prompt, pace.n_prompt * 0.004)
    assert pace.n_prompt < 30


def test_steps_without_much_of_a_prompt_teach_nothing():
    pace = Pace()
    before = pace.n_prompt
    pace.learn(2, 5.0)
    assert pace.n_prompt == before
