"""Jobs as they begin: whoever asks at the same moment, or leaves in it, leaves no row of his own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.domain.job import JobState
from runner.domain.progress import Progress
from runner.service.jobs import JobService
from runner.store.state import JobTable
from tests.workers.pieces import until


def work(run):
    yield Progress("success")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.sqlite"


def begun(jobs):
    return jobs.begin("pull", "tiny:latest", work, is_attended=False)


def states(path):
    """The jobs that the next daemon finds."""
    table = JobTable(path)
    found = [stored.job.state for stored in table.load()]
    table.close()
    return found


def test_two_who_begin_the_same_at_once_leave_one_job(path):
    async def story():
        jobs = JobService(JobTable(path))
        one, other = await asyncio.gather(begun(jobs), begun(jobs))
        assert one.job_id == other.job_id
        await until(lambda: jobs.get(one.job_id).state is JobState.DONE)
        await jobs.close()

    asyncio.run(story())
    assert states(path) == [JobState.DONE]


def test_who_leaves_while_a_job_is_noted_leaves_none(path, monkeypatch):
    """Else the next daemon would list one that paused, and that nobody began."""
    is_noting, may_go_on = threading.Event(), threading.Event()
    add = JobTable.add

    def slowly(table, job):
        is_noting.set()
        may_go_on.wait(20)
        return add(table, job)

    monkeypatch.setattr(JobTable, "add", slowly)

    async def story():
        jobs = JobService(JobTable(path))
        beginning = asyncio.create_task(begun(jobs))
        await until(is_noting.is_set)
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)
        may_go_on.set()
        await jobs.close()

    asyncio.run(story())
    assert states(path) == []
