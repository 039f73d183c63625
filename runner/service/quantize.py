"""Models written again in smaller types: what that would take, and the job that does it.

The source stays as it is.  Each type becomes a model of its own when its file is whole; a job that
is cancelled in the middle leaves those that were done, and nothing of the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from runner.domain.job import Job
from runner.domain.name import DEFAULT_TAG, ModelName
from runner.domain.progress import Progress
from runner.domain.quant import quantization_in, without_quantization
from runner.domain.quantize import QuantizePlan, QuantizeRequest, QuantizeTarget
from runner.errors import CorralError, DiskFull, InvalidRequest, ModelNotFound
from runner.gguf.memory import kv_cache_bytes
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import read_header
from runner.protocol.tasks import Quantize, Quantized
from runner.service.jobs import JobService
from runner.service.run import Run, Work, as_json, request_of
from runner.service.tools import Tools
from runner.store.disk import n_free_bytes, plain
from runner.store.library import Library
from runner.store.made import Made
from runner.store.manifests import MODEL, SHARD, Layer, Manifest
from runner.store.state import StoredJob

QUANTIZE = "quantize"
#: Context that the memory of a target is told for, in tokens.
_N_CTX = 4096


class QuantizeService:
    """Quantizes models of the library.

    Args:
        library: Whose.
        jobs: Where its jobs are.
        tools: Start the processes.
    """

    def __init__(self, library: Library, jobs: JobService, tools: Tools) -> None:
        #: Called when a model has come.
        self.on_change: Callable[[], None] = lambda: None
        self._library = library
        self._jobs = jobs
        self._tools = tools

    async def plan(self, request: QuantizeRequest) -> QuantizePlan:
        """Return what ``request`` would make; nothing is written.

        Raises:
            ModelNotFound: There is no such model.
            InvalidRequest: A name, type or pattern is not good.
            BadModelFile: The model or the importance matrix cannot be read.
        """
        return await asyncio.to_thread(self._plan, request)

    async def begin(self, request: QuantizeRequest) -> Job:
        """Begin a job, whether anybody follows or not, and return it.

        What can be told to go wrong is found before; asked for again, it is the job that runs.

        Raises:
            DiskFull: The new files would not fit.
            CorralError: As ``plan``, and what would make it fail.
        """
        plan = await self.plan(request)
        if plan.problem:
            raise InvalidRequest(plan.problem, hint=plan.hint, param="types")
        self._check_room(plan)
        return await self._jobs.begin(
            QUANTIZE,
            ", ".join(map(str, names_of(request))),
            self._work(request),
            is_attended=False,
            is_lasting=False,
            can_stand_still=True,
            request=as_json(request),
        )

    def work_of(self, stored: StoredJob) -> Work | None:
        """Return the work of a job of the last daemon; ``None`` for one that is not of this kind.

        What it had made by then is not made again.
        """
        request = request_of(stored, QUANTIZE, QuantizeRequest)
        return self._work(request, begun=stored.job.started) if request else None

    # The plan

    def _plan(self, request: QuantizeRequest) -> QuantizePlan:
        manifest = self._library.find(request.source)
        names = names_of(request)
        problem = hint = ""
        targets = []
        for file_type, name in zip(request.types, names, strict=True):
            try:
                found = self._tools.ask(self._task(request, manifest, file_type), Quantized)
            except InvalidRequest:
                raise
            except CorralError as error:
                problem, hint = problem or error.message, hint or error.hint
                continue
            if found.problem and not problem:
                problem, hint = found.problem, found.hint
            targets.append(self._target(manifest, file_type, name, found))
        weights = [one for one in manifest.layers if one.kind in (MODEL, SHARD)]
        return QuantizePlan(
            source=manifest.name,
            quantization=manifest.facts.quantization,
            n_source=sum(layer.n_bytes for layer in weights),
            n_free=n_free_bytes(self._library.blobs.partial),
            targets=tuple(targets),
            problem=problem,
            hint=hint,
        )

    def _target(
        self, manifest: Manifest, file_type: str, name: ModelName, found: Quantized
    ) -> QuantizeTarget:
        n_weights = sum(tensor.n_bytes for tensor in found.tensors)
        facts = manifest.facts
        n_ctx = min(_N_CTX, facts.n_ctx_train or _N_CTX)
        try:
            self._library.find(name)
            exists = True
        except CorralError as error:
            exists = not isinstance(error, ModelNotFound)
        return QuantizeTarget(
            file_type=file_type,
            name=name,
            n_bytes=found.n_file_bytes,
            n_memory=n_weights + kv_cache_bytes(n_ctx, facts.kv_widths),
            n_ctx=n_ctx,
            bits=round(n_weights * 8 / max(1, facts.n_params), 2),
            counts=dict(Counter(tensor.target_type.upper() for tensor in found.tensors)),
            exists=exists,
        )

    def _check_room(self, plan: QuantizePlan) -> None:
        n_left = plan.n_free
        for target in plan.targets:
            n_left -= target.n_bytes
            if n_left < 0:
                n_bytes = sum(one.n_bytes for one in plan.targets)
                raise DiskFull(
                    f"cannot quantize {plan.source}: {n_bytes} bytes are needed,"
                    f" {plan.n_free} bytes are free in {plain(self._library.models)};"
                    f" {target.file_type} would not fit",
                    hint="make room: corral list shows what models take, corral rm removes one",
                )

    # The work, in a thread

    def _work(self, request: QuantizeRequest, *, begun: float | None = None) -> Work:
        def work(run: Run) -> Generator[Progress, None, None]:
            if request.imatrix and request.imatrix_path is None:
                run.note(request.imatrix)  # a blob that nothing else names
            for file_type, name in zip(request.types, names_of(request), strict=True):
                if begun is None or not self._is_made(request, file_type, name, begun):
                    yield from self._make(request, file_type, name, run)

        return self._tools.in_turn(work)

    def _is_made(
        self, request: QuantizeRequest, file_type: str, name: ModelName, begun: float
    ) -> bool:
        """Whether this very model was made since a moment, in seconds since the epoch."""
        try:
            made = self._library.find(name).provenance
            source = self._library.find(request.source)
        except CorralError:
            return False
        origin = _origin(request, source, file_type)
        if any(made.get(key) != value for key, value in origin.items() if key != "time"):
            return False
        return datetime.fromisoformat(str(made["time"])).timestamp() >= int(begun)

    def _task(
        self, request: QuantizeRequest, manifest: Manifest, file_type: str, out: str = ""
    ) -> Quantize:
        first = self._library.model_path(manifest)
        paths = self._library.shard_paths(manifest) or (first,)
        return Quantize(
            paths=tuple(map(str, paths)),
            out=out,
            file_type=file_type,
            tensors=request.tensors,
            imatrix_path=str(self._imatrix(request) or ""),
            requantizes=request.requantizes,
            n_threads=self._tools.n_threads,
        )

    def _imatrix(self, request: QuantizeRequest) -> Path | None:
        path = request.imatrix_path
        if path is None and request.imatrix:
            if not self._library.blobs.has(request.imatrix):
                raise InvalidRequest(
                    f'blob "{request.imatrix}" of the importance matrix not found',
                    hint="send it first: POST /api/blobs/" + request.imatrix,
                    param="imatrix",
                )
            return self._library.blobs.path(request.imatrix)
        if path is not None and not path.is_file():
            raise InvalidRequest(f"there is no file '{path.name}'", param="imatrix")
        return path

    def _make(
        self, request: QuantizeRequest, file_type: str, name: ModelName, run: Run
    ) -> Generator[Progress, None, None]:
        manifest = self._library.find(request.source)
        made = Made(self._library.blobs)
        try:
            task = self._task(request, manifest, file_type, str(made.path))
            yield from self._tools.do(task, Quantized, run)
            yield from made.seal()
            header = read_header(made.path)
            refuse_unrunnable(header)
            layers = [Layer(MODEL, made.digest, made.n_bytes)]
            layers += [one for one in manifest.layers if one.kind not in (MODEL, SHARD)]
            yield Progress("writing manifest")
            is_kept = self._library.keep(
                [made],
                replace(
                    manifest,
                    name=name,
                    layers=tuple(layers),
                    facts=describe(header),
                    provenance=_origin(request, manifest, file_type),
                ),
            )
            if not is_kept:
                raise ModelNotFound(str(request.source))  # it went while it was read
        finally:
            made.discard()
        self.on_change()


def names_of(request: QuantizeRequest) -> tuple[ModelName, ...]:
    """Return what the model of each type is called.

    ``qwen3:4b`` gives ``qwen3:4b-q4_k_m``, ``qwen3:4b-f16`` gives the same, and ``qwen3`` gives
    ``qwen3:q4_k_m``.  A name that was asked for is taken as it is, unless there are several types.

    Raises:
        InvalidRequest: It would be the source's own name.
    """
    asked = request.name or request.source
    names = []
    for file_type in request.types:
        if request.name is not None and len(request.types) == 1:
            name = request.name
        else:
            tag = "" if asked.tag == DEFAULT_TAG else asked.tag
            plain = without_quantization(tag) if quantization_in(tag) else tag
            kept = plain.strip("-_. ")
            name = replace(asked, tag="-".join(filter(None, (kept, file_type.lower()))))
        if name == request.source:
            raise InvalidRequest(
                f"'{name}' is the source itself, which is not changed",
                hint="give the new model another name with --name",
                param="name",
            )
        names.append(ModelName.parse(str(name)))
    return tuple(names)


def _origin(request: QuantizeRequest, manifest: Manifest, file_type: str) -> dict[str, object]:
    origin: dict[str, object] = {
        "source": QUANTIZE,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "from": str(manifest.name),
        "from_digest": manifest.model.digest,
        "type": file_type,
        "base": dict(manifest.provenance),
    }
    if request.tensors:
        origin["tensors"] = dict(request.tensors)
    if request.imatrix:
        path = request.imatrix_path
        origin["imatrix"] = request.imatrix if path is None else path.name
    return origin
