"""Calls that change something are done to their end, also when their client leaves meanwhile.

A client that leaves ends its answer: nobody reads it.  What deletes a model, revokes a key or
writes the settings takes several steps, and none of them may be the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from runner.server.callers import resource_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: What a call by one of these asks for is always a change.
_METHODS = frozenset({"DELETE", "PATCH", "PUT"})
#: Changes that are asked for by POST; what streams its progress has an end of its own.
_POSTED = frozenset(
    {
        "/api/bench",
        "/api/copy",
        "/api/devices",
        "/api/jobs",
        "/api/keys",
        "/api/perplexity",
        "/api/prune",
        "/api/quantize",
        "/api/unload",
    }
)
#: The changes that are under way.
CHANGES = web.AppKey("changes", set[asyncio.Task[web.StreamResponse]])


@web.middleware
async def finish_changes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have a change go on when aiohttp cancels the call."""
    if request.method not in _METHODS and resource_of(request) not in _POSTED:
        return await handler(request)
    changes = request.app[CHANGES]
    task: asyncio.Task[web.StreamResponse] = asyncio.ensure_future(_done(handler, request))
    changes.add(task)
    task.add_done_callback(changes.discard)
    return await asyncio.shield(task)


async def give_up_changes(app: web.Application) -> AsyncIterator[None]:
    """Cancel, when the server stops, what is still under way: it has had its time."""
    yield
    changes = [*app[CHANGES]]
    for task in changes:
        task.cancel()
    await asyncio.gather(*changes, return_exceptions=True)


async def _done(handler: Handler, request: web.Request) -> web.StreamResponse:
    return await handler(request)
