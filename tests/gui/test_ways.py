"""Where an error leads."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from gui.settings import Settings
from gui.theme import THEME
from gui.titles import TITLES, title_of
from gui.views.main_window import MainWindow
from gui.ways import GUIDE, WAYS, actions_for
from gui.words import CHINESE, WORDS
from runner.errors import CorralError, from_code

PLACES = sorted({way.place for ways in WAYS.values() for way in ways if way.place})


@pytest.fixture
def window(link, archive, tmp_path, until):
    THEME.apply("light")
    made = MainWindow(link, Settings(tmp_path / "app.json"), archive)
    made.show()
    yield made
    made.leaving()
    made.close()
    until(lambda: link.is_quiet)
    made.deleteLater()


def codes(root=CorralError):
    """Those of all errors that are raised, not of the classes that gather them.

    What a room has of its own is not among them: it is there only once that was imported.
    """
    is_shared = root is not CorralError and root.__module__ == CorralError.__module__
    found = {root.code} if is_shared else set()
    return found.union(*map(codes, root.__subclasses__())) - {"bad_request"}


#: Told in a place of its own, or to the program that asked: no page of the app meets it.
ELSEWHERE = {"job_not_found", "key_not_found", "request_not_found"}


@pytest.mark.parametrize("code", sorted(codes() - ELSEWHERE))
def test_each_error_has_a_title_of_its_own(code, application):
    assert title_of(code) == TITLES[code] != title_of("of_a_later_version")
    WORDS.use("zh")
    try:
        assert title_of(code) == CHINESE[TITLES[code]]
    finally:
        WORDS.use("en")
    assert len(set(TITLES.values())) == len(TITLES)


@pytest.mark.parametrize("code", sorted(WAYS))
def test_each_code_is_an_errors_and_each_button_has_its_chinese(code):
    assert code == "internal" or type(from_code(code, "")) is not CorralError
    assert all(way.text in CHINESE for way in WAYS[code])


def test_what_nobody_knows_leads_nowhere():
    assert actions_for("of_a_later_version") == actions_for(None) == actions_for(["x"]) == []


@pytest.mark.parametrize("place", PLACES)
def test_each_place_is_one_of_the_window(place, window, until):
    key, _, part = place.partition("/")
    page = window.page(key)
    until(lambda: window.link.is_quiet)
    before = page.tabs.currentIndex() if hasattr(page, "tabs") else -1
    window.go("chat")
    GUIDE.led.emit(place)
    assert window._stack.currentWidget() is page
    if part == "parameters":
        assert page.parameters.isVisible()
    elif part == "models":
        assert page.bar.models.view().isVisible()
        page.bar.models.hidePopup()
    elif part:
        known = page._parts[part]
        assert page.tabs.currentIndex() == known
        assert known != before or known == 0


def test_an_answer_that_failed_has_a_button_that_leads_on(window, daemon, until):
    daemon.answer = lambda _: iter([{"error": "needs 9.1 GB", "code": "not_enough_memory"}])
    page = window.page("chat")
    until(lambda: page._models)
    page._conversation.send("Hi")
    until(lambda: not page._conversation.answering_id and page.transcript.is_settled)
    view = list(page.transcript.views.values())[-1]
    [button] = [b for b in view.findChildren(QPushButton) if b.text() == "See what is in memory"]
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert window._stack.currentWidget() is window._pages["machine"]
