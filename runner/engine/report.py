"""Where each request of the engine stands, told when somebody asks; costs nothing otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Seq

from runner.domain.running import RequestState
from runner.engine.embed import Job
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Sequence
from runner.protocol.messages import Inspected, Place


def inspected(request_id: str, scheduler: Scheduler, jobs: Seq[Job]) -> Inspected:
    """Return the answer to an ``Inspect``: those that run, then those that wait, in order."""
    running = [_place(seq, _state(seq), 0) for seq in scheduler.running]
    waiting = [
        _place(seq, RequestState.QUEUED, position)
        for position, seq in enumerate(scheduler.waiting, start=1)
    ]
    return Inspected(request_id, (*running, *waiting, *_vector_places(jobs)))


def _vector_places(jobs: Seq[Job]) -> Iterator[Place]:
    """Where requests for vectors stand; they take turns, so all that have begun run."""
    position = 0
    for job in jobs:
        if job.started_s:
            state, at = RequestState.PROMPT, 0
        else:
            position += 1
            state, at = RequestState.QUEUED, position
        yield Place(job.request_id, state, at, sum(job.n_tokens), n_cached=0, n_generated=0)


def _state(seq: Sequence) -> RequestState:
    return RequestState.GENERATING if seq.n_generated else RequestState.PROMPT


def _place(seq: Sequence, state: RequestState, position: int) -> Place:
    return Place(seq.request_id, state, position, seq.n_prompt, seq.n_cached or 0, seq.n_generated)
