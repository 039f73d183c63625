"""Jobs as they begin: who asks at the same moment, or leaves in it, leaves no row of his own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.domain.job import JobState
from runner.domain.progress import Progress
from runner.service.jobs import JobService
from runner.store.state import JobTable
from tests.workers.pieces import until


class House:
    """Jobs whose work ends when it may."""

    def __init__(self, path):
        self.jobs = JobService(JobTable(path))
        self.may_end = threading.Event()

    def work(self, run):
        self.may_end.wait(60)
        yield Progress("success")

    def begin(self):
        return self.jobs.begin("pull", "tiny:latest", self.work, is_attended=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.sqlite"


def states(path):
    """The jobs that the next daemon finds."""
    table = JobTable(path)
    found = [stored.job.state for stored in table.load()]
    table.close()
    return found


def test_two_who_begin_the_same_at_once_leave_one_job(path):
    async def story():
        house = House(path)
        one, other = await asyncio.gather(house.begin(), house.begin())
        assert one.job_id == other.job_id
        house.may_end.set()
        await until(lambda: house.jobs.get(one.job_id).state is JobState.DONE)
        await house.jobs.close()

    asyncio.run(story())
    assert states(path) == [JobState.DONE]


def test_who_leaves_while_a_job_is_noted_leaves_none(path, monkeypatch):
    """Else the next daemon would list one that paused, and that nobody began."""
    is_noting, may_go_on = threading.Event(), threading.Event()
    add = JobTable.add

    def slowly(table, job):
        is_noting.set()
        may_go_on.wait(60)
        return add(table, job)

    monkeypatch.setattr(JobTable, "add", slowly)

    async def story():
        house = House(path)
        beginning = asyncio.create_task(house.begin())
        await until(is_noting.is_set)
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
        may_go_on.set()
        await house.jobs.close()

    asyncio.run(story())
    assert states(path) == []
