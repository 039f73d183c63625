"""A model in the pool: that is loading, loaded or stopping, and who holds it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from runner.domain.loading import LoadStage
from runner.errors import CorralError
from runner.protocol.messages import Load
from runner.workers.process import Worker
from runner.workers.wanted import Wanted


@dataclass(slots=True, eq=False)
class Entry:
    """A model that is loading, loaded or stopping.

    ``load`` is smaller than what was begun with where that did not work; ``notes`` tell of it.
    """

    wanted: Wanted
    load: Load
    keep_alive_s: float
    loading: asyncio.Task[Worker] = field(init=False)
    n_leases: int = 0
    is_leaving: bool = False  # takes no new lease; goes when the last one ends
    is_pinned: bool = False
    last_used_s: float = field(default_factory=time.monotonic)
    expires_at: float = math.inf
    timer: asyncio.TimerHandle | None = None
    load_s: float = 0.0
    stage: LoadStage = LoadStage.MAPPING
    share: float = 0.0
    notes: list[str] = field(default_factory=list)
    broken_off: CorralError | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether its load has succeeded; the process may be gone since."""
        task = self.loading
        return task.done() and not task.cancelled() and task.exception() is None

    def serves(self, wanted: Wanted) -> bool:
        """Whether this worker can serve that request as it is; a larger context can."""
        asked = dict(wanted.fixed)
        return wanted.n_ctx_least <= self.load.n_ctx and all(
            getattr(self.load, name) == value for name, value in asked.items()
        )


def worker_of(entry: Entry) -> Worker | None:
    """The entry's live worker, if its load has succeeded."""
    worker = entry.loading.result() if entry.is_loaded else None
    return None if worker is None or worker.channel.exited.done() else worker
