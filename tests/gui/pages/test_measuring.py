"""What was measured of a model, in the library, over a scripted daemon."""

from __future__ import annotations

import json

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.views.library_page import LibraryPage
from runner.client.decode_keeping import Change
from runner.dialects import measuring
from runner.domain.name import ModelName
from tests.fakes.daemon import MODEL
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


def test_a_model_that_a_job_brought_is_listed_while_one_looks(desk, fake):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.table.rowCount() == 1)
    two = [MODEL, MODEL | {"name": "seedling:latest", "model": "seedling:latest"}]
    fake.script.failures["/api/tags"] = (200, {"models": two})
    desk.link.told.emit(Change("job", JOB))
    desk.settled()
    assert page.table.rowCount() == 1
    desk.link.told.emit(Change("job", JOB | {"kind": "quantize", "state": "done"}))
    desk.until(lambda: page.table.rowCount() == 2)
    fake.script.failures["/api/tags"] = (200, {"models": [MODEL]})
    desk.link.told.emit(Change("model", {}))
    desk.until(lambda: page.table.rowCount() == 1)


def test_a_measurement_that_is_refused_says_why(desk, fake):
    fake.script.failures["/api/perplexity"] = (503, {"error": "busy", "code": "overloaded"})
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    page.details.tabs.setCurrentWidget(page.details._measured_page)
    click(page.details.measured.judge_it)
    desk.until(lambda: "smollm2:latest cannot be measured" in page.banner.text)


def judged(desk, fake, status, reply):
    """Measure the quality of a model that was made from another; returns what was asked for."""
    fake.script.shown |= {"provenance": {"source": "quantize", "from": "whole:latest"}}
    fake.script.failures["/api/perplexity"] = (status, reply)
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    page.details.tabs.setCurrentWidget(page.details._measured_page)
    click(page.details.measured.judge_it)
    desk.until(lambda: fake.bodies("/api/perplexity"))
    desk.settled()
    return fake.bodies("/api/perplexity")


def test_a_smaller_form_is_measured_against_what_it_was_made_from(desk, fake):
    asked = judged(desk, fake, 200, JOB | {"kind": "perplexity"})
    assert asked == [{"model": "smollm2:latest", "source": "whole:latest"}]
    assert desk.went == ["downloads"]


def test_without_what_it_was_made_from_it_is_measured_alone(desk, fake):
    gone = {"error": "model 'whole:latest' not found", "code": "model_not_found"}
    asked = judged(desk, fake, 404, gone)
    assert [body.get("source") for body in asked] == ["whole:latest", None]
