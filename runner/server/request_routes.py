"""The requests that run or wait: listed and cancelled; and the terms that headers set."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from runner.dialects import requests as dialect, wire
from runner.dialects.terms import parse_priority
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest
from runner.server.answers import json_answer
from runner.server.needs import NEEDS

routes = web.RouteTableDef()

Asked = TypeVar("Asked", InferenceRequest, EmbedRequest, RerankRequest)

PRIORITY_HEADER = "X-Priority"


def with_terms(request: web.Request, asked: Asked) -> Asked:
    """Return ``asked`` with what the connection says: whose it is, and in which class.

    The header wins over the body's field, so that a proxy can set the class of all it passes on.

    Raises:
        InvalidRequest: The header names no class.
    """
    terms = replace(asked.terms, client_id=_client_id(request))
    if (text := request.headers.get(PRIORITY_HEADER)) is not None:
        terms = replace(terms, priority=parse_priority(text.strip(), PRIORITY_HEADER))
    return replace(asked, terms=terms)


def _client_id(request: web.Request) -> str:
    """The connection's other end; connections share fairly with each other."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if isinstance(peer, tuple) and len(peer) >= 2:
        return f"{peer[0]}:{peer[1]}"
    return f"connection {id(request.transport)}"


@routes.get("/api/requests")
async def list_requests(request: web.Request) -> web.Response:
    """The requests that are being answered or wait."""
    found = await request.app[NEEDS].requests.list_requests()
    return json_answer(request, dialect.requests(found))


@routes.delete("/api/requests/{id}")
async def cancel(request: web.Request) -> web.Response:
    """End one of them; its own client is told so."""
    request_id = request.match_info["id"]
    request.app[NEEDS].requests.cancel(request_id)
    return json_answer(request, wire.encode({"cancelled": request_id}))
