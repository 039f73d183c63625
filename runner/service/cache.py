"""The prompts that are kept: what there is, and how it goes."""

from __future__ import annotations

import asyncio
import contextlib

from runner.domain.cache import CachedPrompt, CacheReport, CacheTier, Cleared
from runner.domain.name import ModelName
from runner.errors import CorralError
from runner.kv.shelf import KeptPrompt, Shelf
from runner.protocol.messages import AskCache, CacheState, ClearCache
from runner.store.library import Library
from runner.workers.pool import Pool
from runner.workers.process import new_request_id
from runner.workers.wanted import Resident

#: Seconds for a worker's answer; one that takes longer is in trouble, and is left out.
_ANSWER_S = 10.0


class CacheService:
    """Looks into the memory of workers, and into the folder on disk."""

    def __init__(self, library: Library, pool: Pool, shelf: Shelf, *, n_disk_max: int) -> None:
        """Take what is needed; ``n_disk_max`` is what the folder may hold, in bytes."""
        self._library = library
        self._pool = pool
        self._shelf = shelf
        self._n_disk_max = n_disk_max

    async def report(self) -> CacheReport:
        """Return what is kept of prompts."""
        rows = self._pool.resident()
        states = await asyncio.gather(*(_ask(row, AskCache(new_request_id())) for row in rows))
        kept, names = await asyncio.to_thread(self._on_disk)
        prompts = [
            prompt for row, state in zip(rows, states, strict=True) for prompt in _in(row, state)
        ]
        prompts += [_on_shelf(prompt, names.get(prompt.model, "")) for prompt in kept]
        return CacheReport(
            prompts=tuple(sorted(prompts, key=lambda prompt: -prompt.used_s)),
            n_resident_tokens=sum(state.n_cells for state in states if state),
            n_memory_bytes=sum(state.n_host_bytes for state in states if state),
            n_disk_bytes=sum(prompt.file.n_bytes for prompt in kept),
            n_disk_max=self._n_disk_max,
        )

    async def clear(
        self,
        name: ModelName | None = None,
        *,
        owner_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Cleared:
        """Remove what is kept: of one model, one owner, one conversation, or of all.

        What running answers use stays until they end.

        Raises:
            ModelNotFound: There is no such model.
        """
        digest = None
        if name is not None:
            digest = (await asyncio.to_thread(self._library.find, name)).key
        n_prompts, n_bytes = await self._clear_memory(
            digest, owner_id, keeps=True, conversation_id=conversation_id
        )
        on_disk = await asyncio.to_thread(
            self._shelf.clear, model=digest, owner_id=owner_id, conversation_id=conversation_id
        )
        return Cleared(n_prompts + on_disk[0], n_bytes + on_disk[1])

    async def keep_no_more(self, digest: str) -> None:
        """Make the worker with these weights forget its prompts, and write none when it ends."""
        await self._clear_memory(digest, None, keeps=False)

    async def remove(self, digest: str) -> None:
        """Remove from disk what is kept for weights that are gone."""
        await asyncio.to_thread(self._shelf.clear, model=digest)

    async def _clear_memory(
        self,
        digest: str | None,
        owner_id: str | None,
        *,
        keeps: bool,
        conversation_id: str | None = None,
    ) -> tuple[int, int]:
        n_prompts = n_bytes = 0
        for row in self._pool.resident():
            if digest in (None, row.key):
                before = await _ask(row, AskCache(new_request_id()))
                clear = ClearCache(new_request_id(), owner_id, keeps, conversation_id)
                after = await _ask(row, clear)
                if before and after:
                    n_prompts += len(before.prompts) - len(after.prompts)
                    n_bytes += before.n_host_bytes - after.n_host_bytes
        return max(0, n_prompts), max(0, n_bytes)

    def _on_disk(self) -> tuple[list[KeptPrompt], dict[str, str]]:
        """What the folder has, and the names of the weights in the library."""
        names: dict[str, str] = {}
        for one in sorted(self._library.entries(), key=lambda one: -one.info.modified_at):
            names.setdefault(one.key, str(one.info.name))
        return self._shelf.prompts(), names


async def _ask(row: Resident, question: AskCache | ClearCache) -> CacheState | None:
    """Return what a worker says; ``None`` when it ends meanwhile, or does not answer."""
    with contextlib.suppress(CorralError, TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            answer = await row.worker.channel.ask(question)
            if isinstance(answer, CacheState):
                return answer
    return None


def _in(row: Resident, state: CacheState | None) -> list[CachedPrompt]:
    return [
        CachedPrompt(
            model=str(row.info.name),
            digest=row.key,
            owner_id=prompt.owner_id,
            tier=CacheTier.MEMORY,
            n_tokens=prompt.n_tokens,
            n_bytes=prompt.n_bytes,
            created_s=prompt.created_s,
            used_s=prompt.used_s,
        )
        for prompt in (state.prompts if state else ())
    ]


def _on_shelf(prompt: KeptPrompt, name: str) -> CachedPrompt:
    return CachedPrompt(
        model=name,
        digest=prompt.model,
        owner_id=prompt.owner_id,
        tier=CacheTier.DISK,
        n_tokens=prompt.n_tokens,
        n_bytes=prompt.file.n_bytes,
        created_s=prompt.created_s,
        used_s=prompt.file.used_s,
    )
