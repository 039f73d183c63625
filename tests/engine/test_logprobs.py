"""Log probabilities: the softmax, and which text they travel with."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, strategies as st

from runner.domain.event import Candidate, FinishReason, TokenLogprob
from runner.engine.logprobs import HeldLogprobs, token_logprob
from tests.engine.sequences import new_sequence

LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30)


@given(LOGITS, st.data(), st.integers(0, 20))
def test_probabilities_are_those_of_the_softmax(values, data, n_top):
    token = data.draw(st.sampled_from(range(len(values))))
    told = token_logprob(np.array(values, np.float32), token, n_top, lambda t: b"%d" % t)
    highest = max(values)
    total = highest + math.log(sum(math.exp(v - highest) for v in values))
    assert told.drawn.token == token
    assert told.drawn.content == b"%d" % token
    assert math.isclose(told.drawn.logprob, values[token] - total, abs_tol=1e-4)
    assert len(told.top) == min(n_top, len(values))
    expected = sorted(range(len(values)), key=lambda t: (-values[t], t))[: len(told.top)]
    assert [values[c.token] for c in told.top] == [values[t] for t in expected]
    if len(set(values)) == len(values):
        assert [c.token for c in told.top] == expected


def test_a_token_that_cannot_come_does_not_spoil_the_others():
    told = token_logprob(np.array([0, -np.inf, 0], np.float32), 0, 2, lambda _: b"")
    assert math.isclose(told.drawn.logprob, math.log(0.5), abs_tol=1e-6)


def of(number: int) -> TokenLogprob:
    return TokenLogprob(Candidate(number, b"", 0.0))


PIECES = st.lists(st.sampled_from([b"a", b"ab", b"", b"EN", b"D", b"\xc3", b"\xa9"]), max_size=12)


@given(PIECES)
def test_every_token_is_told_once_in_order_with_its_text(pieces):
    """A token is out as soon as its text is, and never before its first character."""
    seq = new_sequence("a", 1, 1 + len(pieces), stop=("END",))
    seq.logprobs = HeldLogprobs()
    told, text, starts = [], "", []
    reason = None
    for number, piece in enumerate(pieces):
        starts.append(sum(map(len, pieces[:number])))
        new, reason = seq.take(number, piece, is_eog=False, logprob=of(number))
        text += new
        is_all = reason is not None and seq.stop.hit is None
        told += [each.drawn.token for each in seq.logprobs.release(len(new), is_all=is_all)]
        assert told == list(range(len(told)))
        if reason is not None:
            break
    if reason is FinishReason.LENGTH:
        assert told == list(range(len(pieces))), "nothing is kept back for ever"
    if seq.stop.hit is not None and all(piece.isascii() for piece in pieces):
        seen = [t for t, start in enumerate(starts) if start < len(text) and pieces[t]]
        assert [t for t in told if pieces[t]] == seen, "what the stop string cut off is not told"
