"""Changes as they happen, for whoever watches; a watcher that is too slow is cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from runner.domain.job import Job

_N_UNSEEN = 256  # changes a watcher may be behind


class News:
    """Tells every watcher of every job that changes.  Used on the daemon's loop."""

    def __init__(self) -> None:
        self._watchers: list[asyncio.Queue[Job | None]] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[asyncio.Queue[Job | None]]:
        """Give a queue of every job that changes; ``None`` in it is the end.

        Who is too far behind gets the end at once, and should begin again.
        """
        queue: asyncio.Queue[Job | None] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            yield queue
        finally:
            if queue in self._watchers:
                self._watchers.remove(queue)

    def tell(self, job: Job) -> None:
        """Tell that ``job`` changed."""
        for watcher in list(self._watchers):
            if watcher.qsize() < _N_UNSEEN:
                watcher.put_nowait(job)
            else:
                self._watchers.remove(watcher)
                watcher.put_nowait(None)

    def end(self) -> None:
        """Tell that nothing more will be told."""
        for watcher in self._watchers:
            watcher.put_nowait(None)
