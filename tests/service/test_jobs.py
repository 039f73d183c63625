"""Downloads as jobs: pause, go on, limits, restarts, and what is wrong with bytes."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import aclosing

import pytest

from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import (
    BadModelFile,
    CapacityError,
    DigestMismatch,
    DiskFull,
    InvalidRequest,
    JobNotFound,
    SourceError,
)
from runner.store.arrival import PART_BYTES, Arrival
from runner.store.state import JobTable, StoredJob
from tests.fakes.file_server import Fault, FileServer
from tests.hub.fetching import MIB, QUICK
from tests.service.pulling import NAME, PATH, House, OneFile, partials, run
from tests.workers.pieces import until


@pytest.fixture(scope="module")
def content(tiny):
    return tiny.read_bytes() + bytes(range(256)) * (3 * PART_BYTES // 256)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tests.fakes.models import tiny_model

    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture
def server(content):
    with FileServer({PATH: content}) as server:
        yield server


@pytest.fixture
def house(library, content, server, tmp_path):
    return House(library, OneFile(content, server.url(PATH)), tmp_path)


def test_a_pull_over_the_network_tells_ollamas_phases(house, library, content):
    async def story():
        async with house:
            steps = await house.follow()
            digest = f"sha256:{house.source.sha256}"
            assert list(dict.fromkeys(step.phase for step in steps)) == [
                "pulling manifest",
                f"pulling {house.source.sha256[:12]}",
                "verifying sha256 digest",
                "writing manifest",
                "success",
            ]
            counted = [step for step in steps if step.n_bytes]
            assert {(step.digest, step.n_bytes) for step in counted} == {(digest, len(content))}
            assert [s.n_done for s in counted] == sorted(s.n_done for s in counted)
            assert "hf.co" in {step.source for step in steps}
            assert house.job.state is JobState.DONE

    run(story)
    manifest = library.find(NAME)
    assert library.model_path(manifest).read_bytes() == content
    assert partials(library) == []
    (told,) = manifest.provenance["files"]
    assert told["digest"] == f"sha256:{house.source.sha256}"
    assert told["parts"][0] == hashlib.sha256(content[:PART_BYTES]).hexdigest()
    assert len(told["parts"]) == 4


def test_what_is_here_already_is_not_fetched_again(house, server, content):
    async def story():
        async with house:
            await house.follow()
            await house.follow()
            assert server.n_served(PATH) == len(content)

    run(story)


def test_when_the_last_one_leaves_a_pull_pauses_and_the_next_goes_on(house, server, content):
    server.rate_bps = 20 * MIB

    async def story():
        async with house:
            async with aclosing(house.pulls.pull(NAME)) as steps:
                async for step in steps:
                    if step.n_done > MIB:
                        break
            assert house.job.state is JobState.PAUSED
            await until(lambda: not house.jobs._tasks)
            job_id = house.job.job_id
            server.rate_bps = 0
            assert (await house.follow())[-1].phase == "success"
            assert house.job.job_id == job_id
            assert server.n_served(PATH) < len(content) + 8 * MIB

    run(story)


def test_who_leaves_at_the_word_success_leaves_a_job_that_is_done(house):
    async def story():
        async with house:
            async with aclosing(house.pulls.pull(NAME)) as steps:
                async for step in steps:
                    if step.phase == "success":
                        break
            await until(lambda: house.job.state is JobState.DONE)

    run(story)


def test_a_pull_begun_apart_goes_on_when_nobody_follows(house):
    async def story():
        async with house:
            job = await house.pulls.pull_apart(NAME)
            async with aclosing(house.pulls.pull(NAME)) as steps:
                await anext(steps)
            await until(lambda: house.jobs.get(job.job_id).state is JobState.DONE)

    run(story)


def test_a_daemon_that_comes_back_goes_on_by_itself(house, server, library, content):
    server.rate_bps = 20 * MIB

    async def story():
        async with house:
            await house.pulls.pull_apart(NAME)
            await until(lambda: house.job.n_done > MIB)
        server.rate_bps = 0
        async with house:
            assert house.job.state is JobState.RUNNING
            await until(lambda: house.job.state is JobState.DONE)
        async with house:
            assert house.job.state is JobState.DONE

    run(story)
    assert library.model_path(library.find(NAME)).read_bytes() == content
    assert server.n_served(PATH) < len(content) + 8 * MIB


def test_what_was_the_last_daemons_alone_is_gone_with_it(house):
    """A look at all models, done or broken off, is no job of the next daemon; nor is an old row."""
    may_end = threading.Event()

    def look(run):
        may_end.wait(60)
        yield Progress("success")

    async def story():
        async with house:
            once = await house.jobs.begin(
                "verify", "all", look, is_attended=False, is_lasting=False
            )
            may_end.set()
            await until(lambda: house.jobs.get(once.job_id).state is JobState.DONE)
            may_end.clear()
            more = await house.jobs.begin("verify", "a", look, is_attended=False, is_lasting=False)
            may_end.set()
        table = JobTable(house.folder / "state.sqlite")
        assert table.load() == []
        table.put(StoredJob(table.add(Job(0, "verify", "all", state=JobState.PAUSED))))
        table.close()
        async with house:
            assert house.jobs.list_jobs() == []
            assert (await house.pulls.pull_apart(NAME)).job_id > more.job_id > once.job_id

    run(story)


@pytest.mark.parametrize(("kind", "name"), [("brew", "tea"), ("pull", "no such:na:me")])
def test_a_job_that_no_longer_means_anything_keeps_no_daemon_from_starting(house, kind, name):
    """It is there still, and says why it ends."""
    table = JobTable(house.folder / "state.sqlite")
    table.put(StoredJob(table.add(Job(0, kind, name, state=JobState.RUNNING))))
    table.close()

    async def story():
        async with house:
            assert house.job.state is JobState.FAILED
            assert "does not know how" in house.job.error.message
            assert (await house.follow())[-1].phase == "success"

    run(story)


def test_a_paused_job_stays_paused_when_the_daemon_comes_back(house, server):
    server.rate_bps = 20 * MIB

    async def story():
        async with house:
            job = await house.pulls.pull_apart(NAME)
            follower = asyncio.create_task(house.follow())
            await until(lambda: house.job.n_done > MIB)
            house.jobs.pause(job.job_id)
            with pytest.raises(CapacityError, match="was paused"):
                await follower
        async with house:
            assert house.job.state is JobState.PAUSED
            server.rate_bps = 0
            house.jobs.resume(job.job_id)
            await until(lambda: house.job.state is JobState.DONE)

    run(story)


def test_a_cancelled_job_leaves_nothing(house, server, library):
    server.rate_bps = 20 * MIB

    async def story():
        async with house:
            job = await house.pulls.pull_apart(NAME)
            await until(lambda: house.job.n_done > MIB)
            await house.jobs.cancel(job.job_id)
            await until(lambda: not house.jobs._tasks)
            assert house.job.state is JobState.CANCELLED

    run(story)
    assert partials(library) == []
    assert library.list() == []


def test_a_limit_can_change_while_a_job_runs(house, server):
    async def story():
        async with house:
            job = await house.pulls.pull_apart(NAME, 100_000)
            await until(lambda: house.job.n_done > 0)
            assert house.job.limit_bps == 100_000
            house.jobs.limit(job.job_id, 0)
            await until(lambda: house.job.state is JobState.DONE)

    run(story)


def test_jobs_change_places(house):
    async def story():
        async with house:
            house.jobs.limit_all(1000)
            ids = []
            for tag in "abcde":
                name = ModelName.parse(f"hf.co/owner/tiny:{tag}")
                ids.append((await house.pulls.pull_apart(name)).job_id)
            assert [job.job_id for job in house.jobs.list_jobs()] == ids
            states = [job.state for job in house.jobs.list_jobs()]
            assert states == [JobState.RUNNING] * 3 + [JobState.QUEUED] * 2
            house.jobs.move(ids[4], 0)
            assert [job.job_id for job in house.jobs.list_jobs()] == [ids[4], *ids[:4]]
            house.jobs.pause(ids[0])
            assert house.jobs.get(ids[4]).state is JobState.RUNNING
            with pytest.raises(JobNotFound, match="no job 99"):
                house.jobs.pause(99)
            await house.jobs.cancel(ids[0])
            with pytest.raises(InvalidRequest, match="is cancelled"):
                house.jobs.pause(ids[0])

    run(story)


def test_a_full_disk_pauses_a_job_with_its_numbers_and_keeps_what_is_there(
    house, library, monkeypatch, content
):
    def full(self, n_more):
        raise DiskFull(f"{n_more} bytes are needed, 5 are free")

    monkeypatch.setattr(Arrival, "check_room", full)

    async def story():
        async with house:
            with pytest.raises(DiskFull, match=str(len(content))):
                await house.follow()
            assert house.job.state is JobState.PAUSED
            assert house.job.error.code == "disk_full"
            monkeypatch.undo()
            assert (await house.follow())[-1].phase == "success"
            assert house.job.error is None

    run(story)


# Bytes that are not the promised ones


def test_a_wrong_byte_is_found_and_its_part_fetched_again(house, server, library, content):
    server.faults[PATH] = [Fault("flip", at=PART_BYTES + 77)]
    house.source = OneFile(content, server.url(PATH))

    async def story():
        async with house:
            assert (await house.follow())[-1].phase == "success"

    run(story)
    assert library.model_path(library.find(NAME)).read_bytes() == content
    assert server.n_served(PATH) <= 2 * len(content)


def test_a_host_with_a_damaged_file_is_made_up_for_by_another(house, server, library, content):
    server.faults[PATH] = [Fault("flip", at=PART_BYTES + 77, times=-1)]
    with FileServer({PATH: content}) as mirror:
        house.source = OneFile(content, server.url(PATH), mirror.url(PATH))

        async def story():
            async with house:
                assert (await house.follow())[-1].phase == "success"

        run(story)
        assert mirror.n_served(PATH) < len(content)
    assert library.model_path(library.find(NAME)).read_bytes() == content


def test_bytes_that_never_become_the_promised_ones_are_set_aside(house, server, library, content):
    server.faults[PATH] = [Fault("flip", at=PART_BYTES + 77, times=-1)]

    async def story():
        async with house:
            with pytest.raises(DigestMismatch, match="did not help"):
                await house.follow()
            assert house.job.state is JobState.FAILED

    run(story)
    assert server.n_served(PATH) <= 2 * len(content)
    assert library.list() == []
    assert library.blobs.digests() == {}
    assert partials(library) == []
    (aside,) = (library.models / "quarantine").iterdir()
    assert aside.name == f"{house.source.sha256}.bad"


def test_a_promised_file_that_is_no_model_is_refused(house, server, library):
    page = b"<html>" * 1000
    server.files[PATH] = page
    house.source = OneFile(page, server.url(PATH))

    async def story():
        async with house:
            with pytest.raises(BadModelFile):
                await house.follow()

    run(story)
    assert library.list() == []
    assert partials(library) == []


def test_a_hub_that_is_down_fails_the_job_and_the_next_pull_goes_on(house, server):
    server.faults[PATH] = [Fault("status", status=500, times=QUICK.n_tries)]

    async def story():
        async with house:
            with pytest.raises(SourceError, match="HTTP 500"):
                await house.follow()
            assert house.job.state is JobState.FAILED
            assert (await house.follow())[-1].phase == "success"
            assert len(house.jobs.list_jobs()) == 1

    run(story)


def test_two_names_of_one_file_fetch_it_once(house, server, content, library):
    server.rate_bps = 30 * MIB

    async def story():
        async with house:
            jobs = [
                await house.pulls.pull_apart(ModelName.parse(f"hf.co/owner/tiny:{tag}"))
                for tag in ("a", "b")
            ]
            for job in jobs:
                await until(lambda j=job: house.jobs.get(j.job_id).state is JobState.DONE)

    run(story)
    assert server.n_served(PATH) == len(content)
    assert len(library.list()) == 2


def test_cancelled_jobs_that_wait_for_a_hub_hold_up_nothing_else(library, tmp_path):
    """Neither the next job nor what needs a thread for a moment waits for those that hang."""
    may_answer, asked = threading.Event(), []

    class Silent(OneFile):
        def resolve(self, name):
            asked.append(name)
            may_answer.wait(60)
            raise SourceError("too late")

    async def story():
        async with House(library, Silent(b"", "unused"), tmp_path) as house:
            for number in range(20):
                name = ModelName.parse(f"hf.co/owner/tiny:{number}")
                job = await house.pulls.pull_apart(name)
                await until(lambda n=name: n in asked)
                assert (await house.jobs.cancel(job.job_id)).state is JobState.CANCELLED
            assert await asyncio.to_thread(may_answer.is_set) is False
            may_answer.set()

    run(story)
    assert len(asked) == 20
