"""A worker that stands still: deadlines hold, and it goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from runner.domain.request import Terms
from runner.errors import DeadlineExceeded
from runner.protocol.messages import Embed
from runner.workers import channel
from runner.workers.process import new_request_id
from tests.workers.pieces import ask, started, until, whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP to send")

SOON = Terms(deadline_s=0.05)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    """The worker has little time to say by itself that a deadline has passed."""
    monkeypatch.setattr(channel, "_LATE_S", 0.1)


@contextmanager
def standing_still(worker):
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def embed(*texts, **more):
    return Embed(new_request_id(), texts, **more)


def test_an_answer_ends_at_its_deadline(models):
    async def story():
        async with started(models) as worker:
            with standing_still(worker):
                with pytest.raises(DeadlineExceeded, match="says nothing"):
                    await whole(worker.generate(replace(ask("on"), terms=SOON)))
                assert worker.channel.n_active == 0
            await until(lambda: models.heard("a", "abort"))
            assert len(await whole(worker.generate(ask("say 2")))) == 3

    asyncio.run(story())


def test_a_request_for_vectors_ends_at_its_deadline(models):
    async def story():
        async with started(models) as worker:
            with standing_still(worker), pytest.raises(DeadlineExceeded, match="says nothing"):
                await worker.embed(embed("one", terms=SOON))
            await until(lambda: models.heard("a", "abort"))
            assert (await worker.embed(embed("two"))).n_tokens == (3,)

    asyncio.run(story())


def test_an_answer_that_came_in_time_is_heard_though_it_is_read_late(models):
    async def story():
        async with started(models) as worker:
            replies = worker.generate(replace(ask("say 3"), terms=Terms(deadline_s=30.0)))
            first = await anext(replies)
            await until(lambda: worker.channel.n_tokens == 3)
            with pytest.MonkeyPatch.context() as patch:
                loop, later = asyncio.get_running_loop(), asyncio.get_running_loop().time() + 60
                patch.setattr(loop, "time", lambda: later)
                assert len([first, *await whole(replies)]) == 4

    asyncio.run(story())
