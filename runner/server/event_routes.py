"""``/api/events``: all that an app shows, and then each thing that changes, as server-sent events.

An event's data is the same object as the answer of the path that lists its kind: ``model`` that of
``/api/tags``, ``worker`` of ``/api/ps``, ``request`` of ``/api/requests``, ``settings`` of
``/api/settings`` (for those who may read them), ``job`` that of one job; ``load`` has ``loads``,
each as in the stream of ``/api/load``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web

from runner.dialects import (
    jobs as words,
    keeping,
    loads,
    ollama_models,
    requests as request_words,
    wire,
)
from runner.domain.job import Job, JobState
from runner.domain.key import Scope
from runner.domain.topic import Topic
from runner.errors import CorralError
from runner.server.callers import allowed, known
from runner.server.marks import caller_of
from runner.server.needs import NEEDS

routes = web.RouteTableDef()

#: Seconds that a reader may take for one event, and between two signs of life.
_SLOW_S = 10.0
_ALIVE_S = 15.0
#: Seconds after a list was sent: who asks hundreds of models a second is not told of each.
_PAUSE_S = 0.1


@routes.get("/api/events")
async def events(request: web.Request) -> web.StreamResponse:
    """A ``snapshot`` of everything, then what changes.

    A reader that is too slow is cut; it begins again with a new snapshot.
    """
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    number = 0
    async with aclosing(_frames(request)) as frames:
        async for kind, body in frames:
            number += bool(kind)
            frame = words.event(number, kind, body) if kind else body
            try:
                await asyncio.wait_for(response.write(frame), _SLOW_S)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                return response
    await response.write_eof()
    return response


async def _frames(request: web.Request) -> AsyncGenerator[tuple[str, bytes], None]:
    """Yield kinds and bodies; a frame without a kind is a sign of life."""
    needs = request.app[NEEDS]
    with needs.jobs.news.watching() as changes:
        yield "snapshot", await _snapshot(request)
        while True:
            try:
                changed = await asyncio.wait_for(changes.get(), _ALIVE_S)
            except TimeoutError:
                yield "", b": alive\n\n"
                continue
            if changed is None:
                return
            if isinstance(changed, Job):
                yield "job", words.job(changed)
                if changed.state is JobState.DONE:
                    yield Topic.MODEL.value, await _list(request, Topic.MODEL)
            elif body := await _list(request, changed):
                yield changed.value, body
                await asyncio.sleep(_PAUSE_S)


async def _snapshot(request: web.Request) -> bytes:
    """Everything in one object: ``jobs``, and each topic's own list by the topic's name."""
    jobs = words.jobs(request.app[NEEDS].jobs.list_jobs())
    whole = msgspec.json.decode(jobs, type=dict[str, msgspec.Raw])
    for topic in Topic:
        if body := await _list(request, topic):
            whole[topic.value] = msgspec.Raw(body)
    return wire.encode(whole)


async def _list(request: web.Request, topic: Topic) -> bytes:
    """Return the list of a topic; empty when this caller may not read it."""
    needs = request.app[NEEDS]
    try:
        match topic:
            case Topic.MODEL:
                return ollama_models.tags(allowed(request, await needs.models.list_models()))
            case Topic.WORKER:
                rows = known(request, needs.models.running())
                return ollama_models.ps(rows, now=time.time())
            case Topic.LOAD:
                return loads.loads(known(request, needs.models.loading()))
            case Topic.REQUEST:
                return request_words.requests(await needs.requests.list_requests())
            case Topic.SETTINGS:
                caller = caller_of(request)
                if not caller.is_owner and not (caller.key and caller.key.opens(Scope.ADMIN)):
                    return b""
                shown = needs.settings.list_settings()
                return keeping.settings(
                    shown, needs.secrets.list_names(), needs.secrets.list_places()
                )
    except CorralError:  # a list that cannot be read now is told by its own path
        return b""
