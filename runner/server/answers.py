"""Responses: bodies, errors with their statuses, and a record of what the log line will say."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

from runner.dialects import ollama, wire
from runner.dialects.openai import chat as openai_chat, errors as openai_errors
from runner.domain.event import Finished
from runner.errors import (
    CapacityError,
    CorralError,
    Forbidden,
    JobNotFound,
    ModelNotFound,
    NotEnoughMemory,
    RequestError,
    SourceError,
    StoreBusy,
)

#: Largest body taken, in bytes.
MAX_BODY = 64 * 1024 * 1024

#: The first class that fits gives the status.
_STATUSES: tuple[tuple[type[CorralError], int], ...] = (
    (ModelNotFound, 404),
    (JobNotFound, 404),
    (Forbidden, 403),
    (RequestError, 400),
    (CapacityError, 503),
    (SourceError, 502),
)
#: Seconds after which another try is worth it.
_RETRY_AFTER: tuple[tuple[type[CorralError], int], ...] = (
    (StoreBusy, 5),
    (NotEnoughMemory, 10),
    (CapacityError, 1),
)


@dataclass(slots=True)
class Facts:
    """What the log line of one request tells beside method, path and status."""

    model: str = ""
    finished: Finished | None = None
    error: str = ""


FACTS = web.RequestKey("facts", Facts)


def facts_of(request: web.Request) -> Facts:
    """Return the record of ``request``, made when it is first asked for."""
    facts = request.get(FACTS)
    if facts is None:
        facts = request[FACTS] = Facts()
    return facts


def is_openai(request: web.Request) -> bool:
    """Whether the caller speaks OpenAI's dialect, by the path."""
    return request.path.startswith("/v1/")


def is_gone(request: web.Request) -> bool:
    """Whether the client has left, so that nobody can be told anything."""
    return request.transport is None or request.transport.is_closing()


async def read_body(request: web.Request) -> bytes:
    """Return the body.

    Raises:
        web.HTTPRequestEntityTooLarge: It is larger than ``MAX_BODY``.
    """
    announced = request.content_length or 0
    if announced > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, announced)
    return await request.read()


def json_answer(request: web.Request, body: bytes, *, status: int = 200) -> web.Response:
    """Return a response with ``body``, which is JSON already, typed as the dialect does."""
    kind = openai_chat.CONTENT_TYPE if is_openai(request) else ollama.CONTENT_TYPE
    return web.Response(body=body, status=status, headers={"Content-Type": kind})


def error_answer(
    request: web.Request, error: CorralError, *, status: int | None = None
) -> web.Response:
    """Return ``error`` in the caller's dialect, with the status of its class unless given."""
    if status is None:
        status = next((number for cls, number in _STATUSES if isinstance(error, cls)), 500)
    facts_of(request).error = error.code
    body: msgspec.Struct
    if is_openai(request):
        body = openai_errors.error_body(error, status)
    else:
        body = ollama.error_body(error)
    response = json_answer(request, wire.encode(body), status=status)
    if status == 503:
        wait_s = next((wait for cls, wait in _RETRY_AFTER if isinstance(error, cls)), 1)
        response.headers["Retry-After"] = str(wait_s)
    return response
