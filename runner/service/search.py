"""Searching the hubs, for whoever asks; the asking blocks, and runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from runner.domain.search import SearchResult
from runner.errors import InvalidRequest
from runner.hub.repository import Hub
from runner.hub.search import search

MAX_LIMIT = 50
#: For all hubs at once.
ALL = "all"


class SearchService:
    """Finds models on the hubs."""

    def __init__(self, hubs: Mapping[str, Hub], *, memory_bytes: int = 0) -> None:
        """``hubs`` by the names that callers use: ``hf``, ``modelscope``."""
        self._hubs = hubs
        self._memory_bytes = memory_bytes

    async def search(self, words: str, *, hub: str = ALL, limit: int = 10) -> SearchResult:
        """Return what the hubs have; those that could not be asked are named in the result.

        Raises:
            InvalidRequest: There is nothing to look for, no such hub, or a limit out of range.
            SourceError: No hub could be asked.
        """
        if not words.strip():
            raise InvalidRequest("q is required", hint="say what to look for", param="q")
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit must be from 1 to {MAX_LIMIT}, not {limit}", param="limit")
        if hub != ALL and hub not in self._hubs:
            known = ", ".join([ALL, *self._hubs])
            raise InvalidRequest(
                f"there is no hub '{hub[:40]}'", hint=f"one of {known}", param="hub"
            )
        chosen = list(self._hubs.values()) if hub == ALL else [self._hubs[hub]]
        return await asyncio.to_thread(
            search, chosen, words.strip(), limit, memory_bytes=self._memory_bytes
        )
