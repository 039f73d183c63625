"""``/api/blobs``: files that clients upload before they make a model of them."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from runner.errors import RequestError
from runner.server.answers import body_pieces, error_answer
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.head("/api/blobs/{digest}")
async def has_blob(request: web.Request) -> web.Response:
    """Whether a file is there: 200 or 404."""
    digest = request.match_info["digest"]
    if await request.app[NEEDS].blobs.has(digest):
        return web.Response()
    error = RequestError(f'blob "{digest}" not found', hint="upload it with POST")
    return error_answer(request, error, status=404)


@routes.post("/api/blobs/{digest}")
async def upload(request: web.Request) -> web.Response:
    """Take a file in, as large as the disk allows: 201, or 200 when it is there already."""
    blobs, digest = request.app[NEEDS].blobs, request.match_info["digest"]
    async with aclosing(body_pieces(request)) as pieces:
        is_new = await blobs.receive(digest, pieces)
    return web.Response(status=201 if is_new else 200)
