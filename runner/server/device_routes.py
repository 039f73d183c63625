"""Corral's own API for devices of other machines; for the owner and admin keys."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import devices
from runner.server.answers import json_answer, read_body
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.get("/api/devices")
async def list_devices(request: web.Request) -> web.Response:
    """Those that the daemon has a key of."""
    return json_answer(request, devices.devices(request.app[NEEDS].devices.list_devices()))


@routes.post("/api/devices")
async def add_device(request: web.Request) -> web.Response:
    """Keep the key of one, when it accepts that."""
    address, key = devices.parse_device(await read_body(request))
    added = await request.app[NEEDS].devices.add(address, key)
    return json_answer(request, devices.device(added), status=201)


@routes.delete("/api/devices/{address}")
async def remove_device(request: web.Request) -> web.Response:
    """Forget one and its key."""
    found = await request.app[NEEDS].devices.remove(request.match_info["address"])
    return json_answer(request, devices.removed(found))
