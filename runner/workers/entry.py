"""A model in the pool: that is loading, loaded or stopping, and who holds it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from runner.domain.loading import LoadStage
from runner.errors import CorralError
from runner.protocol.messages import Load
from runner.workers.lessons import Lesson
from runner.workers.process import Worker
from runner.workers.wanted import Wanted


@dataclass(slots=True, eq=False)
class Entry:
    """A model that is loading, loaded or stopping.

    ``load`` is smaller than ``asked``, which was begun with, where that did not work, or a
    ``lesson`` says that it would not; ``notes`` tell of it.  ``stay_s`` is how long it stays idle,
    as the last request said that said so; ``held`` is what was asked for and not done, in words.
    """

    wanted: Wanted
    load: Load
    stay_s: float | None = None
    asked: Load = field(init=False)
    loading: asyncio.Task[Worker] = field(init=False)
    n_leases: int = 0
    is_leaving: bool = False  # takes no new lease; goes when the last one ends
    is_pinned: bool = False
    last_used_s: float = field(default_factory=time.monotonic)
    expires_at: float = math.inf
    timer: asyncio.TimerHandle | None = None
    load_s: float = 0.0
    ready_s: float = math.inf  # when it had loaded, by the monotonic clock
    stage: LoadStage = LoadStage.MAPPING
    share: float = 0.0
    lesson: Lesson | None = None
    notes: list[str] = field(default_factory=list)
    held: str = ""
    broken_off: CorralError | None = None

    def __post_init__(self) -> None:
        self.asked = self.load

    @property
    def is_loaded(self) -> bool:
        """Whether its load has succeeded; the process may be gone since."""
        task = self.loading
        return task.done() and not task.cancelled() and task.exception() is None

    @property
    def may_have_more(self) -> bool:
        """Whether the time is over for which it was to have less."""
        return self.lesson is not None and self.lesson.is_over

    def serves(self, wanted: Wanted) -> bool:
        """Whether this worker can serve that request as it is.

        A larger context can.  What was loaded with less than was asked for would not become more
        by loading it again; that it would is tried once its lesson is over, and nobody uses it.
        """
        if self.may_have_more and not self.n_leases:
            return False
        return wanted.n_ctx_least <= self.load.n_ctx and not wanted.lacks(self.asked)


def worker_of(entry: Entry) -> Worker | None:
    """The entry's live worker, if its load has succeeded."""
    worker = entry.loading.result() if entry.is_loaded else None
    return None if worker is None or worker.channel.exited.done() else worker
