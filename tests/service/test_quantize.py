"""Quantizing as a job: real processes, real files, and nothing left of what did not end well."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import psutil
import pytest

from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.domain.quantize import QuantizeRequest
from runner.errors import (
    CorralError,
    DiskFull,
    InvalidRequest,
    JobUnderWay,
    ModelNotFound,
    WorkerError,
)
from runner.paths import own_command
from runner.service import quantize as module
from runner.service.jobs import JobService
from runner.service.quantize import QuantizeService, names_of
from runner.service.tools import Tools
from runner.store.library import Library
from runner.store.state import JobTable, StoredJob
from tests.fakes.wide_models import wide_llama

SOURCE = ModelName.parse("wide:f16")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    # Large enough that a job can be caught in the middle of it.
    return wide_llama(tmp_path_factory.mktemp("wide") / "wide.gguf", n_layer=24)


@pytest.fixture
def library(tmp_path, wide):
    library = Library(tmp_path / "models")
    list(library.import_file(wide, SOURCE, provenance={"source": "file"}))
    return library


def run(library, story, command=None):
    """Run ``story(service, jobs)`` with services of its own."""

    async def all_of_it():
        jobs = JobService()
        tools = Tools(command or own_command("_tool", "warning"), 1)
        try:
            return await story(QuantizeService(library, jobs, tools), jobs)
        finally:
            await jobs.close()

    return asyncio.run(all_of_it())


def asked(*types, **more):
    return QuantizeRequest(SOURCE, types or ("Q4_K_M",), **more)


async def followed(jobs, job):
    """Every moment of a job up to its end; raises what it fails with."""
    return [moment async for moment in jobs.follow(job.job_id)]


async def until(truth, what):
    deadline = time.monotonic() + 60
    while not truth():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def left_over(library):
    return [path.name for path in library.blobs.partial.glob("*")]


def tools_running():
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            if "_tool" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def test_each_type_becomes_a_model_and_the_source_stays(library):
    before = library.find(SOURCE)

    async def story(service, jobs):
        job = await service.begin(asked("Q8_0", "Q4_0"))
        assert (job.kind, job.is_attended) == ("quantize", False)
        moments = await followed(jobs, job)
        assert moments[-1].phase == "success"
        assert {"quantizing to Q8_0", "quantizing to Q4_0"} <= {one.phase for one in moments}
        return jobs.get(job.job_id)

    job = run(library, story)
    assert (job.state, job.name) == (JobState.DONE, "wide:q8_0, wide:q4_0")
    assert library.find(SOURCE) == before
    for quantization in ("Q8_0", "Q4_0"):
        made = library.find(ModelName.parse(f"wide:{quantization.lower()}"))
        assert made.facts.quantization == quantization
        assert (made.provenance["source"], made.provenance["from"]) == ("quantize", "wide:f16")
        list(library.verify(made.name))
    assert left_over(library) == []


def test_a_plan_tells_the_size_and_writes_nothing(library):
    files = sorted(library.models.rglob("*"))
    plan = run(library, lambda service, jobs: service.plan(asked("Q8_0", "IQ2_XS")))
    assert sorted(library.models.rglob("*")) == files
    assert [target.file_type for target in plan.targets] == ["Q8_0", "IQ2_XS"]
    assert "IQ2_XS needs an importance matrix" in plan.problem
    assert 8.4 < plan.targets[0].bits < 8.7
    assert plan.targets[0].n_memory > plan.targets[0].n_bytes * 0.9
    assert plan.quantization == "F16"


def test_a_type_that_would_fail_fails_before_there_is_a_job(library):
    async def story(service, jobs):
        with pytest.raises(InvalidRequest, match=r"tensor 'blk\.0\.attn_k\.weight'"):
            await service.begin(asked("IQ2_XS"))
        with pytest.raises(ModelNotFound):
            await service.begin(QuantizeRequest(ModelName.parse("nowhere"), ("Q8_0",)))
        with pytest.raises(InvalidRequest, match="no type 'q99'"):
            await service.begin(asked(tensors=(("ffn", "q99"),)))
        with pytest.raises(InvalidRequest, match=r"no file 'none\.gguf'"):
            await service.begin(asked(imatrix=str(library.models / "none.gguf")))
        with pytest.raises(InvalidRequest, match="not found"):
            await service.begin(asked(imatrix=f"sha256:{'0' * 64}"))
        assert jobs.list_jobs() == []

    run(library, story)


def test_what_would_not_fit_on_the_disk_is_not_begun(library, monkeypatch):
    monkeypatch.setattr(module, "n_free_bytes", lambda _: 12_000_000)

    async def story(service, jobs):
        with pytest.raises(DiskFull, match=r"12000000 bytes are free .*; Q8_0 would not fit"):
            await service.begin(asked("Q4_0", "Q8_0"))

    run(library, story)


def test_a_cancelled_job_leaves_nothing_and_no_process(library):
    async def story(service, jobs):
        job = await service.begin(asked("Q6_K", "Q5_K_M"))
        await until(lambda: jobs.get(job.job_id).n_done, "progress")
        await jobs.cancel(job.job_id)
        with contextlib.suppress(CorralError):
            await followed(jobs, job)
        await until(lambda: not left_over(library) and not tools_running(), "an end")
        assert jobs.get(job.job_id).state is JobState.CANCELLED

    run(library, story)
    with pytest.raises(ModelNotFound):
        library.find(ModelName.parse("wide:q5_k_m"))


def test_a_paused_job_stands_still_and_goes_on_in_the_same_process(library):
    async def story(service, jobs):
        job = await service.begin(asked("Q5_K_M"))
        await until(lambda: jobs.get(job.job_id).n_done and tools_running(), "progress")
        (child,) = tools_running()
        assert jobs.pause(job.job_id).state is JobState.PAUSED
        await until(lambda: child.status() == psutil.STATUS_STOPPED, "a process that stands")
        assert jobs.pause(job.job_id).state is JobState.PAUSED
        again = await service.begin(asked("Q5_K_M"))  # asked for again, it goes on
        assert (again.job_id, again.state) == (job.job_id, JobState.RUNNING)
        jobs.pause(job.job_id)
        assert jobs.resume(job.job_id).state is JobState.RUNNING
        assert (await followed(jobs, job))[-1].phase == "success"
        assert not child.is_running()

    run(library, story)
    library.find(ModelName.parse("wide:q5_k_m"))


def test_a_process_that_stands_still_can_be_cancelled(library):
    async def story(service, jobs):
        job = await service.begin(asked("Q5_K_M"))
        await until(lambda: jobs.get(job.job_id).n_done and tools_running(), "progress")
        jobs.pause(job.job_id)
        await until(lambda: tools_running()[0].status() == psutil.STATUS_STOPPED, "standing")
        await jobs.cancel(job.job_id)
        await until(lambda: not tools_running() and not left_over(library), "an end")

    run(library, story)


def test_a_process_that_is_killed_fails_its_job_by_name(library):
    async def story(service, jobs):
        job = await service.begin(asked("Q5_K_M"))
        await until(lambda: jobs.get(job.job_id).n_done and tools_running(), "progress")
        tools_running()[0].kill()
        with pytest.raises(WorkerError, match="signal 9"):
            await followed(jobs, job)
        assert jobs.get(job.job_id).state is JobState.FAILED
        assert left_over(library) == []
        # And again, as the user would.
        assert (await service.begin(asked("Q5_K_M"))).job_id == job.job_id
        assert (await followed(jobs, job))[-1].phase == "success"

    run(library, story)


def test_the_same_target_with_other_settings_is_refused_while_it_is_made(library):
    async def story(service, jobs):
        job = await service.begin(asked("Q5_K_M"))
        jobs.pause(job.job_id)  # so that it is not done meanwhile
        with pytest.raises(JobUnderWay, match=f"job {job.job_id} is at 'wide:q5_k_m' already"):
            await service.begin(asked("Q5_K_M", tensors=(("ffn_up", "q8_0"),)))
        assert jobs.get(job.job_id).state is JobState.PAUSED
        assert (await service.begin(asked("Q5_K_M"))).job_id == job.job_id
        await jobs.cancel(job.job_id)

    run(library, story)


def test_two_jobs_take_turns(library):
    async def story(service, jobs):
        one = await service.begin(asked("Q8_0"))
        two = await service.begin(asked("Q4_0"))
        most = 0
        while not jobs.get(two.job_id).state.is_over:
            most = max(most, len(tools_running()))
            await asyncio.sleep(0.01)
        assert most == 1
        assert jobs.get(one.job_id).state is JobState.DONE
        assert jobs.get(two.job_id).state is JobState.DONE

    run(library, story)


def test_a_job_that_stands_still_lets_another_have_its_turn(library):
    async def story(service, jobs):
        one = await service.begin(asked("Q5_K_M"))
        await until(lambda: jobs.get(one.job_id).n_done and tools_running(), "progress")
        jobs.pause(one.job_id)
        two = await service.begin(asked("Q8_0"))
        assert (await followed(jobs, two))[-1].phase == "success"
        assert jobs.get(one.job_id).state is JobState.PAUSED
        jobs.resume(one.job_id)
        assert (await followed(jobs, one))[-1].phase == "success"

    run(library, story)


def restarted(library, table, *stories):
    """Run each story in a daemon of its own: the same library and jobs, services made anew."""

    async def one(story):
        jobs = JobService(JobTable(table))
        service = QuantizeService(library, jobs, Tools(own_command("_tool", "warning"), 1))
        await jobs.restore(service.work_of)
        try:
            await story(service, jobs)
        finally:
            await jobs.close()

    for story in stories:
        asyncio.run(one(story))


def test_a_job_begins_again_with_the_next_daemon_and_makes_nothing_twice(library, tmp_path):
    made = []

    async def broken_off(service, jobs):
        job = await service.begin(asked("Q8_0", "Q5_K_M", tensors=(("ffn_up", "q6_k"),)))
        await until(lambda: jobs.get(job.job_id).phase == "quantizing to Q5_K_M", "the second")
        made.append(library.find(ModelName.parse("wide:q8_0")).provenance["time"])

    async def again(service, jobs):
        (job,) = jobs.list_jobs()
        assert job.state in (JobState.QUEUED, JobState.RUNNING)
        with pytest.raises(JobUnderWay, match="with other settings"):
            await service.begin(asked("Q8_0", "Q5_K_M"))
        moments = await followed(jobs, job)
        assert moments[-1].phase == "success"
        assert "quantizing to Q8_0" not in {one.phase for one in moments}

    restarted(library, tmp_path / "state.sqlite", broken_off, again)
    assert library.find(ModelName.parse("wide:q8_0")).provenance["time"] == made[0]
    library.find(ModelName.parse("wide:q5_k_m"))
    assert left_over(library) == []


def test_a_paused_job_stays_paused_with_the_next_daemon_and_begins_again_when_told(
    library, tmp_path
):
    async def paused(service, jobs):
        job = await service.begin(asked("Q5_K_M"))
        await until(lambda: jobs.get(job.job_id).n_done, "progress")
        jobs.pause(job.job_id)

    async def again(service, jobs):
        (job,) = jobs.list_jobs()
        assert job.state is JobState.PAUSED
        assert jobs.pause(job.job_id).state is JobState.PAUSED
        jobs.resume(job.job_id)
        assert (await followed(jobs, job))[-1].phase == "success"

    async def over(service, jobs):
        (job,) = jobs.list_jobs()
        assert job.state is JobState.DONE
        with pytest.raises(InvalidRequest, match="nothing to go on with"):
            jobs.resume(job.job_id)

    restarted(library, tmp_path / "state.sqlite", paused, again, over)


def test_a_request_of_another_version_fails_with_what_to_do(library, tmp_path):
    table = JobTable(tmp_path / "state.sqlite")
    job = table.add(Job(0, "quantize", "wide:q9", JobState.RUNNING))
    table.put(StoredJob(job, request={"types": 9}))
    table.close()

    async def story(service, jobs):
        (found,) = jobs.list_jobs()
        assert found.state is JobState.FAILED
        assert "does not know how to go on" in found.error.message

    restarted(library, tmp_path / "state.sqlite", story, story)


def test_a_command_that_is_none_is_an_error_of_words(library):
    async def story(service, jobs):
        with pytest.raises(InvalidRequest, match="cannot start a process"):
            await service.begin(asked())

    run(library, story, command=[os.devnull])


@pytest.mark.parametrize(
    ("source", "name", "types", "want"),
    [
        ("qwen3", None, ("Q4_K_M",), ["qwen3:q4_k_m"]),
        ("qwen3:4b", None, ("Q4_K_M", "Q8_0"), ["qwen3:4b-q4_k_m", "qwen3:4b-q8_0"]),
        ("qwen3:4b-f16", None, ("Q4_K_M",), ["qwen3:4b-q4_k_m"]),
        ("qwen3:F16", None, ("Q8_0",), ["qwen3:q8_0"]),
        ("hf.co/a/b:BF16", None, ("Q8_0",), ["hf.co/a/b:q8_0"]),
        ("qwen3:4b", "mine", ("Q8_0",), ["mine:latest"]),
        ("qwen3:4b", "mine", ("Q8_0", "Q4_0"), ["mine:q8_0", "mine:q4_0"]),
        ("qwen3:4b", "mine:x", ("Q8_0", "Q4_0"), ["mine:x-q8_0", "mine:x-q4_0"]),
    ],
)
def test_new_names_tell_source_and_type(source, name, types, want):
    request = QuantizeRequest(
        ModelName.parse(source), types, ModelName.parse(name) if name else None
    )
    assert [str(one) for one in names_of(request)] == want


def test_the_source_is_never_written_over():
    with pytest.raises(InvalidRequest, match="the source itself"):
        names_of(QuantizeRequest(ModelName.parse("a:q8_0"), ("Q8_0",)))
