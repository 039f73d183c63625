"""A text in Markdown on the screen."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QGuiApplication, QTextDocument
from PySide6.QtWidgets import QMessageBox

from gui.markdown.writer import COPY
from gui.theme import THEME
from gui.widgets.markdown_view import MarkdownView


@pytest.fixture
def view(application):
    THEME.apply("light")
    made = MarkdownView()
    made.resize(500, 100)
    made.show()
    yield made
    made.close()
    made.deleteLater()


def show(view, text, until, *, is_whole=True):
    view.set_text(text, is_whole=is_whole)
    until(lambda: view.is_drawn)


def test_a_growing_text_is_drawn_on_and_the_height_follows(view, until):
    text = "# One\n\nwords **bold**\n\n"
    show(view, text, until, is_whole=False)
    low = view.height()
    for _ in range(5):
        text += "- item\n"
        show(view, text, until, is_whole=False)
    show(view, text, until)
    assert view.toPlainText().count("item") == 5
    assert view.height() > low


def test_another_text_replaces_the_first(view, until):
    show(view, "first", until)
    show(view, "second", until)
    assert view.toPlainText().strip() == "second"
    show(view, "", until)
    assert view.height() == 0


def test_the_end_is_the_same_as_when_shown_at_once(view, until):
    text = "Look\n\n```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|\n\nEnd"
    for length in range(0, len(text), 7):
        view.set_text(text[:length], is_whole=False)
        until(lambda: view.is_drawn)
    show(view, text, until)
    grown = view.toHtml()
    view.set_text("", is_whole=False)
    show(view, text, until)
    assert view.toHtml() == grown


def test_the_copy_link_copies_the_code(view, until):
    show(view, "```\nx = 1\ny = 2\n```", until)
    view.anchorClicked.emit(QUrl(f"{COPY}0"))
    assert QGuiApplication.clipboard().text() == "x = 1\ny = 2"


def test_a_link_is_shown_before_it_opens(view, until):
    show(view, "[here](https://example.com/a?b=c)", until)
    view.anchorClicked.emit(QUrl("https://example.com/a?b=c"))
    [box] = view.findChildren(QMessageBox)
    assert "https://example.com/a?b=c" in box.informativeText()
    assert any(button.text() == "Open" for button in box.buttons())
    box.reject()


def test_a_link_to_a_file_can_be_read_but_not_opened(view):
    view.anchorClicked.emit(QUrl("file:///etc/passwd"))
    [box] = view.findChildren(QMessageBox)
    assert not any(button.text() == "Open" for button in box.buttons())
    box.reject()


def test_nothing_is_fetched(view, until):
    show(view, "![x](file:///etc/passwd) ![y](https://example.com/y.png)", until)
    kind = QTextDocument.ResourceType.ImageResource
    assert view.loadResource(kind.value, QUrl("file:///etc/passwd")) is None


def test_a_change_of_theme_draws_it_anew(view, until):
    show(view, "words", until)
    light = view.toHtml()
    THEME.apply("dark")
    until(lambda: view.is_drawn)
    assert view.toHtml() != light
    assert view.toPlainText().strip() == "words"
