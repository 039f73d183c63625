"""Figures in words."""

from __future__ import annotations

from hypothesis import given, strategies as st

from gui.models.figures import context_of, figures_text, seconds

counts = st.integers(0, 10**6)


def test_an_answers_figures_are_in_a_line():
    figures = {"n_generated": 101, "decode_s": 2.0, "ttft_s": 0.44, "n_cached": 812}
    assert figures_text(figures) == (
        "101 tokens · 50.0 tokens/s · first after 0.4 s · 812 from the cache"
    )
    assert figures_text({"reason": "length"}) == "cut off at the limit"
    assert figures_text({}) == ""


@given(n_prompt=counts, n_cached=counts, n_answer=counts, n_ctx=counts)
def test_the_parts_of_a_context_add_up(n_prompt, n_cached, n_answer, n_ctx):
    figures = {"n_prompt": n_prompt, "n_cached": min(n_cached, n_prompt), "n_generated": n_answer}
    context = context_of(figures, n_ctx)
    assert context.n_used == n_prompt + n_answer
    assert f"{context.n_used:,}" in context.text()
    lines = context.details().splitlines()
    assert len(lines) == (5 if n_ctx else 4), "what is free is told where all there is is known"


def test_times_are_as_a_person_reads_them():
    assert [seconds(value) for value in (0.44, 12.3, 125)] == ["0.4 s", "12 s", "2 min 5 s"]
