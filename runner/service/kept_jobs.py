"""Jobs as the next daemon will find them: stored in order, on a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from runner.domain.job import Job
from runner.store.state import JobTable, StoredJob

T = TypeVar("T")


class KeptJobs:
    """What is kept across restarts; without a table, nothing.  Called on the daemon's loop."""

    def __init__(self, table: JobTable | None) -> None:
        self._table = table
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._last_id = 0  # where there is no table to give one

    async def load(self) -> list[StoredJob]:
        """Return the jobs of the last daemon, but for the old ones of those that are over."""
        if self._table is None:
            return []
        await self._on_thread(self._table.forget_old)
        return await self._on_thread(self._table.load)

    async def add(self, job: Job) -> Job:
        """Return a new job with an id that no other has.

        Raises:
            DiskFull: There is no room for it.
            StoreError: The disk refuses.
        """
        if self._table is not None:
            return await self._on_thread(partial(self._table.add, job))
        self._last_id += 1
        return replace(job, job_id=self._last_id)

    def put(self, stored: StoredJob) -> None:
        """Store a job as it is now; nobody waits for the disk."""
        if self._table is not None:
            self._writer.submit(self._table.try_put, stored)

    async def close(self) -> None:
        """Write what is still to be written; later changes are not stored."""
        await asyncio.to_thread(self._writer.shutdown)
        if self._table is not None:
            self._table.close()
            self._table = None

    async def _on_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, call)
