"""How long a sequence may get, by property."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.options import SamplingParams
from runner.engine.limits import limits_of, n_ctx_of, room_of
from runner.errors import InvalidRequest, PromptTooLong
from runner.protocol.messages import Generate

n_ctxs = st.integers(4, 5000)
wanted = st.none() | st.integers(0, 20_000)


def request(n_ctx=0, max_tokens=None, *, shifts=False, n_keep=4):
    params = SamplingParams()
    return Generate(
        "r", params, prompt="", n_ctx=n_ctx, max_tokens=max_tokens, shifts=shifts, n_keep=n_keep
    )


@given(n_ctxs, n_ctxs, st.integers(0, 6000), wanted)
def test_no_sequence_is_longer_than_its_context_nor_draws_more_than_asked(
    n_ctx, n_most, n_prompt, max_tokens
):
    asked = request(n_ctx, max_tokens)
    n_here = n_ctx_of(asked, n_most)
    assert n_here == min(n_ctx, n_most)
    if not n_prompt:
        with pytest.raises(InvalidRequest, match="empty"):
            limits_of(asked, n_prompt, n_most)
        return
    if n_prompt >= n_here:
        with pytest.raises(PromptTooLong, match=f"{n_prompt} tokens.*{n_here}"):
            limits_of(asked, n_prompt, n_most)
        return
    limits = limits_of(asked, n_prompt, n_most)
    assert limits.n_keep is None
    expected = n_here if max_tokens is None else min(n_here, n_prompt + max_tokens)
    assert limits.n_limit == expected


@given(n_ctxs, st.data(), wanted, st.integers(-1, 6000))
def test_what_shifts_keeps_some_and_half_at_most_and_ends_some_day(n_ctx, data, max_tokens, n_keep):
    n_prompt = data.draw(st.integers(1, n_ctx - 1))
    limits = limits_of(request(n_ctx, max_tokens, shifts=True, n_keep=n_keep), n_prompt, n_ctx)
    if max_tokens is not None and n_prompt + max_tokens <= n_ctx:
        assert (limits.n_keep, limits.n_limit) == (None, n_prompt + max_tokens)
        return
    assert limits.n_limit == n_ctx
    assert 1 <= limits.n_keep <= max(1, n_ctx // 2)
    assert limits.n_draw_max == min(10 * n_ctx, max_tokens or 10 * n_ctx)
    if n_keep < 0:
        assert limits.n_keep == min(n_prompt, n_ctx // 2)


@given(n_ctxs, wanted)
def test_a_cut_conversation_leaves_a_quarter_at_most_for_its_answer(n_ctx, max_tokens):
    room = room_of(request(max_tokens=max_tokens), n_ctx)
    assert 0 <= room <= n_ctx // 4
    assert max_tokens is None or room <= max_tokens
