"""Pulls and imports: a name becomes files, the files become blobs and a manifest.

Each is a job (``jobs.py``): one for each name, however many follow it.  What a pull has fetched
stays when it stops; an import that stops leaves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import (
    BadModelFile,
    CorralError,
    InvalidName,
    InvalidRequest,
    ModelNotFound,
    SourceError,
)
from runner.hub.source import RemoteFile, Source
from runner.hub.throttle import Throttle
from runner.service.downloads import Downloads
from runner.service.jobs import JobService
from runner.service.local import look, name_of, take_in
from runner.service.manifest import manifest_of
from runner.service.recipe import extras_of
from runner.service.run import Run, TakeUp, Work
from runner.store.arrival import PART_BYTES, Arrival
from runner.store.audit import known_parts
from runner.store.gate import warnings
from runner.store.library import Library
from runner.store.manifests import Layer
from runner.store.state import StoredJob

PULL, IMPORT = "pull", "import"


class PullService:
    """Brings models into the library.

    Args:
        library: Where to.
        sources: Asked in this order whether a name is theirs.
        jobs: Where its jobs are; without it, jobs of its own that nobody keeps.
        downloads: How files come from elsewhere.
        memory_bytes: This machine's memory, to choose among a folder's files; 0: not known.
    """

    def __init__(
        self,
        library: Library,
        sources: Sequence[Source],
        jobs: JobService | None = None,
        downloads: Downloads | None = None,
        memory_bytes: int = 0,
    ) -> None:
        self._library = library
        self._sources = sources
        self._jobs = jobs or JobService()
        self._downloads = downloads or Downloads(library, Throttle())
        self._memory_bytes = memory_bytes

    async def pull(
        self, name: ModelName, limit_bps: int | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Yield the progress of bringing ``name`` into the library; the last one is ``success``.

        When the last one who follows leaves, the job pauses, unless it was begun apart.

        Args:
            name: What to bring.
            limit_bps: Most bytes a second; 0: no limit, ``None``: as the job has it.

        Raises:
            SourceError: No source has it, or its source failed.
        """
        job = await self._jobs.begin(
            PULL, str(name), self._work(name), is_attended=True, limit_bps=limit_bps
        )
        async with aclosing(self._jobs.follow(job.job_id)) as moments:
            async for progress in moments:
                yield progress

    async def pull_apart(self, name: ModelName, limit_bps: int | None = None) -> Job:
        """Begin to bring ``name``, whether anybody follows or not; return the job."""
        return await self._jobs.begin(
            PULL, str(name), self._work(name), is_attended=False, limit_bps=limit_bps
        )

    def work_of(self, stored: StoredJob) -> Work | None:
        """Return the work of a pull of the last daemon; ``None`` for a job of another kind."""
        try:
            is_pull = stored.job.kind == PULL
            return self._work(ModelName.parse(stored.job.name)) if is_pull else None
        except InvalidName:  # of another version: no reason not to serve
            return None

    async def restore(self, *others: TakeUp) -> None:
        """Go on with the jobs of the last daemon.

        Args:
            others: Return the work of jobs that are no pulls, or ``None``.
        """

        def work(stored: StoredJob) -> Work | None:
            found = (work_of(stored) for work_of in (self.work_of, *others))
            return next((one for one in found if one is not None), None)

        await self._jobs.restore(work)

    async def import_file(
        self, path: Path, name: ModelName | None
    ) -> AsyncGenerator[Progress, None]:
        """Yield the progress of copying a model of this machine into the library.

        Args:
            path: Absolute: a GGUF file, the first or any part of a model in several files, or a
                folder that holds a model.
            name: What it will be called; ``None``: after the file or the folder.

        Raises:
            InvalidRequest: There is no such file, or no model in the folder.
            BadModelFile: It is no model.
        """
        if not path.is_absolute():
            raise InvalidRequest(f"the path '{path}' is not absolute", param="path")
        found = await asyncio.to_thread(look, path, self._memory_bytes)
        chosen = name or name_of(path)

        def work(run: Run) -> Generator[Progress, None, None]:
            if found.note:
                yield Progress(f"chose {found.note}")
            yield from take_in(self._library, chosen, found.files)

        job = await self._jobs.begin(IMPORT, str(chosen), work, is_attended=True, is_lasting=False)
        async with aclosing(self._jobs.follow(job.job_id)) as moments:
            async for progress in moments:
                yield progress

    async def close(self) -> None:
        """Stop all jobs; whoever follows one is told."""
        await self._jobs.close()

    def _work(self, name: ModelName) -> Work:
        def work(run: Run) -> Generator[Progress, None, None]:
            yield Progress("pulling manifest")
            source = next((source for source in self._sources if source.claims(name)), None)
            if source is None:
                raise self._unknown(name)
            files = source.resolve(name)
            if note := files[0].recipe.note:
                yield Progress(f"chose {note}")
            for words in extras_of(files[0]).left_out:
                yield Progress(f"warning: {words}")
            if all(file.is_local for file in files):
                for file in files:
                    yield from _as_pulled(self._library, name, file)
            else:
                yield from self._bring_all(name, files, run)

        return work

    def _bring_all(
        self, name: ModelName, files: Sequence[RemoteFile], run: Run
    ) -> Generator[Progress, None, None]:
        """Fetch all files of a model; they become blobs, and the name appears, in one moment."""
        is_done = False
        while not is_done:
            arrivals: list[Arrival] = []
            layers: list[Layer] = []
            paths: list[Path] = []
            try:
                for file in files:
                    brought = yield from self._downloads.bring(file, run)
                    if isinstance(brought, Arrival):
                        arrivals.append(brought)
                        digest, path = brought.digest, brought.path
                    else:
                        digest, path = brought, self._library.blobs.path(brought)
                    layers.append(Layer(str(file.role), digest, file.n_bytes))
                    paths.append(path)
                yield Progress("verifying sha256 digest")
                parts = {one.digest: one.part_digests() for one in arrivals}
                for layer in layers:  # of those that were here, what was noted when they came
                    known = None if layer.digest in parts else known_parts(self._library, layer)
                    if known is not None and known.n_bytes == PART_BYTES:
                        parts[layer.digest] = list(known.digests)
                manifest = manifest_of(name, files, layers, paths, parts)
                template = manifest.template or manifest.facts.template
                for warning in warnings(template):
                    yield Progress(f"warning: chat template, {warning}")
                yield Progress("writing manifest")
                is_done = self._library.keep(arrivals, manifest)
            except BadModelFile as error:
                for arrival in arrivals:
                    arrival.discard()  # its bytes are the promised ones: no use to keep them
                raise _named(error, paths, files) from None
            finally:
                for arrival in arrivals:
                    arrival.close()
        yield Progress("success")

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


def _named(error: BadModelFile, paths: Sequence[Path], files: Sequence[RemoteFile]) -> BadModelFile:
    """Return ``error`` with files called as their source has them, not as they lie here."""
    for path, file in zip(paths, files, strict=False):
        error.message = error.message.replace(path.name, file.name)
    error.args = (error.message,)
    return error


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
