"""What the benchmark asks the servers."""

from __future__ import annotations

from hypothesis import given, strategies as st

from bench.serve import options, prompts

seeds = st.lists(st.integers(0, 99), min_size=2, max_size=2, unique=True)


@given(seeds, st.integers(2, 8), st.integers(0, 50))
def test_prompts_begin_alike_within_a_round_as_asked_and_never_across_rounds(rounds, n, n_shared):
    one, other = (prompts(f"8 streams {number}", n, 40, n_shared) for number in rounds)
    assert len({*one, *other}) == 2 * n
    begun = {tuple(text.split()[:n_shared]) for text in one}
    assert len(begun) == 1
    assert len({tuple(text.split()[n_shared : n_shared + 12]) for text in one}) == n
    assert not {tuple(text.split()[:12]) for text in one} & {tuple(t.split()[:12]) for t in other}


def test_the_options_asked_for_are_the_ones_documented():
    args = options(["--rounds", "3", "--streams", "1", "4", "--only", "llama-server"])
    assert (args.rounds, args.streams, args.only, args.tokens) == (3, [1, 4], "llama-server", 192)
