"""What the benchmark asks the servers."""

from __future__ import annotations

from hypothesis import given, strategies as st

from bench.serve import options, prompt

seeds = st.tuples(st.sampled_from(["1 stream", "8 streams"]), st.integers(0, 99), st.integers(0, 7))


@given(one=seeds, other=seeds)
def test_no_two_requests_begin_alike(one, other):
    """No cache of prompts can help: within a few words they differ."""
    first, second = (prompt(f"{name} {number}/{i}", 40) for name, number, i in (one, other))
    assert (first == second) == (one == other)
    if one != other:
        assert first.split()[:12] != second.split()[:12]


def test_the_options_asked_for_are_the_ones_documented():
    args = options(["--rounds", "3", "--streams", "1", "4", "--only", "llama-server"])
    assert (args.rounds, args.streams, args.only, args.tokens) == (3, [1, 4], "llama-server", 192)
