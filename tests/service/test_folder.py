"""The library moves as a job, with everything that changes meanwhile, or stays as it is."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runner.config import load_settings
from runner.daemon.settings import LiveSettings
from runner.domain.job import JobState
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import DigestMismatch, InvalidRequest, StoreBusy
from runner.service import folder as folder_file
from runner.service.folder import FolderService
from runner.service.jobs import JobService
from runner.store import carry as carry_file
from runner.store.library import Library
from runner.store.state import JobTable
from tests.workers.pieces import until


def awaited(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


class Rooms:
    """A daemon's library, jobs and settings, of one home."""

    def __init__(self, home: Path, environ: dict[str, str] | None = None) -> None:
        environ = environ or {}
        config = home / "config.toml"
        settings = load_settings(config, environ)
        self.usual = Path(environ.get("CORRAL_MODELS", home / "models"))
        self.live = LiveSettings(config, settings, environ)
        self.library = Library(Path(settings.models) if settings.models else self.usual)
        self.jobs = JobService(JobTable(home / "state.sqlite"))
        self.folders = FolderService(
            self.library,
            self.jobs,
            usual=self.usual,
            fixed_by="CORRAL_MODELS" if environ else "",
            change=self.live.change,
        )
        self.live.guard("models", self.folders.check)
        self.live.when_changed(("models",), lambda new: self.folders.place(new.models))

    async def end_of(self, job):
        async for _ in self.jobs.follow(job.job_id):
            pass
        await until(lambda: self.jobs.get(job.job_id).state.is_over)
        return self.jobs.get(job.job_id)

    @property
    def names(self) -> list[str]:
        return sorted(str(info.name) for info in self.library.list())

    def state(self):
        return next(one for one in self.live.list_settings() if one.name == "models")


@asynccontextmanager
async def rooms_at(home, environ=None):
    rooms = Rooms(home, environ)
    try:
        await rooms.jobs.restore(rooms.folders.work_of)
        yield rooms
    finally:
        await rooms.jobs.close()


@pytest.fixture
def home(tmp_path, tiny):
    home = tmp_path / "home"
    library = Library(home / "models")
    list(library.import_file(tiny, ModelName.parse("tiny"), provenance={"source": "file"}))
    return home


@awaited
async def test_a_move_ends_in_the_other_folder_and_the_next_daemon_finds_it(home, tmp_path):
    folder = tmp_path / "disk" / "models"
    async with rooms_at(home) as rooms:
        seen = []
        rooms.folders.on_change = seen.append
        job = await rooms.folders.move(str(folder))
        assert (await rooms.end_of(job)).state is JobState.DONE
        assert (rooms.names, rooms.library.models) == (["tiny:latest"], folder)
        assert seen == [folder]
        assert (rooms.state().value, rooms.state().is_pending) == (str(folder), False)
        assert not (home / "models").exists()
        told = await rooms.folders.told()
        assert (told.folder, told.usual, told.is_there) == (str(folder), str(rooms.usual), True)
    async with rooms_at(home) as rooms:
        assert rooms.names == ["tiny:latest"]
        job = await rooms.folders.move("")
        assert (await rooms.end_of(job)).state is JobState.DONE
        assert (rooms.state().source, rooms.names) == ("default", ["tiny:latest"])
    assert not folder.exists()


@awaited
async def test_a_move_that_is_cancelled_leaves_all_as_it_was(home, tmp_path, monkeypatch):
    waits, begun = threading.Event(), threading.Event()
    real = carry_file.Carrier.blobs

    def slow(self):
        for moment in real(self):
            begun.set()
            waits.wait(60)
            yield moment

    monkeypatch.setattr(carry_file.Carrier, "blobs", slow)
    async with rooms_at(home) as rooms:
        job = await rooms.folders.move(str(tmp_path / "disk"))
        await asyncio.to_thread(begun.wait, 20)
        with pytest.raises(StoreBusy, match="moving the models to"):
            await rooms.folders.move(str(tmp_path / "third"))
        with pytest.raises(StoreBusy):
            await rooms.folders.use(str(tmp_path / "third"))
        await rooms.jobs.cancel(job.job_id)
        waits.set()
        await until(lambda: not (tmp_path / "disk").exists())
        assert rooms.names == ["tiny:latest"]
        assert rooms.state().source == "default"


@awaited
async def test_a_move_that_fails_says_why_and_leaves_all_as_it_was(home, tmp_path, monkeypatch):
    def broken(self):
        yield Progress("copying")
        raise DigestMismatch("one file is damaged", hint="mend it")

    monkeypatch.setattr(carry_file.Carrier, "rest", broken)
    async with rooms_at(home) as rooms:
        job = await rooms.folders.move(str(tmp_path / "disk"))
        with pytest.raises(DigestMismatch, match="one file is damaged"):
            await rooms.end_of(job)
        assert rooms.names == ["tiny:latest"]
        assert not (tmp_path / "disk").exists()


@awaited
async def test_a_move_that_the_daemons_end_broke_off_begins_again(home, tmp_path, monkeypatch):
    begun = threading.Event()
    folder = tmp_path / "disk"

    def endless(self):
        while True:
            begun.set()
            yield Progress("copying")

    with monkeypatch.context() as patch:
        patch.setattr(carry_file.Carrier, "blobs", endless)
        async with rooms_at(home) as rooms:
            await rooms.folders.move(str(folder))
            await asyncio.to_thread(begun.wait, 20)
    assert not folder.exists()
    async with rooms_at(home) as rooms:
        (job,) = rooms.jobs.list_jobs()
        if not job.state.is_over:
            await rooms.end_of(job)
        assert (rooms.names, rooms.library.models) == (["tiny:latest"], folder)
        assert not (home / "models").exists()


@pytest.mark.parametrize("end", [JobState.DONE, JobState.CANCELLED])
@awaited
async def test_what_a_broken_off_move_has_brought_is_not_brought_again(
    home, tmp_path, monkeypatch, end
):
    """And it goes, should the next daemon be told to give the move up."""
    folder = tmp_path / "disk"
    begun = threading.Event()
    real = carry_file.Carrier.blobs

    def stalled(self):
        yield from real(self)
        while True:
            begun.set()
            yield Progress("copying")

    def brought():
        return {path.name: path.stat().st_ino for path in (folder / "blobs").glob("sha256-*")}

    with monkeypatch.context() as patch:
        patch.setattr(carry_file.Carrier, "blobs", stalled)
        patch.setattr(os, "link", _no_link)
        async with rooms_at(home) as rooms:
            await rooms.folders.move(str(folder))
            await asyncio.to_thread(begun.wait, 20)
        before = brought()
        assert len(before) == 1
        if end is JobState.CANCELLED:
            begun.clear()
            async with rooms_at(home) as rooms:
                (job,) = rooms.jobs.list_jobs()
                await asyncio.to_thread(begun.wait, 20)
                await rooms.jobs.cancel(job.job_id)
                await until(lambda: not brought())
                assert (rooms.names, rooms.state().source) == (["tiny:latest"], "default")
            return
    async with rooms_at(home) as rooms:
        (job,) = rooms.jobs.list_jobs()
        if not job.state.is_over:
            await rooms.end_of(job)
        assert (rooms.names, rooms.library.models) == (["tiny:latest"], folder)
        assert brought() == before


def _no_link(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@awaited
async def test_jobs_that_write_keep_the_library_where_it_is(home, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_file, "_LOOK_S", 0.01)
    ends = threading.Event()

    def pulling(run):
        while not ends.is_set() and not run.stop.is_set():
            ends.wait(0.01)
            yield Progress("pulling")
        yield Progress("success")

    async with rooms_at(home) as rooms:
        how = {"is_attended": False, "is_lasting": False}
        job = await rooms.jobs.begin("quantize", "tiny:q4", pulling, **how)
        with pytest.raises(StoreBusy, match=f"while job {job.job_id} is at work: quantizing"):
            await rooms.folders.move(str(tmp_path / "disk"))
        with pytest.raises(StoreBusy):
            await rooms.live.change({"models": str(tmp_path / "disk")})
        ends.set()
        await rooms.end_of(job)
        ends.clear()
        # One that begins while the files are on their way is waited for.
        begun = threading.Event()
        real = carry_file.Carrier.blobs

        def told(self):
            yield from real(self)
            begun.set()
            later.wait(60)

        later = threading.Event()
        with monkeypatch.context() as patch:
            patch.setattr(carry_file.Carrier, "blobs", told)
            move = await rooms.folders.move(str(tmp_path / "disk"))
            await asyncio.to_thread(begun.wait, 20)
        job = await rooms.jobs.begin("quantize", "tiny:q4", pulling, **how)
        later.set()
        await until(lambda: "waiting" in rooms.jobs.get(move.job_id).phase)
        assert rooms.library.models == home / "models"
        ends.set()
        assert (await rooms.end_of(move)).state is JobState.DONE
        assert rooms.names == ["tiny:latest"]


@awaited
async def test_files_stay_until_models_are_loaded_that_read_them(home, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_file, "_LOOK_S", 0.01)
    async with rooms_at(home) as rooms:
        looks = []
        blob = next((home / "models" / "blobs").iterdir())

        def is_loading():
            looks.append(blob.exists())
            return len(looks) < 3

        rooms.folders._is_loading = is_loading
        await rooms.end_of(await rooms.folders.move(str(tmp_path / "disk")))
        assert looks == [True, True, True]
        assert not blob.exists()


@awaited
async def test_only_using_another_folder_leaves_both_as_they_are(home, tmp_path):
    folder = tmp_path / "disk"
    async with rooms_at(home) as rooms:
        found = await rooms.folders.use(str(folder))
        assert (found.n_models, found.n_there) == (1, 0)
        assert rooms.names == []
        await rooms.live.change({"models": None})
        assert rooms.names == ["tiny:latest"]


@awaited
async def test_what_the_environment_says_is_not_changed(home, tmp_path):
    environ = {"CORRAL_MODELS": str(home / "models")}
    async with rooms_at(home, environ) as rooms:
        for act in (rooms.folders.move, rooms.folders.use):
            with pytest.raises(InvalidRequest, match="CORRAL_MODELS in the daemon's environment"):
                await act(str(tmp_path / "disk"))
        assert (await rooms.folders.told()).fixed_by == "CORRAL_MODELS"
    assert not (tmp_path / "disk").exists()


@awaited
async def test_a_wrong_folder_in_the_settings_is_the_settings_fault(home):
    async with rooms_at(home) as rooms:
        with pytest.raises(InvalidRequest, match="absolute") as caught:
            await rooms.live.change({"models": "here"})
        assert caught.value.param == "models"
        assert rooms.state().source == "default"


@awaited
async def test_a_disk_that_has_gone_can_be_left_for_another(home, tmp_path):
    async with rooms_at(home) as rooms:
        await rooms.end_of(await rooms.folders.move(str(tmp_path / "disk")))
        (tmp_path / "disk").rename(tmp_path / "gone")
        assert not (await rooms.folders.told()).is_there
        await rooms.folders.use("")
        assert rooms.names == []
