"""Searching the hubs, for whoever asks; the asking blocks, and runs in a thread.

A repository's full name or link, in place of words, opens that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from runner.domain.name import ModelName
from runner.domain.search import SearchResult
from runner.errors import InvalidName, InvalidRequest
from runner.hub.repository import Hub
from runner.hub.search import search
from runner.service.opened import Opener

MAX_LIMIT = 50
#: For all hubs at once.
ALL = "all"


class SearchService:
    """Finds models on the hubs."""

    def __init__(self, hubs: Mapping[str, Hub], *, memory_bytes: int = 0) -> None:
        """``hubs`` by the names that callers use: ``hf``, ``modelscope``."""
        self._hubs = hubs
        self._memory_bytes = memory_bytes
        self._opener = Opener(memory_bytes)

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
        if opens := self._named(words.strip()):
            return SearchResult((await asyncio.to_thread(self._opener.open, *opens),))
        chosen = list(self._hubs.values()) if hub == ALL else [self._hubs[hub]]
        return await asyncio.to_thread(
            search, chosen, words.strip(), limit, memory_bytes=self._memory_bytes
        )

    def _named(self, words: str) -> tuple[Hub, ModelName] | None:
        """Return the repository that ``words`` name in full, and its hub; else ``None``."""
        if "/" not in words or " " in words:
            return None
        try:
            name = ModelName.parse(words)
        except InvalidName:
            return None
        claiming = (hub for hub in self._hubs.values() if hub.claims(name.host.lower()))
        hub = next(claiming, None)
        return (hub, name) if hub else None
