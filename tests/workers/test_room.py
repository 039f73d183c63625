"""Models that fit or not, that are pinned, watched, broken off, and loaded with less."""

from __future__ import annotations

import asyncio
import itertools
import signal
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from runner.domain.loading import LoadStage
from runner.errors import Cancelled, NotEnoughMemory, WorkerError
from runner.service.loads import moments
from runner.workers import channel, lessons, loader
from runner.workers.pool import Pool
from tests.workers.pieces import SETTINGS, ask, open_pool, until, whole
from tests.workers.test_pool import holding, names, pid_of, use

MIB = 1 << 20


def sized(models, name, n_bytes, **more):
    return replace(models.wanted(name, **more), n_bytes=n_bytes)


def test_a_model_that_never_fits_is_refused_before_it_is_loaded(models):
    async def story():
        async with open_pool(n_memory_max=100 * MIB) as pool:
            with pytest.raises(NotEnoughMemory, match="needs 210 MB of memory, and 105 MB can"):
                await use(pool, sized(models, "a", 200 * MIB))
            assert models.heard("a", "load") == []
            assert await use(pool, sized(models, "a", 50 * MIB))

    asyncio.run(story())


def test_what_is_free_now_counts_too(models):
    async def story():
        pool = Pool(SETTINGS, lambda: 10 * MIB)
        try:
            with pytest.raises(NotEnoughMemory):
                await use(pool, sized(models, "a", 1 << 40))
            assert models.heard("a", "load") == []
        finally:
            await pool.close()

    asyncio.run(story())


def test_idle_models_make_room_by_their_size(models):
    """Both small ones have their place beside each other, not beside the large one."""

    async def story():
        async with open_pool(max_resident=5, n_memory_max=100 * MIB) as pool:
            await use(pool, sized(models, "a", 30 * MIB))
            await use(pool, sized(models, "b", 30 * MIB))
            assert sorted(names(pool)) == ["a", "b"]
            await use(pool, sized(models, "c", 90 * MIB))
            assert names(pool) == ["c"]

    asyncio.run(story())


def test_a_busy_model_is_waited_for_and_not_thrown_out(models):
    async def story():
        async with open_pool(max_resident=5, n_memory_max=100 * MIB) as pool:
            holder = await holding(pool, sized(models, "a", 60 * MIB))
            waiting = asyncio.create_task(use(pool, sized(models, "b", 60 * MIB)))
            await asyncio.sleep(0)
            assert names(pool) == ["a"]
            await holder.end()
            assert await waiting
            assert names(pool) == ["b"]

    asyncio.run(story())


def test_a_pinned_model_stays_whoever_comes(models):
    async def story():
        async with open_pool(max_resident=2) as pool:
            await use(pool, replace(models.wanted("a"), is_pinned=True), keep_alive_s=0.0)
            await use(pool, models.wanted("b"))
            await use(pool, models.wanted("c"))
            assert sorted(names(pool)) == ["a", "c"]
            pool.pin("a", False)
            await until(lambda: names(pool) == ["c"])  # its keep-alive was none

    asyncio.run(story())


def test_a_load_that_is_broken_off_fails_those_who_wait_and_can_begin_again(models):
    models.mark("a", "wait")

    async def story():
        async with open_pool() as pool:
            waiting = asyncio.create_task(use(pool, models.wanted()))
            await until(lambda: models.heard("a", "load"))
            assert pool.cancel("a")
            with pytest.raises(Cancelled, match="loading a"):
                await waiting
            models.unmark("a", "wait")
            assert await use(pool, models.wanted())
            assert not pool.cancel("a")

    asyncio.run(story())


def test_who_watches_a_load_sees_its_stages_and_breaks_it_off_by_leaving(models):
    models.mark("a", "wait")

    async def story():
        before = set(psutil.Process().children())
        async with open_pool() as pool:
            async with aclosing(moments(pool, models.wanted(), None)) as seen:
                first = await anext(seen)
                assert (first.stage, first.share) == (LoadStage.MAPPING, 0.0)
                assert [one.info.name.model for one in pool.loads()] == ["a"]
            await until(lambda: not pool.loads())
            assert pool.resident() == []
            models.unmark("a", "wait")
            async with aclosing(moments(pool, models.wanted(), None)) as seen:
                last = [moment async for moment in seen][-1]
            assert last.key == "a"
            assert names(pool) == ["a"]
        assert set(psutil.Process().children()) <= before

    asyncio.run(story())


def test_leaving_a_load_that_others_wait_for_leaves_it_to_them(models):
    models.mark("a", "wait")

    async def story():
        async with open_pool() as pool:
            async with aclosing(moments(pool, models.wanted(), None)) as seen:
                await anext(seen)
                other = asyncio.create_task(use(pool, models.wanted()))
                await until(lambda: pool.n_waiting_for("a") == 2)
            models.unmark("a", "wait")
            assert await other
            assert len(models.heard("a", "load")) == 1

    asyncio.run(story())


@pytest.mark.parametrize("how", ["killed", "segfault", "memory"])
def test_a_load_that_finds_no_memory_is_tried_with_less_and_says_so(models, how):
    """The fake worker dies, or refuses, while its cache has more cells than it may."""
    models.mark("a", how, "1024")

    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=4096), n_least=512)
            async with pool.lease(wanted, None) as worker:
                assert await whole(worker.generate(ask("say 1")))
                assert worker.loaded.n_ctx == 1024
            loads = [int(line.split()[1]) for line in models.heard("a", "load")]
            assert loads == [4096, 4096, 4096, 2048, 1024]
            (row,) = pool.resident()
            assert any("a step computes 64 tokens instead of 512" in note for note in row.notes)
            assert "the context is 1024 tokens instead of 2048" in row.notes[-1]

    asyncio.run(story())


def test_what_is_needed_is_never_given_up(models):
    models.mark("a", "memory", "1024")

    async def story():
        async with open_pool() as pool:
            with pytest.raises(NotEnoughMemory):
                await use(pool, models.wanted(n_ctx=4096))
            assert pool.resident() == []

    asyncio.run(story())


def test_a_process_that_ends_itself_for_another_reason_is_not_tried_again_with_less(models):
    models.mark("a", "die")

    async def story():
        async with open_pool() as pool:
            with pytest.raises(WorkerError, match="exit code 3"):
                await use(pool, replace(models.wanted(n_ctx=4096), n_least=512))
            assert len(models.heard("a", "load")) == 1

    asyncio.run(story())


def test_a_file_that_is_refused_is_not_tried_again_with_less(models):
    models.mark("a", "refuse", "no such tensor")

    async def story():
        async with open_pool() as pool:
            with pytest.raises(WorkerError, match="no such tensor"):
                await use(pool, replace(models.wanted(n_ctx=4096), n_least=512))
            assert len(models.heard("a", "load")) == 1

    asyncio.run(story())


async def load_and_kill(pool, wanted, number):
    await use(pool, wanted)
    psutil.Process(pid_of(pool)).send_signal(number)
    await until(lambda: not pool.resident())


def test_a_model_that_the_system_killed_for_its_memory_is_loaded_with_less(models, monkeypatch):
    counts = itertools.count()
    monkeypatch.setattr(channel, "n_oom_kills", lambda: next(counts))  # one more each time

    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=4096), n_least=512)
            await load_and_kill(pool, wanted, signal.SIGKILL)
            assert await use(pool, wanted)
            (row,) = pool.resident()
            assert row.worker.loaded.n_cells == 4096, "no more than one conversation"
            assert "its process died (signal 9)" in row.notes[0]

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_model_that_is_struck_down_has_less_and_each_time_a_little_more_so(
    models, monkeypatch, number
):
    """Nothing was counted: whoever did it, less may help, and what goes first is hardly missed."""
    monkeypatch.setattr(channel, "n_oom_kills", lambda: 1)

    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=4096), n_least=512)
            await load_and_kill(pool, wanted, number)
            await load_and_kill(pool, wanted, number)
            await use(pool, wanted)
            (row,) = pool.resident()
            assert row.worker.loaded.n_cells == 4096
            why = f"for 10 minutes, since its process died (signal {int(number)})"
            assert row.notes == (
                f"the cache holds 4096 tokens instead of 8192 {why}",
                f"a step computes 64 tokens instead of 512 {why}",
            )

    asyncio.run(story())


def test_after_a_fault_layers_go_to_main_memory(models, monkeypatch):
    monkeypatch.setattr(channel, "n_oom_kills", lambda: 1)

    async def story():
        async with open_pool(has_accelerator=True) as pool:
            wanted = replace(models.wanted(n_ctx=4096, n_gpu_layers=20), n_least=512)
            await load_and_kill(pool, wanted, signal.SIGSEGV)
            await use(pool, wanted)
            (row,) = pool.resident()
            assert pool.load_of("a").n_gpu_layers == 10
            assert row.notes[0].startswith("10 layers are on the accelerator instead of 20")

    asyncio.run(story())


def test_nobody_has_less_for_ever(models, monkeypatch):
    """When its time is over, whoever comes to an idle model has it loaded as it is wanted."""

    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=4096), n_least=512)
            await load_and_kill(pool, wanted, signal.SIGKILL)
            holder = await holding(pool, wanted)
            assert pool.load_of("a").n_cells == 4096
            monkeypatch.setattr(lessons, "LESSON_S", -1.0)
            assert pool.load_of("a") is None, "the next is to be asked for in full"
            await use(pool, wanted)
            assert pid_of(pool) == holder.worker.pid, "those that are answered go on"
            await holder.end()
            await use(pool, wanted)
            (row,) = pool.resident()
            assert (row.worker.loaded.n_cells, row.notes) == (8192, ())
            await use(pool, wanted)
            assert pid_of(pool) == row.worker.pid

    asyncio.run(story())


def test_a_model_that_dies_with_the_least_it_can_have_keeps_to_that(models, monkeypatch):
    """There is nothing less to try, and it is not the time to try more."""
    now_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr(lessons, "time", clock)
    monkeypatch.setattr(loader, "time", clock)

    async def story():
        nonlocal now_s
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=512, n_batch=64), n_least=512)
            await load_and_kill(pool, wanted, signal.SIGKILL)
            now_s += lessons.LESSON_S
            await load_and_kill(pool, wanted, signal.SIGKILL)
            now_s += lessons.LESSON_S
            await use(pool, wanted)
            (row,) = pool.resident()
            assert row.worker.loaded.n_cells == 512

    asyncio.run(story())


def test_a_model_that_found_no_memory_for_a_step_makes_way_for_one_with_less(models):
    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=4096), n_least=512)
            holder = await holding(pool, wanted)
            error = NotEnoughMemory("no memory to compute this step")
            assert not pool.gives_way(holder.worker, WorkerError("another reason"))
            assert pool.gives_way(holder.worker, error)
            assert pool.gives_way(holder.worker, error), "all that are in the step are told so"
            later = asyncio.create_task(use(pool, wanted))
            replies = await whole(holder.worker.generate(ask("say 3")))
            assert len(replies) == 4, "the others go on"
            await holder.end()
            assert await later
            (row,) = pool.resident()
            assert row.worker.loaded.n_cells == 4096
            assert "memory was short: no memory to compute this step" in row.notes[0]
            assert pool.gives_way(holder.worker, WorkerError("it is gone"))

    asyncio.run(story())


def test_a_model_that_cannot_do_with_less_stays(models):
    async def story():
        async with open_pool() as pool:
            wanted = replace(models.wanted(n_ctx=512), n_cells=512)
            holder = await holding(pool, replace(wanted, fixed=(("n_batch", 32),)))
            assert not pool.gives_way(holder.worker, NotEnoughMemory("none"))
            await holder.end()
            assert names(pool) == ["a"]

    asyncio.run(story())
