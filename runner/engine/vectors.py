"""Embedding and reranking in turns with the step loop, so that streams go on beside them.

Between two steps of the loop comes one of the vectors' own context: a whole one when nothing
streams, else as many tokens as ``pace.py`` allows a prompt.  The context is made when the first
request needs it.  Loop thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from runner.domain.vectors import Pooling
from runner.engine.backend import Backend, DecodeFailed, Embedder
from runner.engine.embed import EmbedQueue, Job, Piece
from runner.engine.uncomputed import not_computed
from runner.errors import CorralError
from runner.protocol.messages import Embedded, Failed

logger = logging.getLogger(__name__)


class VectorTurns:
    """Owns the requests for vectors that are being computed."""

    def __init__(self, backend: Backend, send: Callable[[Embedded | Failed], None]) -> None:
        self._backend = backend
        self._send = send
        self._embedder: Embedder | None = None
        self._queue: EmbedQueue | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to compute."""
        return self._queue is None or self._queue.is_idle

    @property
    def jobs(self) -> list[Job]:
        """The requests that are not done, whose turn is next first."""
        return self._queue.jobs if self._queue else []

    def add(self, job: Job) -> None:
        """Queue a request; it fails at once when there is no memory for it."""
        try:
            queue = self._ready()
        except CorralError as error:
            self._send(Failed(job.request_id, error.code, error.message, error.hint))
            return
        queue.add(job)

    def remove(self, request_id: str) -> bool:
        """Forget a request; return whether it was here."""
        removed = self._queue.remove(request_id) if self._queue else None
        if removed is None:
            return False
        _, seq_id = removed
        if seq_id >= 0 and self._embedder:
            self._embedder.free(seq_id)
        return True

    def turn(self, n_max: int | None) -> None:
        """Compute one step and send what it completes; at most ``n_max`` tokens if not ``None``."""
        embedder, queue = self._embedder, self._queue
        if embedder is None or queue is None or queue.is_idle:
            return
        pieces = queue.step(embedder.n_step if n_max is None else min(n_max, embedder.n_step))
        now = time.monotonic()
        for piece in pieces:
            piece.job.started_s = piece.job.started_s or now
        try:
            rows = embedder.compute(pieces)
        except DecodeFailed as error:
            self._fail(embedder, queue, pieces, error)
            return
        for item in queue.commit(pieces, rows):
            embedder.free(item.seq_id)
        for job in dict.fromkeys(piece.job for piece in pieces):
            if job.is_done:
                self._send(_answer(job, time.monotonic()))

    def _ready(self) -> EmbedQueue:
        """The queue, and behind it the context, made at the first request."""
        if self._queue is None:
            embedder = self._embedder = self._backend.embedder()
            facts = self._backend.embedding
            self._queue = EmbedQueue(
                n_batch=embedder.n_batch,
                n_seq_max=embedder.n_seq_max,
                # A head that scores wants the text of a pair in one piece.
                can_split=facts.is_causal and facts.pooling is not Pooling.RANK,
            )
        return self._queue

    def _fail(
        self, embedder: Embedder, queue: EmbedQueue, pieces: list[Piece], error: DecodeFailed
    ) -> None:
        """Fail the requests of a step; all that was half done is in it, so nothing else is lost."""
        logger.error("embedding step failed error=%r n_inputs=%d", str(error), len(pieces))
        embedder.clear()
        told = not_computed(error)
        for job in dict.fromkeys(piece.job for piece in pieces):
            queue.remove(job.request_id)
            self._send(Failed(job.request_id, told.code, told.message, told.hint))


def aborted(request_id: str) -> Failed:
    """The end of a request for vectors that nobody waits for any more."""
    return Failed(request_id, "worker_failed", "the request was aborted", "ask again")


def _answer(job: Job, now: float) -> Embedded | Failed:
    rows = [job.vectors[index] for index in range(job.n_items)]
    for index, vectors in enumerate(rows):
        if not np.isfinite(vectors).all():
            return Failed(
                job.request_id,
                "worker_failed",
                f"the vector of input[{index}] contains NaN or Inf values",
                "the model may be damaged, or of a precision too low for this text",
            )
    return Embedded(
        job.request_id,
        vectors=tuple(vectors.astype("<f4", copy=False).tobytes() for vectors in rows),
        n_dimensions=int(rows[0].shape[1]) if rows else 0,
        n_tokens=job.n_tokens,
        truncated=job.truncated,
        compute_s=now - job.started_s,
        is_pooled=job.pooling is not Pooling.NONE,
    )
