"""Thoughts are counted, and ended at their bound: by tokens, by characters, in a real engine."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message
from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint, Terms, ThoughtBound
from runner.engine.after import Marker
from runner.engine.budget import Budget, n_most_of
from runner.protocol.messages import Generate, Outcome
from tests.engine.running import Running

#: Single bytes, then words.
PIECES = [
    *(bytes([n]) for n in range(256)),
    b"<think>",
    b"</think>",
    b"\n\n",
    b"<th",
    b"hm",
    b"</thi",
]
OPEN, CLOSE, LINES, PART, WORD, HALF = range(256, 262)
BY_TOKEN = (Marker(b"<think>", (OPEN,)), Marker(b"</think>", (CLOSE,)))
BY_TEXT = (Marker(b"<think>"), Marker(b"</think>"))
GREEDY = SamplingParams(temperature=0)


def budget(markers, n_most, *, is_open=True, returns=False):
    opening, close = markers

    def ending(n_begun):
        return [CLOSE] if close.tokens else list(close.text[n_begun:])

    return Budget(
        n_most,
        opening=opening,
        close=close,
        ending=ending,
        spelling=PIECES.__getitem__,
        is_open=is_open,
        returns=returns,
    )


def answer(bound: Budget, wishes) -> list[int]:
    """The tokens that come of what a model would like to say."""
    said = []
    for wish in wishes:
        while bound.must is not None:
            said.append(bound.must)
            bound.take(bound.must)
        said.append(wish)
        bound.take(wish)
    while bound.must is not None:
        said.append(bound.must)
        bound.take(bound.must)
    return said


def text(tokens) -> bytes:
    return b"".join(PIECES[token] for token in tokens)


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
@pytest.mark.parametrize("n", range(4))
def test_thoughts_have_as_many_tokens_as_they_may(markers, n):
    assert text(answer(budget(markers, n), [WORD] * 4)) == b"hm" * n + b"</think>" + b"hm" * (4 - n)


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
def test_an_answer_without_thoughts_is_left_alone(markers):
    wishes = [LINES, WORD, OPEN, WORD, WORD, WORD]
    assert answer(budget(markers, 1, is_open=False), wishes) == wishes


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
def test_thoughts_that_the_model_begins_are_counted_from_their_marker_on(markers):
    said = answer(budget(markers, 2, is_open=False), [LINES, OPEN, *[WORD] * 4])
    assert text(said) == b"\n\n<think>hmhm</think>hmhm"


def test_a_marker_in_pieces_begins_thoughts_too():
    said = answer(budget(BY_TEXT, 1, is_open=False), [PART, *b"ink>", WORD, WORD])
    assert text(said) == b"<think>hm</think>hm"


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
def test_thoughts_that_end_by_themselves_are_left_alone(markers):
    wishes = [WORD, WORD, CLOSE, *[WORD] * 5]
    assert answer(budget(markers, 3), wishes) == wishes


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
def test_thoughts_that_begin_again_have_what_is_left(markers):
    said = answer(budget(markers, 3), [WORD, CLOSE, LINES, OPEN, *[WORD] * 4, OPEN, WORD])
    assert text(said) == b"hm</think>\n\n<think>hmhm</think>hmhm<think>hm"
    spent = answer(budget(markers, 1), [WORD, OPEN, WORD])
    assert text(spent) == b"hm</think><think></think>hm"


def test_a_marker_that_has_begun_is_finished_not_repeated():
    assert text(answer(budget(BY_TEXT, 2), [WORD, HALF, WORD])) == b"hm</think>hm"
    by_token = answer(budget(BY_TOKEN, 2), [WORD, HALF, WORD])
    assert text(by_token) == b"hm</thi</think>hm", "characters alone are a thought like any other"


def test_a_character_is_not_cut():
    said = answer(budget(BY_TOKEN, 1), [*"…x".encode()])
    assert text(said).decode() == "…</think>x"


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
@pytest.mark.parametrize("close", [[CLOSE], [*b"</think>"], [HALF, *b"nk>"], [*b"</", *b"think>"]])
def test_tokens_of_thoughts_are_counted_without_their_markers(markers, close):
    counted = budget(markers, None, is_open=False)
    said = answer(counted, [LINES, OPEN, LINES, WORD, WORD, *close, WORD, OPEN, WORD])
    is_closed = markers is BY_TEXT or close == [CLOSE]
    assert said == [LINES, OPEN, LINES, WORD, WORD, *close, WORD, OPEN, WORD]
    assert counted.n_thought == (3 if is_closed else len(said) - 2)


def test_thoughts_that_may_return_are_counted_wherever_they_begin():
    counted = budget((Marker(b"<th<think>", (PART, OPEN)), BY_TOKEN[1]), None, returns=True)
    answer(counted, [WORD, CLOSE, WORD, PART, PART, OPEN, WORD, WORD, CLOSE, WORD, OPEN, WORD])
    assert counted.n_thought == 3


@given(
    st.lists(st.sampled_from([WORD, LINES, PART, *b"x."]), max_size=20),
    st.lists(st.sampled_from([WORD, LINES, OPEN, *b"x."]), max_size=20),
    st.booleans(),
)
def test_what_is_thought_is_counted_and_no_more(thoughts, rest, by_token):
    """Of thoughts that are closed once, every token counts; a bound that is not reached, too."""
    for n_most in (None, len(thoughts) + 1):
        counted = budget(BY_TOKEN if by_token else BY_TEXT, n_most)
        answer(counted, [*thoughts, CLOSE, WORD, *rest])
        assert counted.n_thought == len(thoughts)


wishes = st.lists(
    st.sampled_from([OPEN, CLOSE, LINES, PART, WORD, HALF, *b"</think> x"]), max_size=40
)


@given(wishes, st.integers(0, 6), st.booleans(), st.booleans())
def test_no_more_is_thought_than_may_be(wishes, n_most, by_token, is_open):
    """Nothing is taken from what the model says, and each block of thoughts is ended."""
    bound = budget(BY_TOKEN if by_token else BY_TEXT, n_most, is_open=is_open)
    said = answer(bound, wishes)
    left = iter(said)
    assert all(wish in left for wish in wishes), "every wish comes, in order"
    assert bound.n_thought <= n_most
    if by_token and is_open:
        thoughts = said[: said.index(CLOSE)] if CLOSE in said else said
        assert len(thoughts) <= n_most


@given(
    st.integers(0, 1000),
    st.sampled_from([0.2, 0.5, 1.0]),
    st.one_of(st.none(), st.integers(1, 500)),
)
def test_the_smaller_bound_counts(room, share, n_most):
    found = n_most_of(ThoughtBound("<a>", "</a>", "</a>", n_most, share), room)
    assert found == min(max(1, int(share * room)), n_most or room + 1)


# In a real engine

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
BOUND = ThoughtBound("<think>", "</think>", "</think>", n_most=5)
IDS = itertools.count()


def think(running: Running, *, template="{{ messages[0].content }}<think>\n", **more):
    name = f"r{next(IDS)}"
    fields = {"thoughts": BOUND, "max_tokens": 60, "template": template} | more
    turns = (Message("user", "Q"),)
    outcome = running.ask(Generate(name, GREEDY, messages=turns, **fields))
    assert isinstance(outcome, Outcome), outcome
    return running.texts.get(name, ""), outcome


@pytest.mark.live
@pytest.mark.parametrize("more", [{}, {"n_logprobs": 2}, {"terms": Terms(is_deterministic=True)}])
def test_an_engine_ends_thoughts_and_goes_on_with_the_answer(spelling, more):
    said, outcome = think(spelling, **more)
    assert said == f"abcde</think>{ALPHABET}"
    assert (outcome.reason, outcome.n_generated) == (FinishReason.STOP, 5 + 8 + 26 + 1)
    assert outcome.n_thought == 5


@pytest.mark.live
@pytest.mark.parametrize("more", [{}, {"n_logprobs": 2}, {"terms": Terms(is_deterministic=True)}])
def test_an_engine_counts_thoughts_that_nothing_bounds(spelling, more):
    free = ThoughtBound("<think>", "d", "d")
    said, outcome = think(spelling, thoughts=free, **more)
    assert (said, outcome.n_thought) == (ALPHABET, 3)
    none = think(spelling, thoughts=free, template="{{ messages[0].content }}", **more)
    assert none[1].n_thought == 0


@pytest.mark.live
def test_an_answer_that_does_not_think_is_not_bound(spelling):
    assert think(spelling, template="{{ messages[0].content }}")[0] == ALPHABET


@pytest.mark.live
def test_a_share_is_of_what_the_answer_may_have(spelling):
    half = ThoughtBound("<think>", "</think>", "</think>", share=0.5)
    said, outcome = think(spelling, thoughts=half, max_tokens=20)
    assert said == "abcdefghij</think>ab"
    assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 20)


@pytest.mark.live
@pytest.mark.parametrize("kind", ["regex", "gbnf"])
def test_a_form_begins_after_thoughts_that_were_ended(spelling, kind):
    text = "[a-c]{2}" if kind == "regex" else "root ::= [a-c] [a-c]"
    form = Constraint(kind, text, after="</think>")
    assert think(spelling, constraint=form)[0] == "abcde</think>ab"


@pytest.mark.live
def test_thoughts_end_where_their_tokens_are_banned(spelling):
    """The bound is the caller's own wish, and the later one."""
    params = SamplingParams(
        temperature=0, banned_strings=("</think>",), logit_bias=(("<", -100.0),)
    )
    name = f"r{next(IDS)}"
    turns, template = (Message("user", "Q"),), "{{ messages[0].content }}<think>"
    asked = Generate(name, params, messages=turns, template=template, thoughts=BOUND)
    assert spelling.ask(asked).reason is FinishReason.STOP
    assert spelling.texts[name] == f"abcde</think>{ALPHABET}"
