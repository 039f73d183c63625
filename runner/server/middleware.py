"""Around every handler: one log line, errors in the caller's dialect, and who may come in."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from runner.errors import CorralError, Forbidden, InvalidRequest, RequestError
from runner.logs import pairs
from runner.server.access import Access
from runner.server.answers import MAX_BODY, error_answer, facts_of, is_gone, is_openai
from runner.server.needs import NEEDS

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACCESS = web.AppKey("access", Access)
#: The page that called, when one did and may.
ORIGIN = web.RequestKey("origin", str)

#: Logged when the client left before its answer was whole; never sent.
_CLIENT_GONE = 499

#: What a web page may call without the owner's token: inference, and what it takes to choose a
#: model for it.
_FOR_PAGES = frozenset(
    {
        "/",
        "/health",
        "/api/version",
        "/api/tags",
        "/api/generate",
        "/api/chat",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/tokenize",
        "/v1/detokenize",
        "/api/tokenize",
        "/api/detokenize",
        "/api/render",
    }
)

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
        logger.info("%s", _line(request, status, time.monotonic() - began))


def _line(request: web.Request, status: int, total_s: float) -> str:
    facts = facts_of(request)
    told: dict[str, Any] = {
        "method": request.method,
        "path": request.rel_url.raw_path[:200],
        "status": status,
    }
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
        return error_answer(request, InvalidRequest("the body cannot be read", hint=hint))
    except Exception:
        if is_gone(request):
            return web.Response(status=_CLIENT_GONE)  # for the log; nobody is left to be told
        logger.exception("unexpected error in %s", request.method)
        hint = "the daemon's log says more: corral daemon logs"
        return error_answer(request, CorralError("internal error", hint=hint))


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """Say what aiohttp refused in our words."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        told: RequestError = InvalidRequest(f"the body is larger than {MAX_BODY} bytes")
    elif isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        told = RequestError(
            f"method {request.method} is not allowed here", hint=f"allowed: {allowed}"
        )
    elif error.status == 404 and not is_openai(request):
        return web.Response(text="404 page not found", status=404)
    else:
        told = RequestError(
            f"{request.method} {request.rel_url.raw_path}: {error.reason.lower()}",
            hint="offered here: /v1/chat/completions and /v1/models",
        )
    response = error_answer(request, told, status=error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only what the rules of ``access.py`` let in; answer preflights."""
    access = request.app[ACCESS]
    hosts = request.headers.getall("Host", [""])
    if not all(access.allows_host(host) for host in hosts):
        raise Forbidden(
            "this Host is not a name of this machine",
            hint="call it by localhost or 127.0.0.1",
        )
    origin = request.headers.get("Origin")
    if origin is None:
        return web.Response(status=204) if request.method == "OPTIONS" else await handler(request)
    if not access.allows_origin(origin, hosts[0]):
        raise Forbidden("this Origin may not call the API", hint="allow it with CORRAL_ORIGINS")
    request[ORIGIN] = origin
    if request.method == "OPTIONS":
        return _preflight(request)
    resource = request.match_info.route.resource
    if resource is not None and resource.canonical not in _FOR_PAGES:
        require_owner(request, "a web page may infer only")
    return await handler(request)


def require_owner(request: web.Request, reason: str) -> None:
    """Let only the owner's own programs pass.

    Raises:
        Forbidden: The request does not carry the owner's token; ``reason`` says why it must.
    """
    if not request.app[ACCESS].is_owner(request.headers.get("Authorization", "")):
        raise Forbidden(reason, hint="use the corral command, which sends the owner's token")


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
    if origin := request.get(ORIGIN):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Corral-Version, Retry-After"
        response.headers["Vary"] = "Origin"
