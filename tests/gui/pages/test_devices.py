"""Devices on and off, and what they are worth, from the page of the machine."""

from __future__ import annotations

from gui.views.machine_page import MachinePage
from tests.fakes.daemon import MODEL


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


def test_which_devices_are_used_in_which_order_and_why_not_is_told(desk, fake):
    cpu, card = fake.script.kept.machine["devices"]
    cpu["order"] = 0
    lost = {"id": "10.0.0.5:11435", "kind": "rpc", "name": "den", "note": "no answer <b>"}
    fake.script.kept.machine["devices"] = [
        cpu,
        card | {"order": 2},
        card | {"id": "gpu1", "name": "Another", "order": 1},
        card | {"id": "gpu2", "used": False},
        card | lost | {"memory": 0, "memory_available": 0},
    ]
    page = desk.open(MachinePage)
    desk.until(lambda: page.devices.table.rowCount() == 5)
    shown = page.devices.grid.sorted
    assert [shown.index(row, 1).data() for row in range(5)] == [
        "Filled as number 1",
        "Filled as number 2",
        "Yes",
        "Left out",
        "Out of reach",
    ]
    assert page.devices.faults.isVisible()
    assert page.devices.faults.text() == "den: no answer <b>"


def test_a_report_that_cannot_be_made_says_why(desk, fake):
    fake.script.failures["/api/machine"] = (500, {"error": "no driver", "code": "worker_failed"})
    page = desk.open(MachinePage)
    desk.until(lambda: page.devices.limits.text() == "no driver [worker_failed]")


def test_the_speed_of_a_model_is_measured_from_the_machines_page(desk, fake):
    page = desk.open(MachinePage)
    desk.until(lambda: page.model.count() == 1 and page.bench.isVisibleTo(page))
    assert page.model.currentText() == MODEL["name"]
    assert page.measured.speed_words.text()
