"""The library looked at, mended and cleared, with real files and a server that counts its bytes."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
from contextlib import aclosing, asynccontextmanager

import pytest

from runner.domain.job import JobState
from runner.domain.name import ModelName
from runner.domain.storage import Repaired, Verified
from runner.errors import CorralError, SourceError, StoreError
from runner.hub.throttle import Throttle
from runner.service.downloads import Downloads
from runner.service.jobs import JobService
from runner.service.pull import PullService
from runner.service.storage import StorageService
from runner.store import library as library_file
from runner.store.arrival import PART_BYTES, discard_arrival, open_arrival
from runner.store.library import Library
from tests.fakes.file_server import FileServer
from tests.fakes.models import tiny_model
from tests.hub.fetching import QUICK
from tests.service.pulling import NAME, PATH, OneFile
from tests.workers.pieces import until


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    tiny = tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf").read_bytes()
    return tiny + random.Random(1).randbytes(4 * PART_BYTES)


def awaited(test):
    """Run an asynchronous test on a loop of its own."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


class Rooms:
    """A library with its services."""

    def __init__(self, folder, source):
        self.library = Library(folder / "models")
        partial = self.library.blobs.partial
        self.jobs = JobService(discard=lambda key: discard_arrival(partial, key))
        downloads = Downloads(self.library, Throttle(), patience=QUICK)
        self.pulls = PullService(self.library, [source], self.jobs, downloads)
        self.storage = StorageService(self.library, [source], self.jobs, downloads)

    async def pull(self):
        async with aclosing(self.pulls.pull(NAME)) as moments:
            return [moment async for moment in moments]

    async def verify(self, name=None, *, is_deep=True) -> Verified:
        return await last(self.storage.verify(name, is_deep=is_deep))

    async def repair(self) -> Repaired:
        return await last(self.storage.repair(NAME))

    @property
    def blob(self):
        return self.library.blobs.path(self.library.find(NAME).model.digest)


async def last(moments):
    async with aclosing(moments):
        found = [moment async for moment in moments]
    return found[-1]


@pytest.fixture
def server(content):
    with FileServer({PATH: content}) as server:
        yield server


@asynccontextmanager
async def rooms_at(tmp_path, source):
    rooms = Rooms(tmp_path, source)
    try:
        yield rooms
    finally:
        await rooms.jobs.close()


def spoil(path, *places):
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))


@awaited
async def test_only_the_bad_parts_are_fetched_again(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        spoil(rooms.blob, 5, 2 * PART_BYTES + 7)
        found = await rooms.verify()
        (fault,) = found.faults
        assert fault.model == str(NAME)
        assert fault.n_bad == 2 * PART_BYTES
        assert "2 parts" in fault.reason
        assert "corral repair" in fault.hint
        before = server.n_served(PATH)
        done = await rooms.repair()
        assert (done.n_files, done.n_fetched) == (1, 2 * PART_BYTES)
        assert server.n_served(PATH) - before == 2 * PART_BYTES
        assert hashlib.sha256(rooms.blob.read_bytes()).digest() == hashlib.sha256(content).digest()
        assert (await rooms.verify()).faults == ()
        assert not [*rooms.library.blobs.partial.glob("*.data")]


@pytest.mark.parametrize("damage", ["gone", "short"])
@awaited
async def test_a_file_that_is_gone_or_short_comes_again(tmp_path, server, content, damage):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        blob = rooms.blob
        if damage == "gone":
            blob.unlink()
        else:
            with blob.open("r+b") as file:
                file.truncate(2 * PART_BYTES + 9)
        found = await rooms.verify(is_deep=False)
        assert len(found.faults) == 1
        await rooms.repair()
        assert blob.read_bytes() == content
        assert [info.name for info in rooms.library.list()] == [NAME]


@awaited
async def test_what_is_good_is_left_alone(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        before, inode = server.n_served(PATH), rooms.blob.stat().st_ino
        assert await rooms.repair() == Repaired(NAME, 0, 0, 0)
        assert server.n_served(PATH) == before
        assert rooms.blob.stat().st_ino == inode
        assert rooms.jobs.list_jobs()[0].state is JobState.DONE


@awaited
async def test_a_source_that_has_another_file_by_now_cannot_mend(tmp_path, server, content):
    source = OneFile(content, server.url(PATH))
    async with rooms_at(tmp_path, source) as rooms:
        await rooms.pull()
        spoil(rooms.blob, 5)
        source.sha256 = "0" * 64
        with pytest.raises(SourceError, match="another file by now"):
            await rooms.repair()
        (fault,) = (await rooms.verify()).faults
        assert fault.n_bad == PART_BYTES


@awaited
async def test_a_file_of_this_machine_must_be_taken_in_again(tmp_path, server, content):
    path = tiny_model(tmp_path / "own.gguf")
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        name = ModelName.parse("own")
        async with aclosing(rooms.pulls.import_file(path, name)) as moments:
            assert [moment async for moment in moments]
        spoil(rooms.library.blobs.path(rooms.library.find(name).model.digest), 3)
        with pytest.raises(StoreError, match=r"own\.gguf") as caught:
            await last(rooms.storage.repair(name))
        assert "corral pull" in caught.value.hint


@awaited
async def test_prune_spares_models_jobs_and_what_is_being_written(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        blobs = rooms.library.blobs
        stray = blobs.path(f"sha256:{'1' * 64}")
        stray.write_bytes(b"stray")
        held = open_arrival(blobs.partial, f"sha256:{'2' * 64}", 100)
        held.write_at(0, b"held")
        left = open_arrival(blobs.partial, "https://example.invalid/left", 100)
        left.write_at(0, b"left")
        left.close()
        rooms.library.quarantine.mkdir()
        (rooms.library.quarantine / "x.bad").write_bytes(b"bad")

        would = await rooms.storage.prune(is_dry=True)
        assert stray.exists()
        assert sorted(file.n_bytes for file in would.files) == [3, 4, 5]
        done = await rooms.storage.prune(is_dry=False)
        assert done.files == would.files
        assert done.n_bytes == 12
        assert not stray.exists()
        assert held.path.exists()
        assert (await rooms.storage.prune(is_dry=True)).files == ()
        held.close()
        assert (await rooms.verify()).faults == ()


@awaited
async def test_what_a_paused_pull_has_is_no_rubbish(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        server.rate_bps = PART_BYTES
        moments = rooms.pulls.pull(NAME)
        async for moment in moments:
            if moment.n_done > 1000:
                break
        await moments.aclose()
        await until(lambda: not rooms.jobs._tasks)
        (job,) = rooms.jobs.list_jobs()
        assert job.state is JobState.PAUSED
        assert (await rooms.storage.prune(is_dry=False)).files == ()
        await rooms.jobs.cancel(job.job_id)
        assert not [*rooms.library.blobs.partial.glob("*.data")]


@awaited
async def test_shared_bytes_are_told_apart(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        own = tiny_model(tmp_path / "own.gguf", name="own")
        for _ in rooms.library.import_file(
            own, ModelName.parse("own"), provenance={"source": "file"}
        ):
            pass
        rooms.library.copy(NAME, ModelName.parse("twin"))
        use = await rooms.storage.disk_use()
        assert use.n_model == len(content) + own.stat().st_size
        told = {str(one.name): (one.n_bytes, one.n_shared) for one in use.models}
        assert told == {
            "own:latest": (own.stat().st_size, 0),
            str(NAME): (len(content), len(content)),
            "twin:latest": (len(content), len(content)),
        }


@awaited
async def test_a_damaged_manifest_is_a_fault_and_keeps_all_blobs(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        stray = rooms.library.blobs.path(f"sha256:{'1' * 64}")
        stray.write_bytes(b"stray")
        place = tmp_path / "models" / "manifests" / "corral.local" / "library" / "bad" / "latest"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"{")
        (fault,) = (await rooms.verify(is_deep=False)).faults
        assert fault.model == "bad:latest"
        assert "damaged" in fault.reason
        told = await rooms.storage.prune(is_dry=False)
        assert told.kept
        assert stray.exists()


@awaited
async def test_a_name_that_is_not_there_is_no_job(tmp_path, server, content):
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        for moments in (
            rooms.storage.verify(ModelName.parse("nobody"), is_deep=True),
            rooms.storage.repair(ModelName.parse("nobody")),
        ):
            with pytest.raises(CorralError, match="nobody"):
                await last(moments)
        assert rooms.jobs.list_jobs() == []


@awaited
async def test_all_of_the_library_is_reached_by_the_path_that_windows_takes(
    tmp_path, server, content, monkeypatch
):
    """However long it is: one function makes it, and nothing goes by the one that was set."""
    long = tmp_path / "long"
    monkeypatch.setattr(library_file, "extended", lambda path: long)
    async with rooms_at(tmp_path, OneFile(content, server.url(PATH))) as rooms:
        await rooms.pull()
        spoil(rooms.blob, 5)
        assert len((await rooms.verify()).faults) == 1
        await rooms.repair()
        assert rooms.library.list()
        (long / "quarantine").mkdir()
        (long / "quarantine" / "x.bad").touch()
        assert len((await rooms.storage.prune(is_dry=False)).files) == 1
        assert (await rooms.storage.disk_use()).folder == str(long)
        rooms.library.delete(NAME)
        rooms.library.prune()
    assert not (tmp_path / "models").exists()
    assert [path.name for path in long.rglob("sha256-*")] == []
