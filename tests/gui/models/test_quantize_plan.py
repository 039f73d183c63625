"""What a model would become in smaller types."""

from __future__ import annotations

from hypothesis import given, strategies as st

from gui.models.quantize_plan import Plan, Target, joined

targets = st.builds(
    Target,
    st.sampled_from(["Q8_0", "Q4_K_M"]),
    st.text(max_size=5),
    st.integers(0, 99),
    st.integers(0, 99),
    st.floats(1, 16),
)
plans = st.builds(
    Plan,
    st.just("m"),
    st.just("F16"),
    st.just(9),
    st.integers(0, 99),
    st.lists(targets, max_size=2).map(tuple),
    st.sampled_from(["", "it is quantized already"]),
)


@given(st.lists(plans, min_size=1, max_size=5))
def test_plans_that_come_one_by_one_are_one_plan_in_the_end(parts):
    whole = None
    for part in parts:
        whole = joined(whole, part)
    assert whole.targets == tuple(target for part in parts for target in part.targets)
    assert whole.n_free == parts[-1].n_free
    assert bool(whole.problem) == any(part.problem for part in parts)
