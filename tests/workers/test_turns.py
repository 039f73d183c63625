"""Room for models is given in the order in which it was asked for, and nobody keeps it for ever."""

from __future__ import annotations

import asyncio

from tests.workers.pieces import ask, open_pool, until, whole
from tests.workers.test_pool import Holder, holding


def test_a_model_that_never_pauses_makes_way_for_one_that_waits(models):
    """Its answers are whole, and who asks it next waits in turn."""

    async def story():
        async with open_pool(max_resident=1, patience_s=0.0) as pool:
            turns = []

            async def keep_busy(lasts):
                # Asked again in the same moment: there is none without a lease.
                while "b" not in turns or turns[-1] == "b":
                    async with pool.lease(models.wanted("a"), None) as worker:
                        replies = await whole(worker.generate(ask("say 2")))
                        assert replies[-1].finish is not None
                        turns.append("a")
                        lasts.set()

            async with asyncio.timeout(60.0):
                begun = asyncio.Event()
                busy = asyncio.create_task(keep_busy(begun))
                await begun.wait()
                async with pool.lease(models.wanted("b"), None):
                    turns.append("b")
                await busy
            assert turns[0] == turns[-1] == "a"
            assert pool.n_evictions >= 2, "each made way for the other"

    asyncio.run(story())


def test_the_room_that_one_makes_is_not_taken_by_who_came_later(models):
    async def story():
        async with open_pool(max_resident=1) as pool:
            turns = []

            async def ask_for(name):
                async with pool.lease(models.wanted(name), None):
                    turns.append(name)

            first = await holding(pool, models.wanted("a"))
            second = asyncio.create_task(ask_for("b"))
            await until(lambda: pool.n_waiting_for("b") == 1)
            await first.end()
            third = asyncio.create_task(ask_for("a"))
            await asyncio.gather(second, third)
            assert turns == ["b", "a"]

    asyncio.run(story())


def test_one_that_waits_a_moment_disturbs_nobody(models):
    async def story():
        async with open_pool(max_resident=1, patience_s=60.0) as pool:
            first = Holder(pool, models.wanted("a"))
            await first.holds.wait()
            waiting = Holder(pool, models.wanted("b"))
            await until(lambda: pool.n_waiting_for("b") == 1)
            async with pool.lease(models.wanted("a"), None) as worker:
                assert worker is first.worker
            waiting.task.cancel()
            first.over.set()
            await asyncio.gather(first.task, waiting.task, return_exceptions=True)

    asyncio.run(story())
