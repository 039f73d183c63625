"""Answers: one pipeline for every dialect, from a request to a stream of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from runner.domain.chat import Message
from runner.domain.event import Event, FinishReason
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.options import MAX_SEED, Options, Speculate
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest, Terms
from runner.domain.vectors import Embeddings, Ranking
from runner.errors import Unsupported, WorkerError
from runner.gguf.adapter import check_adapter
from runner.gguf.metadata import ModelFacts, describe
from runner.gguf.reader import read_header
from runner.prompt.toolcalls.registry import AnswerFormat, answer_format
from runner.protocol.messages import DEFAULT_KEEP, Generate, Started
from runner.service import vectors
from runner.service.answer import AnswerReader
from runner.service.choices import merged
from runner.service.requests import Ongoing, RequestService
from runner.service.sizing import choose_sizes
from runner.service.toolchoice import (
    constraint_of,
    offered_tools,
    refuse_beyond,
    refuse_gap,
)
from runner.store.library import Library
from runner.store.manifests import DRAFT, Manifest
from runner.workers.pool import Pool, Wanted
from runner.workers.process import Worker, new_request_id

#: Options that a worker is loaded with, by the name ``Load`` has for them.
_LOAD_FIELDS = {
    "num_batch": "n_batch",
    "num_thread": "n_threads",
    "num_gpu": "n_gpu_layers",
    "devices": "devices",
    "use_mmap": "use_mmap",
}


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
        """
        self._requests = requests or RequestService()
        self._library = library
        self._pool = pool
        self._context_length = context_length
        self._memory_bytes = memory_bytes
        self._shares_cache = shares_cache
        self._speculate = speculate

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
        arrived = ongoing.arrived_s
        async with ongoing.waiting():
            manifest, wanted, options = await self._prepare(request.model, request.options)
            # In a thread: it reads the template's source, which may be long and is a stranger's.
            template = _template(request, manifest)
            await asyncio.to_thread(refuse_beyond, request, template)
        for is_last_try in (False, True):
            async with AsyncExitStack() as stack:
                async with ongoing.waiting():
                    lease = self._pool.lease(wanted, request.keep_alive)
                    worker = await stack.enter_async_context(lease)
                refuse_gap(request, template, can_infill=worker.loaded.can_infill)
                terms = ongoing.terms_left()
                asked = [
                    _generate(
                        request, manifest, options, n_ctx=wanted.n_ctx, terms=terms, choice=choice
                    )
                    for choice in range(request.n)
                ]
                for generate in asked:
                    ongoing.sent(worker, generate.request_id)
                readers = [
                    _reader(request, manifest, choice=choice, arrived=arrived)
                    for choice in range(request.n)
                ]
                has_started = False
                try:
                    streams = [worker.generate(generate) for generate in asked]
                    async with aclosing(merged(streams)) as replies:
                        async for choice, reply in replies:
                            if isinstance(reply, Started):
                                has_started = True
                                yield readers[choice].started(reply)
                                continue
                            if reply.finish and reply.finish.reason is FinishReason.ABORTED:
                                ongoing.check_cancelled()
                            for event in readers[choice].events(reply):
                                yield event
                    return
                except WorkerError:
                    # One that ended itself in good order, because a template would not, had not
                    # heard this request yet: the next one will.
                    if has_started or is_last_try or not worker.has_retired:
                        raise

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each input; a model that generates text has vectors, too.

        Raises:
            CorralError: The model is missing, cannot be loaded, or cannot do it.
        """
        with self._requests.entry(request) as ongoing:
            async with ongoing.waiting():
                _, wanted, _ = await self._prepare(request.model, request.options, None)
            return await vectors.embed(self._pool, wanted, request, ongoing)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Return a score for each document.

        Raises:
            CorralError: The model is missing, cannot be loaded, or is no reranker.
        """
        with self._requests.entry(request) as ongoing:
            async with ongoing.waiting():
                needed = Capability.RERANK
                _, wanted, _ = await self._prepare(request.model, request.options, needed)
            return await vectors.rerank(self._pool, wanted, request, ongoing)

    @asynccontextmanager
    async def worker(self, request: InferenceRequest) -> AsyncIterator[tuple[Worker, Generate]]:
        """Have the model's worker at hand, and what it would be asked for ``request``.

        Raises:
            CorralError: As ``infer`` does before its first event.
        """
        manifest, wanted, options = await self._prepare(
            request.model, request.options, Capability.COMPLETION
        )
        template = _template(request, manifest)
        await asyncio.to_thread(refuse_beyond, request, template)
        async with self._pool.lease(wanted, request.keep_alive) as worker:
            refuse_gap(request, template, can_infill=worker.loaded.can_infill)
            n_ctx = min(wanted.n_ctx, worker.loaded.n_ctx)
            yield worker, _generate(request, manifest, options, n_ctx=n_ctx)

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
        _, wanted, _ = await self._prepare(name, options, needed)
        async with self._pool.lease(wanted, keep_alive):
            return time.monotonic() - began

    async def unload(self, name: ModelName) -> bool:
        """Stop a model once it has answered; return whether it was resident.

        Raises:
            ModelNotFound: There is no such model.
        """
        manifest = await asyncio.to_thread(self._library.find, name)
        return await self._pool.unload(manifest.key)

    async def _prepare(
        self, name: ModelName, asked: Options, needed: Capability | None = Capability.COMPLETION
    ) -> tuple[Manifest, Wanted, Options]:
        """Look the model up, and lay the request's options over the model's own."""
        manifest = await asyncio.to_thread(self._library.find, name)
        info = await asyncio.to_thread(self._library.info, name)
        path = await asyncio.to_thread(self._library.model_path, manifest)
        if needed is not None and needed not in info.capabilities:
            raise _lacks(name, needed)
        options = asked.over(manifest.parameters.over(Options(speculate=self._speculate)))
        draft = self._draft(manifest, options)
        sizes = choose_sizes(
            manifest.facts,
            asked=options.num_ctx or self._context_length,
            memory_bytes=self._memory_bytes,
            draft=await asyncio.to_thread(_facts, draft) if draft else None,
        )
        settings = options.set_values()
        if not settings.get("num_thread"):
            settings.pop("num_thread", None)  # 0 leaves it to us
        fixed = tuple(
            (field, settings[option])
            for option, field in _LOAD_FIELDS.items()
            if option in settings
        )
        if Capability.COMPLETION not in info.capabilities:
            fixed += (("generates", False),)
        wanted = Wanted(
            info=info,
            key=manifest.key,
            path=str(path),
            n_ctx=sizes.n_ctx,
            n_cells=sizes.n_cells,
            fixed=fixed + ((("draft_path", draft),) if draft else ()),
            adapters=await asyncio.to_thread(self._adapters, manifest),
            shards=tuple(map(str, self._library.shard_paths(manifest))),
        )
        return manifest, wanted, options

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
        drafts = [layer.digest for layer in manifest.layers if layer.kind == DRAFT]
        if options.speculate == "off" or not drafts:
            return ""
        return str(self._library.blobs.path(drafts[0]))


@lru_cache(maxsize=16)
def _facts(path: str) -> ModelFacts:
    """What a draft model's file says of itself; a blob never changes."""
    return describe(read_header(Path(path)))


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
        speculate=options.speculate or "off",
        n_draft_max=options.draft_num_predict,
        tools=tools,
        think=request.think,
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
