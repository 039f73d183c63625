"""Several things go wrong in one pull, as on a bad day, and it still ends right."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from runner.domain.job import JobState
from runner.errors import DiskFull
from runner.store.arrival import PART_BYTES, Arrival, boot_id
from runner.store.journal import Head, replay
from runner.store.library import Library
from tests.fakes.file_server import Fault, FileServer
from tests.hub.fetching import MIB
from tests.real_daemon import ROOT, wait_for
from tests.service.pulling import NAME, PATH, House, OneFile, partials, run
from tests.workers.pieces import until

ENV = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def content(tiny):
    return tiny.read_bytes() + bytes(range(256)) * (3 * PART_BYTES // 256)


@pytest.fixture
def server(content):
    with FileServer({PATH: content}) as server:
        yield server


@pytest.fixture
def mirror(content):
    with FileServer({PATH: content}) as mirror:
        yield mirror


def is_whole(library: Library, content: bytes) -> bool:
    """Whether the model is there, every byte of it, and nothing else."""
    (info,) = library.list()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    read = library.model_path(library.find(info.name)).read_bytes()
    return read == content and library.blobs.digests() == {digest: len(content)}


def test_a_busy_hub_then_links_that_expire_then_a_wrong_byte(library, content, server, tmp_path):
    """Each link is good for one request, and there is one range at a time."""
    server.link_uses = 1
    server.faults[PATH] = [
        Fault("drop", after=2 * MIB),
        Fault("drop", after=MIB),
        Fault("flip", at=PART_BYTES + 77),
    ]
    with FileServer({PATH: content}) as hub:
        hub.cdn = server
        hub.faults[PATH] = [
            Fault("status", status=429, retry_after="0", times=2),
            Fault("status", status=503, retry_after="0"),
        ]
        house = House(library, OneFile(content, hub.url(PATH)), tmp_path)

        async def story():
            async with house:
                house.downloads.n_ranges = 1
                steps = await house.follow()
                assert steps[-1].phase == "success"
                assert any(step.phase == "repairing" for step in steps)

        run(story)
        assert len(hub.asked(PATH)) == 3 + 3 + 1, "refused, one for each link, one to mend"
    assert is_whole(library, content)


def test_the_file_changes_at_its_first_hub_while_the_other_one_limps(
    library, content, server, mirror, tmp_path
):
    """What is promised comes from where it still is, though that breaks off and is busy."""
    other = content[:-1] + b"\0"
    with FileServer({PATH: other}) as hub:
        hub.cdn = server  # never reached: the redirect tells the other digest
        server.faults[PATH] = [Fault("drop", after=3 * MIB)]
        mirror.faults[PATH] = [
            Fault("status", status=503, times=2),
            Fault("drop", after=MIB),
            Fault("whole"),
        ]
        server.faults[PATH].append(Fault("redirect", to=hub.url(PATH), times=-1))
        source = OneFile(content, server.url(PATH), mirror.url(PATH))
        house = House(library, source, tmp_path)

        async def story():
            async with house:
                assert (await house.follow())[-1].phase == "success"

        run(story)
    assert is_whole(library, content)
    assert mirror.n_served(PATH) >= len(content) - 4 * MIB


def test_the_disk_is_full_just_when_another_place_takes_over(
    library, content, server, mirror, tmp_path, monkeypatch
):
    """The job pauses with what it has; with room it goes on where it was."""
    server.faults[PATH] = [Fault("drop", after=2 * MIB), Fault("status", status=404, times=-1)]
    house = House(library, OneFile(content, server.url(PATH), mirror.url(PATH)), tmp_path)
    real = Arrival.write_at

    def full(self, offset, chunk):
        if self.n_arrived > 20 * MIB:
            raise DiskFull("no room any more")
        real(self, offset, chunk)

    monkeypatch.setattr(Arrival, "write_at", full)

    async def story():
        async with house:
            with pytest.raises(DiskFull):
                await house.follow()
            assert house.job.state is JobState.PAUSED
            assert library.list() == []
            monkeypatch.setattr(Arrival, "write_at", real)
            steps = await house.follow()
            assert steps[-1].phase == "success"
            assert min(step.n_done for step in steps if step.n_done) > 18 * MIB

    run(story)
    assert is_whole(library, content)
    assert partials(library) == []


def test_a_pause_does_not_wait_for_a_hub_that_wants_to_be_left_alone(
    library, content, server, tmp_path
):
    server.faults[PATH] = [
        Fault("drop", after=2 * MIB),
        Fault("status", status=429, retry_after="500", times=4),
    ]
    house = House(library, OneFile(content, server.url(PATH)), tmp_path)

    async def story():
        async with house:
            job = await house.pulls.pull_apart(NAME)
            await until(lambda: len(server.asked(PATH)) > 1)
            house.jobs.pause(job.job_id)
            await until(lambda: not house.jobs._tasks)
            assert house.job.state is JobState.PAUSED
            assert partials(library) != []
            server.faults[PATH] = []
            house.jobs.resume(job.job_id)
            await until(lambda: house.job.state is JobState.DONE, 60)

    run(story)
    assert is_whole(library, content)


def test_cancelled_and_begun_again_at_once(library, content, server, tmp_path):
    """Time and again, wherever the one that is cancelled just was."""
    house = House(library, OneFile(content, server.url(PATH)), tmp_path)

    async def story():
        async with house:
            server.rate_bps = 8 * MIB
            for number in range(6):
                job = await house.pulls.pull_apart(NAME)
                goal = server.n_served(PATH) + number * MIB
                await until(lambda g=goal: server.n_served(PATH) >= g)
                assert (await house.jobs.cancel(job.job_id)).state is JobState.CANCELLED
            server.rate_bps = 0
            assert (await house.follow())[-1].phase == "success"
            await until(lambda: not house.jobs._tasks)

    run(story)
    assert is_whole(library, content)
    assert partials(library) == []


def test_two_daemons_on_one_store_share_a_file_though_one_leaves(
    library, content, server, tmp_path
):
    """The second waits for the first; when that pauses it goes on where the first was."""
    server.rate_bps = 2 * MIB
    source = OneFile(content, server.url(PATH))
    other = Library(tmp_path / "models")
    (tmp_path / "two").mkdir()

    async def story():
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(House(library, source, tmp_path))
            second = await stack.enter_async_context(House(other, source, tmp_path / "two"))
            job = await first.pulls.pull_apart(NAME)
            await until(lambda: server.n_served(PATH) > 4 * MIB)
            await second.pulls.pull_apart(NAME)
            await until(lambda: second.job.phase.startswith("pulling") and second.job.n_bytes)
            first.jobs.pause(job.job_id)
            await until(lambda: second.job.n_done > 6 * MIB)
            first.jobs.resume(job.job_id)
            server.rate_bps = 0
            for house in (first, second):
                await until(lambda h=house: h.job.state is JobState.DONE, 60)

    run(story)
    assert is_whole(library, content)
    assert is_whole(other, content)
    assert server.n_served(PATH) < 2 * len(content)
    assert partials(library) == []


CHILD = Path(__file__).with_name("killed_repair.py")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL to send")
def test_a_repair_that_is_killed_leaves_the_model_and_goes_on(library, content, server, tmp_path):
    """The list has it all the time; what was good, and what has come, is not fetched again."""
    house = House(library, OneFile(content, server.url(PATH)), tmp_path)

    async def story():
        async with house:
            await house.follow()

    run(story)
    blob = library.model_path(library.find(NAME))
    with blob.open("r+b") as file:
        for part in (0, 2):
            file.seek(part * PART_BYTES + 4000)
            file.write(b"damage")
    good = (content[PART_BYTES : 2 * PART_BYTES], content[3 * PART_BYTES :])
    server.rate_bps = 2 * MIB
    digest = hashlib.sha256(content).hexdigest()
    command = [sys.executable, str(CHILD), str(library.models), str(len(content)), digest]
    for n_mib in (2, 6):
        goal = sum(map(len, good)) + n_mib * MIB
        with subprocess.Popen([*command, server.url(PATH)], cwd=ROOT, env=ENV) as child:
            wait_for(lambda g=goal: n_kept(library, content) >= g, "bytes to be kept", 60)
            child.kill()
        assert [info.name for info in Library(library.models).list()] == [NAME]
    server.rate_bps = 0
    done = subprocess.run(
        [*command, server.url(PATH)], cwd=ROOT, env=ENV, capture_output=True, timeout=60
    )
    assert done.stderr == b""
    assert int(done.stdout) <= 2 * PART_BYTES - 6 * MIB
    assert is_whole(library, content)
    assert partials(library) == []


def n_kept(library: Library, content: bytes) -> int:
    """What the journal of the download says is there, in bytes."""
    key = f"sha256:{hashlib.sha256(content).hexdigest()}"
    for path in library.blobs.partial.glob("pull-*.journal"):
        head = Head(key, len(content), PART_BYTES, boot_id())
        return sum(replay(path.read_bytes(), head).parts.values())
    return 0
