"""Answers: one pipeline for every dialect, from a request to a stream of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from runner.domain.chat import Message
from runner.domain.event import Event, Finished, FinishReason, TextDelta, Timings, Usage
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.request import InferenceRequest, Terms
from runner.errors import Unsupported, WorkerError
from runner.protocol.messages import DEFAULT_KEEP, Delta, Generate, Started
from runner.service.requests import Ongoing, RequestService
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
        self,
        library: Library,
        pool: Pool,
        *,
        context_length: int,
        memory_bytes: int,
        requests: RequestService | None = None,
        shares_cache: bool = False,
    ) -> None:
        """Take what is needed.

        Args:
            library: The models.
            pool: The workers.
            context_length: Default context in tokens; 0: chosen for each model.
            memory_bytes: The machine's main memory.
            requests: Where answers are listed for as long as they take.
            shares_cache: Whether owners may start from each other's prompts.
        """
        self._requests = requests or RequestService()
        self._library = library
        self._pool = pool
        self._context_length = context_length
        self._memory_bytes = memory_bytes
        self._shares_cache = shares_cache

    async def infer(self, request: InferenceRequest) -> AsyncGenerator[Event, None]:
        """Yield the answer's text as it comes, then ``Finished``.

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
        for is_last_try in (False, True):
            async with AsyncExitStack() as stack:
                async with ongoing.waiting():
                    lease = self._pool.lease(wanted, request.keep_alive)
                    worker = await stack.enter_async_context(lease)
                load_s = time.monotonic() - arrived
                terms = ongoing.terms_left()
                generate = _generate(request, manifest, options, n_ctx=wanted.n_ctx, terms=terms)
                ongoing.sent(worker, generate.request_id)
                started: Started | None = None
                try:
                    async with aclosing(worker.generate(generate)) as replies:
                        async for reply in replies:
                            if isinstance(reply, Started):
                                started = reply
                            else:
                                if reply.finish and reply.finish.reason is FinishReason.ABORTED:
                                    ongoing.check_cancelled()
                                for event in _events(reply, started, load_s, arrived):
                                    yield event
                    return
                except WorkerError:
                    # One that ended itself in good order, because a template would not, had not
                    # heard this request yet: the next one will.
                    if started or is_last_try or not worker.has_retired:
                        raise

    async def load(self, name: ModelName, options: Options, keep_alive: float | None) -> float:
        """Make a model resident and return the seconds that took.

        Raises:
            CorralError: It is missing or cannot be loaded.
        """
        began = time.monotonic()
        _, wanted, _ = await self._prepare(name, options)
        async with self._pool.lease(wanted, keep_alive):
            return time.monotonic() - began

    async def unload(self, name: ModelName) -> bool:
        """Stop a model once it has answered; return whether it was resident.

        Raises:
            ModelNotFound: There is no such model.
        """
        manifest = await asyncio.to_thread(self._library.find, name)
        return await self._pool.unload(manifest.model.digest)

    async def _prepare(self, name: ModelName, asked: Options) -> tuple[Manifest, Wanted, Options]:
        """Look the model up, and lay the request's options over the model's own."""
        manifest = await asyncio.to_thread(self._library.find, name)
        info = await asyncio.to_thread(self._library.info, name)
        path = await asyncio.to_thread(self._library.model_path, manifest)
        if Capability.COMPLETION not in info.capabilities:
            raise Unsupported(
                f'"{name}" does not support generate',
                hint="it is an embedding model: it turns text into numbers, not into text",
            )
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
        wanted = Wanted(
            info=info,
            key=manifest.model.digest,
            path=str(path),
            n_ctx=sizes.n_ctx,
            n_cells=sizes.n_cells,
            fixed=fixed,
        )
        return manifest, wanted, options


def _generate(
    request: InferenceRequest,
    manifest: Manifest,
    options: Options,
    *,
    n_ctx: int,
    terms: Terms | None = None,
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
        terms=terms or request.terms,
        shifts=request.shifts,
        truncates=request.truncates,
        n_keep=DEFAULT_KEEP if options.num_keep is None else options.num_keep,
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
            n_shifted=outcome.n_shifted,
            n_dropped=started.n_dropped if started else 0,
            n_diverged=started.n_diverged if started else None,
        )
