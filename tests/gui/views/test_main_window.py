"""The window itself: its side, narrow and wide."""

from __future__ import annotations

import pytest

from gui.settings import Settings
from gui.theme import THEME
from gui.views.main_window import MainWindow
from gui.words import WORDS


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
