"""What was measured of a model, in the library, over a scripted daemon."""

from __future__ import annotations

import json

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.views.library_page import LibraryPage
from runner.client.decode_keeping import Change
from runner.dialects import measuring
from runner.domain.name import ModelName
from tests.fakes.making import BENCH, QUALITY

JOB = {
    "id": 7,
    "kind": "bench",
    "name": "smollm2:latest",
    "state": "running",
    "n_done": 0,
    "n_bytes": 4,
    "started": "2026-01-02T03:04:05.500000000Z",
}


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_what_was_measured_of_a_model_is_shown_measured_anew_and_kept_in_step(desk, fake):
    name = ModelName.parse("smollm2:latest")
    speed = "/api/bench?model=smollm2%3Alatest"
    fake.script.failures[speed] = (200, json.loads(measuring.benches(name, [BENCH])))
    quality = json.loads(measuring.quality(name, [QUALITY]))
    fake.script.failures["/api/quality?model=smollm2%3Alatest"] = (200, quality)
    fake.script.failures["/api/bench"] = (200, JOB)
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    panel = page.details.measured
    page.details.tabs.setCurrentWidget(page.details._measured_page)
    desk.until(lambda: "loaded in 0.5 s" in panel.speed_words.text())
    desk.until(lambda: "Perplexity 12.50" in panel.quality_words.text())
    assert "20.2" in panel.speed.accessibleDescription() and panel.history.isHidden()
    click(panel.time_it)
    desk.until(lambda: desk.went == ["downloads"])
    assert fake.bodies("/api/bench")[0]["model"] == "smollm2:latest"

    two = json.loads(measuring.benches(name, [BENCH, BENCH]))
    fake.script.failures[speed] = (200, two)
    done = JOB | {"state": "done"}
    desk.link.told.emit(Change("job", done))
    desk.until(lambda: panel.history.isVisible())


def test_a_measurement_that_is_refused_says_why(desk, fake):
    fake.script.failures["/api/perplexity"] = (503, {"error": "busy", "code": "overloaded"})
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    page.details.tabs.setCurrentWidget(page.details._measured_page)
    click(page.details.measured.judge_it)
    desk.until(lambda: "smollm2:latest cannot be measured" in page.banner.text)
