"""Corral's own API for its keeping: keys, settings, secrets, log and machine.

All but the machine's figures are for the owner and admin keys: ``scopes.py`` says so.
"""

from __future__ import annotations

import time
from contextlib import aclosing

from aiohttp import web

from runner.dialects import keeping, wire
from runner.errors import InvalidRequest
from runner.server.answers import json_answer, read_body
from runner.server.needs import NEEDS

routes = web.RouteTableDef()

_N_LINES = 200
_MOST_LINES = 2000


@routes.get("/api/keys")
async def list_keys(request: web.Request) -> web.Response:
    """The keys, without their secrets."""
    return json_answer(request, keeping.keys(request.app[NEEDS].keys.list_keys()))


@routes.post("/api/keys")
async def add_key(request: web.Request) -> web.Response:
    """Make a key; the answer is the only place where its secret is ever told."""
    asked = keeping.parse_key(await read_body(request), now=time.time())
    key, secret = await request.app[NEEDS].keys.add(asked)
    response = json_answer(request, keeping.new_key(key, secret), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.delete("/api/keys/{id}")
async def revoke_key(request: web.Request) -> web.Response:
    """Take a key away, and the prompts that are kept for it."""
    key = await request.app[NEEDS].keys.revoke(request.match_info["id"])
    return json_answer(request, wire.encode({"revoked": key.id}))


@routes.get("/api/settings")
async def show_settings(request: web.Request) -> web.Response:
    """All settings: value, default, who says so."""
    needs = request.app[NEEDS]
    told = keeping.settings(needs.settings.list_settings(), needs.secrets.list_names())
    return json_answer(request, told)


@routes.patch("/api/settings")
async def change_settings(request: web.Request) -> web.Response:
    """Change those that the body names, all or none; null takes a value away."""
    needs = request.app[NEEDS]
    changed = await needs.settings.change(keeping.parse_changes(await read_body(request)))
    return json_answer(request, keeping.settings(changed, needs.secrets.list_names()))


@routes.put("/api/secrets/{name}")
async def put_secret(request: web.Request) -> web.Response:
    """Set a hub's token; nothing ever tells it again."""
    value = keeping.parse_secret(await read_body(request))
    name = request.match_info["name"]
    await request.app[NEEDS].secrets.put(name, value)
    return json_answer(request, wire.encode({"name": name, "set": value is not None}))


@routes.get("/api/machine")
async def show_machine(request: web.Request) -> web.Response:
    """Memory, devices and limits."""
    machine = request.app[NEEDS].machine
    await machine.look()
    return json_answer(request, keeping.machine(machine.report()))


@routes.get("/api/logs")
async def show_logs(request: web.Request) -> web.StreamResponse:
    """The last ``lines`` of the log as plain text, and those to come with ``follow=true``."""
    n_lines = _lines_asked(request)
    lines = request.app[NEEDS].logs
    headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
    if request.query.get("follow", "").lower() not in ("1", "true"):
        text = "".join(f"{line}\n" for line in lines.last(n_lines))
        return web.Response(body=text.encode("utf-8", "replace"), headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async with aclosing(lines.follow(n_lines)) as following:
        async for line in following:
            await response.write(f"{line}\n".encode("utf-8", "replace"))
    await response.write_eof()
    return response


def _lines_asked(request: web.Request) -> int:
    text = request.query.get("lines", str(_N_LINES))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"lines must be a whole number, not '{text[:40]}'", param="lines")
    return min(int(text), _MOST_LINES)
