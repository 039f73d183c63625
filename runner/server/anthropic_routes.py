"""The Anthropic API."""

from __future__ import annotations

from aiohttp import web

from runner.dialects.anthropic import answers, messages
from runner.server.answers import json_answer, read_body
from runner.server.needs import NEEDS
from runner.server.request_routes import with_terms
from runner.server.stream import follow, stream

routes = web.RouteTableDef()


@routes.post("/v1/messages")
async def create_message(request: web.Request) -> web.StreamResponse:
    """One answer to a list of messages; a stream when the body says ``"stream": true``."""
    call = messages.parse(await read_body(request))
    asked = with_terms(request, call.request, call.model)
    events = request.app[NEEDS].inference.infer(asked)
    answer_id = answers.new_id()
    if call.stream:
        return await stream(request, events, answers.Encoder(call, answer_id=answer_id))
    whole = answers.Whole(call, answer_id)
    finished = await follow(request, events, whole.add)
    return json_answer(request, whole.encode(finished))
