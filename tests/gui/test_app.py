"""The app as a whole, with the real daemon and the starter model."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.app import App, SingleInstance, address_in
from gui.chats.storage import Storage
from gui.link import Phase
from runner.domain.address import DEFAULT_ADDRESS
from runner.paths import find_paths
from tests.gui.scripted import end, said
from tests.real_daemon import RealDaemon

ROOT = Path(__file__).parents[2]
#: A program in which nothing happens until a signal comes.
IDLE = """
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from gui.app import Ending
from gui.singletons import make_lasting

make_lasting()
application = QApplication(["corral"])
Ending(application)
QTimer.singleShot(0, lambda: print("ready", flush=True))
application.exec()
print("kept", flush=True)
"""


@pytest.mark.live
def test_a_first_model_is_fetched_and_answers(
    application, until, tmp_path, monkeypatch, nothing_waits
):
    with RealDaemon(tmp_path / "home") as daemon:
        monkeypatch.setenv("CORRAL_HOST", daemon.address)
        app = App(application, find_paths())
        app.start()
        page = app.window.page("chat")
        until(lambda: page.middle.first is not None and page.middle.first._cards)
        QTest.mouseClick(page.middle.first._cards[0].button, Qt.MouseButton.LeftButton)
        until(lambda: page._models, 60_000)
        QTest.keyClicks(page.composer.field, "Say hello.")
        QTest.keyClick(page.composer.field, Qt.Key.Key_Return)
        talk = page._conversation
        until(lambda: talk.tree.path()[-1].is_whole and not talk.answering_id, 90_000)
        answer = talk.tree.path()[-1]
        assert answer.text and answer.figures["n_generated"] > 0
        until(lambda: app.link.state.running)
        assert app.link.state.phase is Phase.UP

        app.link._starts = False  # a daemon of its own would outlive the tests
        daemon.stop()
        app.link.look()
        until(lambda: app.link.state.running == ())
        app._end()
        app.window.close()
    nothing_waits.is_on = False  # the app has ended
    storage = Storage(find_paths().state / "chats.sqlite")
    [chat] = storage.chats()
    assert storage.turns(chat.id)[-1].text == answer.text
    storage.close()


@pytest.fixture
def app(application, daemon, monkeypatch, until):
    """The app without a tray, over a scripted daemon."""
    monkeypatch.setenv("CORRAL_HOST", f"127.0.0.1:{daemon.port}")
    made = App(application, find_paths())
    made.start(is_hidden=True)
    until(lambda: made.link.state.phase is Phase.UP)
    yield made
    made._last_work.stop()
    made.window.close()
    made._end()
    until(lambda: made.link.is_quiet)


def test_without_a_tray_the_window_is_shown_and_closing_it_waits_for_the_last_answer(
    app, daemon, until, monkeypatch
):
    quits, go = [], threading.Event()
    monkeypatch.setattr(app, "_application", SimpleNamespace(quit=lambda: quits.append(True)))

    def answer(_):
        yield said("One")
        go.wait(60)
        yield said(" two")
        yield end()

    daemon.answer = answer
    assert not app.tray.is_there and app.window.isVisible()
    page = app.window.page("chat")
    until(lambda: page._models)
    talk = page._conversation
    talk.send("Count.")
    until(lambda: talk.tree.path()[-1].text == "One")
    app.window.close()
    until(app._last_work.isActive)
    assert not quits and talk.answering_id
    app.show_window()  # another start brings it back
    until(lambda: not app._last_work.isActive())
    app.window.close()
    until(app._last_work.isActive)
    go.set()
    until(lambda: quits)
    assert talk.tree.path()[-1].text == "One two" and talk.tree.path()[-1].is_whole


def test_settings_of_the_daemon_that_cannot_be_read_do_not_keep_the_window_back(tmp_path):
    paths = find_paths()
    paths.config_file.parent.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text("host = [", encoding="utf-8")
    assert address_in(paths) == DEFAULT_ADDRESS


def test_a_second_app_shows_the_first(application, until):
    first, second = SingleInstance(find_paths()), SingleInstance(find_paths())
    raised = []
    first.raised.connect(lambda: raised.append(True))
    assert first.take()
    assert not second.take()
    until(lambda: raised)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_quits_as_the_menu_does(number):
    with subprocess.Popen(
        [sys.executable, "-c", IDLE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            program.send_signal(number)
            out, _ = program.communicate(timeout=60)
        finally:
            program.kill()
    assert (program.returncode, out) == (0, "kept\n")
