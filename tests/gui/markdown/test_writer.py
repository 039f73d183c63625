"""Pieces, drawn into a document."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st
from PySide6.QtGui import QTextDocument, QTextTable

from gui.markdown.pieces import Pieces
from gui.markdown.writer import COPY, Writer
from gui.theme import DARK, LIGHT

parts = st.sampled_from(
    [
        *("word ", "\n", "\n\n", "- item\n", "  - inner\n", "1. one\n", "# Title\n", "> said\n"),
        *("```python\n", "```\n", "def f(): pass\n", "|a|b|\n|-|-|\n", "| 1 | 2 |\n", "**bold** "),
        *("`x` ", "[to](https://example.com) ", "![p](https://example.com/p.png) ", "---\n", "天"),
        *("- a\n\n  ```\n  y\n  ```\n", "<b>no</b> ", "x = 1\n" * 60),
    ]
)


def drawn(text: str, cuts: list[int]) -> tuple[str, list[str], QTextDocument]:
    document = QTextDocument()
    writer, pieces = Writer(document, LIGHT, 14), Pieces()
    start = 0
    for cut in [*sorted(cuts), len(text)]:
        for piece in pieces.feed(text[start:cut]):
            writer.settle(piece)
        writer.draft(pieces.draft())
        start = cut
    for piece in pieces.finish():
        writer.settle(piece)
    writer.draft(None)
    return document.toHtml(), writer.codes, document


@settings(max_examples=60)
@given(text=st.lists(parts, max_size=25).map("".join), chooser=st.data())
def test_a_document_does_not_depend_on_how_its_text_arrived(application, text, chooser):
    cuts = chooser.draw(st.lists(st.integers(0, len(text)), max_size=8))
    assert drawn(text, cuts)[:2] == drawn(text, [])[:2]


def test_words_lists_code_and_tables_are_there(application):
    text = (
        "# Title\n\nSome **bold** and `code`.\n\n- a\n- b\n\n"
        "```python\ndef f():\n    return 1\n```\n"
        "|a|b|\n|-|-|\n|1|2|\n"
    )
    html, codes, document = drawn(text, [5, 30, 60, 80])
    plain = document.toPlainText()
    for word in ("Title", "bold", "code", "return 1", "python"):
        assert word in plain
    assert "**" not in plain and "|" not in plain
    assert codes == ["def f():\n    return 1"]
    assert f'href="{COPY}0"' in html
    tables = [f for f in document.rootFrame().childFrames() if isinstance(f, QTextTable)]
    assert [(table.rows(), table.columns()) for table in tables] == [(2, 1), (2, 2)]


def test_a_picture_is_a_link_and_html_is_text(application):
    html, _, document = drawn("![cat](https://example.com/c.png) <img src='file:///x'>", [4])
    assert "<img src=" not in html
    assert 'href="https://example.com/c.png"' in html
    assert "<img src='file:///x'>" in document.toPlainText()


def test_a_link_that_runs_a_script_is_text(application):
    html, _, _ = drawn("[x](javascript:alert(1)) [y](file:///etc/passwd)", [])
    assert "href" not in html


def test_a_long_code_block_is_copied_whole(application):
    code = "\n".join(f"line {n}" for n in range(500))
    _, codes, _ = drawn(f"```\n{code}\n```\n", [10, 100, 1000])
    assert codes == [code]


def test_deep_nesting_does_not_harm(application):
    drawn("> " * 3000 + "x", [])
    drawn("*" * 5000 + "[" * 5000, [])


def test_code_is_coloured_for_the_theme(application):
    looks = set()
    for colours in (LIGHT, DARK):
        document = QTextDocument()
        writer = Writer(document, colours, 14)
        pieces = Pieces()
        for piece in [*pieces.feed("```python\nimport os\n```\n"), *pieces.finish()]:
            writer.settle(piece)
        looks.add(document.toHtml())
    assert len(looks) == 2


def test_code_does_not_touch_the_text_under_it(application):
    _, _, document = drawn("```\nx\n```\nbelow\n", [])
    layout = document.documentLayout()
    below = document.lastBlock()
    assert below.text() == "below"
    code = layout.blockBoundingRect(below.previous())
    assert layout.blockBoundingRect(below).top() - code.bottom() >= 8 + 10  # padding, and the gap
