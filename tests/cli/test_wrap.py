"""Answers on a terminal: words stay whole, and how the text arrives does not show."""

import re
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings, strategies as st
from wcwidth import wcswidth

from runner.cli.wrap import Wrapper

BREAK = "\x00"  # tells the breaks that were put in from those of the text
PARTS = [
    "I",
    "a",
    "word",
    "I'm",
    "https://a.example/long/path",
    "中文",
    "，",  # noqa: RUF001
    "。",
    "「",
    "」",
    "e\u0301",
]
PARTS += [
    "😀",
    "👍🏽",
    "👨\u200d👩\u200d👧",
    "🇩🇪",
    "❤\ufe0f",
    "-",
    "**",
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n\n  ",
]
texts = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)
any_text = texts | st.text(st.characters(codec="utf-8", exclude_characters=BREAK), max_size=60)


def wrapped(text, width, line_break="\n"):
    wrapper = Wrapper(lambda: width, line_break)
    return wrapper.feed(text) + wrapper.end()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Hello, I'm a model", ["Hello,", "I'm a", "model"]),
        ("one two\nthree\n", ["one two", "three", ""]),
        ("  - one two three", ["  - one", "two", "three"]),
        ("see abcdefghijkl now", ["see", "abcdefgh", "ijkl now"]),
        ("12345678 next", ["12345678", "next"]),
        ("12345678\nnext", ["12345678", "next"]),
        ("1234567  \nnext", ["1234567 ", "next"]),
        ("中文中文中文", ["中文中文", "中文"]),
        ("中文中文。中", ["中文中", "文。中"]),
        ("中文中「文」", ["中文中", "「文」"]),
        ("ab中文中文", ["ab中文中", "文"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("a 👍🏽👍🏽👍🏽👍🏽", ["a 👍🏽👍🏽👍🏽", "👍🏽"]),
        ("🇩🇪🇫🇷🇮🇹🇪🇸🇬🇧", ["🇩🇪🇫🇷🇮🇹🇪🇸", "🇬🇧"]),
        ("cafe\u0301 cafe\u0301", ["cafe\u0301", "cafe\u0301"]),
        ("a\tbcd", ["a", "bcd"]),
        ("a ```b c``` d e f", ["a ```b", "c``` d e", "f"]),
        ("```b``` c d e f", ["```b```", "c d e f"]),
    ],
)
def test_lines_end_where_people_would_end_them(text, lines):
    assert wrapped(text, 8).split("\n") == lines


@pytest.mark.parametrize("fence", ["```", "````", "  ```python"])
def test_code_is_left_as_it_is(fence):
    ticks = fence.strip(" python")
    code = f"{fence}\nfor name in names: print(name)\n``\n    deep = 1  \n{ticks}\n"
    assert wrapped(f"{code}and words again", 8) == f"{code}and\nwords\nagain"


def test_code_ends_with_as_many_backticks_as_it_began_with():
    code = "````\n```\nfour words in code\n````\n"
    assert wrapped(f"{code}four words in text", 10) == f"{code}four words\nin text"


@settings(deadline=None)  # a busy machine is no failure
@given(any_text, st.integers(1, 20))
def test_without_the_breaks_put_in_it_is_the_text(text, width):
    """Only spaces at the end of a line may be gone."""
    lines = re.split(f"({BREAK}|\n)", wrapped(text, width, BREAK))
    spaces = "[ \t\u3000]*"
    pattern = "".join(
        spaces if part == BREAK else spaces + "\n" if part == "\n" else re.escape(part)
        for part in lines
    )
    assert re.fullmatch(pattern + spaces, text)


@settings(deadline=None)
@given(texts, st.integers(4, 30))
def test_no_line_is_wider_than_the_terminal(text, width):
    for line in wrapped(text, width).split("\n"):
        # A character may turn wide after it was written: one column is kept free for that.
        assert wcswidth(line) <= width + ("\ufe0f" in line)


@settings(deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=8), max_size=20), st.integers(8, 20))
def test_words_that_fit_a_line_stay_whole_and_lines_are_full(words, width):
    lines = [line.split() for line in wrapped(" ".join(words), width).split("\n")]
    assert list(chain.from_iterable(lines)) == words
    for line, following in pairwise(lines):
        assert len(" ".join([*line, following[0]])) > width


@settings(deadline=None)
@given(any_text, st.data(), st.integers(1, 20))
def test_how_the_text_is_cut_into_pieces_does_not_show(text, data, width):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    wrapper = Wrapper(lambda: width)
    bounds = zip([0, *cuts], [*cuts, len(text)], strict=True)
    pieces = [wrapper.feed(text[start:end]) for start, end in bounds]
    assert "".join(pieces) + wrapper.end() == wrapped(text, width)


def test_only_the_last_word_is_held_back_and_no_longer_than_it_must():
    wrapper = Wrapper(lambda: 10)
    shown = [wrapper.feed(piece) for piece in ("Bl", "ue", " li", "ght", " scat", "ter", "s.\n")]
    assert shown == ["Bl", "ue", "", "", " light\nscat", "ter", "s.\n"]
    assert wrapper.feed("a b") == "a"
    assert wrapper.end() == " b"
    assert wrapper.end() == ""


def test_the_next_line_has_the_width_that_the_window_has_then():
    widths = [20]
    wrapper = Wrapper(lambda: widths[-1])
    first = wrapper.feed("one two ")
    widths.append(5)
    assert (
        first + wrapper.feed("three four\nfive six") + wrapper.end()
        == "one two three four\nfive\nsix"
    )
