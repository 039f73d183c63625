"""A load that somebody watches, from its first stage to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from runner.domain.loading import LoadMoment
from runner.domain.model import RunningModel
from runner.workers.pool import Pool
from runner.workers.wanted import Resident, Wanted


def running(row: Resident) -> RunningModel:
    """Return what is told of a model in memory."""
    return RunningModel(
        info=row.info,
        n_resident=row.worker.n_resident() + row.worker.n_placed,
        n_vram=row.worker.n_placed,
        n_ctx=row.worker.loaded.n_ctx,
        expires_at=row.expires_at,
        pid=row.worker.pid,
        n_active=row.n_active,
        n_steps=row.worker.channel.n_steps,
        n_tokens=row.worker.channel.n_tokens,
        n_needed=row.n_bytes,
        load_s=row.load_s,
        is_pinned=row.is_pinned,
        placed=tuple((one.device, one.n_layers) for one in row.worker.loaded.placed),
        note="; ".join(filter(None, (row.worker.loaded.note, *row.notes))),
    )


async def moments(
    pool: Pool, wanted: Wanted, keep_alive_s: float | None
) -> AsyncGenerator[LoadMoment | Resident, None]:
    """Yield how far a load is, each time that it gets on, and at last what is there.

    Closing it breaks the load off, unless somebody else waits for the same model.

    Raises:
        CorralError: As ``Pool.lease``.
    """

    async def hold() -> Resident:
        async with pool.lease(wanted, keep_alive_s):
            return next(row for row in pool.resident() if row.key == wanted.key)

    holding = asyncio.get_running_loop().create_task(hold())
    try:
        async with aclosing(pool.watch(wanted.key, holding)) as seen:
            async for moment in seen:
                yield moment
        yield await holding
    finally:
        if not holding.done():
            if pool.n_waiting_for(wanted.key) <= 1:
                pool.cancel(wanted.key)
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
