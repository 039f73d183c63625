"""Pulls and imports: one job a name, however many follow it.

The copying runs in a thread.  A follower gets the job's last moment at once, then every change.
When the last follower leaves, the job stops; what it had begun leaves nothing in the library.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import CapacityError, CorralError, InvalidRequest, ModelNotFound, SourceError
from runner.hub.source import RemoteFile, Source
from runner.service.recipe import extras_of
from runner.store.library import Library

logger = logging.getLogger(__name__)

#: What the work of a job is: blocking, and closed to stop it.
Work = Callable[[], Generator[Progress, None, None]]


@dataclass(slots=True, eq=False)
class _Job:
    """A pull that runs; lives until it ends or its last follower leaves."""

    last: Progress | None = None
    followers: list[asyncio.Queue[Progress | Exception | None]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[None] | None = None


class PullService:
    """Brings models into the library."""

    def __init__(self, library: Library, sources: Sequence[Source]) -> None:
        self._library = library
        self._sources = sources
        self._jobs: dict[ModelName, _Job] = {}

    async def pull(self, name: ModelName) -> AsyncGenerator[Progress, None]:
        """Yield the progress of bringing ``name`` into the library; the last one is ``success``.

        Raises:
            SourceError: No source has it, or its source failed.
        """
        async with aclosing(self._follow(name, lambda: self._pull(name))) as moments:
            async for progress in moments:
                yield progress

    async def import_file(
        self, path: Path, name: ModelName | None
    ) -> AsyncGenerator[Progress, None]:
        """Yield the progress of copying a GGUF file of this machine into the library.

        Args:
            path: Absolute.
            name: What it will be called; ``None``: after the file.

        Raises:
            InvalidRequest: There is no such file.
            BadModelFile: It is no model.
        """
        if not path.is_absolute():
            raise InvalidRequest(f"the path '{path}' is not absolute", param="path")
        if not await asyncio.to_thread(path.is_file):
            raise InvalidRequest(f"there is no file '{path}'", param="path")
        chosen = name or name_of(path)

        def work() -> Generator[Progress, None, None]:
            provenance = {"source": "file", "file": path.name}
            yield from self._library.import_file(path, chosen, provenance=provenance)

        async with aclosing(self._follow(chosen, work)) as moments:
            async for progress in moments:
                yield progress

    async def close(self) -> None:
        """Stop all jobs; whoever follows one is told."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.stop.set()
        await asyncio.gather(*(job.task for job in jobs if job.task), return_exceptions=True)

    def _pull(self, name: ModelName) -> Generator[Progress, None, None]:
        """The work of a pull."""
        yield Progress("pulling manifest")
        source = next((source for source in self._sources if source.claims(name)), None)
        if source is None:
            raise self._unknown(name)
        files = source.resolve(name)
        if note := files[0].recipe.note:
            yield Progress(f"chose {note}")
        for file in files:
            yield from _as_pulled(self._library, name, file)

    def _unknown(self, name: ModelName) -> CorralError:
        try:
            self._library.find(name)
        except ModelNotFound:
            there = ""
        else:
            there = "; it is in the library already, and works from there"
        return SourceError(
            f"no source has the model '{name}'{there}",
            hint=f"find one with: corral search {name.model}; or name it in full:"
            " hf.co/owner/repo:Q4_K_M, modelscope.cn/owner/repo, ./model.gguf",
        )

    async def _follow(self, name: ModelName, work: Work) -> AsyncGenerator[Progress, None]:
        """Follow the job of ``name``, which begins if there is none."""
        job = self._jobs.get(name)
        if job is None or job.stop.is_set():
            job = _Job()
            self._jobs[name] = job
            job.task = asyncio.get_running_loop().create_task(self._run(name, job, work))
        queue: asyncio.Queue[Progress | Exception | None] = asyncio.Queue()
        if job.last:
            queue.put_nowait(job.last)
        job.followers.append(queue)
        try:
            while (moment := await queue.get()) is not None:
                if isinstance(moment, Exception):
                    raise moment
                yield moment
        finally:
            job.followers.remove(queue)
            if not job.followers:
                job.stop.set()

    async def _run(self, name: ModelName, job: _Job, work: Work) -> None:
        """Do the work in a thread and tell the followers; the end is an error or ``None``."""
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            job.last = progress
            for queue in job.followers:
                queue.put_nowait(progress)

        end: Exception | None = None
        try:
            await asyncio.to_thread(
                _work_off, name, job, work, lambda now: loop.call_soon_threadsafe(tell, now)
            )
            if job.last is None or job.last.phase != "success":
                end = CapacityError(f"pulling '{name}' was broken off", hint="pull it again")
        except CorralError as error:
            end = error
        except Exception:
            logger.exception("pull failed model=%s", name)
            end = SourceError(f"pulling '{name}' failed", hint="see: corral daemon logs")
        if self._jobs.get(name) is job:
            del self._jobs[name]
        for queue in job.followers:
            queue.put_nowait(end)


def _work_off(name: ModelName, job: _Job, work: Work, tell: Callable[[Progress], object]) -> None:
    """Run a job's work in this thread, until its end or until nobody follows it."""
    told: Progress | None = None
    with closing(work()) as moments:
        for progress in moments:
            if job.stop.is_set():
                return
            if progress == told:
                continue  # reading a file again has many moments, and one word for them all
            told = progress
            is_end = progress.phase == "success"
            tell(replace(progress, name=str(name)) if is_end else progress)


def _as_pulled(library: Library, name: ModelName, file: RemoteFile) -> Iterator[Progress]:
    """Import a file that is on this machine, told in the words of a pull."""
    extras = extras_of(file)
    moments = library.import_file(
        Path(file.location),
        name,
        provenance=file.provenance,
        parameters=extras.parameters,
        system=extras.system,
        template=extras.template,
        license_text=extras.license,
        sha256=file.sha256,
    )
    digest = f"sha256:{file.sha256}" if file.sha256 else ""
    for progress in moments:
        match progress.phase:
            case "copying":
                shown = digest.removeprefix("sha256:")[:12] or file.name
                yield replace(progress, phase=f"pulling {shown}", digest=digest)
            case "verifying":
                yield Progress("verifying sha256 digest")
            case _:
                yield progress


def name_of(path: Path) -> ModelName:
    """Return the name that a file's own name suggests.

    Raises:
        InvalidName: Nothing in it can be a name.
    """
    stem = path.name.removesuffix(".gguf").removesuffix(".GGUF")
    return ModelName.parse(re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.")[:80])
