"""``/v1/completions``: one call, several prompts, several answers to each."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

from aiohttp import web

from runner.dialects.openai import completions
from runner.domain.event import Event
from runner.domain.request import InferenceRequest
from runner.errors import InvalidRequest
from runner.server.answers import json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS
from runner.server.request_routes import with_terms
from runner.server.stream import collect, stream
from runner.service.choices import merged

routes = web.RouteTableDef()


@routes.post("/v1/completions")
@routes.post("/completions")
async def complete(request: web.Request) -> web.StreamResponse:
    """Text that goes on from a prompt; a stream when the body says ``"stream": true``."""
    call = completions.parse(await read_body(request))
    name_model(request, call.requests[0].model)
    with _naming_the_prompt():
        echoes = [await _echo(request, asked) for asked in call.requests] if call.echo else []
    events = _answers(request, call)
    answer_id, created = completions.new_id(), int(time.time())
    if call.stream:
        encoder = completions.ChunkEncoder(call, echoes, answer_id=answer_id, created=created)
        return await stream(request, events, encoder)
    found = await collect(request, events)
    body = completions.whole(call, found, echoes, answer_id=answer_id, created=created)
    return json_answer(request, body)


async def _answers(request: web.Request, call: completions.Call) -> AsyncGenerator[Event, None]:
    """All answers to all prompts as they come, counted through."""
    infer = request.app[NEEDS].inference.infer
    streams = [infer(with_terms(request, asked, call.model)) for asked in call.requests]
    with _naming_the_prompt():
        async with aclosing(merged(streams)) as found:
            async for number, event in found:
                yield replace(event, choice=number * call.n + event.choice)


@contextmanager
def _naming_the_prompt() -> Iterator[None]:
    """Tokens that do not exist are the prompt's here, whatever the service calls their place."""
    try:
        yield
    except InvalidRequest as error:
        if error.param not in ("context", "tokens"):
            raise
        message = error.message.replace(error.param, "prompt", 1)
        raise InvalidRequest(message, hint=error.hint, param="prompt") from None


async def _echo(request: web.Request, asked: InferenceRequest) -> str:
    """The text of a prompt; tokens are turned back."""
    if not asked.context:
        return asked.prompt or ""
    prompts = request.app[NEEDS].prompts
    found = await prompts.detokenize(asked.model, asked.context, keep_alive=asked.keep_alive)
    return found.text
