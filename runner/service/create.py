"""Models of one's own: a base or a file, and what is laid over it, under a name.

All that can be wrong is found before the library is changed; the manifest is written last.  Weights
in GGUF are never rewritten: a model of one's own names the same blob as its base.

Where weights are written anew, in another form or type, that is a job: it goes on when its client
leaves, and whoever asks for the same once more follows it.  All else is over in a moment, or is a
copy that is given up with its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from runner.domain.create import CheckedModelfile, CreateRequest
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import (
    CorralError,
    DigestMismatch,
    InvalidRequest,
    ModelNotFound,
    RequestError,
    SourceError,
    StoreError,
    Unsupported,
)
from runner.gguf.adapter import check_adapter, check_fits
from runner.gguf.metadata import ModelFacts, describe, join_shards
from runner.gguf.reader import Header, read_header
from runner.hub.nowhere import nowhere
from runner.hub.throttle import Throttle
from runner.prompt.compiled import check
from runner.service.gather import File, gather, in_words, look_for, takes_long
from runner.service.jobs import JobService
from runner.service.modelfile import check_modelfile
from runner.service.rewrite import Source, rewrite
from runner.service.run import Run, Work, as_json, refuse_made, request_of
from runner.service.tools import Tools
from runner.store.blobs import Written, hash_file
from runner.store.intake import bring
from runner.store.library import Library
from runner.store.manifests import ADAPTER, DRAFT, MODEL, PROJECTOR, SHARD, Layer, Manifest
from runner.store.state import StoredJob

CREATE = "create"
#: Told the moment before the name is given.
_LAST_PHASE = "writing manifest"
#: Models made at once that are no jobs; a step may read a large file.
_N_AT_ONCE = 8


class Pulls(Protocol):
    """Where a base comes from that is not here yet."""

    def pull(self, name: ModelName) -> AsyncGenerator[Progress, None]:
        """Bring it into the library."""
        ...


class CreateService:
    """Makes models.

    Args:
        library: Where.
        pulls: Bring bases that are not here.
        tools: Convert what is no GGUF; ``None``: that is refused.
        jobs: Where its jobs are; without it, jobs of its own that nobody keeps.
    """

    def __init__(
        self,
        library: Library,
        pulls: Pulls,
        tools: Tools | None = None,
        jobs: JobService | None = None,
    ) -> None:
        self._library = library
        self._pulls = pulls
        self._tools = tools
        self._jobs = jobs or JobService()
        self._makers = ThreadPoolExecutor(_N_AT_ONCE, thread_name_prefix="create")

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Yield the progress of making a model; the last one is ``success``.

        Raises:
            InvalidRequest: The request cannot be followed.
            JobUnderWay: A job gives this name, or makes this model otherwise.
            BadModelFile: A file is not what it should be.
            ModelNotFound: Its base is nowhere.
            SourceError: Its base cannot be fetched.
        """
        is_job = takes_long(request)
        if not is_job:
            self._refuse_made(request)
        if request.template:
            await asyncio.to_thread(check, request.template)
        if request.bases:
            async with aclosing(self._pull_missing(request)) as moments:
                async for progress in moments:
                    yield progress
        if is_job:
            begun = await self._begun(request)
        else:
            begun = _stepped(self._make(request, Run(Throttle())), self._makers)
        async with aclosing(begun) as moments:
            async for progress in moments:
                if progress.phase == _LAST_PHASE and not is_job:
                    self._refuse_made(request)  # of one that was begun meanwhile
                yield progress

    def _refuse_made(self, request: CreateRequest) -> None:
        refuse_made(self._jobs.list_jobs(), CREATE, str(request.name))

    async def _begun(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Begin the job and return its progress."""
        await asyncio.to_thread(look_for, self._library, request)  # before there is a job
        job = await self._jobs.begin(
            CREATE,
            str(request.name),
            self._work(request),
            is_attended=False,
            is_lasting=False,
            can_stand_still=True,
            request=as_json(request),
        )
        return self._jobs.follow(job.job_id)

    def work_of(self, stored: StoredJob) -> Work | None:
        """Return the work of a job of the last daemon; ``None`` for one of another kind."""
        request = request_of(stored, CREATE, CreateRequest)
        return self._work(request) if request else None

    def _work(self, request: CreateRequest) -> Work:
        def work(run: Run) -> Generator[Progress, None, None]:
            for blobs in (request.files, request.adapters, request.drafts):
                for digest in blobs.values():
                    run.note(digest)  # nothing else names it before there is a model
            yield from self._make(request, run)

        return work

    async def check(self, text: str) -> CheckedModelfile:
        """Return what there is to say about a Modelfile."""
        return await asyncio.to_thread(check_modelfile, text)

    # The base

    async def _pull_missing(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Fetch the base where no place of it is in the library."""
        if any([await self._is_here(name) for name in request.bases]):
            return
        failures: list[tuple[ModelName, CorralError]] = []
        for name in request.bases:
            if name == request.name:
                raise InvalidRequest(
                    f"'{name}' cannot be made from itself: it is not in the library",
                    hint="FROM must name another model, or a file",
                    param="from",
                )
            try:
                async with aclosing(self._pulls.pull(name)) as moments:
                    async for progress in moments:
                        if progress.phase != "success":
                            yield progress
                return
            except (SourceError, RequestError) as error:
                failures.append((name, error))
        raise nowhere(f"the base of '{request.name}'", failures)

    async def _is_here(self, name: ModelName) -> bool:
        try:
            await asyncio.to_thread(self._library.find, name)
        except ModelNotFound:
            return False
        return True

    # The work, in a thread

    def _base(self, request: CreateRequest) -> Manifest | None:
        for name in request.bases:
            try:
                return self._library.find(name)
            except ModelNotFound:
                continue
        if request.bases:
            raise ModelNotFound(str(request.bases[0]))
        return None

    def _make(self, request: CreateRequest, run: Run) -> Generator[Progress, None, None]:
        base = self._base(request)
        yield Progress("gathering model components")
        with ExitStack() as copies:
            files = yield from gather(
                self._library, self._tools, request, base, copies=copies, run=run
            )
            facts = _facts(files, base)
            for file in files:
                if file.kind == ADAPTER:
                    _check_adapter(file, facts, self._model_header(files, base))
            if request.quantize:
                file = yield from self._rewritten(
                    request, files, base, facts, copies=copies, run=run
                )
                files = [file, *(one for one in files if one.kind != MODEL)]
                facts = describe(file.header)
            layers, partials = yield from self._layers(files, base, copies)
            if not request.quantize:  # else it was looked at beforehand
                _check_digest(request, layers)
            yield Progress(_LAST_PHASE)
            if not self._library.keep(partials, _manifest(request, base, facts, layers)):
                raise StoreError(
                    f"'{request.name}' was not made: one of its files was removed meanwhile",
                    hint="make it again",
                )
        yield Progress("success", name=str(request.name))

    def _model_header(self, files: list[File], base: Manifest | None) -> Header:
        """The header of the one model of a request: the tensors that adapters change."""
        if base is None:
            return next(file.header for file in files if file.kind == MODEL)
        paths = self._library.shard_paths(base) or (self._library.model_path(base),)
        return join_shards([read_header(path) for path in paths])

    def _rewritten(
        self,
        request: CreateRequest,
        files: list[File],
        base: Manifest | None,
        facts: ModelFacts,
        *,
        copies: ExitStack,
        run: Run,
    ) -> Generator[Progress, None, File]:
        """Return the one model of the request in the type that is asked for."""
        if self._tools is None:
            raise Unsupported(
                "models are not quantized here", hint="leave quantize out", param="quantize"
            )
        if base is None:
            model = next(file for file in files if file.kind == MODEL)
            label, first = model.label, model.path
            paths: tuple[Path, ...] = (first,)
        else:
            label, first = str(base.name), self._library.model_path(base)
            paths = self._library.shard_paths(base) or (first,)
        if request.sha256:
            with first.open("rb") as whole:
                digest = yield from hash_file(whole, first.stat().st_size)
            _check_digest(request, [Layer(MODEL, digest, 0)])
        source = Source(label, paths, facts.quantization)
        return (
            yield from rewrite(
                self._library, self._tools, source, request.quantize, copies=copies, run=run
            )
        )

    def _layers(
        self, files: list[File], base: Manifest | None, copies: ExitStack
    ) -> Generator[Progress, None, tuple[list[Layer], list[Written]]]:
        """Return the layers of the new model, and the copies that are to be kept for it."""
        layers = list(base.layers) if base else []
        if any(file.kind == MODEL for file in files):  # of a base, they are written anew
            layers = [layer for layer in layers if layer.kind not in (MODEL, SHARD)]
        partials: list[Written] = []
        for file in files:
            digest, word = file.digest, "using existing"
            if file.made is not None:
                digest, word = file.made.digest, "creating new"
                partials.append(file.made)
            elif not digest:
                n_bytes = file.header.n_file_bytes
                partial, digest = yield from bring(self._library.blobs, file.path, n_bytes)
                if partial:
                    copies.callback(partial.discard)
                    partials.append(partial)
                    word = "creating new"
            if file.kind in (PROJECTOR, DRAFT):  # of these there is one
                layers = [layer for layer in layers if layer.kind != file.kind]
            yield Progress(f"{word} layer {digest}")
            layers.append(Layer(file.kind, digest, file.header.n_file_bytes))
        return layers, partials


def _check_digest(request: CreateRequest, layers: list[Layer]) -> None:
    own = next(layer.digest for layer in layers if layer.kind == MODEL)
    if request.sha256 and own != f"sha256:{request.sha256}":
        raise DigestMismatch(
            f"the model's file has the digest {own}, not sha256:{request.sha256}",
            hint="its owner has replaced it; name another place, or drop SHA256",
        )


def _check_adapter(file: File, facts: ModelFacts, model: Header) -> None:
    in_words(file.label, lambda: check_adapter(file.header, facts.architecture))
    in_words(file.label, lambda: check_fits(file.header, model))


def _facts(files: list[File], base: Manifest | None) -> ModelFacts:
    """Return the facts of the one model among the files, or else of the base."""
    models = [file for file in files if file.kind == MODEL]
    if len(models) + (base is not None) > 1:
        names = ", ".join([*([str(base.name)] if base else []), *(file.label for file in models)])
        raise InvalidRequest(
            f"a model is made from one model; these are several: {names}",
            hint="beside it there may be a projector (FROM), an ADAPTER and a DRAFT",
            param="files",
        )
    if base is not None:
        return base.facts
    if not models:
        raise InvalidRequest("no model is among the files", param="files")
    return in_words(models[0].label, lambda: describe(models[0].header))


def _manifest(
    request: CreateRequest, base: Manifest | None, facts: ModelFacts, layers: list[Layer]
) -> Manifest:
    """The base with what the request says laid over it."""
    made = base or Manifest(name=request.name, layers=(), facts=facts)
    origin: dict[str, object] = {"source": "create", "time": _now()}
    if base is not None:
        origin |= {"from": str(base.name), "base": dict(base.provenance)}
    if request.quantize:
        origin["type"] = request.quantize
    license_text = request.license
    if license_text is None or license_text == (made.license or facts.license):
        license_text = made.license
    return replace(
        made,
        name=request.name,
        layers=tuple(layers),
        facts=facts,
        parameters=request.options.over(made.parameters.without(request.unset)),
        system=made.system if request.system is None else request.system,
        license=license_text,
        template=made.template if request.template is None else request.template,
        messages=made.messages if request.messages is None else request.messages,
        requires=request.requires or made.requires,
        provenance=origin,
    )


async def _stepped(
    work: Generator[Progress, None, None], makers: Executor
) -> AsyncGenerator[Progress, None]:
    """Take each step of ``work`` in a thread; closing this waits for the step that runs."""
    loop = asyncio.get_running_loop()
    step: asyncio.Future[Progress | None] | None = None
    try:
        while True:
            step = loop.run_in_executor(makers, next, work, None)
            moment = await asyncio.shield(step)
            if moment is None:
                return
            yield moment
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
            step.exception()  # of work that was stopped, which nobody waits for any more
        await loop.run_in_executor(makers, work.close)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
