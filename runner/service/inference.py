"""Answers: one pipeline for every dialect, from a request to a stream of events."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from runner.domain.chat import Message
from runner.domain.event import Begun, Event, FinishReason, Reached
from runner.domain.loading import LoadMoment
from runner.domain.memory import MemoryNeed
from runner.domain.model import Capability, RunningModel
from runner.domain.name import ModelName
from runner.domain.options import MAX_SEED, Options, Speculate
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest, Terms
from runner.domain.vectors import Embeddings, Ranking
from runner.errors import CorralError, NotEnoughMemory, PromptTooLong, Unsupported, WorkerError
from runner.gguf.adapter import check_adapter
from runner.gguf.reader import read_header
from runner.prompt.toolcalls.registry import AnswerFormat, answer_format
from runner.protocol.messages import DEFAULT_KEEP, Generate, Started
from runner.service import vectors
from runner.service.answer import AnswerReader
from runner.service.choices import merged
from runner.service.devices import DeviceList
from runner.service.loads import moments, running
from runner.service.memory import MemoryService
from runner.service.requests import Ongoing, RequestService
from runner.service.sizing import grown
from runner.service.toolchoice import (
    constraint_of,
    offered_tools,
    refuse_beyond,
    refuse_gap,
)
from runner.store.library import Library
from runner.store.manifests import DRAFT, PROJECTOR, Manifest
from runner.workers.pool import Pool
from runner.workers.process import Worker, new_request_id
from runner.workers.wanted import LOAD_FIELDS, Resident, Wanted

logger = logging.getLogger(__name__)


class _Died(Exception):
    """The process that was asked is no more, or makes way for another; ``error`` says why."""

    def __init__(self, error: CorralError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request's model, how it must be loaded, and all options laid over each other.

    ``n_asked`` is the context that was asked for, in tokens; 0: none, so that it may grow.
    """

    manifest: Manifest
    wanted: Wanted
    options: Options
    n_asked: int

    @property
    def sees(self) -> bool:
        """Whether it takes images."""
        return Capability.VISION in self.wanted.info.capabilities

    def n_ctx(self, worker: Worker) -> int:
        """Return how many tokens one sequence may have."""
        return min(self.wanted.n_ctx, worker.loaded.n_ctx) if self.n_asked else worker.loaded.n_ctx


class InferenceService:
    """Asks the engine, through the pool."""

    def __init__(
        self,
        library: Library,
        pool: Pool,
        *,
        context_length: int,
        memory_bytes: int,
        requests: RequestService | None = None,
        shares_cache: bool = False,
        speculate: Speculate = "off",
        defaults: Options | None = None,
        memory: MemoryService | None = None,
        pinned: Collection[str] = (),
        devices: DeviceList | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            library: The models.
            pool: The workers.
            context_length: Default context in tokens; 0: chosen for each model.
            memory_bytes: The machine's main memory.
            requests: Where answers are listed for as long as they take.
            shares_cache: Whether owners may start from each other's prompts.
            speculate: Whether tokens are guessed where neither request nor model says.
            defaults: Options where neither request nor model says.
            memory: What sizes models; by default all of the memory is free for them.
            pinned: Names of models that stay in memory once they are there.
            devices: What layers can be put on; ``None``: main memory alone is told of.
        """
        self._requests = requests or RequestService()
        self._library = library
        self._pool = pool
        self._context_length = context_length
        self._memory = memory or MemoryService(library, pool, memory_bytes=memory_bytes)
        self._shares_cache = shares_cache
        self._defaults = Options(speculate=speculate).over(defaults or Options())
        self._devices = devices
        self._pinned = {ModelName.parse(name).key for name in pinned}

    async def infer(self, request: InferenceRequest) -> AsyncGenerator[Event, None]:
        """Yield the text of each answer as it comes, then its ``Finished``.

        Closing the generator aborts the sequence in the engine.

        Raises:
            CorralError: The model is missing, cannot be loaded, or failed; also between events.
        """
        if self._shares_cache:
            request = replace(request, terms=replace(request.terms, owner_id=""))
        with self._requests.entry(request) as ongoing:
            async with aclosing(self._answer(request, ongoing)) as events:
                async for event in events:
                    yield event

    async def _answer(
        self, request: InferenceRequest, ongoing: Ongoing
    ) -> AsyncGenerator[Event, None]:
        async with ongoing.waiting():
            prepared = await self._prepare(request.model, request.options)
            # In a thread: it reads the template's source, which may be long and is a stranger's.
            template = _template(request, prepared.manifest)
            await asyncio.to_thread(refuse_beyond, request, template, sees=prepared.sees)
        begun: set[int] = set()  # which choices; that is said once, whoever computes them at last
        has_spoken = False
        for is_last_try in (False, True):
            try:
                async with aclosing(self._attempt(request, prepared, ongoing)) as events:
                    async for event in events:
                        if isinstance(event, Begun):
                            if event.choice in begun:
                                continue
                            begun.add(event.choice)
                        elif not isinstance(event, Reached):
                            has_spoken = True
                        yield event
                return
            except _Died as died:
                # Nothing was said yet: the next process may hear the request.
                if has_spoken or is_last_try:
                    raise died.error from None
            except PromptTooLong as error:
                larger = None if begun or is_last_try else await self._grown(prepared, error)
                if larger is None:
                    raise
                prepared = larger

    async def _attempt(
        self, request: InferenceRequest, prepared: _Prepared, ongoing: Ongoing
    ) -> AsyncGenerator[Event, None]:
        """Answer with the worker that is there, or comes; closing aborts it."""
        manifest, wanted = prepared.manifest, prepared.wanted
        async with AsyncExitStack() as stack:
            async with ongoing.waiting():
                lease = self._pool.lease(wanted, request.keep_alive)
                worker = await stack.enter_async_context(lease)
            template = _template(request, manifest)
            refuse_gap(request, template, can_infill=worker.loaded.can_infill)
            terms = ongoing.terms_left()
            n_ctx = prepared.n_ctx(worker)
            asked = [
                _generate(
                    request, manifest, prepared.options, n_ctx=n_ctx, terms=terms, choice=choice
                )
                for choice in range(request.n)
            ]
            for generate in asked:
                ongoing.sent(worker, generate.request_id)
            arrived = ongoing.arrived_s
            readers = [
                _reader(request, manifest, choice=choice, arrived=arrived)
                for choice in range(request.n)
            ]
            streams = [worker.generate(generate) for generate in asked]
            async with aclosing(merged(streams)) as replies:
                try:
                    async for choice, reply in replies:
                        if isinstance(reply, Started):
                            yield readers[choice].started(reply)
                            continue
                        if reply.finish and reply.finish.reason is FinishReason.ABORTED:
                            ongoing.check_cancelled()
                        for event in readers[choice].events(reply):
                            yield event
                except (WorkerError, NotEnoughMemory) as error:
                    if self._pool.gives_way(worker, error):
                        raise _Died(error) from None
                    raise

    async def _grown(self, before: _Prepared, error: PromptTooLong) -> _Prepared | None:
        """Return the model with a context that holds the prompt, where nobody chose another."""
        n_max = before.wanted.info.n_ctx_train
        n_ctx = grown(error.n_prompt, n_max) if error.n_prompt and not before.n_asked else 0
        if not n_ctx:
            return None
        larger = await self._wanted(before.manifest, before.options, n_ctx)
        if larger.n_ctx <= error.n_prompt:
            return None  # memory does not pay for it
        logger.info("growing the context model=%s n_ctx=%d", before.manifest.name, larger.n_ctx)
        return replace(before, wanted=replace(larger, note=""))

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each input; a model that generates text has vectors, too.

        Raises:
            CorralError: The model is missing, cannot be loaded, or cannot do it.
        """
        with self._requests.entry(request) as ongoing:
            async with ongoing.waiting():
                prepared = await self._prepare(request.model, request.options, None)
            return await vectors.embed(self._pool, prepared.wanted, request, ongoing)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Return a score for each document.

        Raises:
            CorralError: The model is missing, cannot be loaded, or is no reranker.
        """
        with self._requests.entry(request) as ongoing:
            async with ongoing.waiting():
                needed = Capability.RERANK
                prepared = await self._prepare(request.model, request.options, needed)
            return await vectors.rerank(self._pool, prepared.wanted, request, ongoing)

    @asynccontextmanager
    async def worker(self, request: InferenceRequest) -> AsyncIterator[tuple[Worker, Generate]]:
        """Have the model's worker at hand, and what it would be asked for ``request``.

        Raises:
            CorralError: As ``infer`` does before its first event.
        """
        prepared = await self._prepare(request.model, request.options)
        manifest = prepared.manifest
        template = _template(request, manifest)
        await asyncio.to_thread(refuse_beyond, request, template, sees=prepared.sees)
        async with self._pool.lease(prepared.wanted, request.keep_alive) as worker:
            refuse_gap(request, template, can_infill=worker.loaded.can_infill)
            n_ctx = prepared.n_ctx(worker)
            yield worker, _generate(request, manifest, prepared.options, n_ctx=n_ctx)

    async def load(
        self,
        name: ModelName,
        options: Options,
        keep_alive: float | None,
        needed: Capability | None = Capability.COMPLETION,
    ) -> float:
        """Make a model resident and return the seconds that took.

        Raises:
            CorralError: It is missing, cannot be loaded, or cannot do what is needed.
        """
        began = time.monotonic()
        prepared = await self._prepare(name, options, needed)
        async with self._pool.lease(prepared.wanted, keep_alive):
            return time.monotonic() - began

    async def load_apart(
        self, name: ModelName, options: Options, keep_alive: float | None, *, pins: bool | None
    ) -> AsyncGenerator[LoadMoment | RunningModel, None]:
        """Load a model, tell how far that is and at last what is there; closing breaks it off.

        Unless somebody else waits for the model: then it goes on for them.

        Args:
            name: The model.
            options: What is set for it beside its own.
            keep_alive: How long it stays; ``None``: as set for it.
            pins: Whether it stays until it is told to go; ``None``: as before.

        Raises:
            CorralError: It is missing, cannot be loaded, or its load was broken off.
        """
        prepared = await self._prepare(name, options, None)
        wanted = replace(prepared.wanted, is_pinned=pins or prepared.wanted.is_pinned)
        async with aclosing(moments(self._pool, wanted, keep_alive)) as told:
            async for moment in told:
                if not isinstance(moment, Resident):
                    yield moment
                    continue
                if pins is not None:
                    self._pool.pin(wanted.key, pins)
                    moment = replace(moment, is_pinned=pins)
                yield running(moment)

    async def estimate(self, name: ModelName, options: Options) -> MemoryNeed:
        """Return what loading a model would take now and where, and what would make it fit.

        Raises:
            ModelNotFound: There is no such model.
            InvalidRequest: A device is named that there is not.
            BadModelFile: One of its files is damaged.
        """
        manifest = await asyncio.to_thread(self._library.find, name)
        options = options.over(manifest.parameters.over(self._defaults))
        usable = await self._devices.usable(options.devices) if self._devices else None
        asked = options.num_ctx or self._context_length
        return await self._memory.need(manifest, options, asked=asked, usable=usable)

    async def unload(self, name: ModelName) -> bool:
        """Stop a model once it has answered, or break its load off; return whether it was there.

        Raises:
            ModelNotFound: There is no such model.
        """
        manifest = await asyncio.to_thread(self._library.find, name)
        return self._pool.cancel(manifest.key) or await self._pool.unload(manifest.key)

    async def _prepare(
        self, name: ModelName, asked: Options, needed: Capability | None = Capability.COMPLETION
    ) -> _Prepared:
        """Look the model up, and lay the request's options over the model's own."""
        manifest = await asyncio.to_thread(self._library.find, name)
        info = await asyncio.to_thread(self._library.info, name)
        if needed is not None and needed not in info.capabilities:
            raise _lacks(name, needed)
        options = asked.over(manifest.parameters.over(self._defaults))
        n_asked = options.num_ctx or self._context_length
        if self._devices:
            await self._devices.check(options.devices)
        return _Prepared(manifest, await self._wanted(manifest, options, n_asked), options, n_asked)

    async def _wanted(self, manifest: Manifest, options: Options, n_asked: int) -> Wanted:
        """Return what the pool is asked for; refused here is what can never fit."""
        info = await asyncio.to_thread(self._library.info, manifest.name)
        path = await asyncio.to_thread(self._library.model_path, manifest)
        fitted = await asyncio.to_thread(self._memory.fit, manifest, options, asked=n_asked)
        draft = self._draft(manifest, options)
        projector = self._file(manifest, PROJECTOR)
        settings = options.set_values()
        if not settings.get("num_thread"):
            settings.pop("num_thread", None)  # 0 leaves it to us
        fixed: tuple[tuple[str, object], ...] = tuple(
            (field, settings[option]) for option, field in LOAD_FIELDS.items() if option in settings
        )
        if Capability.COMPLETION not in info.capabilities:
            fixed += (("generates", False),)
        return Wanted(
            info=info,
            key=manifest.key,
            path=str(path),
            n_ctx=fitted.sizes.n_ctx,
            n_cells=fitted.sizes.n_cells,
            fixed=fixed
            + ((("draft_path", draft),) if draft else ())
            + ((("projector_path", projector),) if projector else ()),
            adapters=await asyncio.to_thread(self._adapters, manifest),
            shards=tuple(map(str, self._library.shard_paths(manifest))),
            n_least=fitted.sizes.n_least,
            n_bytes=fitted.n_bytes,
            outline=fitted.outline,
            is_pinned=manifest.name.key in self._pinned,
            note=fitted.note,
            stay_s=math.inf if (options.keep_alive or 0) < 0 else options.keep_alive,
        )

    def _adapters(self, manifest: Manifest) -> tuple[str, ...]:
        """Return the files of the model's adapters, each looked at before the engine sees it."""
        paths = []
        for layer in manifest.adapters:
            path = self._library.blobs.path(layer.digest)
            check_adapter(read_header(path), manifest.facts.architecture)
            paths.append(str(path))
        return tuple(paths)

    def _draft(self, manifest: Manifest, options: Options) -> str:
        """The file of a small model that is to guess for the large one; empty: there is none."""
        return "" if options.speculate == "off" else self._file(manifest, DRAFT)

    def _file(self, manifest: Manifest, kind: str) -> str:
        """The only file of a kind that the model has; empty: it has none."""
        digests = [layer.digest for layer in manifest.layers if layer.kind == kind]
        return str(self._library.blobs.path(digests[0])) if digests else ""


def _lacks(name: ModelName, needed: Capability) -> Unsupported:
    """The error of a model that cannot do what is asked; ``generate`` is Ollama's own word."""
    if needed is Capability.RERANK:
        return Unsupported(
            f'"{name}" does not support rerank',
            hint="use a reranker: a cross-encoder, whose file says pooling_type rank",
        )
    return Unsupported(
        f'"{name}" does not support generate',
        hint="it is an embedding model: it turns text into numbers, not into text",
    )


def _generate(
    request: InferenceRequest,
    manifest: Manifest,
    options: Options,
    *,
    n_ctx: int,
    terms: Terms | None = None,
    choice: int = 0,
) -> Generate:
    n_predict = options.num_predict
    messages, tools = None, offered_tools(request)
    if request.messages is not None:
        messages = _with_own_turns(request.messages, manifest)
    sampling = options.sampling()
    if choice and sampling.seed is not None:  # the same seed would give the same answer
        sampling = replace(sampling, seed=(sampling.seed + choice) % (MAX_SEED + 1))
    form = _form(request, manifest)
    return Generate(
        request_id=new_request_id(),
        sampling=sampling,
        messages=messages,
        prompt=request.prompt,
        suffix=request.suffix,
        context=request.context,
        stop=options.stop or (),
        n_ctx=n_ctx,
        # Ollama: -1 and -2 both mean that only the context is the limit.
        max_tokens=n_predict if n_predict is not None and n_predict >= 0 else None,
        wants_tokens=request.wants_context,
        terms=terms or request.terms,
        shifts=request.shifts,
        truncates=request.truncates,
        n_keep=DEFAULT_KEEP if options.num_keep is None else options.num_keep,
        n_logprobs=request.n_logprobs,
        tells_prompt=request.tells_prompt,
        tells_progress=request.tells_progress,
        speculate=options.speculate or "off",
        n_draft_max=options.draft_num_predict,
        tools=tools,
        think=request.think,
        thoughts=form.bound(request.think, request.n_think_max, has_tools=bool(tools))
        if form
        else None,
        template=manifest.template if request.template is None else request.template,
        keeps_control=form.keeps(has_tools=bool(tools)) if form else (),
        constraint=constraint_of(request, form),
        adapters=request.adapters,
    )


def _template(request: InferenceRequest, manifest: Manifest) -> str:
    """The source of the chat template that will be rendered."""
    own = manifest.facts.template if manifest.template is None else manifest.template
    return own if request.template is None else request.template


def _form(request: InferenceRequest, manifest: Manifest) -> AnswerFormat | None:
    """How the answer is written; ``None`` for a raw prompt, whose answer is nothing but text."""
    return None if request.messages is None else answer_format(_template(request, manifest))


def _with_own_turns(messages: tuple[Message, ...], manifest: Manifest) -> tuple[Message, ...]:
    """The model's own turns come first, its system message only where the request has none."""
    turns = (*manifest.messages, *messages)
    if manifest.system and not any(turn.role == "system" for turn in turns[:1]):
        return (Message("system", manifest.system), *turns)
    return turns


def _reader(
    request: InferenceRequest, manifest: Manifest, *, choice: int, arrived: float
) -> AnswerReader:
    """Return what reads one of the answers, from now on."""
    return AnswerReader(
        _form(request, manifest),
        offered_tools(request),
        max_calls=None if request.tool_choice.is_parallel else 1,
        load_s=time.monotonic() - arrived,
        arrived=arrived,
        choice=choice,
    )
