"""How much context a model gets, by property."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.service.sizing import LEAST, Room, choose_sizes, grown

GIB = 1 << 30
per_token = st.integers(1, 1 << 20)
memory = st.integers(1 << 20, 1 << 42)
n_max = st.sampled_from([0, 64, 2048, 8192, 40960, 1 << 20])


def sizes_of(per_token, n_memory, n_free, *, asked=0, n_ctx_max=1 << 20):
    room = Room(n_memory, n_free, n_free)
    return choose_sizes(lambda n: n * per_token, room, asked=asked, n_ctx_max=n_ctx_max)


@given(per_token, memory, memory, st.integers(0, 1 << 24), n_max)
def test_a_context_is_within_what_was_trained_and_what_fits(
    per_token, n_memory, n_free, asked, n_ctx_max
):
    sizes = sizes_of(per_token, n_memory, n_free, asked=asked, n_ctx_max=n_ctx_max)
    assert 1 <= sizes.n_ctx <= (n_ctx_max or LEAST)
    assert 1 <= sizes.n_least <= sizes.n_ctx <= sizes.n_cells <= 4 * sizes.n_ctx
    assert sizes.n_ctx <= LEAST or sizes.n_ctx * per_token <= n_free
    assert sizes.n_cells in (sizes.n_ctx, min(sizes.n_cells, n_memory // 64 // per_token))
    if asked:
        assert sizes.n_least == sizes.n_ctx <= asked


@given(per_token, memory, st.integers(1, 1 << 24))
def test_what_fits_is_had_as_asked(per_token, n_free, asked):
    sizes = sizes_of(per_token, GIB, n_free, asked=asked)
    if asked <= min(1 << 20, max(LEAST, n_free // per_token - 1024)):
        assert sizes.n_ctx == asked
    else:
        assert sizes.n_ctx > n_free // per_token - 2048 or sizes.n_ctx in (1 << 20, asked)


@given(per_token, memory, memory)
def test_unasked_it_takes_a_quarter_of_what_is_free_at_most(per_token, n_memory, n_free):
    sizes = sizes_of(per_token, n_memory, n_free)
    assert LEAST <= sizes.n_ctx <= 32768
    assert sizes.n_ctx == LEAST or sizes.n_ctx * per_token <= n_free // 4


@given(per_token, memory, memory, memory)
def test_more_free_memory_never_means_less_context(per_token, n_memory, a, b):
    small, large = (sizes_of(per_token, n_memory, n) for n in sorted((a, b)))
    assert small.n_ctx <= large.n_ctx


@given(st.integers(1, 1 << 24), n_max)
def test_a_context_grows_to_hold_a_prompt_or_not_at_all(n_prompt, n_ctx_max):
    n_ctx = grown(n_prompt, n_ctx_max)
    if n_ctx:
        assert n_prompt < n_ctx <= n_ctx_max
    else:
        assert n_prompt >= n_ctx_max


def test_a_small_model_on_a_usual_machine_gets_all_it_was_trained_for():
    sizes = sizes_of(23040, 8 * GIB, 6 * GIB, n_ctx_max=8192)
    assert sizes.n_ctx == 8192
    assert sizes.n_cells == 8192
    assert sizes.n_least == LEAST
