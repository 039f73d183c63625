"""Which models are resident: leases, single-flight loads, keep-alive, eviction.

A request holds a lease on a worker while it runs.  The first lease loads the model, whoever else
asks meanwhile waits for the same load.  When the last lease ends, the keep-alive timer starts.
Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from runner import logs
from runner.domain.loading import LoadMoment
from runner.errors import Cancelled, CorralError, DeviceError, NotEnoughMemory, WorkerError
from runner.protocol.messages import Load, Loading
from runner.workers import room
from runner.workers.entry import Entry, worker_of
from runner.workers.loader import Loader
from runner.workers.process import Worker
from runner.workers.refusals import again, closing, queue_full
from runner.workers.reloads import Reloads
from runner.workers.sharing import CoreSharing
from runner.workers.wanted import PoolSettings, Resident, Wanted, load_for, named
from runner.workers.watched import WatchedLoads

logger = logging.getLogger(__name__)

#: Longest time of a timer, in seconds: centuries overflow the selector's timeout.
_LONGEST_TIMER_S = 86400.0


class Pool:
    """Owns all workers.

    Attributes:
        n_loads: Models loaded since the start.
        n_evictions: Models that had to go for another one.
        on_change: Called when the models in memory, or who uses them, are not what they were.
        on_loading: Called when a load begins, gets on or ends.
        on_measured: Called when a worker has loaded, and before it goes, while it can be measured.
        equip: Adds to a load what it needs to reach devices of other machines.
        on_device_lost: Called with the address of one that a worker lost.
    """

    def __init__(
        self, settings: PoolSettings, available: Callable[[], int] = lambda: sys.maxsize
    ) -> None:
        """Take limits, and what measures the main memory that is free now, in bytes."""
        self._settings = settings
        self._available = available
        self._loader = Loader()
        self._reloads = Reloads()
        self._entries: dict[str, Entry] = {}
        self._watched = WatchedLoads(self._entries)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Condition()
        self._unserved: list[Wanted] = []  # what has no entry yet
        self._n_waiting = 0
        self._is_closed = False
        self._cores = CoreSharing()
        self.on_change: Callable[[], None] = lambda: None
        self.on_loading: Callable[[], None] = lambda: None
        self.on_measured: Callable[[Wanted, Load, Worker], None] = lambda wanted, load, worker: None
        self.equip: Callable[[Load], Load] = lambda load: load
        self.on_device_lost: Callable[[str], None] = lambda address: None
        self.n_loads = 0
        self.n_evictions = 0

    @property
    def settings(self) -> PoolSettings:
        """The limits and defaults in force."""
        return self._settings

    def configure(self, settings: PoolSettings) -> None:
        """Take other limits and defaults; what is loaded stays as it is."""
        self._settings = settings
        self._notify()

    @asynccontextmanager
    async def lease(self, wanted: Wanted, keep_alive_s: float | None) -> AsyncIterator[Worker]:
        """Hold a ready worker for as long as the context lasts; loads it if need be.

        Args:
            wanted: The model.
            keep_alive_s: How long it stays afterwards; ``None``: as a request before said, else as
                ``wanted`` has it, else the pool's setting.

        Raises:
            WorkerError: It could not be loaded.
            NotEnoughMemory: It does not fit, whoever else may go.
            CapacityError: Too many requests wait already, or the pool is closing.
            Cancelled: Its load was broken off.
        """
        entry = await self._entry(wanted)
        entry.n_leases += 1
        self.on_change()
        if keep_alive_s is not None:
            entry.stay_s = keep_alive_s
        entry.is_pinned |= wanted.is_pinned
        self._stop_timer(entry)
        try:
            worker = await self._loaded(entry)
            if wanted.n_threads:
                self._cores.allow(worker.channel, wanted.n_threads)
            yield worker
        finally:
            entry.n_leases -= 1
            entry.last_used_s = time.monotonic()
            self._on_lease_ended(entry)

    async def unload(self, key: str) -> bool:
        """Stop a model's worker, once nobody uses it; return whether it was resident."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        entry.is_leaving = True
        entry.expires_at = time.time()
        if not entry.n_leases:
            await self._end(entry)
        return True

    def gives_way(self, worker: Worker, error: CorralError) -> bool:
        """Whether another process may do what ``error`` says that this worker did not.

        It has ended; or it found no memory to compute, so that one which is loaded with less takes
        its place, once the requests have ended that it has.
        """
        if worker.channel.exited.done():
            return True
        entry = next((e for e in self._entries.values() if worker_of(e) is worker), None)
        if entry is None or not isinstance(error, NotEnoughMemory):
            return False
        if not entry.is_leaving:
            entry.is_leaving = self._loader.learn_want(entry, error, self._settings)
        return entry.is_leaving

    def cancel(self, key: str) -> bool:
        """Break a load off; whoever waits for it hears so.  Returns whether there was one."""
        entry = self._entries.get(key)
        if entry is None or entry.loading.done():
            return False
        entry.broken_off = Cancelled(
            f"loading {entry.wanted.info.name} was cancelled", hint="ask again to load it"
        )
        entry.is_leaving = True
        entry.loading.cancel()
        return True

    def pin(self, key: str, is_pinned: bool) -> None:
        """Let a model that is here stay until it is told to go, or no more."""
        if entry := self._entries.get(key):
            entry.is_pinned = is_pinned
            if not entry.n_leases and entry.is_loaded and not entry.is_leaving:
                self._stop_timer(entry)
                self._on_lease_ended(entry)

    def n_waiting_for(self, key: str) -> int:
        """Return the leases of a model, and how many wait to get one."""
        entry = self._entries.get(key)
        n_leases = entry.n_leases if entry else 0
        return n_leases + sum(wanted.key == key for wanted in self._unserved)

    def watch(self, key: str, until: asyncio.Future[Any]) -> AsyncGenerator[LoadMoment, None]:
        """Yield how far the load of a model is, whenever that has changed; ends with ``until``."""
        return self._watched.follow(key, until)

    def loads(self) -> list[LoadMoment]:
        """Return how far each load is that is under way, in the order in which they began."""
        return self._watched.moments()

    def load_of(self, key: str) -> Load | None:
        """Return how a model is loaded that is here, or comes; ``None``: not so for the next."""
        entry = self._entries.get(key)
        if entry is None or entry.is_leaving or entry.may_have_more:
            return None
        return entry.load

    def n_freeable(self, key: str = "", *, all_gone: bool = False) -> int:
        """Return the main memory that is free, or would be: see ``room.n_freeable``."""
        return room.n_freeable(
            list(self._entries.values()),  # a copy: this is safe from any thread
            key,
            self._settings.n_memory_max,
            self._available(),
            all_gone=all_gone,
        )

    def resident(self) -> list[Resident]:
        """Return the loaded models, the longest-lived first."""
        now = time.time()
        rows = [
            Resident(
                entry.wanted.info,
                worker,
                entry.n_leases,
                # Its time begins when the last answer ends; until then this is the earliest.
                now + self._stay_s(entry) if entry.n_leases else entry.expires_at,
                entry.wanted.key,
                n_bytes=entry.wanted.n_bytes,
                load_s=entry.load_s,
                is_pinned=entry.is_pinned,
                notes=tuple(filter(None, (entry.wanted.note, *entry.notes, entry.held))),
            )
            for entry in self._entries.values()
            if (worker := worker_of(entry)) is not None
        ]
        return sorted(rows, key=lambda row: -row.expires_at)

    async def close(self, grace_s: float = 0.0) -> None:
        """Take no new lease and stop all workers, once nobody uses them.

        What still runs after ``grace_s`` seconds fails with a ``CapacityError``.
        """
        self._is_closed = True
        self._notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s), self._changed:
                await self._changed.wait_for(lambda: not self._n_leases())
        for entry in self._entries.values():
            if worker := worker_of(entry):
                worker.channel.break_off(closing())
        await asyncio.gather(*(self._stop(entry) for entry in list(self._entries.values())))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _n_leases(self) -> int:
        return sum(entry.n_leases for entry in self._entries.values())

    async def _loaded(self, entry: Entry) -> Worker:
        """Return the entry's worker once it is ready."""
        try:
            # Shielded: a client that leaves does not break the load off for the others.
            worker = await asyncio.shield(entry.loading)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not we were cancelled, but the load.
            raise again(entry.broken_off) if entry.broken_off else closing() from None
        if worker.channel.exited.done():
            raise WorkerError(
                f"the process of {entry.wanted.info.name} ended before the request reached it",
                hint="try again",
            )
        return worker

    async def _entry(self, wanted: Wanted) -> Entry:
        """Return an entry that serves ``wanted``, loading or loaded."""
        self._unserved.append(wanted)
        try:
            return await self._find_entry(wanted)
        finally:
            self._unserved.remove(wanted)
            self._notify()

    async def _find_entry(self, wanted: Wanted) -> Entry:
        before: Entry | None = None  # whose place it takes
        since_s = time.monotonic()
        while True:
            if self._is_closed:
                raise closing()
            entry = self._entries.get(wanted.key)
            if entry is None:
                if (in_the_way := self._in_the_way(wanted, since_s)) == []:
                    return self._load(wanted, before)
                if in_the_way:
                    self.n_evictions += len(in_the_way)
                    await self._end(*in_the_way)
                    continue
            elif not entry.is_leaving:
                if entry.serves(wanted) or self._holds(entry, wanted):
                    self._check_queue(entry)
                    return entry
                entry.is_leaving = True  # another must take its place
                before = entry
                if wanted.lacks(entry.asked):
                    self._reloads.note(wanted.key, entry.asked)
                if not entry.n_leases:
                    await self._end(entry)
                    continue
            await self._wait_for_change()

    def _in_the_way(self, wanted: Wanted, since_s: float) -> list[Entry] | None:
        """As ``room.in_the_way``, in order of arrival; makes way for one that waits for long."""
        earlier = self._unserved[: self._unserved.index(wanted)]
        if any(one.key != wanted.key and one.key not in self._entries for one in earlier):
            return None
        around = list(self._entries.values()), wanted, self._settings, self._available()
        found = room.in_the_way(*around)
        if found is None and time.monotonic() - since_s >= self._settings.patience_s:
            for entry in room.overdue(*around):
                entry.is_leaving = True
                self.n_evictions += 1
        return found

    def _check_queue(self, entry: Entry) -> None:
        n_waiting = entry.n_leases - self._settings.n_seq_max
        if n_waiting >= self._settings.max_queue:
            raise queue_full(n_waiting)

    def _holds(self, entry: Entry, wanted: Wanted) -> bool:
        """Whether a model stays as it is though other settings are wanted; takes note of it."""
        is_enough = wanted.n_ctx_least <= entry.load.n_ctx
        asked = named(wanted.lacks(entry.asked))
        if not (asked and is_enough and self._reloads.is_turn(wanted, entry.load_s)):
            return False
        entry.held = f"{asked} was asked for, but it stays as it is: requests differ in turns"
        logger.warning("not loaded again model=%s: %s", wanted.info.name, entry.held)
        return True

    async def _wait_for_change(self) -> None:
        if self._n_waiting >= self._settings.max_queue:
            raise queue_full(self._n_waiting)
        self._n_waiting += 1
        try:
            async with self._changed:
                await self._changed.wait()
        finally:
            self._n_waiting -= 1

    def _load(self, wanted: Wanted, before: Entry | None) -> Entry:
        """Begin to load, for the largest context that anyone waits for: one load serves all."""
        alike = [other for other in self._unserved if other.key == wanted.key]
        load = load_for(wanted, alike, self._settings, before.load if before else None)
        load = self.equip(load)
        largest = max((wanted, *alike), key=lambda other: other.n_ctx)
        entry = Entry(largest, load, before.stay_s if before else None)
        was_pinned = before is not None and before.is_pinned
        entry.is_pinned = was_pinned or any(other.is_pinned for other in alike)
        n_least = max(other.n_ctx_least for other in (wanted, *alike))
        self._loader.prepare(entry, n_least)
        entry.loading = asyncio.get_running_loop().create_task(self._start(entry, n_least))
        self._own(entry.loading)
        # Whoever waits hears of a failure; when all have left, nobody needs to.
        entry.loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._entries[wanted.key] = entry
        self._tell_loading()
        return entry

    async def _start(self, entry: Entry, n_least: int) -> Worker:
        """Return a worker that has loaded: what was wanted, or as much less as is needed."""

        def told(moment: Loading) -> None:
            entry.stage, entry.share = moment.stage, moment.share
            self._tell_loading()

        began = time.monotonic()
        is_loaded = False
        try:
            worker = await self._loader.start(
                entry,
                n_least,
                self._settings,
                on_exit=lambda: self._on_exit(entry),
                on_loading=told,
            )
            is_loaded = True
            self._cores.add(worker.channel, worker.loaded.n_threads)
            worker.channel.on_device_lost = self.on_device_lost
        except DeviceError as error:
            if error.address:
                self.on_device_lost(error.address)
            raise
        finally:
            self._tell_loading()
            if not is_loaded:
                self._forget(entry)
        self.n_loads += 1
        entry.ready_s = time.monotonic()
        entry.load_s = entry.ready_s - began
        self.on_measured(entry.wanted, entry.load, worker)
        self.on_change()
        pairs = logs.pairs(
            model=entry.wanted.info.name,
            load_s=entry.load_s,
            pid=worker.pid,
            n_ctx=worker.loaded.n_ctx,
        )
        logger.info("loaded %s", pairs)
        return worker

    def _tell_loading(self) -> None:
        self.on_loading()
        self._watched.tell()

    def _stay_s(self, entry: Entry) -> float:
        """Seconds that a model stays when it is idle; ``math.inf``: for ever."""
        told = (entry.stay_s, entry.wanted.stay_s, self._settings.keep_alive_s)
        return next(stay_s for stay_s in told if stay_s is not None)

    def _on_lease_ended(self, entry: Entry) -> None:
        self.on_change()
        if entry.n_leases or self._entries.get(entry.wanted.key) is not entry:
            self._notify()
            return
        stay_s = self._stay_s(entry)
        if entry.is_leaving or (stay_s <= 0 and not entry.is_pinned):
            entry.is_leaving = True
            entry.expires_at = time.time()
            self._spawn(self._stop(entry))
        elif math.isinf(stay_s) or entry.is_pinned:
            entry.expires_at = math.inf
        else:
            entry.expires_at = time.time() + stay_s
            self._expire_in(entry, stay_s)
        self._notify()

    def _expire_in(self, entry: Entry, left_s: float) -> None:
        """Stop a model after so many seconds; its timer ends when it is used."""
        if left_s > _LONGEST_TIMER_S:
            then, rest = _LONGEST_TIMER_S, left_s - _LONGEST_TIMER_S
            again = partial(self._expire_in, entry, rest)
            entry.timer = asyncio.get_running_loop().call_later(then, again)
            return
        entry.timer = asyncio.get_running_loop().call_later(left_s, self._expire, entry)

    def _expire(self, entry: Entry) -> None:
        if not entry.n_leases and self._entries.get(entry.wanted.key) is entry:
            entry.is_leaving = True
            self._spawn(self._stop(entry))

    def _stop_timer(self, entry: Entry) -> None:
        if entry.timer:
            entry.timer.cancel()
            entry.timer = None
        entry.expires_at = math.inf

    async def _end(self, *entries: Entry) -> None:
        """Stop entries; from this moment nobody gets one, and they end though the caller leaves."""
        for entry in entries:
            entry.is_leaving = True
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._stop(entry)) for entry in entries]
        for task in tasks:
            self._own(task)
        await asyncio.wait(tasks)

    async def _stop(self, entry: Entry) -> None:
        """End an entry's process and forget it; returns when both are done."""
        entry.is_leaving = True
        self._stop_timer(entry)
        try:
            if entry.loading.done():
                if worker := worker_of(entry):
                    self.on_measured(entry.wanted, entry.load, worker)
                    await worker.stop()
            else:
                entry.loading.cancel()
                await asyncio.gather(entry.loading, return_exceptions=True)
        finally:
            self._forget(entry)

    def _on_exit(self, entry: Entry) -> None:
        """A process ended; one that never was ready is dealt with by who started it."""
        if not entry.is_loaded:
            return
        if not entry.is_leaving:
            name = entry.wanted.info.name
            logger.warning("worker ended by itself model=%s", name)
            if (channel := entry.loading.result().channel).is_crash:
                code, wants = channel.exited.result(), channel.found_no_memory
                self._loader.learn_death(entry, code, self._settings, found_no_memory=wants)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        if self._entries.get(entry.wanted.key) is entry:
            self._stop_timer(entry)
            del self._entries[entry.wanted.key]
            self.on_change()
            if entry.is_loaded:
                logger.info("unloaded model=%s", entry.wanted.info.name)
            self._notify()

    def _notify(self) -> None:
        """Wake whoever waits for room or for a model to go."""
        if self._n_waiting or self._is_closed:
            self._spawn(self._notify_all())

    async def _notify_all(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task that this pool owns until it ends."""
        self._own(asyncio.get_running_loop().create_task(work))

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
