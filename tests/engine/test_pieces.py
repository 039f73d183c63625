"""Strings that must not appear, told from the tokens that would complete one."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.engine.pieces import Completions, PieceIndex

PIECES = st.lists(st.binary(max_size=4).map(lambda b: bytes(x % 3 + 97 for x in b)), min_size=1)
TEXTS = st.lists(st.text("abc", min_size=1, max_size=5).map(str.encode), min_size=1, max_size=3)


@given(PIECES, TEXTS, st.data())
def test_exactly_the_tokens_that_would_complete_a_string_are_told(pieces, texts, data):
    """As if each token were tried: whatever was taken before, the string is not in the text yet."""
    found = Completions(PieceIndex(pieces), texts)
    text = b""
    for _ in range(12):
        banned = set(found.now().tolist())
        expected = {
            token
            for token, piece in enumerate(pieces)
            if any(each in (text + piece) for each in texts)
        }
        assert banned == expected
        free = sorted(set(range(len(pieces))) - banned)
        if not free:
            return
        token = data.draw(st.sampled_from(free))
        found.take(token)
        text += pieces[token]


@given(PIECES, st.text("abc", min_size=1, max_size=4).map(str.encode), st.data())
def test_tokens_may_be_told_by_what_follows_the_string_in_them(pieces, text, data):
    found = Completions(PieceIndex(pieces), [text], lambda rest: rest.startswith(b"c"))
    before = b""
    for _ in range(8):
        for token in found.now().tolist():
            assert text in before + pieces[token]
        token = data.draw(st.sampled_from(range(len(pieces))))
        joined = before + pieces[token]
        if text in joined:
            places = [at for at in range(len(joined)) if joined.startswith(text, at)]
            wanted = [joined[at + len(text) :].startswith(b"c") for at in places]
            is_told = token in found.now()
            assert is_told or not wanted[0]
            assert any(wanted) or not is_told
            return
        found.take(token)
        before = joined


@given(PIECES, st.text("abc", min_size=1, max_size=3).map(str.encode))
def test_the_index_finds_what_begins_with_and_what_contains(pieces, part):
    index = PieceIndex(pieces)
    starting = [t for t, piece in enumerate(pieces) if piece.startswith(part)]
    assert sorted(index.beginning_with(part)) == starting
    assert index.containing(part) == [t for t, piece in enumerate(pieces) if part in piece]
