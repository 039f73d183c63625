"""Thoughts first, if there are any, then what is constrained: by tokens and by characters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from runner.engine.after import After, Marker
from runner.engine.pieces import PieceIndex

#: Single bytes, then words, and at last the end of an answer.
PIECES = [*(bytes([n]) for n in range(256)), b"<think>", b"</think>", b"\n\n", b"<th", b"> so", b""]
OPEN, CLOSE, LINES, PART, BEYOND, END = range(256, 262)
INDEX = PieceIndex(PIECES)
BY_TOKEN = (Marker(b"<think>", (OPEN,)), Marker(b"</think>", (CLOSE,)))
BY_TEXT = (Marker(b"<think>"), Marker(b"</think>"))


class Word:
    """Lets the bytes of one word come, then the end."""

    is_costly = False

    def __init__(self, word: bytes) -> None:
        self.left = word
        self.is_closed = False

    @property
    def is_complete(self):
        return not self.left

    def allows(self, token):
        return bool(self.mask()[token])

    def mask(self):
        mask = np.zeros(len(PIECES), np.bool_)
        mask[self.left[0] if self.left else END] = True
        return mask

    def accept(self, token):
        assert token == self.left[0]
        self.left = self.left[1:]

    def forced(self):
        return ()

    def close(self):
        self.is_closed = True


def after(markers, word=b"{}", *, is_open=False):
    opening, close = markers
    ends = np.array([END], np.intp)
    return After(
        Word(word),
        close,
        INDEX,
        n_vocab=len(PIECES),
        ends=ends,
        opening=None if is_open else opening,
    )


def walk(rules, tokens):
    for token in tokens:
        assert rules.allows(token), PIECES[token]
        assert rules.mask()[token]
        rules.accept(token)


@pytest.mark.parametrize("markers", [BY_TOKEN, BY_TEXT])
def test_without_thoughts_the_constraint_begins_with_the_first_token(markers):
    rules = after(markers)
    assert not rules.allows(ord("x"))
    assert not rules.allows(END)
    walk(rules, b"{}")
    assert rules.is_complete


@pytest.mark.parametrize(
    ("markers", "tokens"),
    [
        (BY_TOKEN, [OPEN, *b"hm {", CLOSE]),
        (BY_TOKEN, [OPEN, LINES, *b"is </think> one?", CLOSE]),
        (BY_TEXT, [OPEN, *b"hm", CLOSE]),
        (BY_TEXT, [*b"<think>hm</think>"]),
        (BY_TEXT, [PART, *b"ink>x", *b"</think>"]),
    ],
)
def test_with_thoughts_it_begins_after_them(markers, tokens):
    rules = after(markers)
    walk(rules, tokens[:-1])
    assert not rules.is_complete
    assert not rules.allows(END), "thoughts do not end the answer"
    walk(rules, [*tokens[-1:], *b"{}"])
    assert rules.is_complete


def test_nothing_but_the_opening_marker_comes_before_thoughts():
    assert set(np.flatnonzero(after(BY_TOKEN).mask())) == {ord("{"), OPEN}
    assert set(np.flatnonzero(after(BY_TEXT).mask())) == {*b"{<", OPEN, PART}


def test_an_opening_marker_that_has_begun_goes_on():
    rules = after(BY_TEXT)
    walk(rules, b"<thi")
    assert {PIECES[token] for token in np.flatnonzero(rules.mask())} == {b"n"}


def test_what_could_be_both_is_the_constraint_s():
    rules = after(BY_TEXT, b"<a>")
    walk(rules, b"<a>")
    assert rules.is_complete


def test_the_marker_s_characters_and_something_else_are_no_token_to_end_with():
    rules = after(BY_TEXT, is_open=True)
    walk(rules, b"hm</think")
    assert not rules.allows(BEYOND)
    by_token = after(BY_TOKEN, is_open=True)
    walk(by_token, [*b"hm</think", BEYOND])


def test_it_closes_what_it_waits_with():
    rules = after(BY_TOKEN)
    rules.close()
    assert rules._matcher.is_closed


@given(st.lists(st.integers(0, len(PIECES) - 1), max_size=30), st.booleans(), st.booleans())
def test_a_token_is_allowed_alone_exactly_as_in_the_mask(tokens, is_open, by_token):
    rules = after(BY_TOKEN if by_token else BY_TEXT, is_open=is_open)
    for token in tokens:
        mask = rules.mask()
        assert mask.any()
        assert rules.allows(token) == mask[token]
        allowed = np.flatnonzero(mask)
        rules.accept(token if mask[token] else int(allowed[token % len(allowed)]))
        if rules.is_complete:
            break
