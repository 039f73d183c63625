"""How good and how fast a model is: jobs that measure it, and what they found before.

Each runs in a process of its own beside the daemon; what it finds is kept with the weights.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Generator
from datetime import UTC, datetime

from runner.domain.job import Job
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.quality import BenchReport, BenchRequest, QualityReport, QualityRequest
from runner.errors import InvalidRequest, Unsupported
from runner.protocol.tasks import Measure, Measured, Time, Timed, Weights
from runner.service.jobs import JobService
from runner.service.run import Run, Work, as_json, request_of
from runner.service.tools import Tools
from runner.store.library import Library
from runner.store.manifests import Manifest
from runner.store.reports import Reports, tidy
from runner.store.state import StoredJob

PERPLEXITY, BENCH = "perplexity", "bench"
#: Characters of the text that is taken when none is given: some 8,000 tokens.
_N_OWN_TEXT = 32_000
_OWN_NAME = "Python's own manual (pydoc_data.topics)"


class QualityService:
    """Measures models of the library.

    Args:
        library: Whose.
        jobs: Where its jobs are.
        tools: Start the processes.
    """

    def __init__(self, library: Library, jobs: JobService, tools: Tools) -> None:
        #: Called when there is something new to tell of a model.
        self.on_change: Callable[[], None] = lambda: None
        self._library = library
        self._tools = tools
        self._jobs = jobs

    @property
    def _quality(self) -> Reports[QualityReport]:
        return Reports(self._library.models, "quality", QualityReport)

    @property
    def _benches(self) -> Reports[BenchReport]:
        return Reports(self._library.models, "bench", BenchReport)

    def tidy(self) -> None:
        """Remove what was measured of weights that are gone; blocks."""
        if self._library.used() is not None:  # else some name cannot be read
            tidy(self._library.models, {one.key for one in self._library.entries()})

    async def quality(self, name: ModelName) -> tuple[QualityReport, ...]:
        """Return what is known of how good a model is, the latest first.

        Raises:
            ModelNotFound: There is no such model.
            StoreError: The reports cannot be read.
        """
        manifest = await asyncio.to_thread(self._library.find, name)
        return (await asyncio.to_thread(self._quality.load, manifest.key))[::-1]

    async def benches(self, name: ModelName) -> tuple[BenchReport, ...]:
        """Return what is known of how fast a model is, the latest first; raises as ``quality``."""
        manifest = await asyncio.to_thread(self._library.find, name)
        return (await asyncio.to_thread(self._benches.load, manifest.key))[::-1]

    async def begin_perplexity(self, request: QualityRequest) -> Job:
        """Begin to measure how good a model is; return the job.

        Raises:
            ModelNotFound: There is no such model, or source.
            Unsupported: One of them generates no text.
            InvalidRequest: The source is the model itself.
        """
        manifest, source = await asyncio.to_thread(self._compared, request)
        title = str(manifest.name) + (f" against {source.name}" if source else "")
        title = f"{title}, on {_text_of(request)[1]}"
        return await self._begin(PERPLEXITY, title, request, self._perplexity(request))

    async def begin_bench(self, request: BenchRequest) -> Job:
        """Begin to measure how fast a model is; return the job; raises as ``begin_perplexity``."""
        manifest = await asyncio.to_thread(self._timed, request)
        return await self._begin(BENCH, str(manifest.name), request, self._bench(request))

    def work_of(self, stored: StoredJob) -> Work | None:
        """Return the work of a job of the last daemon; ``None`` for one of another kind."""
        if request := request_of(stored, PERPLEXITY, QualityRequest):
            return self._in_turn(self._perplexity(request))
        if timing := request_of(stored, BENCH, BenchRequest):
            return self._in_turn(self._bench(timing))
        return None

    # The work, in a thread

    def _compared(self, request: QualityRequest) -> tuple[Manifest, Manifest | None]:
        """The model of a request, and its source."""
        manifest = self._generating(request.model)
        source = self._generating(request.source) if request.source else None
        if source is not None and source.key == manifest.key:
            raise InvalidRequest(
                f"'{source.name}' and '{manifest.name}' have the same weights",
                hint="compare a model with the one it was made from",
                param="source",
            )
        return manifest, source

    def _perplexity(self, request: QualityRequest) -> Work:
        def work(run: Run) -> Generator[Progress, None, None]:
            manifest, source = self._compared(request)
            text, text_name = _text_of(request)
            task = Measure(
                model=self._weights(manifest),
                source=self._weights(source) if source else None,
                text=text,
                n_ctx=request.n_ctx,
                n_windows=request.n_windows,
                n_threads=self._tools.n_threads,
            )
            found = yield from self._tools.do(task, Measured, run)
            report = _report(manifest, source, request, text, text_name, found)
            self._quality.add(manifest.key, report)
            run.result = report

        return work

    def _timed(self, request: BenchRequest) -> Manifest:
        """The model of a request, which has room for what is asked."""
        manifest = self._generating(request.model)
        n_most = max(request.depths) + request.n_prompt + request.n_generate
        n_ctx = manifest.facts.n_ctx_train
        if n_ctx and n_most > n_ctx:
            raise InvalidRequest(
                f"{manifest.name} holds {n_ctx} tokens; depth {max(request.depths)} needs {n_most}",
                hint=f"ask for depths up to {max(0, n_ctx - n_most + max(request.depths))}",
                param="depths",
            )
        return manifest

    def _bench(self, request: BenchRequest) -> Work:
        def work(run: Run) -> Generator[Progress, None, None]:
            manifest = self._timed(request)
            task = Time(
                model=self._weights(manifest),
                depths=request.depths,
                concurrencies=request.concurrencies,
                n_prompt=request.n_prompt,
                n_generate=request.n_generate,
                n_repeats=request.n_repeats,
                n_threads=self._tools.n_threads,
            )
            found = yield from self._tools.do(task, Timed, run)
            report = BenchReport(
                time=_now(),
                quantization=manifest.facts.quantization,
                n_prompt=request.n_prompt,
                n_generate=request.n_generate,
                n_repeats=request.n_repeats,
                n_threads=found.n_threads,
                load_s=round(found.load_s, 3),
                rows=found.rows,
                build=found.build,
            )
            self._benches.add(manifest.key, report)
            run.result = report

        return work

    def _in_turn(self, work: Work) -> Work:
        def told(run: Run) -> Generator[Progress, None, None]:
            yield from work(run)
            self.on_change()

        return self._tools.in_turn(told)

    async def _begin(
        self, kind: str, title: str, request: QualityRequest | BenchRequest, work: Work
    ) -> Job:
        return await self._jobs.begin(
            kind,
            title,
            self._in_turn(work),
            is_attended=False,
            is_lasting=False,
            can_stand_still=kind != BENCH,  # its clock would go on
            request=as_json(request),
        )

    def _generating(self, name: ModelName) -> Manifest:
        manifest = self._library.find(name)
        if Capability.COMPLETION not in manifest.facts.capabilities:
            raise Unsupported(
                f"'{manifest.name}' generates no text, so there is nothing to measure",
                hint="choose a model that generates: corral list",
                param="model",
            )
        return manifest

    def _weights(self, manifest: Manifest) -> Weights:
        first = self._library.model_path(manifest)
        paths = self._library.shard_paths(manifest) or (first,)
        adapters = [self._library.blobs.path(layer.digest) for layer in manifest.adapters]
        return Weights(tuple(map(str, paths)), tuple(map(str, adapters)))


def _text_of(request: QualityRequest) -> tuple[str, str]:
    """The text to read, and what it is called.

    Without one it is prose that every machine with Python has, and that nobody needs to fetch.  It
    differs between versions of Python, so the report has its digest.
    """
    if request.text is not None:
        # As llama.cpp's tools read a file: without the new line at its very end.
        return request.text.removesuffix("\n"), request.text_name or "a text"
    from pydoc_data.topics import topics  # half a megabyte, and seldom asked for

    whole = "\n".join(topics[name] for name in sorted(topics))
    return whole[:_N_OWN_TEXT], _OWN_NAME


def _report(
    manifest: Manifest,
    source: Manifest | None,
    request: QualityRequest,
    text: str,
    text_name: str,
    found: Measured,
) -> QualityReport:
    return QualityReport(
        time=_now(),
        quantization=manifest.facts.quantization,
        n_bytes=manifest.n_bytes,
        text=text_name,
        text_sha256=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        n_ctx=request.n_ctx,
        n_windows=found.n_windows,
        n_scored=found.n_scored,
        perplexity=found.perplexity,
        perplexity_error=found.perplexity_error,
        tokens_per_s=round(found.tokens_per_s, 2),
        source=str(source.name) if source else "",
        source_perplexity=found.source_perplexity,
        kld_mean=found.kld_mean,
        kld_error=found.kld_error,
        kld_p99=found.kld_p99,
        top_1=found.top_1,
        running=found.running,
        source_running=found.source_running,
        build=found.build,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
