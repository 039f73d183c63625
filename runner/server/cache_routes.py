"""``/api/cache``: what is kept of prompts, and how it goes."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import ollama_cache
from runner.server.answers import json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.get("/api/cache")
async def show(request: web.Request) -> web.Response:
    """The kept prompts, the last used first; never their text."""
    return json_answer(request, ollama_cache.report(await request.app[NEEDS].cache.report()))


@routes.delete("/api/cache")
async def clear(request: web.Request) -> web.Response:
    """Remove them: all, or those of the body's ``model``, ``owner`` and ``conversation``."""
    call = ollama_cache.parse_clear(await read_body(request))
    if call.name is not None:
        name_model(request, call.name)
    told = await request.app[NEEDS].cache.clear(
        call.name, owner_id=call.owner_id, conversation_id=call.conversation_id
    )
    return json_answer(request, ollama_cache.cleared(told))
