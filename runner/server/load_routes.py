"""Models into memory, watched, and what they would need there: our own part of the API."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import loads
from runner.server.answers import json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS
from runner.server.stream import last_moment, stream

routes = web.RouteTableDef()


@routes.post("/api/load")
async def load(request: web.Request) -> web.StreamResponse:
    """Bring a model into memory, and tell how far that is; leaving breaks it off."""
    call = loads.parse_load(await read_body(request))
    name_model(request, call.name)
    inference = request.app[NEEDS].inference
    moments = inference.load_apart(call.name, call.options, call.keep_alive, pins=call.pins)
    if call.stream:
        return await stream(request, moments, loads.LoadEncoder())
    return json_answer(request, loads.line(await last_moment(moments)))


@routes.post("/api/estimate")
async def estimate(request: web.Request) -> web.Response:
    """What a model would need of memory, with which context, and what would make it fit."""
    name, options = loads.parse_estimate(await read_body(request))
    name_model(request, name)
    need = await request.app[NEEDS].inference.estimate(name, options)
    return json_answer(request, loads.estimate(need))
