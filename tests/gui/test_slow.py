"""A daemon that stands still is told apart from one whose answer takes its time."""

from __future__ import annotations

import socket
import threading

import pytest

from gui import slow
from gui.link import Link, Phase, State
from gui.slow import SlowWatch
from gui.views.main_window import status_text
from runner.config import Address
from runner.paths import find_paths
from tests.gui.scripted import end, said


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nobody needs to wait for what comes by time alone."""
    for name, value in {"_PATIENCE_MS": 1, "_OFTEN_MS": 1, "_SLOW_MS": 1, "_WELL_S": 0.05}.items():
        monkeypatch.setattr(slow, name, value)


@pytest.fixture
def silent(application, until):
    """A link to what takes connections and says nothing, thought to be up; and a watch beside."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = Link(find_paths(), Address("127.0.0.1", server.getsockname()[1]), starts=False)
        link.state = State(Phase.UP, "0")
        watch = SlowWatch(link, link)
        yield link, watch
    link.close()
    until(lambda: link.is_quiet and not watch._is_trying)
    watch._timer.stop()


def test_a_daemon_that_stands_still_is_slow_until_nothing_is_asked_of_it(silent, until):
    link, watch = silent
    assert not watch.is_slow and not watch._timer.isActive()  # nobody asks: nobody looks
    go = threading.Event()
    link.call(lambda _: go.wait(60))
    until(lambda: watch.is_slow)
    assert status_text(link.state, is_slow=True) == "The daemon takes long to answer…"
    go.set()
    until(lambda: not watch.is_slow)
    until(lambda: not watch._timer.isActive() and not watch._is_trying)


def test_what_is_down_is_not_slow(silent, until):
    link, watch = silent
    go = threading.Event()
    link.call(lambda _: go.wait(60))
    until(lambda: watch.is_slow)
    link.state = State(Phase.DOWN)
    link.changed.emit(link.state)
    assert not watch.is_slow
    go.set()
    until(lambda: not watch._timer.isActive() and not watch._is_trying)


def test_an_answer_that_takes_its_time_is_no_slow_daemon(link, daemon, until, monkeypatch):
    monkeypatch.setattr(slow, "_WELL_S", 20.0)
    watch, told = SlowWatch(link, link), []
    watch.changed.connect(lambda: told.append(watch.is_slow))
    go = threading.Event()

    def answer(_):
        go.wait(60)
        yield said("At last")
        yield end()

    daemon.answer = answer
    tried = []
    watch._tried.connect(tried.append)
    ended = []
    link.stream(
        lambda client: client.chat("tiny", []),
        lambda _: None,
        lambda: ended.append(1),
        ended.append,
    )
    until(lambda: len(tried) >= 3)
    go.set()
    until(lambda: ended)
    until(lambda: not watch._timer.isActive() and not watch._is_trying)
    assert told == []
