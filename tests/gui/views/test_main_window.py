"""The window itself: its side, narrow and wide."""

from __future__ import annotations

import pytest

from gui.link import Phase, State
from gui.settings import Settings
from gui.theme import THEME
from gui.views.main_window import MainWindow
from gui.words import WORDS
from runner import __version__


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path / "app.json")


@pytest.fixture
def window(link, archive, settings):
    THEME.apply("light")
    made = MainWindow(link, settings, archive)
    made.show()
    yield made
    made.leaving()
    made.close()
    made.deleteLater()


def titles(window):
    return [button.text() for button in window._buttons.values()]


def test_a_narrow_window_has_icons_at_its_side_and_a_wide_one_words(window):
    window.resize(1180, 760)
    assert titles(window)[:2] == ["Chat", "Discover"]
    wide = window._side.width()
    window.resize(900, 600)
    assert not any(titles(window))
    assert window._side.width() < wide / 2
    assert [b.accessibleName() for b in window._buttons.values()][:2] == ["Chat", "Discover"]
    WORDS.use("zh")
    try:
        assert not any(titles(window))
        window.resize(1180, 760)
        assert titles(window)[0] == "对话"
    finally:
        WORDS.use("en")


def test_words_never_have_less_room_than_they_need(window, settings):
    window.resize(1600, 1000)
    settings.change(font_px=20)
    THEME.apply("light", font_px=20)
    try:
        assert all(
            button.sizeHint().width() <= window._side.width() for button in window._buttons.values()
        )
        assert all(titles(window))
    finally:
        THEME.apply("light")


def test_a_daemon_of_another_version_is_told_once_and_can_be_restarted(
    window, link, until, monkeypatch
):
    stopped = []
    monkeypatch.setattr("gui.link.launch.stop", lambda *place: stopped.append(place))
    window._show_state(State(Phase.UP, __version__))
    assert window._banner.isHidden()
    window._show_state(State(Phase.UP, "0.0.9"))
    assert f"version 0.0.9, this app {__version__}" in window._banner.text
    window._banner.hide()  # put away by hand: it does not come again
    window._show_state(State(Phase.UP, "0.0.9"))
    assert window._banner.isHidden()
    window._show_state(State(Phase.UP, "0.0.8"))
    window._banner.action.click()
    until(lambda: stopped == [(link.paths, link.address)])
    window._show_state(State(Phase.UP, __version__))
    assert window._banner.isHidden()


def test_the_window_is_never_larger_than_the_screen(window):
    there = window.screen().availableSize()
    assert window.width() <= there.width() and window.height() <= there.height()
