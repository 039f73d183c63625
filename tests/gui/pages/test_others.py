"""Other computers let in, from the page of the server."""

from __future__ import annotations

from gui.link import Phase
from gui.views.server_page import ServerPage
from gui.widgets.ask import Question


def setting(fake):
    return next(one for one in fake.script.kept.settings["settings"] if one["name"] == "host")


def opened(desk, fake, **more):
    setting(fake).update({"source": "default", **more})
    page = desk.open(ServerPage)
    page.show_part("others")
    desk.until(lambda: page.others.switch.isEnabled() or more)
    return page, page.others


def test_others_are_let_in_after_a_second_thought_and_shut_out_at_once(desk, fake):
    page, others = opened(desk, fake)
    assert others.isVisible() and not others.switch.isChecked()
    desk.until(lambda: others.keys.table.rowCount() == 1)
    others.switch.click()
    assert not others.switch.isChecked()
    [question] = [one for one in page.findChildren(Question) if one.isVisible()]
    question.act.click()
    desk.until(others.switch.isChecked)
    assert setting(fake)["value"] == "0.0.0.0:11434"
    assert "keys below" in others.note.text()
    others.switch.click()
    desk.until(lambda: setting(fake)["value"] == "127.0.0.1:11434")
    desk.until(lambda: not others.switch.isChecked())


def test_nobody_is_let_in_by_a_question_that_was_left(desk, fake):
    page, others = opened(desk, fake)
    others.switch.click()
    [question] = [one for one in page.findChildren(Question) if one.isVisible()]
    question.reject()
    desk.settled()
    assert setting(fake)["value"] == "127.0.0.1:11434" and not others.switch.isChecked()


def test_what_the_environment_says_of_the_address_is_shown_and_not_changed(desk, fake):
    _, others = opened(desk, fake, source="environment", value="0.0.0.0:11434")
    desk.until(lambda: "CORRAL_HOST" in others.note.text())
    assert others.switch.isChecked() and not others.switch.isEnabled()


def test_without_a_daemon_nobody_is_asked_about_others(at, unused_port):
    desk = at(f"127.0.0.1:{unused_port}")
    page = desk.open(ServerPage, phase=Phase.DOWN)
    desk.settled()
    assert page.banner.text.startswith("The daemon does not answer")
    assert not page.others.switch.isEnabled()


def test_a_refusal_is_told_and_the_switch_goes_back(desk, fake):
    _, others = opened(desk, fake, value="0.0.0.0:11434", source="file")
    desk.until(others.switch.isChecked)
    fake.script.failures["/api/settings"] = (400, {"error": "not now", "code": "x"})
    others.switch.click()
    desk.until(lambda: "not now" in others.note.text())
    assert others.switch.isChecked()
