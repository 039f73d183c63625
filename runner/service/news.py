"""Changes as they happen, for whoever watches; a watcher that is too slow is cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from runner.domain.job import Job
from runner.domain.topic import Topic

_N_UNSEEN = 256  # changes a watcher may be behind


class Changes(asyncio.Queue[Job | Topic | None]):
    """What one watcher has not seen yet; ``None`` is the end.

    A topic stands in it once at most: whoever gets to it sees all that changed until then.
    """

    def put_nowait(self, item: Job | Topic | None) -> None:
        """Add a change, unless it is a topic that waits already."""
        if not isinstance(item, Topic) or item not in self._waiting:
            super().put_nowait(item)

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._waiting: set[Topic] = set()

    def _put(self, item: Job | Topic | None) -> None:
        super()._put(item)
        if isinstance(item, Topic):
            self._waiting.add(item)

    def _get(self) -> Job | Topic | None:
        item: Job | Topic | None = super()._get()
        if isinstance(item, Topic):
            self._waiting.discard(item)
        return item


class News:
    """Tells every watcher of everything that changes.  Used on the daemon's loop."""

    def __init__(self) -> None:
        self._watchers: list[Changes] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[Changes]:
        """Give a queue of every change from now on; ``None`` in it is the end.

        Who is too far behind gets the end at once, and should begin again.
        """
        queue = Changes()
        self._watchers.append(queue)
        try:
            yield queue
        finally:
            if queue in self._watchers:
                self._watchers.remove(queue)

    def tell(self, change: Job | Topic) -> None:
        """Tell that a job changed, or something of a topic."""
        for watcher in list(self._watchers):
            if watcher.qsize() < _N_UNSEEN:
                watcher.put_nowait(change)
            else:
                self._watchers.remove(watcher)
                watcher.put_nowait(None)

    def end(self) -> None:
        """Tell that nothing more will be told."""
        for watcher in self._watchers:
            watcher.put_nowait(None)
