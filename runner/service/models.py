"""The library and the running models, for whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from runner.domain.loading import LoadMoment
from runner.domain.model import ModelDetails, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.quality import QualityReport
from runner.errors import StoreError
from runner.service.cache import CacheService
from runner.service.last_use import LastUse
from runner.service.loads import running
from runner.service.modelfile import modelfile_of
from runner.store.library import Library
from runner.store.reports import Reports
from runner.workers.pool import Pool

logger = logging.getLogger(__name__)


class ModelService:
    """List, show, copy, delete; and what is in memory."""

    def __init__(
        self,
        library: Library,
        pool: Pool,
        cache: CacheService | None = None,
        last_use: LastUse | None = None,
    ) -> None:
        """Take what is needed.

        Args:
            library: The models on disk.
            pool: Those in memory.
            cache: What has kept prompts, if anything has.
            last_use: What knows when each was used, if anything does.
        """
        #: Called when a name came or went.
        self.on_change: Callable[[], None] = lambda: None
        self._library = library
        self._pool = pool
        self._cache = cache
        self._last_use = last_use or LastUse()
        self._reading_whole = asyncio.Lock()

    async def list_models(self) -> list[ModelInfo]:
        """Return every usable model, newest first."""
        found = await asyncio.to_thread(self._library.list)
        of = self._last_use.of
        return [replace(info, used_at=at) if (at := of(info.name)) else info for info in found]

    async def show(self, name: ModelName, *, whole: bool = False) -> ModelDetails:
        """Return all there is to tell about a model; ``whole``: every array of its files, too.

        Those are large, so one caller's at a time are read; who encodes what is returned without
        waiting for anything in between has one at a time in memory.

        Raises:
            ModelNotFound: There is no such model.
            BadModelFile: Its file is damaged.
        """
        quality = await asyncio.to_thread(self._last_quality, name)
        async with self._reading_whole if whole else nullcontext():
            details = await asyncio.to_thread(self._library.show, name, whole=whole)
        return replace(details, modelfile=modelfile_of(details), quality=quality)

    def _last_quality(self, name: ModelName) -> QualityReport | None:
        """What was measured last; reports that cannot be read keep nobody from seeing the rest."""
        try:
            reports = Reports(self._library.models, "quality", QualityReport)
            known = reports.load(self._library.find(name).key)
        except StoreError as error:
            logger.warning("quality not shown name=%s: %s", name, error.message)
            return None
        return known[-1] if known else None

    def running(self) -> list[RunningModel]:
        """Return the models in memory, the longest-lived first."""
        return [running(row) for row in self._pool.resident()]

    def loading(self) -> list[LoadMoment]:
        """Return how far each model is that is on its way into memory."""
        return self._pool.loads()

    async def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name.

        Raises:
            ModelNotFound: There is no such model.
        """
        await asyncio.to_thread(self._library.copy, source, destination)
        self.on_change()

    async def delete(self, name: ModelName) -> None:
        """Stop a model, once it has answered, and remove it and its prompts.

        A model that is in memory under another name with the same weights stays there, and so do
        the prompts that are kept for these.

        Raises:
            ModelNotFound: There is no such model.
        """
        try:
            manifest = await asyncio.to_thread(self._library.find, name)
        except StoreError:
            pass  # damaged: nothing can be running from it, and it can go
        else:
            await self._delete_whole(name, manifest.key)
            return
        await asyncio.to_thread(self._library.delete, name)
        self._last_use.forget(name)
        self.on_change()

    async def _delete_whole(self, name: ModelName, key: str) -> None:
        is_resident_as_this = any(row.info.name == name for row in self._pool.resident())
        is_shared = await asyncio.to_thread(self._is_shared, name, key)
        cache = None if is_shared else self._cache
        if cache:
            await cache.keep_no_more(key)
        if is_resident_as_this or not is_shared:
            # First, since Windows cannot remove a file that is mapped.
            await self._pool.unload(key)
        await asyncio.to_thread(self._library.delete, name)
        self._last_use.forget(name)
        self.on_change()
        if cache:
            await cache.remove(key)

    def _is_shared(self, name: ModelName, key: str) -> bool:
        """Whether another name has the same weights: what runs for it shall go on."""
        entries = self._library.entries()
        return any(one.key == key and one.info.name != name for one in entries)
