"""The daemon, from the app's side."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gui.link import Link, Phase, State
from runner.client import launch
from runner.config import Address
from runner.domain.event import Finished, TextDelta
from runner.errors import DaemonError, InvalidRequest
from runner.paths import find_paths
from tests.gui.scripted import MODEL, RUNNING, end, said

NOTHING = launch.Kind.NOTHING

ROOT = Path(__file__).parents[2]
#: A program whose call waits for what never comes.
WAITS = """
import threading
from PySide6.QtCore import QCoreApplication
from gui.link import Link
from gui.singletons import make_lasting
from runner.config import Address
from runner.paths import find_paths

make_lasting()
application = QCoreApplication([])
link = Link(find_paths(), Address("127.0.0.1", 9), starts=False)
begun = threading.Event()
link.call(lambda _: (begun.set(), threading.Event().wait()))
begun.wait(60)
link.close()
print("under way")
"""


def test_a_call_comes_back_on_the_asking_thread(link, until):
    told = []
    link.call(lambda c: c.list_models(), lambda v: told.append((v, threading.current_thread())))
    until(lambda: told)
    [(models, thread)] = told
    assert [str(model.name) for model in models] == [MODEL]
    assert thread is threading.main_thread()


def test_a_stream_comes_in_order_and_ends_once(link, daemon, until):
    words = [str(n) for n in range(500)]
    daemon.answer = lambda _: iter([*map(said, words), end()])
    events, ends = [], []
    link.stream(
        lambda client: client.chat(MODEL, []),
        events.extend,
        lambda: ends.append("done"),
        lambda error: ends.append(error),
    )
    until(lambda: ends)
    assert [e.text for e in events if isinstance(e, TextDelta)] == words
    assert isinstance(events[-1], Finished)
    assert ends == ["done"]


def test_a_cancelled_stream_calls_nobody_back(link, daemon, until):
    def answer(_):
        while not daemon.left.is_set():
            yield said("x")

    daemon.answer = answer
    events, ends = [], []
    task = link.stream(
        lambda client: client.chat(MODEL, []),
        events.extend,
        lambda: ends.append("done"),
        lambda error: ends.append(error),
    )
    until(lambda: events)
    task.cancel()
    n_events = len(events)
    until(daemon.left.is_set)
    assert (len(events), ends) == (n_events, [])


def test_closing_ends_answers_that_have_no_end(link, daemon, until):
    def answer(_):
        while not daemon.left.is_set():
            yield said("x")

    daemon.answer = answer
    events, ends = [], []
    link.stream(
        lambda client: client.chat(MODEL, []),
        events.extend,
        lambda: ends.append("done"),
        ends.append,
    )
    until(lambda: events)
    link.close()
    until(lambda: link.is_quiet and daemon.left.is_set())
    assert not ends


def test_the_process_ends_while_a_call_waits(tmp_path):
    """Whatever a call waits for, quitting does not."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS], cwd=ROOT, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "under way\n"), done.stderr


def test_an_error_in_a_stream_follows_what_arrived(link, daemon, until):
    daemon.answer = lambda _: iter([said("a"), {"error": "broke", "code": "worker_failed"}])
    events, ends = [], []
    link.stream(
        lambda client: client.chat(MODEL, []),
        events.extend,
        lambda: ends.append("done"),
        ends.append,
    )
    until(lambda: ends)
    assert [event.text for event in events] == ["a"]
    assert ends[0].code == "worker_failed"


def test_a_mistake_of_ours_is_told_and_not_lost(link, until):
    told = []
    link.call(lambda _: 1 / 0, failed=told.append)
    until(lambda: told)
    assert "division" in told[0].message


def test_a_daemon_that_goes_and_comes_is_noticed(application, daemon, until):
    link = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    link.watch()
    until(lambda: link.state.phase is Phase.UP)
    daemon.is_loaded = True
    link.look()
    until(lambda: link.state.running)
    link.close()


def test_who_asks_a_daemon_that_starts_waits_for_it(application, until):
    """Nobody has to press a button twice because the daemon takes its time."""
    link, done = Link(find_paths(), Address("127.0.0.1", 9), starts=False), []
    link._watcher = threading.Thread()  # as if it looked; it says what the test has it say
    link._say(State(Phase.STARTING))
    link.call(lambda _: link.settle(), done.append)
    until(lambda: link.state.phase is Phase.STARTING)
    assert not done and not link.is_quiet
    link._say(State(Phase.DOWN))
    until(lambda: done)


def test_a_link_that_nobody_watches_holds_nobody_up(application, until):
    link, done = Link(find_paths(), Address("127.0.0.1", 9), starts=False), []
    link.call(lambda _: link.settle(), done.append)
    until(lambda: done)


def test_a_daemon_that_shall_answer_elsewhere_is_found_there(application, daemon, until):
    nowhere, there = Address("127.0.0.1", 9), Address("127.0.0.1", daemon.port)
    link = Link(find_paths(), nowhere, starts=False, finds=lambda: there)
    link.watch()
    until(lambda: link.state.phase is Phase.UP)
    assert link.address == there
    link.close()


def test_settings_that_cannot_be_read_are_told_as_the_reason(application, until):
    def finds():
        raise InvalidRequest("config.toml: no such thing")

    link = Link(find_paths(), Address("127.0.0.1", 9), starts=False, finds=finds)
    link.watch()
    until(lambda: link.state.phase is Phase.DOWN)
    assert "no such thing" in link.state.error.message
    link.close()


def test_a_daemon_that_lets_others_in_is_still_this_machines(application):
    assert Link(find_paths(), Address("0.0.0.0", 11434)).is_local
    assert not Link(find_paths(), Address("192.0.2.1", 11434)).is_local


def test_a_daemon_that_tells_is_not_asked_again(application, daemon, until):
    daemon.tells = True
    link = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    told = []
    link.told.connect(told.append)
    link.watch()
    daemon.events.put(("snapshot", {"jobs": [], "worker": {"models": []}}))
    until(lambda: told)
    daemon.events.put(("worker", {"models": [RUNNING]}))
    until(lambda: link.state.running)
    assert [str(model.info.name) for model in link.state.running] == [MODEL]
    daemon.events.put(("job", {"id": 1}))
    until(lambda: len(told) == 3)
    assert [change.kind for change in told] == ["snapshot", "worker", "job"]
    daemon.is_loaded = False
    daemon.events.put(None)  # it ends: the app looks anew
    until(lambda: not link.state.running)
    link.close()


def test_what_a_daemon_tells_and_nobody_understands_is_no_fault(application, daemon, until):
    daemon.tells = True
    link = Link(find_paths(), Address("127.0.0.1", daemon.port), starts=False)
    link.watch()
    daemon.events.put(("worker", {"models": 5}))
    until(lambda: link.state.phase is Phase.UP)
    link.close()


def test_a_paused_daemon_is_stopped_and_not_started_until_it_is_resumed(
    application, daemon, until, monkeypatch
):
    monkeypatch.setattr(launch, "wait_until_gone", lambda *_, **__: daemon.close())
    started = []
    monkeypatch.setattr(launch, "start", lambda *_: started.append(1) or launch.Found(NOTHING))
    link = Link(find_paths(), Address("127.0.0.1", daemon.port))
    link.watch()
    until(lambda: link.state.phase is Phase.UP)
    link.pause(lambda error: pytest.fail(error.message))
    until(lambda: link.state.phase is Phase.DOWN)
    assert link.is_paused and not started
    assert "paused" in link.state.error.message
    link.resume()
    until(lambda: started)
    link.close()


def test_a_daemon_that_systemd_starts_again_cannot_be_paused_and_this_is_said(
    application, daemon, until, monkeypatch
):
    monkeypatch.setattr(launch, "stop", lambda *_: True)
    link = Link(find_paths(), Address("127.0.0.1", daemon.port))
    link.watch()
    until(lambda: link.state.phase is Phase.UP)
    failed = []
    link.pause(failed.append)
    until(lambda: failed)
    assert "systemctl --user stop corral.socket" in failed[0].hint
    assert not link.is_paused
    link.close()


def test_nothing_at_the_address_is_told_in_words(application, until):
    link = Link(find_paths(), Address("127.0.0.1", 9), starts=False)
    link.watch()
    until(lambda: link.state.phase is Phase.DOWN)
    assert isinstance(link.state.error, DaemonError)
    assert "corral serve" in link.state.error.hint
    link.close()


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """A mistake is logged with its trace; that is not this test's news."""
    caplog.set_level("CRITICAL", logger="gui.link")


def test_a_port_that_another_program_has_is_left_for_the_next_free_one(
    link, daemon, until, monkeypatch
):
    monkeypatch.setenv("CORRAL_HOST", "as it was")  # put back at the end
    link.move()
    until(lambda: link.address.port > daemon.port)
    assert os.environ["CORRAL_HOST"] == str(link.address)
    until(lambda: link.state.phase is Phase.DOWN)
