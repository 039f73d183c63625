"""Weights written anew, as jobs: who leaves loses nothing, who cancels leaves nothing."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

import pytest

from runner.domain.create import CreateRequest
from runner.domain.job import JobState
from runner.domain.name import ModelName
from runner.errors import CapacityError, InvalidRequest, JobUnderWay, UnsupportedArchitecture
from runner.service.create import CreateService
from runner.service.jobs import JobService
from runner.service.tools import Tools
from runner.store.state import JobTable
from tests.fakes.bert_folder import change_json
from tests.real_daemon import wait_for
from tests.service.test_create import NoPulls, state
from tests.service.test_create_folder import as_blobs, paths

MINE = ModelName.parse("mine")

#: A tool that says that it has begun, and begins in earnest when it is let.
_GATED = """
import pathlib, runpy, sys, time
begun, gate = map(pathlib.Path, sys.argv[1:])
begun.touch()
while not gate.exists():
    time.sleep(0.01)
sys.argv = ["runner", "_tool", "warning"]
runpy.run_module("runner", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def begun(tmp_path):
    return tmp_path / "begun"


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.fixture
def tools(begun, gate):
    return Tools([sys.executable, "-P", "-c", _GATED, str(begun), str(gate)], 1)


@pytest.fixture(params=["convert", "quantize"])
def asked(request, tmp_path, folder):
    """What takes long: a folder, and a file in another type."""
    if request.param == "convert":
        return CreateRequest(name=MINE, file_paths=paths(folder), system="S")
    return CreateRequest(
        name=MINE, file_paths=(tmp_path / "random.gguf",), quantize="Q8_0", system="S"
    )


def run(library, tools, story, table=None):
    """Run ``story(service, jobs)`` with services of its own."""

    async def all_of_it():
        jobs = JobService(table)
        try:
            return await story(CreateService(library, NoPulls(), tools, jobs), jobs)
        finally:
            await jobs.close()

    return asyncio.run(all_of_it())


async def followed(moments):
    return [moment async for moment in moments]


async def left_in_the_middle(service, request, begun):
    """Ask, and leave when the work has begun."""

    async def all_of_it():
        async with aclosing(service.create(request)) as moments:
            async for _ in moments:
                pass

    making = asyncio.ensure_future(all_of_it())
    await asyncio.to_thread(wait_for, begun.exists, "the process")
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)


def test_who_leaves_loses_nothing_and_who_asks_again_follows(library, tools, asked, begun, gate):
    async def story(service, jobs):
        await left_in_the_middle(service, asked, begun)
        (job,) = jobs.list_jobs()
        assert (job.kind, job.name, job.state) == ("create", "mine:latest", JobState.RUNNING)
        again = asyncio.ensure_future(followed(service.create(asked)))
        other = CreateRequest(name=MINE, file_paths=asked.file_paths, quantize="Q4_0")
        with pytest.raises(JobUnderWay, match="at 'mine:latest' already, with other settings"):
            await followed(service.create(other))
        gate.touch()
        moments = await again
        assert (moments[-1].phase, moments[-1].name) == ("success", "mine:latest")
        assert [one.job_id for one in jobs.list_jobs()] == [job.job_id]

    run(library, tools, story)
    assert library.find(MINE).system == "S"
    list(library.verify(MINE))
    assert list(library.blobs.partial.iterdir()) == []


def test_a_job_that_is_cancelled_leaves_nothing(library, tools, asked, begun):
    async def story(service, jobs):
        making = asyncio.ensure_future(followed(service.create(asked)))
        await asyncio.to_thread(wait_for, begun.exists, "the process")
        (job,) = jobs.list_jobs()
        await jobs.cancel(job.job_id)
        with pytest.raises(CapacityError, match="making 'mine:latest' was cancelled"):
            await making

    run(library, tools, story)
    assert state(library) == []


def test_a_job_stands_still_and_goes_on(library, tools, asked, begun, gate):
    async def story(service, jobs):
        making = asyncio.ensure_future(followed(service.create(asked)))
        await asyncio.to_thread(wait_for, begun.exists, "the process")
        (job,) = jobs.list_jobs()
        assert jobs.pause(job.job_id).state is JobState.PAUSED
        gate.touch()
        assert jobs.resume(job.job_id).state is JobState.RUNNING
        assert (await making)[-1].phase == "success"

    run(library, tools, story)


def test_the_next_daemon_makes_what_this_one_began(library, tools, asked, begun, gate, tmp_path):
    table = tmp_path / "state.sqlite"

    async def first(service, jobs):
        await left_in_the_middle(service, asked, begun)

    run(library, tools, first, JobTable(table))
    assert not library.blobs.folder.exists()
    gate.touch()

    async def second(service, jobs):
        await jobs.restore(service.work_of)
        (job,) = jobs.list_jobs()
        await followed(jobs.follow(job.job_id))
        assert jobs.get(job.job_id).state is JobState.DONE

    run(library, tools, second, JobTable(table))
    assert library.find(MINE).system == "S"


def test_blobs_that_a_job_is_made_of_stay_until_it_is_over(
    library, tools, folder, begun, gate, tmp_path
):
    """No model names them yet: a prune, or the next daemon's start, would take them."""
    blobs = as_blobs(library, folder)
    table = JobTable(tmp_path / "state.sqlite")
    wanted = set(blobs.values())

    async def story(service, jobs):
        await left_in_the_middle(service, CreateRequest(name=MINE, files=blobs), begun)
        assert jobs.wanted_keys() == wanted

    run(library, tools, story, table)
    table = JobTable(tmp_path / "state.sqlite")
    assert table.wanted_keys() == wanted
    library.prune(keep=table.wanted_keys())
    assert all(library.blobs.has(digest) for digest in wanted)
    gate.touch()

    async def next_story(service, jobs):
        await jobs.restore(service.work_of)
        (job,) = jobs.list_jobs()
        await followed(jobs.follow(job.job_id))
        assert jobs.wanted_keys() == set()

    run(library, tools, next_story, table)


def test_what_is_missing_is_told_before_there_is_a_job(library, tools, folder):
    async def story(service, jobs):
        with pytest.raises(InvalidRequest, match=r"there is no file 'gone\.gguf'"):
            gone = (folder / "gone.gguf",)
            await followed(service.create(CreateRequest(MINE, file_paths=gone, quantize="Q8_0")))
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
        with pytest.raises(InvalidRequest, match="is a pickle file"):
            await followed(service.create(CreateRequest(MINE, file_paths=paths(folder))))
        assert jobs.list_jobs() == []

    run(library, tools, story)


def test_a_job_that_failed_begins_again_with_what_was_mended(library, tools, folder, gate):
    gate.touch()
    request = CreateRequest(MINE, file_paths=paths(folder))

    async def story(service, jobs):
        change_json(folder / "config.json", architectures=["MambaForCausalLM"])
        with pytest.raises(UnsupportedArchitecture):
            await followed(service.create(request))
        (job,) = jobs.list_jobs()
        assert (job.state, job.error.code) == (JobState.FAILED, "unsupported_architecture")
        assert state(library) == []
        change_json(folder / "config.json", architectures=["LlamaForCausalLM"])
        assert (await followed(service.create(request)))[-1].phase == "success"
        assert [one.job_id for one in jobs.list_jobs()] == [job.job_id]

    run(library, tools, story)


def test_two_at_once_take_turns(library, tools, folder, begun, gate):
    async def story(service, jobs):
        first = asyncio.ensure_future(
            followed(service.create(CreateRequest(MINE, file_paths=paths(folder))))
        )
        await asyncio.to_thread(wait_for, begun.exists, "the process")
        other = CreateRequest(ModelName.parse("other"), file_paths=paths(folder))
        second = service.create(other)
        phases = []
        async for moment in second:
            phases.append(moment.phase)
            if moment.phase == "waiting for another job":
                gate.touch()
        assert "waiting for another job" in phases
        assert phases[-1] == (await first)[-1].phase == "success"

    run(library, tools, story)


def test_a_name_that_a_job_is_making_is_given_to_nothing_else(library, tools, name, asked, begun):
    """Whoever came last would have it, and neither would know."""
    light = CreateRequest(ModelName.parse("MINE"), bases=(name,), system="light")

    async def story(service, jobs):
        await left_in_the_middle(service, asked, begun)
        (job,) = jobs.list_jobs()
        for _ in range(2):
            with pytest.raises(JobUnderWay, match=f"job {job.job_id} is making 'mine:latest'"):
                await followed(service.create(light))
            jobs.pause(job.job_id)  # and one that stands still goes on with it
        await jobs.cancel(job.job_id)
        assert (await followed(service.create(light)))[-1].phase == "success"

    run(library, tools, story)
    assert library.find(MINE).system == "light"


def test_a_light_one_gives_no_name_that_a_job_has_begun_to_make_meanwhile(
    library, tools, name, asked, begun
):
    async def story(service, jobs):
        async with aclosing(service.create(CreateRequest(MINE, bases=(name,)))) as moments:
            await anext(moments)
            await left_in_the_middle(service, asked, begun)
            with pytest.raises(JobUnderWay, match="is making 'mine:latest' already"):
                await followed(moments)
        (job,) = jobs.list_jobs()
        await jobs.cancel(job.job_id)

    before = [one.name for one in library.list()]
    run(library, tools, story)
    assert [one.name for one in library.list()] == before
