"""The web application and the settings it must be served with."""

from __future__ import annotations

import socket

from aiohttp import web

from runner.server import (
    anthropic_routes,
    cache_routes,
    job_routes,
    ollama_routes,
    openai_routes,
    request_routes,
    search_routes,
    storage_routes,
)
from runner.server.access import Access
from runner.server.answers import MAX_BODY
from runner.server.middleware import ACCESS, add_headers, answer_errors, guard, log_request
from runner.server.needs import NEEDS, Needs

_ROUTES = (
    ollama_routes.routes,
    openai_routes.routes,
    anthropic_routes.routes,
    request_routes.routes,
    cache_routes.routes,
    job_routes.routes,
    search_routes.routes,
    storage_routes.routes,
)


def make_app(
    needs: Needs, *, owner_token: str, loopback_only: bool, origins: tuple[str, ...]
) -> web.Application:
    """Return the application with all its routes.

    Args:
        needs: What stands behind them.
        owner_token: What the owner's programs send as bearer.
        loopback_only: Whether only this machine can reach the address served.
        origins: Web origins that may call, beside this machine's own.
    """
    app = web.Application(middlewares=[log_request, answer_errors, guard], client_max_size=MAX_BODY)
    app[NEEDS] = needs
    app[ACCESS] = Access(owner_token, loopback_only, origins, socket.gethostname())
    app.on_response_prepare.append(add_headers)
    for routes in _ROUTES:
        app.add_routes(routes)
    return app


def runner_for(app: web.Application, *, grace_s: float = 5.0) -> web.AppRunner:
    """Return the runner that every daemon and every test serves ``app`` with.

    ``grace_s`` is how long requests may go on when the server stops; then they are cancelled.
    """
    return web.AppRunner(
        app,
        # aiohttp's default is off: answers would go on for clients that have left.
        handler_cancellation=True,
        shutdown_timeout=grace_s,
        access_log=None,  # ``middleware.log_request`` writes the line
    )
