"""Who is told which count of threads, and when; in a pool of real processes as well."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager

from hypothesis import given, strategies as st

from runner.protocol.messages import Embed
from runner.workers.foreign import Reading
from runner.workers.process import new_request_id
from runner.workers.sharing import CoreSharing
from tests.workers.pieces import ask, first_text, open_pool, until, whole


class FakeSharer:
    """A worker that remembers what it was told."""

    def __init__(self, pid=1):
        self.pid = pid
        self.told = []
        self.exited = asyncio.get_running_loop().create_future()
        self.on_work = lambda has_work: None

    def use_threads(self, n):
        self.told.append(n)


class Machine:
    """Counts that stand still until somebody works."""

    def __init__(self):
        self.at_s = self.busy_s = 0.0
        self.n_looks = 0

    def look(self, pids):
        self.n_looks += 1
        return Reading(self.at_s, self.busy_s, dict.fromkeys(pids, 0.0))

    def work(self, n_cores, seconds=0.25):
        self.at_s += seconds
        self.busy_s += n_cores * seconds


@asynccontextmanager
async def sharing(*wants, n_machine=2):
    machine = Machine()
    cores = CoreSharing(n_machine, machine.look)
    workers = [FakeSharer(pid) for pid in range(len(wants))]
    for worker, n in zip(workers, wants, strict=True):
        cores.add(worker, n)
    yield cores, machine, workers
    for worker in workers:
        worker.on_work(False)


def test_one_alone_is_told_nothing():
    async def story():
        async with sharing(2, 2) as (_, _, (a, b)):
            a.on_work(True)
            a.on_work(False)
            b.on_work(True)
            assert a.told == b.told == []

    asyncio.run(story())


def test_two_that_work_have_half_each_and_the_last_one_has_all_again():
    async def story():
        async with sharing(4, 4, n_machine=4) as (_, _, (a, b)):
            a.on_work(True)
            b.on_work(True)
            assert (a.told, b.told) == ([2], [2])
            a.on_work(False)
            assert (a.told, b.told) == ([2], [2, 4])
            a.on_work(True)
            assert (a.told, b.told) == ([2], [2, 4, 2])

    asyncio.run(story())


def test_a_worker_that_died_keeps_no_share():
    async def story():
        async with sharing(2, 2) as (_, _, (a, b)):
            a.on_work(True)
            b.on_work(True)
            b.exited.set_result(-9)
            await asyncio.sleep(0)
            assert a.told == [1, 2]
            b.on_work(False)
            b.on_work(True)  # the last words of its channel
            assert a.told == [1, 2]

    asyncio.run(story())


def test_more_threads_than_cores_are_given_to_who_asks_for_them_and_is_alone():
    async def story():
        async with sharing(8, 8) as (_, _, (a, b)):
            a.on_work(True)
            assert a.told == []
            b.on_work(True)
            assert (a.told, b.told) == ([1], [1])

    asyncio.run(story())


def test_a_busy_program_gets_its_core_and_gives_it_back():
    async def story():
        async with sharing(4, n_machine=4) as (cores, machine, (a,)):
            a.on_work(True)
            machine.work(0.8)
            cores._measure()
            assert (a.told, cores.n_reserved) == ([3], 1)
            for _ in range(8):
                machine.work(2.0)
                cores._measure()
            assert (a.told, cores.n_reserved) == ([3, 2], 2)
            for _ in range(8):
                machine.work(0.0)
                cores._measure()
            assert a.told[-1] == 4

    asyncio.run(story())


def test_what_others_did_while_nobody_worked_here_is_no_reason_to_hold_back():
    async def story():
        async with sharing(2, n_machine=2) as (cores, machine, (a,)):
            a.on_work(True)
            machine.work(2.0)
            cores._measure()
            assert (a.told, cores.n_reserved) == ([1], 1)
            a.on_work(False)
            cores._timer.cancel()
            cores._timer = None
            for _ in range(20):
                machine.work(2.0)
            a.on_work(True)
            assert (a.told, cores.n_reserved) == ([1, 2], 0)

    asyncio.run(story())


def test_nobody_looks_while_nobody_works():
    async def story():
        async with sharing(2, 2) as (cores, machine, (a, _)):
            assert machine.n_looks == 0
            a.on_work(True)
            a.on_work(False)
            n = machine.n_looks
            cores._measure()  # the look that was due
            assert cores._timer is None
            assert machine.n_looks == n + 1

    asyncio.run(story())


steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["begin", "end", "die", "load"])), max_size=40
)


@given(steps, st.lists(st.integers(1, 8), min_size=4, max_size=4), st.integers(1, 8))
def test_threads_never_outnumber_cores_and_models_whatever_comes(steps, wants, n_machine):
    async def story():
        async with sharing(*wants, n_machine=n_machine) as (cores, machine, workers):
            has_work = [False] * 4
            for i, step in steps:
                match step:
                    case "load":
                        machine.work(i)
                        cores._measure()
                    case "die" if not workers[i].exited.done():
                        workers[i].exited.set_result(-9)
                        has_work[i] = False
                    case "begin" | "end" if not workers[i].exited.done():
                        has_work[i] = step == "begin"
                        workers[i].on_work(has_work[i])
                await asyncio.sleep(0)
                busy = [i for i in range(4) if has_work[i]]
                counts = [(workers[i].told or wants[i : i + 1])[-1] for i in busy]
                free = n_machine - cores.n_reserved
                if len(busy) > 1 or cores.n_reserved:
                    assert sum(counts) <= max(free, len(busy))
                assert all(1 <= n <= wants[i] for n, i in zip(counts, busy, strict=True))
                if len(busy) == 1 and not cores.n_reserved:
                    assert counts == [wants[busy[0]]]

    asyncio.run(story())


def test_in_a_pool_two_answers_share_and_one_left_alone_has_all(models):
    async def story():
        async with (
            shared_pool() as pool,
            pool.lease(models.wanted("a"), None) as first,
            pool.lease(models.wanted("b"), None) as second,
            aclosing(first.generate(ask("go on"))) as long,
        ):
            await first_text(long)
            assert models.heard("a", "threads") == []
            await whole(second.generate(ask("say 3")))
            await until(lambda: models.heard("a", "threads") == ["threads 1", "threads 2"])
            assert models.heard("b", "threads") == ["threads 1"]

    asyncio.run(story())


def test_in_a_pool_the_share_of_a_worker_that_was_killed_goes_to_the_other(models):
    async def story():
        async with (
            shared_pool() as pool,
            pool.lease(models.wanted("a"), None) as first,
            pool.lease(models.wanted("b"), None) as second,
            aclosing(first.generate(ask("go on"))) as long,
            aclosing(second.generate(ask("go on"))) as other,
        ):
            await first_text(long)
            await first_text(other)
            await until(lambda: models.heard("a", "threads") == ["threads 1"])
            second.channel.kill()
            await until(lambda: models.heard("a", "threads")[1:] == ["threads 2"])

    asyncio.run(story())


def test_texts_to_embed_are_work_as_well(models):
    async def story():
        async with (
            shared_pool() as pool,
            pool.lease(models.wanted("a"), None) as first,
            pool.lease(models.wanted("b"), None) as second,
            aclosing(first.generate(ask("go on"))) as long,
        ):
            await first_text(long)
            await second.embed(Embed(new_request_id(), ("some", "texts")))
            await until(lambda: models.heard("a", "threads") == ["threads 1", "threads 2"])

    asyncio.run(story())


def test_an_answer_whose_client_reads_no_further_is_no_work_once_it_is_whole(models):
    async def story():
        async with (
            shared_pool() as pool,
            pool.lease(models.wanted("a"), None) as first,
            pool.lease(models.wanted("b"), None) as second,
            aclosing(first.generate(ask("go on"))) as long,
            aclosing(second.generate(ask("say 3"))) as unread,
        ):
            await first_text(long)
            await first_text(unread)
            await until(lambda: models.heard("a", "threads") == ["threads 1", "threads 2"])

    asyncio.run(story())


@asynccontextmanager
async def shared_pool():
    """A pool on a machine of two cores that nobody else uses."""
    async with open_pool(n_threads=2) as pool:
        pool._cores = CoreSharing(2, Machine().look)
        yield pool
