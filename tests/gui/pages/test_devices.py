"""Devices on and off, from the page of the machine."""

from __future__ import annotations

from gui.views.machine_page import MachinePage


def setting(fake):
    return next(one for one in fake.script.kept.settings["settings"] if one["name"] == "devices")


def opened(desk):
    page = desk.open(MachinePage)
    desk.until(lambda: page.switches.isVisibleTo(page) and "gpu0" in page.switches.boxes)
    return page, page.switches.boxes["gpu0"]


def test_a_card_is_switched_off_and_on_again(desk, fake):
    page, box = opened(desk)
    assert list(page.switches.boxes) == ["gpu0"]  # the processor always computes
    assert box.isChecked()
    box.click()
    desk.until(lambda: setting(fake)["value"] == "-gpu0" and page.switches.note.text())
    assert page.switches.note.text() == "Holds when the daemon starts again."
    assert not box.isChecked()
    box.click()
    desk.until(lambda: fake.bodies("/api/settings")[-1] == {"devices": None})
    desk.until(box.isChecked)


def test_what_the_environment_says_is_shown_and_not_changed(desk, fake):
    setting(fake).update(value="-gpu0", source="environment", variable="CORRAL_DEVICES")
    page, box = opened(desk)
    desk.until(lambda: not box.isChecked())
    assert not box.isEnabled()
    assert "CORRAL_DEVICES" in page.switches.note.text()


def test_a_switch_that_is_refused_says_why_and_goes_back(desk, fake):
    page, box = opened(desk)
    fake.script.failures["/api/settings"] = (400, {"error": "no such device", "code": "x"})
    box.click()
    desk.until(lambda: "no such device" in page.switches.note.text())
    assert box.isChecked()
