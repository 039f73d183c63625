"""Requests that insist on different settings do not have a model loaded in turns."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given, strategies as st
from msgspec.structs import replace

from runner.workers.reloads import Reloads
from runner.workers.wanted import named
from tests.workers.pieces import Models, load_of, open_pool
from tests.workers.test_pool import holding, use

WANTED = Models(Path()).wanted


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40)), max_size=60),
    st.floats(0, 10),
)
def test_in_any_time_of_a_minute_few_loads_bring_back_what_was_there(asked, load_s):
    """Whoever asks for what: only what was not there in that time is loaded beyond those."""
    clock = Clock()
    reloads = Reloads(clock)
    now = load_of(WANTED())
    loaded = []  # when, and what
    for number, pause_s in asked:
        clock.now_s += pause_s
        wanted = WANTED(n_gpu_layers=number)
        if not wanted.lacks(now) or reloads.is_turn(wanted, load_s):
            continue
        reloads.note("a", now)
        now = replace(now, n_gpu_layers=number)
        loaded.append((clock.now_s, number))
        span_s = max(60.0, 20 * load_s)
        recent = [one for at_s, one in loaded if clock.now_s - at_s <= span_s]
        assert len(recent) <= 3 + len(set(recent)) + 1


def test_a_series_of_settings_that_never_comes_back_is_loaded_one_by_one():
    reloads, now = Reloads(Clock()), load_of(WANTED())
    for number in range(20):
        wanted = WANTED(n_gpu_layers=number)
        assert not reloads.is_turn(wanted, 1.0)
        reloads.note("a", now)
        now = replace(now, n_gpu_layers=number)


def test_what_takes_long_to_load_is_loaded_in_turns_more_rarely():
    clock = Clock()
    reloads, load = Reloads(clock), load_of(WANTED())
    for _ in range(3):
        reloads.note("a", load)
    wanted = WANTED(n_gpu_layers=-1)
    clock.now_s = 61.0
    assert not reloads.is_turn(wanted, 1.0)
    assert reloads.is_turn(wanted, 30.0)
    clock.now_s = 601.0
    assert not reloads.is_turn(wanted, 30.0)


def test_settings_are_named_as_people_write_them():
    wanted = WANTED(n_gpu_layers=0, kv_type_k="q8_0", n_threads=7)
    assert named(wanted.lacks(load_of(wanted))) == "num_gpu=0, cache_type_k=q8_0"


def test_no_path_is_among_the_settings_that_are_named():
    wanted = WANTED(draft_path="/home/me/draft.gguf", projector_path="/home/me/eyes.gguf")
    told = named(wanted.lacks(load_of(wanted)))
    assert told == "another draft model, or none, another projector"


def test_two_who_insist_on_different_settings_are_both_served_by_what_is_there(models):
    async def story():
        async with open_pool() as pool:
            ours, theirs = models.wanted(n_gpu_layers=1), models.wanted(n_gpu_layers=2)
            for _ in range(5):
                assert await use(pool, ours)
                assert await use(pool, theirs)
            assert len(models.heard("a", "load")) == 4
            (row,) = pool.resident()
            assert row.notes == (
                "num_gpu=1 was asked for, but it stays as it is: requests differ in turns",
            )
            assert await use(pool, models.wanted(n_ctx=2048, n_gpu_layers=1)), (
                "it needs the context"
            )
            assert models.heard("a", "load")[4:] == ["load 2048"]
            assert pool.resident()[0].notes == ()

    asyncio.run(story())


def test_other_settings_wait_until_nobody_uses_the_model(models):
    async def story():
        async with open_pool() as pool:
            holder = await holding(pool, models.wanted())
            other = asyncio.create_task(use(pool, models.wanted(n_gpu_layers=1)))
            await asyncio.sleep(0)
            assert not other.done()
            assert len(models.heard("a", "load")) == 1
            await holder.end()
            assert await other
            assert len(models.heard("a", "load")) == 2

    asyncio.run(story())
