"""The icon in the tray."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QGuiApplication

from gui.activity import ACTIVITY, Activity
from gui.link import Phase, State
from gui.settings import Settings
from gui.tray import Tray, look_of, words_of
from runner.client import launch


@pytest.fixture
def tray(link, tmp_path):
    made = Tray(link, Settings(tmp_path / "app.json"), ["chat", "downloads"])
    yield made
    made.hide()


def texts(menu):
    return [action.text() for action in menu.actions() if not action.isSeparator()]


def entry(menu, text):
    return next(action for action in menu.actions() if text in action.text())


def test_the_look_says_what_matters_most(application):
    activity = Activity()
    up = State(Phase.UP)
    assert look_of(State(Phase.DOWN), activity) == ("error", -1)
    assert look_of(State(Phase.STARTING), activity) == ("loading", -1)
    assert look_of(up, activity) == ("idle", -1)
    activity.set_loading(1, True)
    assert look_of(up, activity) == ("loading", -1)
    activity.set_download("a", 20)
    activity.set_download("b", 60)
    assert look_of(up, activity) == ("downloading", 40)
    assert words_of("downloading", 40) == "Downloading, 40 %"
    for name in ("a", "b"):
        activity.set_download(name, None)
    activity.set_loading(1, False)
    assert look_of(up, activity) == ("idle", -1)


def test_a_loaded_model_shows_and_can_be_unloaded(tray, link, daemon, until):
    assert "No model in memory" in texts(tray.menu)
    daemon.is_loaded = True
    link.look()
    until(lambda: any("scripted" in text for text in texts(tray.menu)))
    entry(entry(tray.menu, "scripted").menu(), "Unload").trigger()
    until(lambda: daemon.others)
    assert daemon.others == [("/api/unload", {"model": "scripted:latest"})]


def test_the_menu_leads_to_pages_that_there_are(tray):
    opened, left = [], []
    tray.opened.connect(opened.append)
    tray.left.connect(left.append)
    for text in ("Open chat", "Downloads", "Quit, the daemon", "Quit and stop"):
        entry(tray.menu, text).trigger()
    assert opened == ["chat", "downloads"]
    assert left == [False, True]
    assert "Settings" not in texts(tray.menu)


def test_the_address_is_copied(tray, link):
    entry(tray.menu, "Copy address").trigger()
    assert QGuiApplication.clipboard().text() == link.address.url


def test_what_goes_on_is_in_the_tool_tip(tray):
    ACTIVITY.set_download("model", 30)
    assert "30 %" in tray.icon.toolTip()
    ACTIVITY.set_download("model", None)
    assert "30 %" not in tray.icon.toolTip()


def test_the_server_is_paused_and_resumed(tray, link, daemon, until, monkeypatch):
    monkeypatch.setattr(launch, "wait_until_gone", lambda *_, **__: daemon.close())
    entry(tray.menu, "Pause the server").trigger()
    until(lambda: link.state.phase is Phase.DOWN)
    assert link.is_paused
    assert daemon.others == [("/api/shutdown", {})]
    entry(tray.menu, "Resume the server").trigger()
    assert not link.is_paused
    until(lambda: "Pause the server" in texts(tray.menu))
