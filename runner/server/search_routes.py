"""Corral's own API for the hubs."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import search as dialect
from runner.server.answers import json_answer
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.get("/api/search")
async def search(request: web.Request) -> web.Response:
    """Models on the hubs; a hub that cannot be asked is named beside what the others have.

    The full name of a repository opens that one: each quantization with the memory it will need.
    """
    call = dialect.parse_search(request.query)
    searches = request.app[NEEDS].searches
    result = await searches.search(call.words, hub=call.hub, limit=call.limit)
    return json_answer(request, dialect.found(result))


@routes.get("/api/search/card")
async def show_card(request: web.Request) -> web.Response:
    """What the owner of a repository wrote about it: its README in Markdown, cut where too long."""
    card = await request.app[NEEDS].searches.card(request.query.get("name", ""))
    return json_answer(request, dialect.card(card))
