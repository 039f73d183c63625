"""Models that end while others come and leave: nobody gets one, and nothing of one stays."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from runner.workers import process
from tests.workers.pieces import ask, open_pool, until, whole


async def use(pool, wanted):
    """Hold a lease for one answer."""
    async with pool.lease(wanted, None) as worker:
        return await whole(worker.generate(ask("say 1")))


def pid_of(pool):
    (row,) = pool.resident()
    return row.worker.pid


@pytest.fixture
def hurried(monkeypatch):
    """Processes have little time to end by themselves."""
    monkeypatch.setattr(process, "_STOP_GRACE_S", 0.2)


async def leave(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_model_that_makes_room_is_given_to_nobody_any_more(models):
    """Both clients come in the same moment: the one who wants it back waits for its turn."""

    async def story():
        async with open_pool(max_resident=1) as pool:
            await use(pool, models.wanted("a"))
            answers = await asyncio.gather(
                use(pool, models.wanted("b")), use(pool, models.wanted("a"))
            )
            assert all(answers)
            assert len(models.heard("a", "load")) == 2

    asyncio.run(story())


def test_a_model_that_makes_room_ends_though_who_wanted_the_room_has_left(models, hurried):
    async def story():
        async with open_pool(max_resident=1) as pool:
            await use(pool, models.wanted("a"))
            models.mark("a", "stubborn")
            before = pid_of(pool)
            leaving = asyncio.create_task(use(pool, models.wanted("b")))
            await until(lambda: models.heard("a", "shutdown"))
            await leave(leaving)
            await until(lambda: not psutil.pid_exists(before))
            models.unmark("a", "stubborn")
            async with asyncio.timeout(60):
                assert await use(pool, models.wanted("a"))

    asyncio.run(story())


def test_a_model_is_unloaded_though_who_asked_for_that_has_left(models, hurried):
    async def story():
        async with open_pool() as pool:
            await use(pool, models.wanted())
            models.mark("a", "stubborn")
            before = pid_of(pool)
            leaving = asyncio.create_task(pool.unload("a"))
            await until(lambda: models.heard("a", "shutdown"))
            await leave(leaving)
            await until(lambda: not psutil.pid_exists(before))
            await until(lambda: not pool.resident())

    asyncio.run(story())


def test_a_load_that_is_broken_off_twice_leaves_no_process(models):
    """The second time, nobody waits any more for it to end by itself."""
    models.mark("a", "wait")
    models.mark("a", "stubborn")

    async def story():
        async with open_pool() as pool:
            waiting = asyncio.create_task(use(pool, models.wanted()))
            await until(lambda: models.heard("a", "load"))
            log = (models.folder / "a.log").read_text()
            assert pool.cancel("a")
            await until(lambda: models.heard("a", "shutdown"))
            pool.cancel("a")
            await asyncio.gather(waiting, return_exceptions=True)
            await until(lambda: not psutil.pid_exists(int(log.split()[0])), 2.0)

    asyncio.run(story())
