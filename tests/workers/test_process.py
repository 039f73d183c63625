"""One worker process from start to end, whatever it does."""

from __future__ import annotations

import asyncio
import signal
import sys

import psutil
import pytest

from runner.errors import WorkerError
from runner.workers import process
from runner.workers.process import Worker, last_error, new_request_id
from tests.fakes.worker import COMMAND
from tests.workers.pieces import ask, first_text, load_of, started, until, whole


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_ready_worker_says_what_it_loaded_and_what_it_holds(models):
    async def story():
        async with started(models) as worker:
            assert worker.loaded.n_ctx == 1024
            assert worker.n_resident() > 1_000_000
            assert is_running(worker.pid)
        assert not is_running(worker.pid)
        assert worker.n_resident() == 0
        assert models.heard("a", "shutdown")

    asyncio.run(story())


def test_stopping_twice_at_once_stops_once(models):
    async def story():
        gone = []
        async with started(models, on_exit=lambda: gone.append(1)) as worker:
            await asyncio.gather(worker.stop(), worker.stop())
            await worker.stop()
        assert gone == [1]

    asyncio.run(story())


def test_a_worker_that_will_not_end_is_killed(models, monkeypatch):
    monkeypatch.setattr(process, "_STOP_GRACE_S", 0.2)
    models.mark("a", "stubborn")

    async def story():
        async with started(models) as worker:
            await worker.stop()
            assert worker.channel.exited.result() == -signal.SIGKILL
            assert not worker.channel.is_crash, "that was us"
            assert not is_running(worker.pid)

    asyncio.run(story())


def test_a_refusal_to_load_carries_the_engines_own_reason(models):
    models.mark("a", "refuse", "error loading model: missing tensor 'blk.0.ffn_up.weight'")

    async def story():
        with pytest.raises(WorkerError) as caught:
            async with started(models):
                pass
        assert caught.value.message == (
            "could not load the model: error loading model: missing tensor 'blk.0.ffn_up.weight'"
        )

    asyncio.run(story())


@pytest.mark.parametrize(("mark", "said"), [("die", "exit code 3"), ("garbage", "signal 9")])
def test_a_worker_that_breaks_during_its_load_is_an_error(models, mark, said):
    models.mark("a", mark)

    async def story():
        with pytest.raises(WorkerError, match=said):
            async with started(models):
                pass

    asyncio.run(story())


def test_a_load_that_takes_too_long_is_given_up(models):
    models.mark("a", "wait")

    async def story():
        children = set(psutil.Process().children())
        with pytest.raises(WorkerError, match=r"longer than 0\.3 seconds") as caught:
            async with started(models, timeout_s=0.3):
                pass
        assert "CORRAL_LOAD_TIMEOUT" in caught.value.hint
        assert set(psutil.Process().children()) <= children

    asyncio.run(story())


def test_a_command_that_is_not_there_is_an_error(models):
    async def story():
        with pytest.raises(WorkerError, match="cannot start a process for a"):
            async with started(models, command=["/nowhere/corral"]):
                pass

    asyncio.run(story())


def test_a_start_that_is_cancelled_leaves_no_process(models):
    models.mark("a", "wait")

    async def story():
        before = set(psutil.Process().children())
        load = load_of(models.wanted())
        task = asyncio.create_task(
            Worker.start("a", COMMAND, load, timeout_s=30, on_exit=lambda: None)
        )
        await until(lambda: models.heard("a", "load"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(psutil.Process().children()) <= before

    asyncio.run(story())


def test_ctrl_c_in_the_terminal_is_not_for_workers(models):
    """They stand in a session of their own, so the terminal's signals pass them by."""
    if sys.platform == "win32":
        pytest.skip("there are no sessions")
    import os

    async def story():
        async with started(models) as worker:
            assert os.getsid(worker.pid) != os.getsid(0)

    asyncio.run(story())


def test_a_killed_worker_fails_its_streams_at_once(models):
    async def story():
        async with started(models) as worker:
            replies = worker.generate(ask("on"))
            await first_text(replies)
            psutil.Process(worker.pid).kill()
            with pytest.raises(WorkerError, match="signal 9") as told:
                await whole(replies)
            assert worker.channel.is_crash
            assert "with less" in told.value.hint

    asyncio.run(story())


def test_no_two_requests_have_the_same_id():
    ids = [new_request_id() for _ in range(1000)]
    assert len(set(ids)) == 1000


def test_the_first_complaint_of_llama_cpp_is_the_reason():
    log = [
        "2026-01-02T03:04:05.678Z WARNING engine.llama.library llama.cpp: odd",
        "2026-01-02T03:04:05.678Z ERROR engine.llama.library llama.cpp: no such tensor",
        "2026-01-02T03:04:05.678Z ERROR engine.llama.library llama.cpp: failed to load",
    ]
    assert last_error(log) == "no such tensor"
    assert last_error(log[:1]) == last_error([]) == ""
