"""Tool processes as the work of jobs: they take turns, stand still and end as their job does."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TypeVar

from runner.domain.progress import Progress
from runner.errors import WorkerError
from runner.hub.throttle import Throttle
from runner.protocol.tasks import Task
from runner.service.run import Run, Work
from runner.workers.tool import run_tool

T = TypeVar("T")

_LOOK_S = 0.2


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
        self._at_work: Run | None = None  # who has the turn
        self._takers: set[int] = set()  # who takes turns, by the id of its run

    def turn(self, run: Run) -> Generator[Progress, None, bool]:
        """Wait until no other long job computes; return whether the turn came.

        Who got it must ``end_turn``.  One job at a time uses all the cores that it may, and two
        would only hold double the memory.  A job that stands still lets others have their turn.
        """
        while not self._turn.acquire(timeout=_LOOK_S):
            yield Progress("waiting for another job")
            if run.stop.is_set():
                return False
        self._at_work = run
        self._takers.add(id(run))
        return True

    def in_turn(self, work: Work) -> Work:
        """Return ``work`` as the whole of a job: in its turn, and ended by ``success``."""

        def whole(run: Run) -> Generator[Progress, None, None]:
            if not (yield from self.turn(run)):
                return
            try:
                yield from work(run)
            finally:
                self.end_turn(run)
            yield Progress("success")

        return whole

    def do_in_turn(self, task: Task, kind: type[T], run: Run) -> Generator[Progress, None, T]:
        """Do as ``do``, but when no other long job computes; raises when ``run`` is stopped."""
        if not (yield from self.turn(run)):
            raise WorkerError("the job was stopped before its turn came")
        try:
            return (yield from self.do(task, kind, run))
        finally:
            self.end_turn(run)

    def end_turn(self, run: Run) -> None:
        """Let the next job begin."""
        self._takers.discard(id(run))
        self._give_up(run)

    def _give_up(self, run: Run) -> None:
        if self._at_work is run:
            self._at_work = None
            self._turn.release()

    def _stands(self, run: Run) -> bool:
        """Whether the process of ``run`` shall stand still: as told, or for want of a turn."""
        if run.held.is_set():
            self._give_up(run)
            return True
        if id(run) in self._takers and self._at_work is not run:
            if not self._turn.acquire(blocking=False):
                return True
            self._at_work = run
        return False

    def do(self, task: Task, kind: type[T], run: Run) -> Generator[Progress, None, T]:
        """Yield the progress of ``task`` in a process of its own, and return its result.

        When the job is stopped it yields once more and is closed there by whoever runs it.

        Raises:
            WorkerError: The process died, or answered with something else.
            CorralError: What it says went wrong.
        """
        moments = run_tool(
            self._command, task, is_stopped=run.stop.is_set, is_held=lambda: self._stands(run)
        )
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

    def ask(self, task: Task, kind: type[T], run: Run | None = None) -> T:
        """Return the result of a short task; raises as ``do``, and so when ``run`` is stopped."""
        moments = self.do(task, kind, run or Run(Throttle()))
        while True:
            try:
                next(moments)
            except StopIteration as end:
                found: T = end.value
                return found
