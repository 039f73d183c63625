"""Vectors and scores: one request to a worker, one answer back."""

from __future__ import annotations

import struct
import time
from contextlib import AsyncExitStack

from msgspec import structs

from runner.domain.event import Timings
from runner.domain.request import EmbedRequest, RerankRequest
from runner.domain.vectors import Embeddings, Pooling, Ranking
from runner.errors import NotEnoughMemory, WorkerError
from runner.protocol.messages import Embed, Embedded, Rerank
from runner.service.requests import Ongoing
from runner.workers.pool import Pool
from runner.workers.process import new_request_id
from runner.workers.wanted import Wanted


async def embed(pool: Pool, wanted: Wanted, request: EmbedRequest, ongoing: Ongoing) -> Embeddings:
    """Return the vectors that ``request`` asks for, from the model that ``wanted`` says.

    ``ongoing`` is its entry in the list of requests.

    Raises:
        CorralError: The model cannot be loaded, the request was cancelled or is late, or the
            engine refused or failed.
    """
    question = Embed(
        new_request_id(),
        inputs=request.inputs,
        n_ctx=wanted.n_ctx,
        n_dimensions=request.n_dimensions,
        truncates=request.truncates,
        normalizes=request.normalizes,
        pooling=Pooling(request.pooling) if request.pooling else None,
    )
    answer, timings = await _ask(pool, wanted, question, request.keep_alive, ongoing)
    return Embeddings(
        vectors=answer.vectors,
        n_dimensions=answer.n_dimensions,
        n_tokens=answer.n_tokens,
        truncated=answer.truncated,
        timings=timings,
        is_pooled=answer.is_pooled,
    )


async def rerank(pool: Pool, wanted: Wanted, request: RerankRequest, ongoing: Ongoing) -> Ranking:
    """Return the scores that ``request`` asks for; raises as ``embed`` does."""
    question = Rerank(
        new_request_id(),
        query=request.query,
        documents=request.documents,
        n_ctx=wanted.n_ctx,
        truncates=request.truncates,
    )
    answer, timings = await _ask(pool, wanted, question, request.keep_alive, ongoing)
    # A head with several outputs says them all; the first is the score, as in llama-server.
    scores = tuple(struct.unpack_from("<f", vector)[0] for vector in answer.vectors)
    return Ranking(scores, answer.n_tokens, answer.truncated, timings)


async def _ask(
    pool: Pool,
    wanted: Wanted,
    question: Embed | Rerank,
    keep_alive_s: float | None,
    ongoing: Ongoing,
) -> tuple[Embedded, Timings]:
    for is_last_try in (False, True):
        async with AsyncExitStack() as stack:
            async with ongoing.waiting():
                worker = await stack.enter_async_context(pool.lease(wanted, keep_alive_s))
            load_s = time.monotonic() - ongoing.arrived_s
            ongoing.sent(worker, question.request_id)
            try:
                answer = await worker.embed(structs.replace(question, terms=ongoing.terms_left()))
            except (WorkerError, NotEnoughMemory) as error:
                ongoing.check_cancelled()
                if is_last_try or not pool.gives_way(worker, error):
                    raise
            else:
                total_s = time.monotonic() - ongoing.arrived_s
                return answer, Timings(total_s, load_s, prompt_s=answer.compute_s)
    raise AssertionError("the last try returns or raises")
