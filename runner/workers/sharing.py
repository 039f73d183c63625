"""Tells each worker how many threads to compute with, whenever that changes.

The pool hands every ready worker in; its channel says when it begins and ends to have work.  A
worker that died has none, so it keeps no share.  The counts are ``cores.py``'s; a worker takes a
new one between two of its steps.  Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from runner.workers.cores import left_to_others, shared_out
from runner.workers.devices import n_cores
from runner.workers.foreign import Reading, foreign_cores, read

logger = logging.getLogger(__name__)

#: Seconds between two looks at what other programs do, while a model computes.
_LOOK_S = 0.25
#: What others did while nobody here had work says nothing about what they do now: looks further
#: apart are not of one piece.
_OLD_S = 2 * _LOOK_S
#: Weight of the newest look: one burst of a quarter of a second is not yet a busy program.
_NEWEST = 0.5


class Sharer(Protocol):
    """A worker as this file sees it; ``channel.Channel`` is one.

    Attributes:
        on_work: Called with whether there is work now.
        exited: Done when its process has ended.
    """

    on_work: Callable[[bool], None]
    exited: asyncio.Future[int]

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def use_threads(self, n: int) -> None:
        """Have it compute with so many threads from its next step on."""
        ...


class CoreSharing:
    """Shares the cores out among those workers that have work.

    Attributes:
        n_reserved: Cores that are left to other programs now.
    """

    def __init__(
        self, n_machine: int | None = None, look: Callable[[Iterable[int]], Reading] = read
    ) -> None:
        """Take what is needed.

        Args:
            n_machine: Cores of the machine; ``None``: as many as it has.
            look: Reads the system's counts, given our own processes.
        """
        self._n_machine = n_machine or n_cores()
        self._look = look
        self._most: dict[Sharer, int] = {}  # threads of each that it may have
        self._told: dict[Sharer, int] = {}  # and has
        self._working: list[Sharer] = []  # in the order in which they began
        self._reading: Reading | None = None
        self._n_foreign: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.n_reserved = 0

    def add(self, worker: Sharer, n_most: int) -> None:
        """Take a worker in that was loaded with ``n_most`` threads, and has no work yet."""
        self._most[worker] = self._told[worker] = n_most
        worker.on_work = lambda has_work: self._note(worker, has_work=has_work)
        worker.exited.add_done_callback(lambda _: self._forget(worker))

    def allow(self, worker: Sharer, n_most: int) -> None:
        """Let a worker have up to ``n_most`` threads from now on."""
        if worker in self._most:
            self._most[worker] = n_most
            self._share()

    def _forget(self, worker: Sharer) -> None:
        """What it had is the others' now."""
        self._note(worker, has_work=False)
        self._most.pop(worker, None)
        self._told.pop(worker, None)

    def _note(self, worker: Sharer, *, has_work: bool) -> None:
        if worker not in self._most or has_work == (worker in self._working):
            return
        if not has_work:
            self._working.remove(worker)
        else:
            self._working.append(worker)
            if self._timer is None:
                self._measure()
        self._share()

    def _share(self) -> None:
        wants = [self._most[worker] for worker in self._working]
        n_all = self._n_machine - self.n_reserved
        if len(wants) == 1 and not self.n_reserved:
            n_all = wants[0]  # its user may have reasons for more threads than there are cores
        for worker, n in zip(self._working, shared_out(wants, n_all), strict=True):
            if self._told[worker] != n:
                self._told[worker] = n
                worker.use_threads(n)

    def _measure(self) -> None:
        """Look at what others do; again and again, until nobody here has work."""
        self._timer = None
        now = self._look([worker.pid for worker in self._most])
        if self._reading is not None and now.at_s - self._reading.at_s > _OLD_S:
            self._reading = self._n_foreign = None
            self.n_reserved = 0
        measured = foreign_cores(self._reading, now) if self._reading else None
        self._reading = now
        if measured is not None:
            self._learn(measured)
        if self._working:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LOOK_S, self._measure)

    def _learn(self, measured: float) -> None:
        before = measured if self._n_foreign is None else self._n_foreign
        self._n_foreign = before + _NEWEST * (measured - before)
        n_reserved = left_to_others(self._n_foreign, self.n_reserved, self._n_machine)
        if n_reserved != self.n_reserved:
            logger.info("cores left to other programs n=%d of=%d", n_reserved, self._n_machine)
            self.n_reserved = n_reserved
            self._share()
