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
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from runner import logs
from runner.domain.model import ModelInfo
from runner.errors import CapacityError, DeviceError, QueueFull, WorkerError
from runner.protocol.messages import Load
from runner.workers import evict
from runner.workers.process import Worker, new_request_id
from runner.workers.sharing import CoreSharing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to be resident, and how.

    Attributes:
        info: The model; its blobs' ``key`` says which process can serve it.
        key: The digest of its weights: names with the same weights share a worker.
        path: The GGUF file.
        n_ctx: Tokens that one sequence must be able to have.
        n_cells: Cells of the whole cache, when it has to be loaded.
        adapters: GGUF files of its LoRA adapters; ``key`` has their digests, too.
        fixed: Load settings that the request insists on, by ``Load``'s field names.
        shards: As in ``Load``.
    """

    info: ModelInfo
    key: str
    path: str
    n_ctx: int
    n_cells: int
    fixed: tuple[tuple[str, int | bool | str | tuple[str, ...]], ...] = ()
    adapters: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded model, for listing; ``expires_at`` in seconds since the epoch or ``math.inf``.

    ``key`` is ``Wanted.key``.
    """

    info: ModelInfo
    worker: Worker
    n_active: int
    expires_at: float
    key: str


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits and defaults.

    Attributes:
        command: Command line of a worker process.
        keep_alive_s: Seconds a model stays after its last lease; ``math.inf`` for ever.
        max_resident: Models in memory at once.
        max_queue: Requests waiting for one model beyond those it can run.
        n_seq_max: Sequences one worker runs at once.
        n_threads: Threads of one worker.
        load_timeout_s: Seconds a load may take.
        n_host_bytes: Memory of one worker for prompts that left its cache, and as much again for
            answers that gave way to others.
        kv_types: Types of the cache's keys and values, as ggml names them.
        flash_attention: ``None``: where it works.
        disk_folder: Where workers keep prompts on disk; empty: nowhere.
        n_disk_bytes: What that folder may hold.
        devices: As in ``Load``.
    """

    command: list[str]
    keep_alive_s: float
    max_resident: int
    max_queue: int
    n_seq_max: int
    n_threads: int
    load_timeout_s: float
    n_host_bytes: int = 0
    kv_types: tuple[str, str] = ("f16", "f16")
    flash_attention: bool | None = None
    disk_folder: str = ""
    n_disk_bytes: int = 0
    devices: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Entry:
    """A model that is loading, loaded or stopping."""

    wanted: Wanted
    load: Load
    loading: asyncio.Task[Worker]
    keep_alive_s: float
    n_leases: int = 0
    is_leaving: bool = False  # takes no new lease; goes when the last one ends
    last_used_s: float = 0.0
    expires_at: float = math.inf
    timer: asyncio.TimerHandle | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether its load has succeeded; the process may be gone since."""
        task = self.loading
        return task.done() and not task.cancelled() and task.exception() is None

    def serves(self, wanted: Wanted) -> bool:
        """Whether this worker can serve that request as it is; a larger context can."""
        asked = dict(wanted.fixed)
        return wanted.n_ctx <= self.load.n_ctx and all(
            getattr(self.load, name) == value for name, value in asked.items()
        )


class Pool:
    """Owns all workers.

    Attributes:
        n_loads: Models loaded since the start.
        n_evictions: Models that had to go for another one.
        on_change: Called when the models in memory, or who uses them, are not what they were.
        equip: Adds to a load what it needs to reach devices of other machines.
        on_device_lost: Called with the address of one that a worker lost.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Condition()
        self._unserved: list[Wanted] = []  # what has no entry yet
        self._n_waiting = 0
        self._is_closed = False
        self._cores = CoreSharing()
        self.on_change: Callable[[], None] = lambda: None
        self.equip: Callable[[Load], Load] = lambda load: load
        self.on_device_lost: Callable[[str], None] = lambda address: None
        self.n_loads = 0
        self.n_evictions = 0

    def configure(self, settings: PoolSettings) -> None:
        """Take other limits and defaults; what is loaded stays as it is."""
        self._settings = settings
        self._notify()

    @asynccontextmanager
    async def lease(self, wanted: Wanted, keep_alive_s: float | None) -> AsyncIterator[Worker]:
        """Hold a ready worker for as long as the context lasts; loads it if need be.

        Args:
            wanted: The model.
            keep_alive_s: How long it stays afterwards; ``None``: the pool's setting.

        Raises:
            WorkerError: It could not be loaded.
            CapacityError: Too many requests wait already, or the pool is closing.
        """
        stay_s = self._settings.keep_alive_s if keep_alive_s is None else keep_alive_s
        entry = await self._entry(wanted)
        entry.n_leases += 1
        self.on_change()
        entry.keep_alive_s = stay_s
        self._stop_timer(entry)
        try:
            yield await self._loaded(entry)
        finally:
            entry.n_leases -= 1
            entry.keep_alive_s = stay_s
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
            await self._stop(entry)
        return True

    def resident(self) -> list[Resident]:
        """Return the loaded models, the longest-lived first."""
        now = time.time()
        rows = [
            Resident(
                entry.wanted.info,
                worker,
                entry.n_leases,
                # Its time begins when the last answer ends; until then this is the earliest.
                now + entry.keep_alive_s if entry.n_leases else entry.expires_at,
                entry.wanted.key,
            )
            for entry in self._entries.values()
            if (worker := _worker_of(entry)) is not None
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
            if worker := _worker_of(entry):
                worker.channel.break_off(_closing())
        await asyncio.gather(*(self._stop(entry) for entry in list(self._entries.values())))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _n_leases(self) -> int:
        return sum(entry.n_leases for entry in self._entries.values())

    async def _loaded(self, entry: _Entry) -> Worker:
        """Return the entry's worker once it is ready."""
        try:
            # Shielded: a client that leaves does not break the load off for the others.
            worker = await asyncio.shield(entry.loading)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _closing() from None  # not we were cancelled, but the load
        if worker.channel.exited.done():
            raise WorkerError(
                f"the process of {entry.wanted.info.name} ended before the request reached it",
                hint="try again",
            )
        return worker

    async def _entry(self, wanted: Wanted) -> _Entry:
        """Return an entry that serves ``wanted``, loading or loaded."""
        self._unserved.append(wanted)
        try:
            return await self._find_entry(wanted)
        finally:
            self._unserved.remove(wanted)

    async def _find_entry(self, wanted: Wanted) -> _Entry:
        while True:
            if self._is_closed:
                raise _closing()
            entry = self._entries.get(wanted.key)
            if entry is None:
                in_the_way = self._in_the_way()
                if in_the_way == []:
                    return self._load(wanted)
                if in_the_way:
                    self.n_evictions += len(in_the_way)
                    await asyncio.gather(*(self._stop(idle) for idle in in_the_way))
                    continue
            elif not entry.is_leaving:
                if entry.serves(wanted):
                    limit = self._settings.n_seq_max + self._settings.max_queue
                    if entry.n_leases >= limit:
                        raise _queue_full(entry.n_leases - self._settings.n_seq_max)
                    return entry
                entry.is_leaving = True  # another must take its place
                if not entry.n_leases:
                    await self._stop(entry)
                    continue
            await self._wait_for_change()

    def _in_the_way(self) -> list[_Entry] | None:
        """Return whom to stop so that one more model fits; ``None``: all of them are busy."""
        candidates = [
            evict.Candidate(key, entry.n_leases, entry.last_used_s)
            for key, entry in self._entries.items()
        ]
        keys = evict.choose(candidates, max_resident=self._settings.max_resident)
        return None if keys is None else [self._entries[key] for key in keys]

    async def _wait_for_change(self) -> None:
        if self._n_waiting >= self._settings.max_queue:
            raise _queue_full(self._n_waiting)
        self._n_waiting += 1
        try:
            async with self._changed:
                await self._changed.wait()
        finally:
            self._n_waiting -= 1

    def _load(self, wanted: Wanted) -> _Entry:
        """Begin to load, for the largest context that anyone waits for: one load serves all."""
        settings = self._settings
        alike = [other for other in self._unserved if other.key == wanted.key]
        n_ctx = max(other.n_ctx for other in alike)
        load = Load(
            request_id=new_request_id(),
            path=wanted.path,
            shards=wanted.shards,
            n_ctx=n_ctx,
            n_cells=max(n_ctx, *(other.n_cells for other in alike)),
            n_seq_max=settings.n_seq_max,
            n_threads=settings.n_threads,
            n_host_bytes=settings.n_host_bytes,
            kv_type_k=settings.kv_types[0],
            kv_type_v=settings.kv_types[1],
            flash_attention=settings.flash_attention,
            digest=wanted.key,
            disk_folder=settings.disk_folder,
            n_disk_bytes=settings.n_disk_bytes,
            adapters=wanted.adapters,
            devices=settings.devices,
        )
        load = self.equip(replace(load, **dict(wanted.fixed)))
        loading = asyncio.get_running_loop().create_task(self._start(wanted, load))
        self._own(loading)
        # Whoever waits hears of a failure; when all have left, nobody needs to.
        loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        entry = _Entry(wanted, load, loading, settings.keep_alive_s)
        self._entries[wanted.key] = entry
        return entry

    async def _start(self, wanted: Wanted, load: Load) -> Worker:
        began = time.monotonic()
        name = str(wanted.info.name)
        is_loaded = False
        try:
            worker = await Worker.start(
                name,
                self._settings.command,
                load,
                timeout_s=self._settings.load_timeout_s,
                on_exit=lambda: self._on_exit(wanted.key, load.request_id),
            )
            is_loaded = True
            self._cores.add(worker.channel, worker.loaded.n_threads)
            worker.channel.on_device_lost = self.on_device_lost
        except DeviceError as error:
            if error.address:
                self.on_device_lost(error.address)
            raise
        finally:
            if not is_loaded:
                self._forget(wanted.key, load.request_id)
        self.n_loads += 1
        self.on_change()
        seconds = time.monotonic() - began
        pairs = logs.pairs(model=name, load_s=seconds, pid=worker.pid, n_ctx=worker.loaded.n_ctx)
        logger.info("loaded %s", pairs)
        return worker

    def _on_lease_ended(self, entry: _Entry) -> None:
        self.on_change()
        if entry.n_leases or self._entries.get(entry.wanted.key) is not entry:
            self._notify()
            return
        if entry.is_leaving or entry.keep_alive_s <= 0:
            entry.is_leaving = True
            entry.expires_at = time.time()
            self._spawn(self._stop(entry))
        elif math.isinf(entry.keep_alive_s):
            entry.expires_at = math.inf
        else:
            entry.expires_at = time.time() + entry.keep_alive_s
            # Timers are floats inside; centuries overflow the selector's timeout.
            delay = min(entry.keep_alive_s, 30 * 86400.0)
            entry.timer = asyncio.get_running_loop().call_later(delay, self._expire, entry)
        self._notify()

    def _expire(self, entry: _Entry) -> None:
        if not entry.n_leases and self._entries.get(entry.wanted.key) is entry:
            entry.is_leaving = True
            self._spawn(self._stop(entry))

    def _stop_timer(self, entry: _Entry) -> None:
        if entry.timer:
            entry.timer.cancel()
            entry.timer = None
        entry.expires_at = math.inf

    async def _stop(self, entry: _Entry) -> None:
        """End an entry's process and forget it; returns when both are done."""
        entry.is_leaving = True
        self._stop_timer(entry)
        if entry.loading.done():
            if worker := _worker_of(entry):
                await worker.stop()
        else:
            entry.loading.cancel()
            await asyncio.gather(entry.loading, return_exceptions=True)
        self._forget(entry.wanted.key, entry.load.request_id)

    def _on_exit(self, key: str, load_id: str) -> None:
        entry = self._entries.get(key)
        is_own = entry is not None and entry.load.request_id == load_id
        if entry and is_own and entry.is_loaded and not entry.is_leaving:
            logger.warning("worker ended by itself model=%s", entry.wanted.info.name)
        self._forget(key, load_id)

    def _forget(self, key: str, load_id: str) -> None:
        entry = self._entries.get(key)
        if entry and entry.load.request_id == load_id:
            self._stop_timer(entry)
            del self._entries[key]
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


def _worker_of(entry: _Entry) -> Worker | None:
    """The entry's live worker, if its load has succeeded."""
    worker = entry.loading.result() if entry.is_loaded else None
    return None if worker is None or worker.channel.exited.done() else worker


def _closing() -> CapacityError:
    return CapacityError("the daemon is shutting down", hint="try again in a moment")


def _queue_full(n_waiting: int) -> QueueFull:
    return QueueFull(
        "server busy, please try again.  maximum pending requests exceeded "
        f"({n_waiting} are waiting)",
        hint="CORRAL_MAX_QUEUE sets how many may wait",
    )
