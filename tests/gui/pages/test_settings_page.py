"""The settings page over a scripted daemon: its settings, tokens and keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from gui import autostart
from gui.views.key_panel import NewKey, ShownKey
from gui.views.settings_page import SettingsPage
from gui.widgets.ask import Question


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def visible(page, kind):
    return next(one for one in page.findChildren(kind) if one.isVisible())


@pytest.fixture
def page(desk):
    made = desk.open(SettingsPage)
    desk.until(lambda: made.topics["models"].lines)
    return made


def test_settings_stand_under_their_topics_with_what_is_known_of_them(page):
    assert set(page.topics["models"].lines) == {
        "devices",
        "keep_alive",
        "flash_attention",
        "kv_cache_type",
        "num_thread",
    }
    host = page.topics["network"].lines["host"]
    assert not host.editor.isEnabled()
    assert "CORRAL_HOST" in host._note.text()
    assert page.topics["others"].lines["of_a_later_version"]._name.text() == "of a later version"


def test_a_setting_is_changed_by_leaving_its_field_and_taken_back(desk, fake, page):
    line = page.topics["models"].lines["keep_alive"]
    line.editor.selectAll()
    QTest.keyClicks(line.editor, "1h")
    QTest.keyClick(line.editor, Qt.Key.Key_Return)
    desk.until(lambda: not line._back.isHidden())
    assert fake.bodies("/api/settings")[-1] == {"keep_alive": "1h"}
    click(line._back)
    desk.until(lambda: line.editor.text() == "5m")
    assert fake.bodies("/api/settings")[-1] == {"keep_alive": None}


def test_a_value_that_is_refused_stays_with_the_reason(desk, page):
    line = page.topics["models"].lines["keep_alive"]
    line.editor.setText("wrong")
    line.editor.editingFinished.emit()
    desk.until(lambda: "no" in line._note.text())
    assert line.editor.text() == "wrong"


def test_a_choice_is_sent_and_a_change_that_waits_offers_the_restart(desk, fake, page):
    box = page.topics["models"].lines["flash_attention"].editor
    box.setCurrentIndex(box.findData("off"))
    box.activated.emit(box.currentIndex())
    desk.until(lambda: {"flash_attention": "off"} in fake.bodies("/api/settings"))
    assert page.restart.isHidden()
    line = page.topics["models"].lines["num_thread"]
    line.editor.setText("4")
    line.editor.editingFinished.emit()
    desk.until(lambda: not page.restart.isHidden())
    assert "starts again" in line._note.text()
    click(page.restart.button)
    desk.until(lambda: fake.over.is_set())


def test_what_is_typed_is_not_lost_when_the_settings_are_told_again(desk, page):
    line = page.topics["models"].lines["keep_alive"]
    line.editor.selectAll()
    QTest.keyClicks(line.editor, "2")
    page.refresh()
    desk.settled()
    assert line.editor.text() == "2"


def test_a_token_is_given_away_and_never_shown(desk, fake, page):
    page.tabs.setCurrentIndex(3)
    line = page.tokens.lines["hf"]
    assert not line.remove.isVisible()
    QTest.keyClicks(line.field, "hf_secret")
    click(line.keep)
    desk.until(lambda: line.remove.isVisible())
    assert fake.script.kept.tokens == {"hf": "hf_secret"}
    assert line.field.text() == ""
    click(page.tokens.lines["modelscope"].remove)
    desk.until(lambda: fake.script.kept.tokens.get("modelscope", "") is None)


def test_a_token_that_is_refused_says_why(desk, page):
    page.tabs.setCurrentIndex(3)
    line = page.tokens.lines["hf"]
    line.field.setText("two words")
    click(line.keep)
    desk.until(lambda: "must be a token" in line.note.text())


def test_a_key_is_made_shown_once_and_taken_away(desk, fake, page):
    page.tabs.setCurrentIndex(2)
    desk.until(lambda: page.keys.table.rowCount() == 1)
    click(page.keys.new)
    asked = visible(page, NewKey)
    assert not asked.act.isEnabled()
    QTest.keyClicks(asked.name, "the tablet")
    asked.scope.setCurrentIndex(1)
    asked.models.setText("smollm2, qwen3:4b")
    click(asked.act)
    desk.until(lambda: page.keys.table.rowCount() == 2)
    body = fake.bodies("/api/keys")[-2]
    assert body["scopes"] == ["infer", "manage"]
    assert body["models"] == ["smollm2", "qwen3:4b"]
    desk.until(lambda: any(one.isVisible() for one in page.findChildren(ShownKey)))
    shown = visible(page, ShownKey)
    assert shown.secret.text() == "corral-sk-once"
    shown.accept()
    page.keys.grid.choose(lambda key: key.name == "the tablet")
    click(page.keys.revoke)
    click(visible(page, Question).act)
    desk.until(lambda: page.keys.table.rowCount() == 1)


def test_the_daemons_settings_go_back_by_a_typed_word(desk, fake, page):
    page.source.change("keep_alive", "1h")
    desk.until(lambda: page.topics["models"].lines["keep_alive"].editor.text() == "1h")
    page._ask_reset_daemon()
    asked = visible(page, Question)
    assert not asked.act.isEnabled()
    asked.field.setText("reset")
    click(asked.act)
    desk.until(lambda: page.topics["models"].lines["keep_alive"].editor.text() == "5m")


def test_starting_at_login_is_turned_on_and_off(desk, page, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(autostart.sys, "platform", "linux")
    click(page.login)
    entry = tmp_path / "autostart" / "corral.desktop"
    desk.until(entry.is_file)
    assert "Exec=" in entry.read_text() and "--hidden" in entry.read_text()
    desk.settled()
    assert page.login.isChecked()
    click(page.login)
    desk.until(lambda: not entry.exists())


def test_a_program_with_odd_characters_in_its_path_is_quoted(monkeypatch):
    monkeypatch.setattr(autostart.sys, "executable", '/a b/py"th$on%')
    line = autostart._content("linux").decode().splitlines()[4]
    assert line == 'Exec="/a b/py\\\\"th\\\\$on%%" -m gui --hidden'
    assert b"<string>--hidden</string>" in autostart._content("darwin")
    assert autostart.entry_file({"HOME": "/h"}, "darwin") == Path(
        "/h/Library/LaunchAgents/app.corral.plist"
    )
    assert os.fspath(autostart.entry_file({"HOME": "/h"}, "linux")).startswith("/h/.config/")


def test_the_clipboard_gets_the_key(desk, page):
    dialog = ShownKey(page, "x", "corral-sk-1")
    dialog.open()
    button = next(b for b in dialog.findChildren(object) if getattr(b, "text", str)() == "Copy")
    click(button)
    assert QGuiApplication.clipboard().text() == "corral-sk-1"
    dialog.accept()
