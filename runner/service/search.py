"""Searching the hubs, for whoever asks; the asking blocks, and runs in a thread.

A repository's full name or link, in place of words, opens that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from runner.domain.name import ModelName
from runner.domain.search import ModelCard, SearchResult
from runner.errors import InvalidName, InvalidRequest
from runner.hub.card import read_card
from runner.hub.repository import Hub
from runner.hub.search import search
from runner.service.opened import Opener

MAX_LIMIT = 50
#: For all hubs at once.
ALL = "all"
#: Searches at once, further ones wait.  Their threads are none of asyncio's own, which every
#: listing and every chat needs for a moment: a hub may take half a minute to answer, or not to.
_N_AT_ONCE = 8


class SearchService:
    """Finds models on the hubs."""

    def __init__(self, hubs: Mapping[str, Hub], *, memory_bytes: int = 0) -> None:
        """``hubs`` by the names that callers use: ``hf``, ``modelscope``."""
        self._hubs = hubs
        self._memory_bytes = memory_bytes
        self._opener = Opener(memory_bytes)
        self._askers = ThreadPoolExecutor(_N_AT_ONCE, thread_name_prefix="search")

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
        loop = asyncio.get_running_loop()
        if opens := self._named(words.strip()):
            opened = await loop.run_in_executor(self._askers, self._opener.open, *opens)
            return SearchResult((opened,))
        chosen = list(self._hubs.values()) if hub == ALL else [self._hubs[hub]]
        ask = partial(search, memory_bytes=self._memory_bytes)
        return await loop.run_in_executor(self._askers, ask, chosen, words.strip(), limit)

    async def card(self, text: str) -> ModelCard:
        """Return the card of the repository that ``text`` names in full, or links to.

        Raises:
            InvalidRequest: It names none.
            NotOnHub: There is no such repository.
            SourceError: The hub refused or failed.
        """
        named = self._named(text.strip())
        if named is None:
            raise InvalidRequest(
                f"name must be a repository of a hub, not '{text[:80]}'",
                hint="such as hf.co/owner/repository",
                param="name",
            )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._askers, read_card, *named)

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
