"""Growing Markdown, cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from gui.markdown.pieces import MAX_CHARS, MAX_LINES, Piece, Pieces

lines = st.sampled_from(
    [
        *("", "word", "two words", "- item", "  more", "1. one", "# Title", "> said", "    code"),
        *("```python", "```", "~~~", "   ```", "|a|b|", "|-|-|", "| 1 | 2 |", "***", "x" * 90),
    ]
)
texts = st.lists(lines, max_size=120).map("\n".join)


def pieces_of(text: str, n_chars: int) -> list[Piece]:
    pieces = Pieces()
    done = [
        piece
        for at in range(0, len(text), n_chars)
        for piece in pieces.feed(text[at : at + n_chars])
    ]
    return [*done, *pieces.finish()]


@given(text=texts, n_chars=st.integers(1, 400))
def test_pieces_do_not_depend_on_how_the_text_arrived(text, n_chars):
    assert pieces_of(text, n_chars) == pieces_of(text, len(text) + 1)


@given(text=texts, n_chars=st.integers(1, 400))
def test_no_word_is_lost(text, n_chars):
    said = "\n".join(piece.text for piece in pieces_of(text, n_chars))
    assert said.count("word") == text.count("word")
    assert said.count("item") == text.count("item")


@given(line=st.sampled_from(["word\n", "- item\n", "| 1 | 2 |\n", "word ", "字" * 10, "  more\n"]))
@pytest.mark.parametrize("opening", ["", "```\n", "|a|b|\n|-|-|\n", "- item\n"])
def test_an_open_piece_stays_small_whatever_comes(opening, line):
    pieces = Pieces()
    pieces.feed(opening)
    for _ in range(20_000 // len(line)):
        pieces.feed(line)
        draft = pieces.draft()
        assert draft is None or len(draft.text) <= 4 * MAX_CHARS
        assert draft is None or draft.text.count("\n") <= 2 * MAX_LINES + 2


def test_blocks_are_pieces_and_a_list_stays_one():
    pieces = pieces_of("# Title\nWords\n\n- a\n- b\n\n- c\n\nEnd", 3)
    assert [piece.text.strip() for piece in pieces] == [
        "# Title\nWords",
        "- a\n- b\n\n- c",
        "End",
    ]


def test_code_has_its_language_and_lines_as_they_are():
    pieces = pieces_of("Look:\n```python\ndef f():\n\n    pass\n```\nDone", 2)
    assert pieces[1] == Piece("def f():\n\n    pass", True, "python")
    assert [piece.is_code for piece in pieces] == [False, True, False]


def test_code_in_a_list_loses_its_indent():
    pieces = pieces_of("1. Do:\n   ```sh\n   ls\n     x\n   ```\n2. Then", 5)
    assert pieces[1] == Piece("ls\n  x", True, "sh")
    assert pieces[2].text == "2. Then"


def test_a_long_code_block_comes_in_parts():
    pieces = pieces_of("```\n" + "x = 1\n" * 100 + "```\n", 7)
    assert [(piece.begins, piece.ends) for piece in pieces] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert "\n".join(piece.text for piece in pieces) == "\n".join(["x = 1"] * 100)


def test_each_part_of_a_long_table_has_the_header():
    pieces = pieces_of("|a|b|\n|-|-|\n" + "|1|2|\n" * 100, 11)
    assert len(pieces) > 1
    assert all(piece.text.startswith("|a|b|\n|-|-|\n") for piece in pieces)
    assert sum(piece.text.count("|1|2|") for piece in pieces) == 100


def test_a_fence_that_is_arriving_is_not_shown_as_text():
    pieces = Pieces()
    pieces.feed("Look\n``")
    assert pieces.draft() == Piece("Look")
    pieces.feed("`py")
    assert pieces.draft() == Piece("Look")
    pieces.feed("\nx")
    assert pieces.draft() == Piece("x", True, "py", ends=False)
