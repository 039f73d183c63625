"""The library on the disk, for whoever asks: what it takes, whether it is sound, what can go.

What reads whole files is a job, so it shows with the others and can be cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing
from typing import TypeVar, cast

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.storage import DiskUse, Pruned, Repaired, Verified
from runner.hub.source import Source
from runner.service.downloads import Downloads
from runner.service.jobs import JobService
from runner.service.repair import repair
from runner.service.run import Run
from runner.store.audit import verify
from runner.store.library import Library
from runner.store.prune import prune
from runner.store.usage import disk_use

T = TypeVar("T", Verified, Repaired)

VERIFY, REPAIR = "verify", "repair"
#: What the job of a look at all models is called.
ALL = "all models"


class StorageService:
    """Verify, repair, prune, and say what takes the room.

    Args:
        library: Whose.
        sources: Where damaged files can be had again.
        jobs: Where its jobs are.
        downloads: How files come.
        in_use: Returns the digests of the models in memory.
    """

    def __init__(
        self,
        library: Library,
        sources: Sequence[Source],
        jobs: JobService,
        downloads: Downloads,
        in_use: Callable[[], set[str]] = set,
    ) -> None:
        self._library = library
        self._sources = sources
        self._jobs = jobs
        self._downloads = downloads
        self._in_use = in_use

    async def disk_use(self) -> DiskUse:
        """Return what the library takes of the disk.

        Raises:
            StoreError: It cannot be read.
        """
        return await asyncio.to_thread(disk_use, self._library)

    async def prune(self, *, is_dry: bool) -> Pruned:
        """Remove what no model and no job needs, or say what that is.

        Raises:
            StoreBusy: Another process is changing the store.
            StoreError: The library cannot be read.
        """
        keep = self._jobs.wanted_keys() | self._in_use()
        return await asyncio.to_thread(prune, self._library, keep=keep, is_dry=is_dry)

    async def verify(
        self, name: ModelName | None, *, is_deep: bool
    ) -> AsyncGenerator[Progress | Verified, None]:
        """Yield the progress of a look at one model or all, then what was found.

        Raises:
            ModelNotFound: There is no such model.
        """
        names = [name] if name else []
        if name:
            await asyncio.to_thread(self._library.find, name)

        def look(run: Run) -> Generator[Progress, None, Verified]:
            return verify(self._library, names, is_deep=is_deep)

        title = str(name or ALL) + (", every byte" if is_deep else "")
        async with aclosing(self._do(VERIFY, title, look)) as moments:
            async for moment in moments:
                yield moment

    async def repair(self, name: ModelName) -> AsyncGenerator[Progress | Repaired, None]:
        """Yield the progress of mending a model, then what was mended.

        Raises:
            ModelNotFound: There is no such model.
            StoreError: It cannot be mended from anywhere.
            SourceError: Its source refused, or has another file by now.
        """
        await asyncio.to_thread(self._library.find, name)

        def mend(run: Run) -> Generator[Progress, None, Repaired]:
            return repair(self._library, self._sources, self._downloads, name, run)

        async with aclosing(self._do(REPAIR, str(name), mend)) as moments:
            async for moment in moments:
                yield moment

    async def _do(
        self, kind: str, title: str, do: Callable[[Run], Generator[Progress, None, T]]
    ) -> AsyncGenerator[Progress | T, None]:
        """Do it as a job; whoever joins one that runs shares what it finds."""

        def work(run: Run) -> Generator[Progress, None, None]:
            run.result = yield from do(run)
            yield Progress("success")

        job = await self._jobs.begin(kind, title, work, is_attended=True, is_lasting=False)
        async with aclosing(self._jobs.follow(job.job_id)) as moments:
            async for progress in moments:
                if progress.phase != "success":
                    yield progress
        yield cast(T, self._jobs.result_of(job.job_id))
