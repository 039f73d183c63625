"""HTML in Markdown: what has a form there gets it, the rest goes."""

import pytest
from hypothesis import given, strategies as st

from gui.markdown.html import without_html


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('<div align="center"><h1>Aster</h1></div>', "# Aster"),
        (
            'See <a href="https://example.org/a b">here</a>.',
            "See [here](<https://example.org/a b>).",
        ),
        ('<img src="x.png" alt="A chart"/> and <img src="y.png">', "A chart and"),
        ("<b>strong</b>, <em>soft</em>, <kbd>Ctrl</kbd>", "**strong**, *soft*, `Ctrl`"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("before <!-- not\nshown --> after", "before  after"),
        ("a < b and c > d", "a < b and c > d"),
        ("the <think> tag of a template", "the <think> tag of a template"),
        ("<https://example.org>", "<https://example.org>"),
        ("`<b>` in code and ``<i>``", "`<b>` in code and ``<i>``"),
        ("```html\n<div>kept</div>\n```", "```html\n<div>kept</div>\n```"),
        ("~~~\n<p>\n```\n</p>\n~~~\nso <p>gone", "~~~\n<p>\n```\n</p>\n~~~\nso\n\ngone"),
        ("<a>no target</a>", "no target"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # words, and drawn as such
    ],
)
def test_a_tag_turns_into_markdown_or_goes(text, made):
    assert without_html(text) == made


@given(st.text(alphabet="ab <>/`~\n!-=\"'\\[]()"))
def test_no_text_is_too_strange(text):
    made = without_html(text)
    assert without_html(made) is not None
    assert len(made) <= 4 * len(text) + 16


@given(st.text(alphabet="abc .,\n#*_[]()|"))
def test_a_text_without_tags_keeps_all_its_words(text):
    assert without_html(text).split() == text.split()


def test_a_hostile_text_takes_no_longer_than_it_is_long():
    """None of these has a pattern that is tried from every place to the end."""
    for piece in ("<!--", "<a ", "`", "<a href='", "``` ` ", "<b", "<img alt="):
        n = 200_000 // len(piece)
        assert without_html(piece * n) is not None
