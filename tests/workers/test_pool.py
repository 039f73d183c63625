"""Who is resident: leases, one load for all, keep-alive, eviction, and what breaks."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import aclosing

import psutil
import pytest

from runner.errors import CapacityError, QueueFull, WorkerError
from tests.workers.pieces import ask, first_text, open_pool, until, whole


async def use(pool, wanted, prompt="say 1", *, keep_alive_s=None):
    """Hold a lease for one answer."""
    async with pool.lease(wanted, keep_alive_s) as worker:
        return await whole(worker.generate(ask(prompt)))


def names(pool):
    return [row.info.name.model for row in pool.resident()]


def pid_of(pool):
    (row,) = pool.resident()
    return row.worker.pid


class Holder:
    """A client that is being answered until it is let go."""

    def __init__(self, pool, wanted, *, keep_alive_s=None):
        self.holds, self.over = asyncio.Event(), asyncio.Event()
        self.worker = None
        self.task = asyncio.create_task(self._hold(pool, wanted, keep_alive_s))

    async def _hold(self, pool, wanted, keep_alive_s):
        async with pool.lease(wanted, keep_alive_s) as self.worker:
            self.holds.set()
            await self.over.wait()

    async def end(self):
        self.over.set()
        await self.task


async def holding(pool, wanted, **more):
    holder = Holder(pool, wanted, **more)
    waiting = asyncio.create_task(holder.holds.wait())
    await asyncio.wait({waiting, holder.task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if holder.task.done():
        holder.task.result()
    return holder


def test_many_who_want_a_model_wait_for_one_load(models):
    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            answers = await asyncio.gather(*(use(pool, wanted) for _ in range(6)))
            assert len(answers) == 6
            assert models.heard("a", "load") == ["load 1024"]

    asyncio.run(story())


def test_a_failed_load_is_told_to_all_who_wait_and_tried_again_by_the_next(models):
    models.mark("a", "refuse", "no such tensor")

    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            ends = await asyncio.gather(
                *(use(pool, wanted) for _ in range(3)), return_exceptions=True
            )
            assert [type(end) for end in ends] == [WorkerError] * 3
            assert all("no such tensor" in end.message for end in ends)
            assert len(models.heard("a", "load")) == 1
            assert pool.resident() == []
            models.unmark("a", "refuse")
            assert await use(pool, wanted)
            assert len(models.heard("a", "load")) == 2

    asyncio.run(story())


def test_a_client_that_leaves_during_the_load_breaks_it_for_nobody(models):
    models.mark("a", "wait")

    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            leaving = asyncio.create_task(use(pool, wanted))
            staying = asyncio.create_task(use(pool, wanted))
            await until(lambda: models.heard("a", "load"))
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            models.unmark("a", "wait")
            assert await staying
            assert len(models.heard("a", "load")) == 1

    asyncio.run(story())


def test_a_load_that_everybody_left_goes_on_for_whoever_comes_next(models):
    models.mark("a", "wait")

    async def story():
        async with open_pool() as pool:
            leaving = asyncio.create_task(use(pool, models.wanted()))
            await until(lambda: models.heard("a", "load"))
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            models.unmark("a", "wait")
            await until(lambda: names(pool) == ["a"])
            assert await use(pool, models.wanted())
            assert len(models.heard("a", "load")) == 1

    asyncio.run(story())


def test_a_model_stays_for_its_keep_alive_which_each_use_begins_anew(models):
    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            began = time.time()
            await use(pool, wanted, keep_alive_s=100.0)
            (row,) = pool.resident()
            assert began + 100 <= row.expires_at <= time.time() + 100
            expires_at = row.expires_at
            await use(pool, wanted)  # it does not say how long: as before, from now on
            (row,) = pool.resident()
            assert expires_at < row.expires_at <= time.time() + 100
            await use(pool, wanted, keep_alive_s=0.05)
            await until(lambda: not pool.resident())
            await until(lambda: models.heard("a", "shutdown"))

    asyncio.run(story())


def test_the_time_does_not_run_while_it_answers(models):
    async def story():
        async with open_pool(keep_alive_s=0.05) as pool:
            holder = await holding(pool, models.wanted())
            await use(pool, models.wanted(), keep_alive_s=0.01)
            await asyncio.sleep(0.1)  # the time that must not run
            assert names(pool) == ["a"]
            await holder.end()
            await until(lambda: not pool.resident())

    asyncio.run(story())


def test_keep_alive_zero_unloads_and_for_ever_does_not(models):
    async def story():
        async with open_pool(keep_alive_s=0.0) as pool:
            await use(pool, models.wanted())
            await until(lambda: not pool.resident())
            await use(pool, models.wanted(), keep_alive_s=math.inf)
            (row,) = pool.resident()
            assert row.expires_at == math.inf
            assert len(models.heard("a", "load")) == 2

    asyncio.run(story())


def test_centuries_are_a_keep_alive_too(models):
    async def story():
        async with open_pool() as pool:
            await use(pool, models.wanted(), keep_alive_s=1e12)
            assert names(pool) == ["a"]

    asyncio.run(story())


def test_unloading_waits_for_the_answer_and_the_next_request_loads_anew(models):
    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            holder = await holding(pool, wanted)
            before = pid_of(pool)
            assert await pool.unload("a")
            later = asyncio.create_task(use(pool, wanted))
            replies = await whole(holder.worker.generate(ask("say 3")))
            assert len(replies) == 4
            assert not later.done()
            await holder.end()
            assert await later
            assert pid_of(pool) != before
            assert not psutil.pid_exists(before)

    asyncio.run(story())


def test_unloading_what_is_not_there_says_so(models):
    async def story():
        async with open_pool() as pool:
            assert not await pool.unload("a")
            await use(pool, models.wanted())
            assert await pool.unload("a")
            assert not pool.resident()
            assert not await pool.unload("a")

    asyncio.run(story())


def test_the_least_recently_used_idle_model_makes_room(models):
    async def story():
        async with open_pool(max_resident=2) as pool:
            for name in ("a", "b", "a", "c"):
                await use(pool, models.wanted(name))
            assert sorted(names(pool)) == ["a", "c"]

    asyncio.run(story())


def test_an_answering_model_is_never_evicted_even_if_it_is_the_oldest(models):
    async def story():
        async with open_pool(max_resident=2) as pool:
            holder = await holding(pool, models.wanted("a"))
            await use(pool, models.wanted("b"))
            await use(pool, models.wanted("c"))
            assert sorted(names(pool)) == ["a", "c"]
            await holder.end()

    asyncio.run(story())


def test_when_all_are_answering_the_next_model_waits_for_one_to_end(models):
    async def story():
        async with open_pool(max_resident=1) as pool:
            holder = await holding(pool, models.wanted("a"))
            waiting = [asyncio.create_task(use(pool, models.wanted(n))) for n in ("b", "c", "b")]
            await asyncio.sleep(0)
            assert names(pool) == ["a"]
            await holder.end()
            assert all(await asyncio.gather(*waiting))
            assert len(pool.resident()) == 1

    asyncio.run(story())


def test_no_more_models_are_resident_than_may_be(models):
    async def story():
        async with open_pool(max_resident=2, max_queue=50) as pool:
            most = 0

            async def client(name):
                nonlocal most
                async with pool.lease(models.wanted(name), None) as worker:
                    most = max(most, len(pool._entries))
                    await whole(worker.generate(ask("say 1")))

            await asyncio.gather(*(client(name) for name in "abcabc"))
            assert most <= 2

    asyncio.run(story())


def test_a_larger_context_replaces_the_worker_and_a_smaller_one_is_served(models):
    async def story():
        async with open_pool() as pool:
            await use(pool, models.wanted(n_ctx=1024))
            first = pid_of(pool)
            await use(pool, models.wanted(n_ctx=512))
            assert pid_of(pool) == first
            await use(pool, models.wanted(n_ctx=2048))
            assert pid_of(pool) != first
            await use(pool, models.wanted(n_ctx=1024))
            assert models.heard("a", "load") == ["load 1024", "load 2048"]

    asyncio.run(story())


def test_a_larger_context_waits_until_the_worker_is_idle(models):
    async def story():
        async with open_pool() as pool:
            holder = await holding(pool, models.wanted(n_ctx=1024))
            large = asyncio.create_task(use(pool, models.wanted(n_ctx=2048)))
            await asyncio.sleep(0)
            # The small one that comes meanwhile must not make the model load twice.
            small = asyncio.create_task(use(pool, models.wanted(n_ctx=512)))
            assert len(await whole(holder.worker.generate(ask("say 2")))) == 3
            assert not large.done()
            await holder.end()
            assert await large
            assert await small
            assert models.heard("a", "load") == ["load 1024", "load 2048"]

    asyncio.run(story())


def test_one_load_serves_all_sizes_that_wait_whoever_comes_first(models):
    async def story():
        async with open_pool(max_resident=1) as pool:
            holder = await holding(pool, models.wanted("b"))
            sizes = (512, 2048, 1024)
            waiting = [asyncio.create_task(use(pool, models.wanted(n_ctx=n))) for n in sizes]
            await asyncio.sleep(0)
            await holder.end()
            assert all(await asyncio.gather(*waiting))
            assert models.heard("a", "load") == ["load 2048"]

    asyncio.run(story())


def test_settings_that_a_request_insists_on_replace_the_worker(models):
    async def story():
        async with open_pool() as pool:
            await use(pool, models.wanted())
            await use(pool, models.wanted(n_gpu_layers=2))
            assert len(models.heard("a", "load")) == 2
            await use(pool, models.wanted())  # it does not insist
            assert len(models.heard("a", "load")) == 2

    asyncio.run(story())


def test_too_many_requests_are_refused_and_the_others_answered(models):
    models.mark("a", "wait")

    async def story():
        async with open_pool(n_seq_max=2, max_queue=3) as pool:
            tasks = [asyncio.create_task(use(pool, models.wanted())) for _ in range(7)]
            await until(lambda: models.heard("a", "load"))
            models.unmark("a", "wait")
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [list] * 5 + [QueueFull] * 2
            assert "CORRAL_MAX_QUEUE" in ends[-1].hint
            assert "(3 are waiting)" in ends[-1].message
            assert ends[-1].position == 4
            assert await use(pool, models.wanted())

    asyncio.run(story())


def test_too_many_that_wait_for_room_are_refused(models):
    async def story():
        async with open_pool(max_resident=1, max_queue=2) as pool:
            holder = await holding(pool, models.wanted("b"))
            tasks = [asyncio.create_task(use(pool, models.wanted("a"))) for _ in range(3)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [type(task.exception()) for task in done] == [QueueFull]
            await holder.end()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [list, list, QueueFull]

    asyncio.run(story())


def test_a_crash_fails_all_who_wait_and_the_next_lease_loads_anew(models):
    async def story():
        async with open_pool() as pool:
            wanted = models.wanted()
            await use(pool, wanted)
            before = pid_of(pool)
            tasks = [asyncio.create_task(use(pool, wanted, "hang")) for _ in range(3)]
            await until(lambda: len(models.heard("a", "generate")) == 4)
            psutil.Process(before).kill()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [WorkerError] * 3
            assert await use(pool, wanted)  # at once: nobody is sent to the dead process
            assert pid_of(pool) != before

    asyncio.run(story())


def test_closing_ends_loads_answers_and_processes(models):
    models.mark("b", "wait")

    async def story():
        before = set(psutil.Process().children())
        async with open_pool() as pool:
            answering = asyncio.create_task(use(pool, models.wanted("a"), "on"))
            loading = asyncio.create_task(use(pool, models.wanted("b")))
            await until(lambda: models.heard("a", "generate") and models.heard("b", "load"))
            await pool.close()
            ends = await asyncio.gather(answering, loading, return_exceptions=True)
            assert [type(end) for end in ends] == [CapacityError] * 2
            assert ends[0].message == "the daemon is shutting down"
            with pytest.raises(CapacityError):
                await use(pool, models.wanted("a"))
            assert pool.resident() == []
        assert set(psutil.Process().children()) <= before

    asyncio.run(story())


def test_closing_lets_an_answer_end_within_the_grace_time(models):
    async def story():
        async with open_pool() as pool:
            holder = await holding(pool, models.wanted())
            closing = asyncio.create_task(pool.close(grace_s=1000.0))
            replies = await whole(holder.worker.generate(ask("say 3")))
            assert len(replies) == 4
            with pytest.raises(CapacityError):
                await use(pool, models.wanted())
            await holder.end()
            await closing  # long before the time of grace is over

    asyncio.run(story())


def test_closing_refuses_those_who_still_wait_for_room(models):
    async def story():
        async with open_pool(max_resident=1) as pool:
            holder = await holding(pool, models.wanted("a"))
            waiting = asyncio.create_task(use(pool, models.wanted("b")))
            await asyncio.sleep(0)
            closing = asyncio.create_task(pool.close(grace_s=1000.0))
            with pytest.raises(CapacityError, match="shutting down"):
                await waiting
            await holder.end()
            await closing

    asyncio.run(story())


def test_a_lease_that_is_left_early_aborts_its_answer(models):
    async def story():
        async with open_pool() as pool:

            async def leave():
                async with pool.lease(models.wanted(), None) as worker:
                    replies = worker.generate(ask("on"))
                    await first_text(replies)
                    await replies.aclose()

            await leave()
            await until(lambda: models.heard("a", "abort"))
            (row,) = pool.resident()
            assert row.n_active == 0

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_clients_do_everyone_ends_and_nothing_is_left(models, seed):
    """Clients of three models come, leave, insist and crash in any order; two places for them."""
    dice = random.Random(seed)

    async def client(pool):
        wanted = models.wanted(dice.choice("abc"), n_ctx=dice.choice([256, 512, 1024]))
        prompt = dice.choice(["say 1", "say 9", "say 30", "on", "hang"])
        if dice.random() < 0.03:
            prompt = "die"
        keep_alive_s = dice.choice([None, 0.0, 0.01, math.inf])
        patience_s = dice.choice([0.01, 0.2, 0.5]) if prompt in ("on", "hang") else 30.0
        try:
            async with asyncio.timeout(patience_s):
                async with (
                    pool.lease(wanted, keep_alive_s) as worker,
                    aclosing(worker.generate(ask(prompt))) as replies,
                ):
                    return await whole(replies)
        except (TimeoutError, WorkerError, CapacityError) as error:
            return error

    async def story():
        before = set(psutil.Process().children())
        async with open_pool(max_resident=2, max_queue=100) as pool:
            tasks = []
            for _ in range(40):
                tasks.append(asyncio.create_task(client(pool)))
                if dice.random() < 0.1:
                    tasks.append(asyncio.create_task(pool.unload(dice.choice("abc"))))
                if dice.random() < 0.2:
                    await asyncio.sleep(0.02)
            ends = await asyncio.wait_for(asyncio.gather(*tasks), 60)
            assert any(isinstance(end, list) for end in ends)
            assert all(row.n_active == 0 for row in pool.resident())
            assert len(await use(pool, models.wanted("a"))) == 2
        assert set(psutil.Process().children()) <= before

    asyncio.run(story())
