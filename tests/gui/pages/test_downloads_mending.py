"""The buttons under a download that failed: each does something, and the download goes on."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit

from gui.views.downloads_page import DownloadsPage
from gui.widgets.ask import Question
from tests.gui.pages.test_pages import JOB, click, question

RESUME = "/api/jobs/4/resume"


def failed(desk, fake, code):
    """The page with one download, which failed so."""
    error = {"code": code, "message": "it went wrong", "hint": ""}
    fake.script.failures["/api/jobs"] = (200, {"jobs": [JOB | {"state": "failed", "error": error}]})
    fake.script.failures[RESUME] = (200, JOB)
    page = desk.open(DownloadsPage)
    desk.until(lambda: page.ways.buttons)
    return page


def press(page, text):
    click(next(button for button in page.ways.buttons if button.text() == text))


def test_a_token_is_asked_for_on_the_spot_and_hidden(desk, fake):
    page = failed(desk, fake, "access_denied")
    press(page, "Give a token")
    asked = question(page)
    assert asked.field.echoMode() is QLineEdit.EchoMode.Password and not asked.act.isEnabled()
    asked.field.setText("hf_secret")
    click(asked.act)
    desk.until(lambda: fake.bodies(RESUME))
    assert fake.bodies("/api/secrets/hf") == [{"value": "hf_secret"}]


def test_disk_space_is_freed_after_a_question_that_says_how_much(desk, fake):
    page = failed(desk, fake, "disk_full")
    rest = {"file": "sha256-1", "size": 3_000_000_000, "reason": "nothing names it"}
    fake.script.failures["/api/prune"] = (200, {"files": [rest], "dry_run": True})
    press(page, "Free disk space…")
    desk.until(lambda: any(one.isVisible() for one in page.findChildren(Question)))
    asked = question(page)
    assert asked.windowTitle() == "Free 3.0 GB?"
    assert [body["dry_run"] for body in fake.bodies("/api/prune")] == [True]
    click(asked.act)
    desk.until(lambda: fake.bodies(RESUME))
    assert not fake.bodies("/api/prune")[-1].get("dry_run")


def test_with_nothing_to_free_the_library_is_shown(desk, fake):
    page = failed(desk, fake, "disk_full")
    fake.script.failures["/api/prune"] = (200, {"files": [], "dry_run": True})
    press(page, "Free disk space…")
    desk.until(lambda: "Nothing lies about" in page.banner.text)
    assert not fake.bodies(RESUME)


def test_a_hub_that_wants_fewer_requests_is_waited_for(desk, fake):
    page = failed(desk, fake, "rate_limited")
    page._mender._clock.setInterval(5)
    press(page, "Wait a moment and try again")
    assert page.banner.text == "Trying again in 5 s…"
    desk.until(lambda: fake.bodies(RESUME))
    assert page.banner.isHidden()


def test_the_other_hub_is_tried_under_its_own_name(desk, fake):
    page = failed(desk, fake, "source_failed")
    press(page, "Try the other hub")
    desk.until(lambda: any(fake.bodies("/api/jobs")))
    asked = next(filter(None, fake.bodies("/api/jobs")))
    assert asked == {"kind": "pull", "model": "modelscope.cn/own/tiny-GGUF:Q4_K_M"}


def test_a_download_that_goes_well_has_no_such_buttons(desk, fake):
    fake.script.failures["/api/jobs"] = (200, {"jobs": [JOB]})
    page = desk.open(DownloadsPage)
    desk.until(lambda: page.content.is_shown)
    assert page.ways.isHidden() and page.ways.buttons == []
