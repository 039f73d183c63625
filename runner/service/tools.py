"""Tool processes as the work of jobs: they take turns, stand still and end as their job does."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from runner.domain.job import Job
from runner.domain.progress import Progress
from runner.errors import InvalidRequest, WorkerError
from runner.hub.throttle import Throttle
from runner.protocol.tasks import Task
from runner.service.jobs import JobService
from runner.service.run import Run, Work
from runner.workers.tool import run_tool

T = TypeVar("T")

_LOOK_S = 0.2


class Asked:
    """What each job was asked to do, so that another request is not taken for the same one."""

    def __init__(self, jobs: JobService) -> None:
        self._jobs = jobs
        self._requests: dict[int, object] = {}

    async def begin(self, kind: str, title: str, request: object, work: Work, **how: Any) -> Job:
        """Begin a job that goes on alone; the one on its way with the same request is returned.

        Raises:
            InvalidRequest: One of this title is on its way with another request.
        """
        for job in self._jobs.list_jobs():
            is_same = (job.kind, job.name) == (kind, title) and not job.state.is_over
            if is_same and self._requests.get(job.job_id) != request:
                raise InvalidRequest(
                    f"job {job.job_id} is at '{title}' already, with other settings",
                    hint=f"wait for it, or end it: corral jobs cancel {job.job_id}",
                )
        begun = await self._jobs.begin(
            kind, title, work, is_attended=False, is_lasting=False, **how
        )
        self._requests[begun.job_id] = request
        return begun


class Tools:
    """Starts tool processes.  All calls block, on the thread of a job.

    Args:
        command: The command line of a tool process.
        n_threads: How many threads each may compute with.
    """

    def __init__(self, command: Sequence[str], n_threads: int = 0) -> None:
        self.n_threads = n_threads
        self._command = tuple(command)
        self._turn = threading.Lock()

    def turn(self, run: Run) -> Generator[Progress, None, bool]:
        """Wait until no other long job computes; return whether the turn came.

        Who got it must ``end_turn``.  One job at a time uses all the cores that it may, and two
        would only hold double the memory.
        """
        while not self._turn.acquire(timeout=_LOOK_S):
            yield Progress("waiting for another job")
            if run.stop.is_set():
                return False
        return True

    def end_turn(self) -> None:
        """Let the next job begin."""
        self._turn.release()

    def do(self, task: Task, kind: type[T], run: Run) -> Generator[Progress, None, T]:
        """Yield the progress of ``task`` in a process of its own, and return its result.

        When the job is stopped it yields once more and is closed there by whoever runs it.

        Raises:
            WorkerError: The process died, or answered with something else.
            CorralError: What it says went wrong.
        """
        moments = run_tool(self._command, task, is_stopped=run.stop.is_set, is_held=run.held.is_set)
        result: object = None
        with closing(moments):
            while True:
                try:
                    moment = next(moments)
                except StopIteration as end:
                    result = end.value
                    break
                yield Progress(moment.phase, moment.n_done, moment.n_bytes)
        if not isinstance(result, kind):
            raise WorkerError(f"the job's process answered with {type(result).__name__}")
        return result

    def ask(self, task: Task, kind: type[T]) -> T:
        """Return the result of a short task; raises as ``do``."""
        moments = self.do(task, kind, Run(Throttle()))
        while True:
            try:
                next(moments)
            except StopIteration as end:
                found: T = end.value
                return found
