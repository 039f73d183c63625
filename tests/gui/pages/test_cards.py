"""The card of a result: asked for when somebody looks, and once; plain Markdown."""

from __future__ import annotations

import pytest

from gui.views.discover_page import DiscoverPage

WORDS = "# Aster\n\n<p align='center'><b>A model</b></p>\n\n![chart](https://evil.example/x.png)"


@pytest.fixture
def page(desk, fake):
    made = desk.open(DiscoverPage)
    made.words.setText("tiny")
    made.search()
    desk.until(lambda: made.content.is_shown)
    desk.settled()
    return made


def cards_asked(fake):
    return [path for _, path, _, _ in fake.requests if path.startswith("/api/search/card")]


def look(desk, page):
    page.pane.tabs.setCurrentWidget(page.pane.card)
    desk.until(lambda: page.pane.card.content.is_shown)
    desk.until(lambda: page.pane.card.text.is_drawn)


def test_a_card_is_asked_for_when_it_is_looked_at(desk, fake, page):
    fake.script.card = {"name": "hf.co/own/tiny-GGUF", "text": WORDS, "truncated": False}
    assert cards_asked(fake) == []
    look(desk, page)
    assert cards_asked(fake) == ["/api/search/card?name=hf.co%2Fown%2Ftiny-GGUF"]
    # The picture is a link with its name; nobody fetches it.
    assert page.pane.card.text.toPlainText().split() == ["Aster", "A", "model", "chart"]


def test_another_result_has_its_own_card_and_the_first_is_remembered(desk, fake, page):
    look(desk, page)
    first = page.list.currentIndex()
    fake.script.card = {"name": "x", "text": "Another", "truncated": True}
    page.list.setCurrentIndex(page.results.index(1))
    desk.until(lambda: "Another" in page.pane.card.text.toPlainText())
    assert "There is more of it on its page." in page.pane.card.text.toPlainText()
    page.list.setCurrentIndex(first)
    desk.until(lambda: page.pane.card.text.toPlainText() == "A card")
    assert len(cards_asked(fake)) == 2


def test_a_repository_without_a_card_says_so(desk, fake, page):
    fake.script.card = {"name": "x", "text": "", "truncated": False}
    page.pane.tabs.setCurrentWidget(page.pane.card)
    desk.until(lambda: page.pane.card.content.notice.accessibleName() == "There is no card")


def test_offline_the_reason_is_told_and_it_can_be_tried_again(desk, fake, page):
    path = "/api/search/card?name=hf.co%2Fown%2Ftiny-GGUF"
    fake.script.failures[path] = (502, {"error": "no network", "code": "source_failed"})
    page.pane.tabs.setCurrentWidget(page.pane.card)
    notice = page.pane.card.content.notice
    desk.until(lambda: notice.accessibleName() == "The card cannot be read")
    assert "no network" in notice.accessibleDescription()
    del fake.script.failures[path]
    notice._buttons.itemAt(0).widget().click()
    desk.until(lambda: page.pane.card.content.is_shown)
