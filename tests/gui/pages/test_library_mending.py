"""The buttons where a model cannot be loaded: each does something, and it is loaded again."""

from __future__ import annotations

import pytest

from gui.views.library_page import LibraryPage
from gui.views.modelfile_dialog import ModelfileDialog
from tests.fakes.daemon import MODEL
from tests.gui.pages.test_pages import click

NAME = MODEL["name"]


@pytest.fixture
def page(desk):
    made = desk.open(LibraryPage)
    desk.until(lambda: made.details.content.is_shown)
    return made


def not_loaded(desk, fake, page, code, words="it went wrong"):
    """Have a load fail so; returns the banner's buttons by their texts."""
    error = {"error": words, "code": code, "hint": ""}
    fake.script.failures["/api/generate"] = (500, error)
    page._load(page.grid.current, None)
    desk.until(page.banner.isVisible)
    del fake.script.failures["/api/generate"]
    return {button.text(): button for button in page.banner._acts if button.isVisible()}


def test_memory_is_freed_first(desk, fake, page):
    buttons = not_loaded(desk, fake, page, "not_enough_memory")
    click(buttons["Free memory and try again"])
    desk.until(lambda: len(fake.bodies("/api/generate")) == 2)
    assert [body["model"] for body in fake.bodies("/api/unload")] == [NAME]


def test_a_device_that_is_lost_is_taken_out_of_the_settings(desk, fake, page):
    states = fake.script.kept.settings["settings"]
    devices = next(one for one in states if one["name"] == "devices")
    devices["value"] = "CUDA0,10.0.0.5:11435"
    words = "the device 10.0.0.5:11435 cannot be reached: timed out"
    buttons = not_loaded(desk, fake, page, "device_failed", words)
    click(buttons["Go on without the device"])
    desk.until(lambda: len(fake.bodies("/api/generate")) == 2)
    assert [body for body in fake.bodies("/api/settings") if body] == [{"devices": "CUDA0"}]


def test_a_device_that_no_setting_names_changes_none(desk, fake, page):
    buttons = not_loaded(desk, fake, page, "device_failed")
    click(buttons["Go on without the device"])
    desk.until(lambda: len(fake.bodies("/api/generate")) == 2)
    assert not any(fake.bodies("/api/settings"))


def test_a_place_in_the_library_opens_the_modelfile_of_a_model(desk, page):
    page.show_part(f"edit/{NAME}")
    desk.until(lambda: page.findChildren(ModelfileDialog))
    [asked] = page.findChildren(ModelfileDialog)
    assert asked.name.text() == NAME and "FROM" in asked.text.toPlainText()
    asked.reject()


def test_a_part_that_nobody_knows_changes_nothing(desk, page):
    page.show_part("no such part")
    desk.settled()
    assert not page.findChildren(ModelfileDialog) and page.banner.isHidden()
