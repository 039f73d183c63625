"""Where the models are kept, in the settings: shown, changed, and a move on its way."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.local import place_for_models
from gui.views.folder_dialog import FolderDialog
from gui.views.settings_page import SettingsPage
from runner.client.decode_keeping import Change
from tests.fakes.keeping import move_job


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def panel(desk):
    page = desk.open(SettingsPage)
    desk.until(lambda: page.folder.change.isEnabled())
    return page.folder


@pytest.fixture
def dialog(desk, panel):
    click(panel.change)
    return next(one for one in desk.page.findChildren(FolderDialog) if one.isVisible())


def typed(desk, dialog, text):
    dialog.field.setText(text)
    desk.until(lambda: dialog.plan is not None or "[" in dialog.state.text())
    return dialog.state.text()


def test_the_folder_and_what_is_free_there_are_told(panel):
    assert panel.field.text() == "/home/me/models"
    assert panel.words.text() == "90.0 GB free of 500 GB"
    assert panel.bar.isHidden()


def test_a_folder_that_the_environment_fixes_is_not_changed_here(desk, fake):
    fake.script.kept.folder["fixed_by"] = "CORRAL_MODELS"
    page = desk.open(SettingsPage)
    desk.until(lambda: "CORRAL_MODELS" in page.folder.words.text())
    assert not page.folder.change.isEnabled()


def test_a_disk_that_has_gone_is_said(desk, fake):
    fake.script.kept.folder["there"] = False
    page = desk.open(SettingsPage)
    desk.until(lambda: "is not there" in page.folder.words.text())
    assert page.folder.change.isEnabled()


def test_nothing_is_done_before_a_folder_is_looked_at(dialog):
    assert not dialog.act.isEnabled()
    assert not dialog.moves.isEnabled()


def test_a_move_begins_and_is_shown_to_its_end(desk, fake, panel, dialog):
    assert typed(desk, dialog, "/mnt/disk/models") == "Models: 2, 9.0 GB. Free there: 70.0 GB."
    assert dialog.act.text() == "Move the models"
    click(dialog.act)
    desk.until(lambda: panel.bar.isVisible())
    assert fake.script.kept.moved == [{"folder": "/mnt/disk/models"}]
    assert not panel.change.isEnabled()
    job = move_job("/mnt/disk/models", n_done=2_000_000_000)
    desk.link.told.emit(Change("job", job))
    assert panel.bar.text == "Moving to /mnt/disk/models: 2.0 GB of 8.0 GB"
    fake.script.kept.folder["folder"] = "/mnt/disk/models"
    desk.link.told.emit(Change("job", job | {"state": "done"}))
    desk.until(lambda: panel.field.text() == "/mnt/disk/models")
    assert panel.bar.isHidden()
    assert panel.change.isEnabled()


def test_a_move_that_failed_says_why(desk, panel):
    desk.link.told.emit(Change("job", move_job("/mnt/disk")))
    error = {"code": "disk_full", "message": "5 bytes are free", "hint": "make room"}
    desk.link.told.emit(Change("job", move_job("/mnt/disk", "failed", error=error)))
    assert "The models were not moved: 5 bytes are free" in desk.page.banner.text
    assert panel.bar.isHidden()


def test_a_move_on_its_way_can_be_cancelled(desk, fake, panel):
    desk.link.told.emit(Change("job", move_job("/mnt/disk")))
    fake.script.failures["/api/jobs/9"] = (200, move_job("/mnt/disk", "cancelled"))
    click(panel.cancel)
    desk.until(lambda: panel.bar.isHidden())


def test_a_disk_that_is_too_small_says_so_with_numbers(desk, fake, dialog):
    fake.script.kept.folder_plan |= {"free": 7_000_000_000, "ok": False}
    assert typed(desk, dialog, "/mnt/small") == "8.0 GB are needed there, 7.0 GB are free."
    assert not dialog.act.isEnabled()
    dialog.uses.setChecked(True)
    assert dialog.act.isEnabled()


def test_models_that_are_there_already_are_used(desk, fake, panel, dialog):
    fake.script.kept.folder_plan |= {"models_there": 3}
    typed(desk, dialog, "/mnt/disk")
    assert dialog.uses.text() == "Use the models there: 3"
    assert dialog.uses.isChecked()
    assert not dialog.moves.isEnabled()
    click(dialog.act)
    desk.until(lambda: panel.field.text() == "/mnt/disk")
    assert fake.script.kept.moved == [{"folder": "/mnt/disk", "move": False}]


def test_on_the_same_disk_nothing_is_copied(desk, fake, dialog):
    fake.script.kept.folder_plan |= {"needed": 0}
    assert "nothing is copied" in typed(desk, dialog, "/home/me/other")


def test_a_folder_that_is_refused_says_why_and_cannot_be_taken(desk, dialog):
    text = typed(desk, dialog, "/mnt/wrong")
    assert text == "/mnt/wrong is a file, not a folder [invalid_request]"
    assert not dialog.act.isEnabled()


def test_back_to_the_usual_folder_is_a_button(desk, fake):
    fake.script.kept.folder["folder"] = "/mnt/disk"
    page = desk.open(SettingsPage)
    desk.until(lambda: page.folder.change.isEnabled())
    click(page.folder.change)
    asked = next(one for one in page.findChildren(FolderDialog) if one.isVisible())
    click(asked.usual)
    desk.until(lambda: asked.plan is not None)
    click(asked.act)
    desk.until(lambda: fake.script.kept.moved == [{"folder": None}])


def test_a_reset_of_the_settings_leaves_the_models_where_they_are(desk, fake, panel):
    changed = {"name": "models", "value": "/mnt/disk", "default": "", "source": "file"}
    row = dict(fake.script.kept.settings["settings"][0]) | changed
    fake.script.kept.settings["settings"].append(row)
    desk.page.source.change("keep_alive", "1h")
    desk.until(lambda: "models" in {one.name for one in desk.page.source.kept.settings})
    assert "models" not in desk.page.topics["others"].lines
    desk.page._reset_daemon()
    desk.until(lambda: {"keep_alive": None} in fake.bodies("/api/settings"))


@pytest.mark.blocking
def test_a_chosen_folder_with_other_files_gets_a_new_one_inside(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("Dear")
    (tmp_path / "ours" / "blobs").mkdir(parents=True)
    (tmp_path / "ours" / "lock").touch()
    assert place_for_models(tmp_path / "empty") == tmp_path / "empty"
    assert place_for_models(tmp_path / "full") == tmp_path / "full" / "corral-models"
    assert place_for_models(tmp_path / "ours") == tmp_path / "ours"
    assert place_for_models(tmp_path / "none") == tmp_path / "none"
