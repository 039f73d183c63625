"""Whom a model that is in memory serves as it is, and for whom it is loaded again."""

from __future__ import annotations

import asyncio

from tests.workers.pieces import open_pool, until
from tests.workers.test_pool import pid_of, use


def test_clients_with_different_sizes_do_not_load_a_model_in_turns(models):
    """The larger context and the larger batch serve everybody; threads are told as it runs."""

    async def story():
        async with open_pool() as pool:
            await use(pool, models.wanted(n_ctx=2048))
            for _ in range(3):
                await use(pool, models.wanted(n_ctx=1024, n_batch=1024))
                await use(pool, models.wanted(n_ctx=2048, n_batch=64))
                await use(pool, models.wanted(n_ctx=512, n_threads=1))
            assert models.heard("a", "load") == ["load 2048", "load 2048"]
            assert pool.load_of("a").n_batch == 1024

    asyncio.run(story())


def test_what_had_to_be_loaded_with_less_serves_who_asks_for_more_again(models):
    """Else each request that insists on its layers would load the model anew, in vain."""

    async def story():
        models.mark("a", "memory", "1024")
        async with open_pool(has_accelerator=True) as pool:
            await use(pool, models.wanted(n_gpu_layers=20))
            first = pid_of(pool)
            await use(pool, models.wanted(n_gpu_layers=20))
            assert pid_of(pool) == first
            await use(pool, models.wanted(n_gpu_layers=10))
            assert pid_of(pool) != first

    asyncio.run(story())


def test_threads_that_a_request_asks_for_reach_the_worker_that_runs(models):
    async def story():
        async with open_pool(n_threads=1) as pool:
            await use(pool, models.wanted())
            await use(pool, models.wanted(n_threads=3))
            await until(lambda: models.heard("a", "threads")[-1:] == ["threads 3"])
            assert models.heard("a", "load") == ["load 1024"]

    asyncio.run(story())
