"""What the model thought of a prompt's tokens: each once, in order, as llama.cpp computes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from runner.domain.event import Candidate, FinishReason, TokenLogprob
from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.engine.told import Told
from runner.protocol.messages import Generate, Outcome
from tests.engine.running import Running

ON = SamplingParams(temperature=0, ignore_eos=True)
TEXT = "Once upon a time there was a stone. " * 5


@given(
    tokens=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    n_added=st.integers(0, 1),
    data=st.data(),
)
def test_each_token_is_told_once_by_the_logits_before_it(tokens, n_added, data):
    """Whatever the chunks are, and however often a sequence begins anew."""
    n_added = min(n_added, len(tokens) - 1)
    told, start, found = Told(len(tokens), n_added), 0, []

    def foretell(row: int, token: int) -> TokenLogprob:
        return TokenLogprob(Candidate(token, b"%d" % token, float(row)))

    while told.is_due:
        n = data.draw(st.integers(1, len(tokens) - start))
        rows = range(start, start + n)  # numbered by the place of their token
        told.take(tokens, start, rows, foretell=foretell, spelling=lambda t: b"%d" % t)
        start += n
        if start < len(tokens) and data.draw(st.booleans()):
            start = 0
        found += told.release()
    found += told.release()
    assert [each.content for each in found] == [b"%d" % token for token in tokens[n_added:]]
    places = [each.logprob.drawn.logprob if each.logprob else None for each in found]
    expected = [None, *map(float, range(len(tokens) - 1))]
    assert places == expected[n_added:]


def told_by(running: Running, request_id: str):
    deltas = [delta for message in running.sent for delta in getattr(message, "deltas", ())]
    (found,) = [each.prompt for each in deltas if each.request_id == request_id and each.prompt]
    return found


def ask(running: Running, request_id: str, **fields) -> Outcome:
    fields = {"prompt": TEXT, "n_logprobs": 2, "tells_prompt": True, "max_tokens": 3} | fields
    outcome = running.ask(Generate(request_id, ON, **fields))
    assert isinstance(outcome, Outcome), outcome
    return outcome


@pytest.mark.live
def test_a_prompt_is_told_as_llama_cpp_computes_it(running, starter):
    from runner.engine.llama.evaluate import Reader
    from runner.hub.packaged import find_starter

    ask(running, "warm")  # what is cached by now must not be left out
    outcome = ask(running, "r")
    assert outcome.n_generated == 3
    found = told_by(running, "r")
    assert b"".join(each.content for each in found).decode() == TEXT
    reader = Reader([str(find_starter())], (), n_ctx=256, n_threads=1)
    try:
        tokens = reader.tokenize(TEXT)
        logits = np.concatenate([rows.copy() for rows in reader.read(tokens, 0)]).astype(float)
    finally:
        reader.close()
    assert len(found) == len(tokens)
    assert found[0].logprob is None
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    for row, token, each in zip(logprobs, tokens[1:], found[1:], strict=False):
        assert each.logprob.drawn.token == token
        assert each.logprob.drawn.logprob == pytest.approx(row[token], abs=0.05)
        assert each.logprob.top[0].logprob == pytest.approx(row.max(), abs=0.05)
        assert len(each.logprob.top) == 2


@pytest.mark.live
def test_a_prompt_alone_is_told_without_an_answer(running):
    outcome = ask(running, "r", max_tokens=0)
    assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 0)
    assert len(told_by(running, "r")) == running.started["r"].n_prompt
    assert "r" not in running.texts or not running.texts["r"]


@pytest.mark.live
def test_many_at_once_that_give_way_to_each_other_are_told_alike(running):
    """In too few cells for all: who is computed again is told no token twice."""
    ask(running, "alone")
    alone = told_by(running, "alone")
    for n in range(8):
        fields = {"prompt": TEXT, "n_logprobs": 0, "tells_prompt": True, "max_tokens": 30}
        running.send(Generate(f"r{n}", ON, **fields))
    for n in range(8):
        running.ending(f"r{n}")
        found = told_by(running, f"r{n}")
        assert [each.content for each in found] == [each.content for each in alone]
        off = [
            abs(mine.logprob.drawn.logprob - other.logprob.drawn.logprob)
            for mine, other in zip(found[1:], alone[1:], strict=True)
        ]
        # Steps of other widths round otherwise; another token would be off by several.
        assert max(off) < 1.0
        assert sum(off) / len(off) < 0.15


@pytest.mark.live
def test_a_deterministic_prompt_is_told_the_same_to_the_last_bit(running):
    terms = Terms(is_deterministic=True)
    ask(running, "one", terms=terms)
    ask(running, "two", terms=terms)
    assert told_by(running, "one") == told_by(running, "two")
    assert running.started["two"].n_cached == 0
