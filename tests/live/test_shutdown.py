"""The end of a daemon that is answering: a time of grace, then a proper end for everyone."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.fakes.hub import FakeHub
from tests.live.talk import PATHS, ask, error_of, question, started
from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live


def test_a_signal_lets_a_short_answer_end_and_gives_a_long_one_an_error(own_daemon):
    ask(own_daemon, "ollama", stream=False, n_most=1)
    worker = own_daemon.running("tiny")["pid"]
    with (
        own_daemon.stream("/api/chat", question("ollama")) as endless,
        own_daemon.stream(PATHS["openai"], question("openai")) as other,
        own_daemon.stream("/api/chat", question("ollama", n_most=300)) as short,
    ):
        for dialect, answer in (("ollama", endless), ("openai", other), ("ollama", short)):
            started(dialect, answer)
        own_daemon.process.terminate()
        assert b'"done":true' in short.rest()[-1]
        # Meanwhile nobody new is let in, and is told why.
        late = ask(own_daemon, "openai", n_most=1)
        assert late.status == 503
        assert late.json["error"]["message"] == "the daemon is shutting down"
        assert late.headers["Retry-After"]
        for dialect, answer in (("ollama", endless), ("openai", other)):
            error = error_of(dialect, answer.rest())
            assert error["code"] == "busy"
            assert error["message"] == "the daemon is shutting down"
        assert own_daemon.process.wait(60) == 0
    assert not psutil.pid_exists(worker)
    assert "Traceback" not in own_daemon.log
    assert not own_daemon.file.exists()


def test_a_second_signal_ends_it_at_once(own_daemon):
    with own_daemon.stream("/api/chat", question("ollama")) as answer:
        started("ollama", answer)
        worker = own_daemon.running("tiny")["pid"]
        own_daemon.process.send_signal(signal.SIGINT)
        assert own_daemon.ask("GET", "/health").status == 200
        own_daemon.process.send_signal(signal.SIGINT)
        assert own_daemon.process.wait(60) == 130  # an end in order has 0
        psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], 60)
        assert not psutil.pid_exists(worker)


def test_ctrl_c_lets_an_answer_end(own_daemon):
    with own_daemon.stream(PATHS["openai"], question("openai", n_most=200)) as answer:
        started("openai", answer)
        own_daemon.process.send_signal(signal.SIGINT)
        assert answer.rest()[-1] == b"data: [DONE]"
    assert own_daemon.process.wait(60) == 0


def test_the_owners_shutdown_is_as_orderly_as_a_signal(own_daemon):
    with own_daemon.stream("/api/chat", question("ollama", n_most=200)) as answer:
        started("ollama", answer)
        assert own_daemon.ask("POST", "/api/shutdown", owner=True).status == 200
        assert b'"done":true' in answer.rest()[-1]
    assert own_daemon.process.wait(60) == 0


def test_a_hub_that_does_not_answer_holds_no_daemon(tmp_path):
    with FakeHub() as hub:
        hub.add("own/slow-GGUF", {"slow-Q4_K_M.gguf": b"GGUF" * 64}, fault="slow")
        with RealDaemon(tmp_path / "home", **hub.environ()) as daemon:
            job = daemon.ask("POST", "/api/jobs", {"kind": "pull", "model": "hf.co/own/slow-GGUF"})
            assert job.status < 300, job.body
            wait_for(lambda: hub.requests, "a question to the hub")
            # Its client would wait longer than this for the answer, which never comes.
            assert daemon.stop(12) == 0
            assert not daemon.file.exists()
            daemon.start()
