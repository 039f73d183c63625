"""The OpenAI API."""

from __future__ import annotations

import time

from aiohttp import web

from runner.dialects.anthropic import models as anthropic_models
from runner.dialects.openai import (
    chat as openai_chat,
    models as openai_models,
    response_events,
    responses,
)
from runner.domain.name import ModelName
from runner.errors import ModelNotFound, RequestError
from runner.server.answers import error_answer, is_anthropic, json_answer, read_body
from runner.server.callers import allowed, name_model
from runner.server.needs import NEEDS
from runner.server.request_routes import with_terms
from runner.server.stream import collect, follow, stream

routes = web.RouteTableDef()


@routes.get("/v1/models")
@routes.get("/models")
async def models(request: web.Request) -> web.Response:
    """The library."""
    found = allowed(request, await request.app[NEEDS].models.list_models())
    if is_anthropic(request):
        return json_answer(request, anthropic_models.models(found))
    return json_answer(request, openai_models.models(found))


@routes.get("/v1/models/{name:.+}")
async def model(request: web.Request) -> web.Response:
    """One model; its name may have slashes, escaped or not."""
    name = ModelName.parse(request.match_info["name"])
    name_model(request, name)
    for info in await request.app[NEEDS].models.list_models():
        if info.name == name and is_anthropic(request):
            return json_answer(request, anthropic_models.model(info))
        if info.name == name:
            return json_answer(request, openai_models.model(info))
    raise ModelNotFound(str(name))


@routes.post("/v1/chat/completions")
@routes.post("/chat/completions")
async def chat(request: web.Request) -> web.StreamResponse:
    """One answer to a list of messages; a stream when the body says ``"stream": true``."""
    call = openai_chat.parse(await read_body(request))
    events = request.app[NEEDS].inference.infer(with_terms(request, call.request, call.model))
    answer_id, created = openai_chat.new_id(), int(time.time())
    if call.stream:
        encoder = openai_chat.ChunkEncoder(call, answer_id=answer_id, created=created)
        return await stream(request, events, encoder)
    all_events = await collect(request, events)
    body = openai_chat.whole(call, all_events, answer_id=answer_id, created=created)
    return json_answer(request, body)


@routes.post("/v1/responses")
@routes.post("/responses")
async def respond(request: web.Request) -> web.StreamResponse:
    """One answer to a list of items; a stream when the body says ``"stream": true``."""
    call = responses.parse(await read_body(request))
    asked = with_terms(request, call.request, call.body.model or "")
    events = request.app[NEEDS].inference.infer(asked)
    answer = response_events.Response(
        call, answer_id=response_events.new_id(), created=int(time.time())
    )
    if call.stream:
        return await stream(request, events, answer)
    finished = await follow(request, events, answer.encode)
    return json_answer(request, answer.whole(finished))


@routes.get("/v1/responses/{id}")
@routes.delete("/v1/responses/{id}")
async def kept_response(request: web.Request) -> web.Response:
    """There is none."""
    error = RequestError(
        f"there is no response '{request.match_info['id'][:80]}': responses are not kept",
        hint="send the whole conversation in 'input'",
    )
    return error_answer(request, error, status=404)
