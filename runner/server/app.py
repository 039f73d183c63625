"""The web application and the settings it must be served with."""

from __future__ import annotations

from itertools import chain

from aiohttp import web

from runner.server import (
    anthropic_routes,
    blob_routes,
    cache_routes,
    completion_routes,
    create_routes,
    device_routes,
    event_routes,
    job_routes,
    keeping_routes,
    load_routes,
    making_routes,
    metrics,
    ollama_routes,
    openai_routes,
    openapi,
    prompt_routes,
    request_routes,
    search_routes,
    storage_routes,
    vector_routes,
)
from runner.server.access import Access
from runner.server.answers import MAX_BODY, no_answer_yet
from runner.server.connections import LEDGER, LIMITS, Ledger, LimitedRunner, Limits
from runner.server.marks import DOOR, Door
from runner.server.metrics import METRICS, Metrics
from runner.server.middleware import add_headers, answer_errors, guard, log_request
from runner.server.needs import NEEDS, Needs
from runner.server.unbroken import CHANGES, finish_changes, give_up_changes

#: Every table of routes; the reference pages are made from it.
ROUTES = (
    ollama_routes.routes,
    load_routes.routes,
    openai_routes.routes,
    completion_routes.routes,
    anthropic_routes.routes,
    prompt_routes.routes,
    blob_routes.routes,
    request_routes.routes,
    cache_routes.routes,
    job_routes.routes,
    search_routes.routes,
    vector_routes.routes,
    create_routes.routes,
    making_routes.routes,
    keeping_routes.routes,
    device_routes.routes,
    event_routes.routes,
    metrics.routes,
    storage_routes.routes,
    openapi.routes,
)


def make_app(needs: Needs, access: Access, limits: Limits | None = None) -> web.Application:
    """Return the application with all its routes.

    Args:
        needs: What stands behind them.
        access: Who may call.
        limits: On connections.
    """
    middlewares = [log_request, answer_errors, guard, finish_changes]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    app[NEEDS] = needs
    app[DOOR] = Door(access)
    app[LIMITS] = limits = limits or Limits()
    app[LEDGER] = Ledger(limits)
    app[METRICS] = Metrics()
    app[CHANGES] = set()
    app.cleanup_ctx.append(give_up_changes)
    app.on_response_prepare.append(add_headers)
    for route in chain.from_iterable(ROUTES):
        assert isinstance(route, web.RouteDef)
        kwargs = {**route.kwargs, "expect_handler": no_answer_yet}
        app.add_routes([web.RouteDef(route.method, route.path, route.handler, kwargs)])
    return app


def runner_for(app: web.Application, *, grace_s: float = 5.0) -> web.AppRunner:
    """Return the runner that every daemon and every test serves ``app`` with.

    ``grace_s`` is how long requests may go on when the server stops; then they are cancelled.
    """
    return LimitedRunner(
        app,
        # aiohttp's default is off: answers would go on for clients that have left.
        handler_cancellation=True,
        shutdown_timeout=grace_s,
        access_log=None,  # ``middleware.log_request`` writes the line
    )
