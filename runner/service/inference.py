"""Answers: one pipeline for every dialect, from a request to a stream of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from runner.domain.chat import Message
from runner.domain.event import Event, Finished, TextDelta, Timings, Usage
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest
from runner.domain.vectors import Embeddings, Ranking
from runner.errors import Unsupported, WorkerError
from runner.gguf.adapter import check_adapter
from runner.gguf.reader import read_header
from runner.protocol.messages import Delta, Generate, Started
from runner.service import vectors
from runner.service.sizing import choose_sizes
from runner.store.library import Library
from runner.store.manifests import Manifest
from runner.workers.pool import Pool, Wanted
from runner.workers.process import new_request_id

#: Options that a worker is loaded with, by the name ``Load`` has for them.
_LOAD_FIELDS = {
    "num_batch": "n_batch",
    "num_thread": "n_threads",
    "num_gpu": "n_gpu_layers",
    "use_mmap": "use_mmap",
}


class InferenceService:
    """Asks the engine, through the pool."""

    def __init__(
        self, library: Library, pool: Pool, *, context_length: int, memory_bytes: int
    ) -> None:
        """Take what is needed.

        Args:
            library: The models.
            pool: The workers.
            context_length: Default context in tokens; 0: chosen for each model.
            memory_bytes: The machine's main memory.
        """
        self._library = library
        self._pool = pool
        self._context_length = context_length
        self._memory_bytes = memory_bytes

    async def infer(self, request: InferenceRequest) -> AsyncGenerator[Event, None]:
        """Yield the answer's text as it comes, then ``Finished``.

        Closing the generator aborts the sequence in the engine.

        Raises:
            CorralError: The model is missing, cannot be loaded, or failed; also between events.
        """
        arrived = time.monotonic()
        manifest, wanted, options = await self._prepare(request.model, request.options)
        for is_last_try in (False, True):
            async with self._pool.lease(wanted, request.keep_alive) as worker:
                load_s = time.monotonic() - arrived
                generate = _generate(request, manifest, options, n_ctx=wanted.n_ctx)
                started: Started | None = None
                try:
                    async with aclosing(worker.generate(generate)) as replies:
                        async for reply in replies:
                            if isinstance(reply, Started):
                                started = reply
                            else:
                                for event in _events(reply, started, load_s, arrived):
                                    yield event
                    return
                except WorkerError:
                    # One that ended itself in good order, because a template would not, had not
                    # heard this request yet: the next one will.
                    if started or is_last_try or not worker.has_retired:
                        raise

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return a vector for each input; a model that generates text has vectors, too.

        Raises:
            CorralError: The model is missing, cannot be loaded, or cannot do it.
        """
        _, wanted, _ = await self._prepare(request.model, request.options, None)
        return await vectors.embed(self._pool, wanted, request)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Return a score for each document.

        Raises:
            CorralError: The model is missing, cannot be loaded, or is no reranker.
        """
        needed = Capability.RERANK
        _, wanted, _ = await self._prepare(request.model, request.options, needed)
        return await vectors.rerank(self._pool, wanted, request)

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
        options = asked.over(manifest.parameters)
        sizes = choose_sizes(
            manifest.facts,
            asked=options.num_ctx or self._context_length,
            memory_bytes=self._memory_bytes,
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
            fixed=fixed,
            adapters=await asyncio.to_thread(self._adapters, manifest),
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
    request: InferenceRequest, manifest: Manifest, options: Options, *, n_ctx: int
) -> Generate:
    n_predict = options.num_predict
    messages = None
    if request.messages is not None:
        messages = _with_own_turns(request.messages, manifest)
    return Generate(
        request_id=new_request_id(),
        sampling=options.sampling(),
        messages=messages,
        prompt=request.prompt,
        context=request.context,
        stop=options.stop or (),
        n_ctx=n_ctx,
        # Ollama: -1 and -2 both mean that only the context is the limit.
        max_tokens=n_predict if n_predict is not None and n_predict >= 0 else None,
        wants_tokens=request.wants_context,
        adapters=request.adapters,
    )


def _with_own_turns(messages: tuple[Message, ...], manifest: Manifest) -> tuple[Message, ...]:
    """The model's own turns come first, its system message only where the request has none."""
    turns = (*manifest.messages, *messages)
    if manifest.system and not any(turn.role == "system" for turn in turns[:1]):
        return (Message("system", manifest.system), *turns)
    return turns


def _events(
    delta: Delta, started: Started | None, load_s: float, arrived: float
) -> Iterator[TextDelta | Finished]:
    """What one piece of an answer comes to."""
    if delta.text:
        yield TextDelta(delta.text)
    if outcome := delta.finish:
        n_prompt, n_cached = (started.n_prompt, started.n_cached) if started else (0, 0)
        total_s = time.monotonic() - arrived
        yield Finished(
            reason=outcome.reason,
            usage=Usage(n_prompt, n_cached, outcome.n_generated),
            timings=Timings(total_s, load_s, outcome.prompt_s, outcome.decode_s),
            stop=outcome.stop,
            context=outcome.tokens,
        )
