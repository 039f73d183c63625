"""Where each request of the engine stands, told when somebody asks; costs nothing otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Seq

from runner.domain.running import RequestState
from runner.engine.embed import Job
from runner.engine.grid import Grid
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Sequence
from runner.protocol.messages import Inspected, Place


def inspected(
    request_id: str, scheduler: Scheduler, jobs: Seq[Job], grid: Grid | None = None
) -> Inspected:
    """Return the answer to an ``Inspect``: those that run, then those that wait, in order.

    Deterministic requests wait for each other alone: the first of them is next of its own line.
    """
    running = [_place(seq, _state(seq), 0) for seq in scheduler.running]
    waiting = [
        _place(seq, RequestState.QUEUED, position)
        for position, seq in enumerate(scheduler.waiting, start=1)
    ]
    return Inspected(request_id, (*running, *waiting, *_on_grid(grid), *_vector_places(jobs)))


def _on_grid(grid: Grid | None) -> Iterator[Place]:
    """Where deterministic requests stand; one runs at a time."""
    if grid is None:
        return
    if (seq := grid.running) is not None:
        yield _place(seq, _state(seq), 0)
    for position, seq in enumerate(grid.waiting, start=1):
        yield _place(seq, RequestState.QUEUED, position)


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
