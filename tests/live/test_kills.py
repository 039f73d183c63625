"""``kill -9``, of a worker and of the daemon, in the middle of answers."""

from __future__ import annotations

import time
from contextlib import ExitStack

import psutil
import pytest

from runner.domain.name import ModelName
from runner.store.library import Library
from tests.live.talk import PATHS, answers_well, error_of, question, started
from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live


def is_running(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_killed_worker_costs_its_answers_only(own_daemon):
    """Every client hears of it within a second, in its own dialect; the next one is served."""
    dialects = ["ollama", "openai"] * 2
    with ExitStack() as stack:
        answers = [
            (dialect, stack.enter_context(own_daemon.stream(PATHS[dialect], question(dialect))))
            for dialect in dialects
        ]
        for dialect, answer in answers:
            started(dialect, answer)
        worker = own_daemon.running("tiny")["pid"]
        began = time.monotonic()
        psutil.Process(worker).kill()
        ends = [(dialect, answer.rest()) for dialect, answer in answers]
        assert time.monotonic() - began < 20  # a second, where the machine has nothing else to do
    for dialect, lines in ends:
        error = error_of(dialect, lines)
        assert error["code"] == "worker_failed"
        assert "signal 9" in error["message"]
        assert "tiny" in error["message"]
        assert "with less" in error["hint"]
    answers_well(own_daemon)
    row = own_daemon.running("tiny")
    assert row["pid"] != worker
    assert "since its process died (signal 9)" in row["note"]


def test_a_killed_worker_fails_an_answer_that_was_wanted_whole(own_daemon):
    answers_well(own_daemon)
    n_before = own_daemon.running("tiny")["n_tokens"]
    connection = own_daemon.send("POST", "/api/chat", question("ollama", stream=False))
    # One of which no text has come would be asked again, of the next process.
    wait_for(lambda: own_daemon.running("tiny")["n_tokens"] > n_before + 200, "the answer to begin")
    psutil.Process(own_daemon.running("tiny")["pid"]).kill()
    response = connection.getresponse()
    assert response.status == 500
    assert b'"code":"worker_failed"' in response.read()
    connection.close()
    answers_well(own_daemon)


def test_a_killed_daemon_takes_its_workers_along_and_damages_nothing(tmp_path, tiny):
    daemon = RealDaemon(tmp_path / "home").start()
    daemon.take_in(tiny, "tiny")
    with daemon.stream("/api/chat", question("ollama")) as answer:
        started("ollama", answer)
        worker = daemon.running("tiny")["pid"]
        daemon.process.kill()
        daemon.process.wait()
        wait_for(lambda: not is_running(worker), "the worker to end by itself")
    with RealDaemon(tmp_path / "home") as again:
        answers_well(again)
    library = Library(tmp_path / "home" / "models")
    assert library.broken() == []
    assert [step.phase for step in library.verify(ModelName.parse("tiny"))]


def test_a_daemon_killed_during_an_import_has_the_model_whole_or_not_at_all(tmp_path, tiny):
    big = tmp_path / "big.gguf"
    big.write_bytes(tiny.read_bytes() + bytes(200_000_000))  # bytes after the last tensor
    daemon = RealDaemon(tmp_path / "home").start()
    connection = daemon.send("POST", "/api/pull", {"path": str(big), "model": "big"}, owner=True)
    blobs = tmp_path / "home" / "models"
    wait_for(lambda: any(f.stat().st_size > 1e6 for f in blobs.rglob("*") if f.is_file()), "bytes")
    daemon.process.kill()
    daemon.process.wait()
    connection.close()
    with RealDaemon(tmp_path / "home") as again:
        names = [row["name"] for row in again.ask("GET", "/api/tags").json["models"]]
        for name in names:
            answers_well(again, name)
        left = sum(f.stat().st_size for f in blobs.rglob("*") if f.is_file())
        assert names or left < 1e6  # what was begun is gone
        again.take_in(tiny, "tiny")
        answers_well(again)
    assert Library(blobs).broken() == []
