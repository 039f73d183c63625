"""The buttons under an answer that failed: each does something, and the question is asked again."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu, QPushButton

from gui.ways import GUIDE, actions_for
from runner.client.decode_keeping import Change
from tests.gui.scripted import MODEL, end, said
from tests.gui.views.test_chat_page import idle, shown, type_in, view_of


def fails(code, then):
    """An answer that fails once, and then is another."""
    answers = [{"error": "it went wrong", "code": code}]

    def answer(_):
        return iter([answers.pop()]) if answers else iter([said(then), end()])

    return answer


def press(view, text):
    [button] = [b for b in view.findChildren(QPushButton) if b.text() == text and b.isVisible()]
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def answer_after(page, until, daemon, code, text):
    """Ask, have the answer fail with a code, press a button; returns what was asked then."""
    daemon.answer = fails(code, "Better")
    type_in(page, "Hi")
    until(idle(page))
    assert view_of(page, 1)._error.isVisible()
    press(view_of(page, 1), text)
    until(lambda: page.transcript.last_answer().text == "Better")
    until(idle(page))
    return daemon.asked[-1]


def test_memory_is_freed_and_the_question_asked_again(page, until, daemon, link):
    daemon.is_loaded = True
    answer_after(page, until, daemon, "not_enough_memory", "Free memory and try again")
    assert [(path, body["model"]) for path, body in daemon.others] == [("/api/unload", MODEL)]


def test_with_nothing_to_free_it_is_told(page, until, daemon):
    daemon.answer = fails("not_enough_memory", "")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Free memory and try again")
    until(lambda: "No idle model" in page._toast._label.text())


@pytest.mark.parametrize(
    ("code", "text", "n_ctx"),
    [
        ("not_enough_memory", "Try with a smaller context", 2048),
        ("prompt_too_long", "Try with a larger context", 8192),
    ],
)
def test_a_chat_goes_on_with_another_context(page, until, daemon, code, text, n_ctx):
    asked = answer_after(page, until, daemon, code, text)
    assert asked["options"] == {"num_ctx": n_ctx}
    assert page.parameters._fields["num_ctx"].text() == str(n_ctx)


def test_the_oldest_turns_are_left_out_and_that_is_told(page, until, daemon):
    asked = answer_after(page, until, daemon, "prompt_too_long", "Leave out the oldest turns")
    assert asked["truncate"] is True
    daemon.answer = lambda _: iter([said("Short"), end(dropped_messages=2)])
    page._conversation.retry(page.transcript.last_answer().id, truncates=True)
    until(idle(page))
    figures = view_of(page, 1)._buttons._figures.text()
    assert "without the 2 oldest turns" in figures


def test_after_a_wait_that_is_counted_down_the_question_is_asked_again(page, until, daemon):
    page._mender._clock.setInterval(5)
    asked = answer_after(page, until, daemon, "queue_full", "Wait a moment and try again")
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert shown(page) == ["Hi", "Better"]
    assert page._toast.isHidden()


def test_what_was_waited_for_is_not_asked_where_something_else_was_said(page, until, daemon):
    daemon.answer = fails("queue_full", "Better")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Wait a moment and try again")
    assert "Trying again in 5 s" in page._toast._label.text()
    type_in(page, "Never mind")
    until(idle(page))
    for _ in range(5):
        page._mender._tick()
    assert len(daemon.asked) == 2
    assert page.transcript.last_answer().text == "Better"


def test_nothing_is_waited_for_in_a_chat_that_was_left(page, until, daemon):
    daemon.answer = fails("queue_full", "Better")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Wait a moment and try again")
    page.begin(is_temporary=False)
    assert page._toast.isHidden() and not page._mender._clock.isActive()
    assert len(daemon.asked) == 1


def test_another_model_is_chosen_on_the_spot(page, until, daemon, link):
    daemon.models = [*daemon.models, "other:latest"]
    link.told.emit(Change("model", {}))
    until(lambda: "other:latest" in page._models)
    daemon.answer = fails("unsupported", "Better")
    type_in(page, "Hi")
    until(idle(page))
    view = view_of(page, 1)
    press(view, "Choose another model")
    menu = next(menu for menu in view.findChildren(QMenu) if menu.isVisible())
    next(one for one in menu.actions() if one.text() == "other:latest").trigger()
    menu.close()
    until(lambda: page.transcript.last_answer().text == "Better")
    until(idle(page))
    assert daemon.asked[-1]["model"] == "other:latest"


def test_a_value_that_is_wrong_leads_to_the_parameters(page, until, daemon):
    daemon.answer = fails("invalid_request", "")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Change the parameters")
    assert page.parameters.isVisible()


def test_a_broken_template_leads_to_the_modelfile_of_that_model(page, until, daemon):
    led = []
    GUIDE.led.connect(led.append)
    daemon.answer = fails("template_failed", "")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Mend its Modelfile")
    GUIDE.led.disconnect(led.append)
    assert led == [f"library/edit/{MODEL}"]


def test_a_model_that_is_gone_is_downloaded(page, until, daemon):
    led = []
    GUIDE.led.connect(led.append)
    daemon.answer = fails("model_not_found", "")
    type_in(page, "Hi")
    until(idle(page))
    press(view_of(page, 1), "Download it")
    until(lambda: led == ["downloads"])
    GUIDE.led.disconnect(led.append)
    assert daemon.others == [("/api/jobs", {"kind": "pull", "model": MODEL})]


def test_the_window_starts_the_daemon_from_any_page(window, link):
    link._is_paused = True
    [(text, act), _] = actions_for("daemon_unavailable")
    assert text == "Start the daemon"
    act()
    assert not link.is_paused
