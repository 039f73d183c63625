"""Where control tokens stand in an answer, however its text is held back and cut."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.engine.marks import HeldMarks
from runner.prompt.marks import CONTROL, marked, unmarked

PIECES = st.lists(st.tuples(st.text("ab<", max_size=3), st.booleans()), max_size=12)


@given(pieces=PIECES, cuts=st.lists(st.integers(0, 6), max_size=20))
def test_marks_stand_where_their_tokens_begin_whatever_is_held_back(pieces, cuts):
    """A text in which ``<c>`` is told apart from the same characters of plain tokens."""
    held = HeldMarks()
    text, meant = "", ""
    for plain, has_token in pieces:
        token = "<c>" if has_token else ""
        held.add(len(plain + token), len(token))
        text += plain + token
        meant += plain + (CONTROL + token if token else "")
    told, at = "", 0
    for n in [*cuts, len(text)]:
        part = text[at : at + n]
        told += marked(part, held.release(len(part)))
        at += len(part)
    assert told == meant
    assert unmarked(told) == text
