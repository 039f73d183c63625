"""Pulls and imports: a name becomes files, the files become blobs and a manifest.

Each is a job (``jobs.py``): one for each name, however many follow it.  What a pull has fetched
stays when it stops; an import that stops leaves nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import (
    BadModelFile,
    CorralError,
    InvalidRequest,
    ModelNotFound,
    SourceError,
)
from runner.hub.source import RemoteFile, Role, Source
from runner.hub.throttle import Throttle
from runner.service.downloads import Downloads
from runner.service.jobs import JobService
from runner.service.recipe import extras_of
from runner.service.run import Run, Work
from runner.store.arrival import PART_BYTES, Arrival
from runner.store.gate import checked_files, refuse_template, warnings
from runner.store.library import Library
from runner.store.manifests import Layer, Manifest

PULL, IMPORT = "pull", "import"


class PullService:
    """Brings models into the library.

    Args:
        library: Where to.
        sources: Asked in this order whether a name is theirs.
        jobs: Where its jobs are; without it, jobs of its own that nobody keeps.
        downloads: How files come from elsewhere.
    """

    def __init__(
        self,
        library: Library,
        sources: Sequence[Source],
        jobs: JobService | None = None,
        downloads: Downloads | None = None,
    ) -> None:
        self._library = library
        self._sources = sources
        self._jobs = jobs or JobService()
        self._downloads = downloads or Downloads(library, Throttle())

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

    async def restore(self) -> None:
        """Go on with the pulls of the last daemon."""
        await self._jobs.restore(
            lambda job: self._work(ModelName.parse(job.name)) if job.kind == PULL else None
        )

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

        def work(run: Run) -> Generator[Progress, None, None]:
            provenance = {"source": "file", "file": path.name}
            yield from self._library.import_file(path, chosen, provenance=provenance)

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
                manifest = _manifest(name, files, layers, paths, parts)
                template = manifest.template or manifest.facts.template
                for warning in warnings(template):
                    yield Progress(f"warning: chat template, {warning}")
                yield Progress("writing manifest")
                is_done = self._library.keep(arrivals, manifest)
            except BadModelFile:
                for arrival in arrivals:
                    arrival.discard()  # its bytes are the promised ones: no use to keep them
                raise
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


def _manifest(
    name: ModelName,
    files: Sequence[RemoteFile],
    layers: Sequence[Layer],
    paths: Sequence[Path],
    parts: Mapping[str, Sequence[str]],
) -> Manifest:
    """Return what ``name`` will mean; the files are looked at first.

    Args:
        name: What it will be called.
        files: As their source described them.
        layers: The blob that each becomes.
        paths: Where each is now.
        parts: Digest of a blob → SHA-256 of each of its parts, for those that came just now.

    Raises:
        BadModelFile: One of them is no GGUF file that this program can load.
    """
    model = next(file for file in files if file.role is Role.MODEL)
    extras = extras_of(model)
    roles = [str(file.role) for file in files]
    facts = checked_files([*zip(roles, paths, strict=True)])
    refuse_template(extras.template or "")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    provenance: dict[str, object] = {**model.provenance, "time": time}
    provenance["files"] = [
        {
            **file.provenance,
            "name": file.name,
            "digest": layer.digest,
            "n_bytes": layer.n_bytes,
            **(
                {"part_bytes": PART_BYTES, "parts": parts[layer.digest]}
                if parts.get(layer.digest)
                else {}
            ),
        }
        for layer, file in zip(layers, files, strict=True)
    ]
    return Manifest(
        name=name,
        layers=tuple(layers),
        facts=facts,
        parameters=extras.parameters,
        system=extras.system,
        template=extras.template,
        license=extras.license,
        provenance=provenance,
    )


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
