"""The OpenAI API."""

from __future__ import annotations

import time

from aiohttp import web

from runner.dialects.openai import chat as openai_chat, models as openai_models
from runner.domain.name import ModelName
from runner.errors import ModelNotFound, Unsupported
from runner.server.answers import error_answer, facts_of, json_answer, read_body
from runner.server.needs import NEEDS
from runner.server.stream import collect, stream

routes = web.RouteTableDef()


@routes.get("/v1/models")
async def models(request: web.Request) -> web.Response:
    """The library."""
    found = await request.app[NEEDS].models.list_models()
    return json_answer(request, openai_models.models(found))


@routes.get("/v1/models/{name:.+}")
async def model(request: web.Request) -> web.Response:
    """One model; its name may have slashes, escaped or not."""
    name = ModelName.parse(request.match_info["name"])
    facts_of(request).model = str(name)
    for info in await request.app[NEEDS].models.list_models():
        if info.name == name:
            return json_answer(request, openai_models.model(info))
    raise ModelNotFound(str(name))


@routes.post("/v1/chat/completions")
async def chat(request: web.Request) -> web.StreamResponse:
    """One answer to a list of messages; a stream when the body says ``"stream": true``."""
    call = openai_chat.parse(await read_body(request))
    facts_of(request).model = str(call.request.model)
    events = request.app[NEEDS].inference.infer(call.request)
    answer_id, created = openai_chat.new_id(), int(time.time())
    if call.stream:
        encoder = openai_chat.ChunkEncoder(call, answer_id=answer_id, created=created)
        return await stream(request, events, encoder)
    text, finished = await collect(request, events)
    body = openai_chat.whole(call, text, finished, answer_id=answer_id, created=created)
    return json_answer(request, body)


@routes.post("/v1/completions")
@routes.post("/v1/messages")
@routes.post("/v1/responses")
async def not_yet(request: web.Request) -> web.Response:
    """Refused by name; not with 501, since clients try again after any status from 500 on."""
    error = Unsupported(
        f"{request.path} is not offered by this version of Corral",
        hint="it answers text: /v1/chat/completions",
    )
    return error_answer(request, error, status=404)
