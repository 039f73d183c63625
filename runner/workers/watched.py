"""How far each load is, for whoever watches one.

Whoever loads says when something has changed; here it is told.  Used from the event loop's thread
only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from runner.domain.loading import LoadMoment
from runner.workers.entry import Entry


class WatchedLoads:
    """The loads among ``entries``, which the pool owns and changes."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._watchers: list[asyncio.Event] = []

    def tell(self) -> None:
        """A load began, got on or ended."""
        for watcher in self._watchers:
            watcher.set()

    def moments(self) -> list[LoadMoment]:
        """Return how far each load is that is under way, in the order in which they began."""
        return [_moment(entry) for entry in self._entries.values() if not entry.loading.done()]

    async def follow(
        self, key: str, until: asyncio.Future[Any]
    ) -> AsyncGenerator[LoadMoment, None]:
        """Yield how far the load of a model is, whenever that has changed; ends with ``until``."""
        changed = asyncio.Event()
        self._watchers.append(changed)
        until.add_done_callback(lambda _: changed.set())
        last = None
        try:
            while not until.done():
                entry = self._entries.get(key)
                if entry and not entry.loading.done():
                    now = _moment(entry)
                    if now != last:
                        last = now
                        yield now
                        continue
                await changed.wait()
                changed.clear()
        finally:
            self._watchers.remove(changed)


def _moment(entry: Entry) -> LoadMoment:
    return LoadMoment(entry.wanted.info, entry.stage, entry.share)
