"""Which folder the library is in: told, changed, and moved with all that is in it.

A move is a job.  Until the last of it is there the library is used where it was; then the setting
changes, the daemon goes on in the new folder, and what was moved goes from the old one.  A move
that fails or is cancelled leaves everything where it was; one that the daemon's end breaks off
goes on with the next daemon, from what it has brought.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.domain.job import Job, JobState
from runner.domain.progress import Progress
from runner.domain.storage import Folder, FolderPlan
from runner.errors import InvalidRequest, StoreBusy
from runner.service.jobs import JobService
from runner.service.run import Run, Work, as_json, doing, request_of
from runner.store.carry import carry, checked_folder, leave, plan
from runner.store.disk import explained, plain
from runner.store.library import Library
from runner.store.state import StoredJob

MOVE = "move"
#: Jobs that only read the library, and may go on while it moves.
_READERS = (MOVE, "verify")
#: Jobs that have nothing open while they are paused.
_RESTING = ("pull", "import")
#: Seconds between two looks whether other jobs are over, and that the daemon may take to switch.
_LOOK_S, _SWITCH_S = 0.2, 60.0
#: Seconds that a model may take to load from where the library was; then its files go.
_LOAD_S = 60.0
_NAME = "models"


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What a move was asked for: both folders, as texts."""

    folder: str
    before: str


class FolderService:
    """Where the library is.

    Args:
        library: Whose.
        jobs: Where its jobs are.
        usual: The folder that it is in unless another one is chosen.
        fixed_by: The environment's variable that says where; empty: none does.
        change: Changes settings: given their names and values.
        is_loading: Whether a model is on its way into memory, from files where they were.
    """

    def __init__(
        self,
        library: Library,
        jobs: JobService,
        *,
        usual: Path,
        fixed_by: str,
        change: Callable[[Mapping[str, Any]], Awaitable[object]],
        is_loading: Callable[[], bool] = bool,
    ) -> None:
        self._library = library
        self._jobs = jobs
        self._usual = usual
        self._fixed_by = fixed_by
        self._change = change
        self._is_loading = is_loading
        self._is_held = False  # a move has the store's lock
        #: Called with the new folder when the library is in another one.
        self.on_change: Callable[[Path], None] = lambda folder: None

    async def told(self) -> Folder:
        """Return where the library is."""
        return await asyncio.to_thread(self._told)

    async def plan(self, text: str) -> FolderPlan:
        """Return what it would take to move to a folder; empty: the usual one.

        Raises:
            InvalidRequest: That is no folder for it.
            StoreError: It cannot be read or written.
        """
        return await asyncio.to_thread(lambda: plan(self._library, self._checked(text)))

    async def use(self, text: str) -> FolderPlan:
        """Use another folder with whatever is there; what is here stays here.  Raises as ``plan``.

        Raises:
            StoreBusy: A job is at work in the library.
        """
        found = await self.plan(text)
        await self._change({_NAME: self._value(found.folder)})
        return found

    async def move(self, text: str) -> Job:
        """Begin to move the library to a folder, whether anybody follows or not; return the job.

        Raises as ``plan``; what can be told to go wrong is found before.

        Raises:
            StoreBusy: A job is at work in the library, or another move.
            DiskFull: It does not fit there.
        """
        self._refuse_fixed()
        folder = await asyncio.to_thread(self._checked, text)
        name = folder.name  # jobs are told to everyone, and where files are is not
        if others := [job for job in self._under_way(MOVE) if job.name != name]:
            raise _busy(others[0])
        self._refuse_jobs()
        await asyncio.to_thread(carry, self._library, folder)
        request = MoveRequest(str(folder), plain(self._library.models))
        return await self._jobs.begin(
            MOVE,
            name,
            self._work(request),
            is_attended=False,
            is_lasting=False,
            request=as_json(request),
        )

    def work_of(self, stored: StoredJob) -> Work | None:
        """Return the work of a job of the last daemon; ``None`` for one of another kind."""
        request = request_of(stored, MOVE, MoveRequest)
        return self._work(request) if request else None

    # What the settings ask

    async def check(self, text: str) -> None:
        """Do nothing when the library may be in this folder next, and is free to go there.

        Raises:
            InvalidRequest: That is no folder for it.
            StoreBusy: A job is at work in the library.
        """
        folder = Path(text) if text else self._usual
        if str(folder) == plain(self._library.models):
            return
        if not self._is_held:
            await asyncio.to_thread(self._checked, text)
            self._refuse_jobs(also=(MOVE,))

    async def place(self, text: str) -> None:
        """Have the library in this folder from now on; empty: in the usual one."""
        folder = Path(text) if text else self._usual
        if self._is_held:
            self._library.relocate(folder)
        else:
            await asyncio.to_thread(self._relocate, folder)
        self.on_change(folder)

    # Inside

    def _told(self) -> Folder:
        folder = Path(plain(self._library.models))
        n_bytes = n_free = 0
        with suppress(OSError, StopIteration):
            there = next(one for one in (folder, *folder.parents) if one.exists())
            usage = shutil.disk_usage(there)
            n_bytes, n_free = usage.total, usage.free
        is_there = folder.is_dir() or folder == self._usual
        return Folder(str(folder), str(self._usual), self._fixed_by, is_there, n_bytes, n_free)

    def _checked(self, text: str) -> Path:
        return checked_folder(text or str(self._usual), self._library.models)

    def _value(self, folder: str) -> str | None:
        return None if folder == str(self._usual) else folder

    def _relocate(self, folder: Path) -> None:
        with explained(f"cannot make {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        if not self._library.models.is_dir():  # its disk is gone: there is nothing to be locked
            self._library.relocate(folder)
            return
        with self._library.changing(f"move to {folder}"):
            self._library.relocate(folder)

    def _refuse_fixed(self) -> None:
        if self._fixed_by:
            raise InvalidRequest(
                f"'{_NAME}' is set by {self._fixed_by} in the daemon's environment, which wins",
                hint="unset it and start the daemon again",
                param="folder",
            )

    def _refuse_jobs(self, *, also: tuple[str, ...] = ()) -> None:
        if others := [*self._busy(), *self._under_way(*also)]:
            raise _busy(others[0])

    def _under_way(self, *kinds: str) -> list[Job]:
        jobs = self._jobs.list_jobs()
        return [job for job in jobs if job.kind in kinds and not job.state.is_over]

    def _busy(self) -> list[Job]:
        """The jobs that write to the library; those of which nothing is open may wait."""
        return [
            job
            for job in self._jobs.list_jobs()
            if not job.state.is_over
            and job.kind not in _READERS
            and not (job.kind in _RESTING and job.state is JobState.PAUSED)
        ]

    # The work, in a thread

    def _work(self, request: MoveRequest) -> Work:
        loop = asyncio.get_running_loop()

        def on_loop(make: Callable[[], Awaitable[Any]]) -> Any:
            async def ask() -> Any:
                return await make()

            return asyncio.run_coroutine_threadsafe(ask(), loop).result(_SWITCH_S)

        def work(run: Run) -> Generator[Progress, None, None]:
            folder, before = Path(request.folder), Path(request.before)
            if plain(self._library.models) != request.folder:
                before = Path(plain(self._library.models))
                yield from self._carry(folder, on_loop, run)
                self._let_load(on_loop)
            leave(before, folder)
            yield Progress("success")

        return work

    def _let_load(self, on_loop: Callable[[Callable[[], Awaitable[Any]]], Any]) -> None:
        """Wait for models that were being loaded when the library moved, but not for ever."""

        async def is_loading() -> bool:
            return self._is_loading()

        deadline = time.monotonic() + _LOAD_S
        while on_loop(is_loading) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)

    def _carry(
        self, folder: Path, on_loop: Callable[[Callable[[], Awaitable[Any]]], Any], run: Run
    ) -> Generator[Progress, None, None]:
        async def busy() -> list[Job]:
            return self._busy()

        carrier = carry(self._library, folder)
        try:
            yield from carrier.blobs()
            while True:
                while others := on_loop(busy):
                    yield Progress(f"waiting for job {others[0].job_id}")
                    time.sleep(_LOOK_S)
                with self._library.changing(f"move to {folder}"):
                    if on_loop(busy):
                        continue  # one has begun between the look and the lock
                    yield from carrier.rest()
                    self._is_held = True
                    try:
                        on_loop(lambda: self._change({_NAME: self._value(str(folder))}))
                    finally:
                        self._is_held = False
                    return
        except BaseException:
            if plain(self._library.models) != str(folder) and not run.goes_on:
                carrier.undo()
            raise


def _busy(job: Job) -> StoreBusy:
    return StoreBusy(
        f"the library cannot change its folder while job {job.job_id} is at work: {doing(job)}",
        hint="wait for it, pause it or cancel it: corral jobs",
    )
