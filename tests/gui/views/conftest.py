"""The window at its chat, over a scripted daemon."""

from __future__ import annotations

import pytest

from tests.gui.system_libraries import REASON

if not REASON:
    from gui.settings import Settings
    from gui.theme import THEME
    from gui.views.main_window import MainWindow


@pytest.fixture
def settings(tmp_path):
    """Read at the start, before anything is on the screen."""
    return Settings(tmp_path / "app.json")


@pytest.fixture
def window(link, archive, settings, until):
    THEME.apply("light")
    made = MainWindow(link, settings, archive)
    made.show()
    made.activateWindow()
    until(made.isActiveWindow)
    yield made
    made.leaving()
    made.close()
    made.deleteLater()


@pytest.fixture
def page(window, until):
    found = window.page("chat")
    until(lambda: found._models)
    return found
