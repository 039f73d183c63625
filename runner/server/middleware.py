"""Around every handler: one log line, errors in the caller's dialect, and who may come in."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from runner.errors import CorralError, Forbidden, InvalidRequest, RequestError, TooLarge
from runner.logs import pairs
from runner.server import scopes
from runner.server.absent import INSTEAD
from runner.server.answers import MAX_BODY, error_answer, facts_of, is_anthropic, is_gone, is_openai
from runner.server.callers import check_scope, identify, require_manager, resource_of
from runner.server.connections import refusal_of, unread_encoding
from runner.server.marks import CALLER, DOOR, ORIGIN, caller_of
from runner.server.metrics import METRICS
from runner.server.needs import NEEDS

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Logged when the client left before its answer was whole; never sent.
_CLIENT_GONE = 499

#: Headers that pages may send; OpenAI's client has a family of its own beside them.
_CORS_HEADERS = (
    "authorization",
    "content-type",
    "accept",
    "user-agent",
    "x-requested-with",
    "x-api-key",
    "x-priority",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
)
#: What a page's script may read of an answer beside its body.
_EXPOSED = "X-Corral-Version, Retry-After, request-id, x-request-id"
_STAINLESS = "x-stainless-"
_STAINLESS_HEADERS = (
    "x-stainless-arch",
    "x-stainless-async",
    "x-stainless-custom-poll-interval",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-poll-helper",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
)


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write one line when the request is over, however it ends; never text."""
    began = time.monotonic()
    status = _CLIENT_GONE
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        total_s = time.monotonic() - began
        request.app[METRICS].count(request, status, total_s)
        logger.info("%s", _line(request, status, total_s))


def _line(request: web.Request, status: int, total_s: float) -> str:
    facts = facts_of(request)
    told: dict[str, Any] = {
        "method": request.method,
        "path": request.rel_url.raw_path[:200],
        "status": status,
    }
    if key := caller_of(request).key:
        told["key"] = key.id
    if facts.model:
        told["model"] = facts.model
    if facts.error:
        told["error"] = facts.error
    if facts.finished:
        usage, timings = facts.finished.usage, facts.finished.timings
        told |= {
            "finish": facts.finished.reason.value,
            "n_prompt": usage.n_prompt,
            "n_cached": usage.n_cached,
            "n_generated": usage.n_generated,
            "load_s": timings.load_s,
            "prompt_s": timings.prompt_s,
            "decode_s": timings.decode_s,
        }
    return pairs(**told, total_s=total_s)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what handlers raise into answers in the caller's dialect."""
    try:
        return await handler(request)
    except CorralError as error:
        return error_answer(request, error)
    except web.HTTPException as error:
        return _http_error(request, error)
    except web.RequestPayloadError:
        hint = "send all of it, in the encoding that its headers name"
        request.content.feed_eof()  # aiohttp would read on, and log that it cannot
        response = error_answer(request, InvalidRequest("the body cannot be read", hint=hint))
        response.force_close()
        return response
    except Exception:
        if is_gone(request):
            return web.Response(status=_CLIENT_GONE)  # for the log; nobody is left to be told
        logger.exception("unexpected error in %s", request.method)
        hint = "the daemon's log says more: corral daemon logs"
        return error_answer(request, CorralError("internal error", hint=hint))


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """Say what aiohttp refused in our words."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        told: RequestError = TooLarge(f"the body is larger than {MAX_BODY} bytes")
    elif isinstance(error, web.HTTPUnsupportedMediaType):
        told = unread_encoding()
    elif isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        told = RequestError(
            f"method {request.method} is not allowed here", hint=f"allowed: {allowed}"
        )
    elif error.status == 404 and not (is_openai(request) or is_anthropic(request)):
        return web.Response(text="404 page not found", status=404)
    else:
        told = RequestError(
            f"{request.method} {request.rel_url.raw_path}: {error.reason.lower()}",
            hint=INSTEAD.get(request.path, "GET /openapi.json lists what is offered"),
        )
    response = error_answer(request, told, status=error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only what the rules of ``access.py`` and ``scopes.py`` let in; answer preflights."""
    access = request.app[DOOR].access
    if refused := refusal_of(request):
        raise refused
    hosts = request.headers.getall("Host", [""])
    if not request.raw_path.startswith("/"):
        hosts = [*hosts, request.host]  # the target is a whole address, and names one, too
    if not all(access.allows_host(host) for host in hosts):
        raise Forbidden(
            "this Host is not a name of this machine",
            hint="call it by localhost or 127.0.0.1",
        )
    origin = request.headers.get("Origin")
    if origin is not None:
        if not access.allows_origin(origin, hosts[0]):
            raise Forbidden("this Origin may not call the API", hint="allow it with CORRAL_ORIGINS")
        request[ORIGIN] = origin
    if request.headers.get("Expect", "100-continue").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    if request.method == "OPTIONS":
        return web.Response(status=204) if origin is None else _preflight(request)
    caller = request[CALLER] = identify(request, access, request.app[NEEDS].keys)
    check_scope(request, caller)
    if origin is not None and not scopes.is_for_pages(resource_of(request)):
        require_manager(request, "a web page may infer only")
    return await handler(request)


def _preflight(request: web.Request) -> web.Response:
    asked = request.headers.get("Access-Control-Request-Headers", "")
    names = [name.strip().lower() for name in asked.split(",")]
    extra = [
        name
        for name in names
        if name.startswith(_STAINLESS)
        and name.replace("-", "").isalnum()
        and name not in _STAINLESS_HEADERS
    ]
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
            "Access-Control-Allow-Headers": ", ".join(
                (*_CORS_HEADERS, *_STAINLESS_HEADERS, *extra)
            ),
            "Access-Control-Max-Age": "43200",
        },
    )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Mark every answer as ours, and open it to the page that asked; runs before the headers go."""
    response.headers["X-Corral-Version"] = version = request.app[NEEDS].version
    response.headers["Server"] = f"corral/{version}"
    # Where the clients of both look for what to name in a question to their service.
    if is_anthropic(request):
        response.headers.setdefault("request-id", f"req_{secrets.token_hex(12)}")
    elif is_openai(request):
        response.headers["x-request-id"] = f"req_{secrets.token_hex(12)}"
    if response.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if origin := request.get(ORIGIN):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        response.headers["Vary"] = "Origin"
