"""Models of one's own: made, and their Modelfiles looked at."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import ollama_create, ollama_models
from runner.errors import BadModelFile
from runner.server.answers import error_answer, json_answer, read_body
from runner.server.callers import name_model, require_owner
from runner.server.needs import NEEDS
from runner.server.stream import last_moment, stream

routes = web.RouteTableDef()


@routes.post("/api/create")
async def create(request: web.Request) -> web.StreamResponse:
    """Make a model; a stream of its progress unless the body says ``"stream": false``."""
    call = ollama_create.parse_create(await read_body(request))
    if call.request.has_paths:
        require_owner(request, "only the owner may name files of this machine")
    name_model(request, call.request.name)
    moments = request.app[NEEDS].creates.create(call.request)
    try:
        if call.stream:
            return await stream(request, moments, ollama_models.ProgressEncoder())
        return json_answer(request, ollama_models.progress(await last_moment(moments)))
    except BadModelFile as error:  # the file is the request's own
        return error_answer(request, error, status=400)


@routes.post("/api/modelfile/check")
async def check(request: web.Request) -> web.Response:
    """Say what is wrong with a Modelfile; nothing is made of it."""
    text = ollama_create.parse_check(await read_body(request))
    checked = await request.app[NEEDS].creates.check(text)
    return json_answer(request, ollama_create.checked(checked))
