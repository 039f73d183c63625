"""The requests that run or wait: listed and cancelled; and the terms that headers set."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from runner.dialects import requests as dialect, wire
from runner.dialects.terms import parse_priority
from runner.domain.request import EmbedRequest, InferenceRequest, RerankRequest
from runner.server.answers import facts_of, json_answer
from runner.server.callers import name_model
from runner.server.marks import caller_of
from runner.server.needs import NEEDS
from runner.server.pictures import check_pictures

routes = web.RouteTableDef()

Asked = TypeVar("Asked", InferenceRequest, EmbedRequest, RerankRequest)

PRIORITY_HEADER = "X-Priority"


def with_terms(request: web.Request, asked: Asked, written: str = "") -> Asked:
    """Return ``asked`` with what the connection says: whose it is, and in which class.

    Every request for a model comes through here, so its name and its pictures are checked too.
    The header wins over the body's field, so that a proxy can set the class of all it passes on.

    Args:
        request: The request.
        asked: What its body asks for.
        written: The model as the body has it; empty: as ``asked`` has it.

    Raises:
        InvalidRequest: The header names no class, or a picture is none.
        TooLarge: A picture is too large.
        Forbidden: The caller's key is for other models.
    """
    name_model(request, asked.model)
    facts_of(request).written = written
    if isinstance(asked, InferenceRequest) and asked.messages:
        check_pictures(asked.messages)
    owner_id = caller_of(request).owner_id
    client_id = owner_id or _client_id(request)
    terms = replace(asked.terms, client_id=client_id, owner_id=owner_id)
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
