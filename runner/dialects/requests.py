"""``GET /api/requests``: the requests that run or wait; an API of our own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import rfc3339
from runner.domain.running import RunningRequest


class RequestBody(msgspec.Struct):
    """One request; ``started`` in RFC 3339, ``position`` 0 for one that runs."""

    id: str
    model: str
    state: str
    position: int
    priority: str
    client: str
    n_prompt: int
    n_cached: int
    n_generated: int
    started: str
    seconds: float


def requests(found: Sequence[RunningRequest]) -> bytes:
    """Return the list as JSON."""
    return wire.encode({"requests": [_body(request) for request in found]})


def _body(request: RunningRequest) -> RequestBody:
    return RequestBody(
        id=request.id,
        model=str(request.model),
        state=request.state.value,
        position=request.position,
        priority=request.priority.value,
        client=request.client_id,
        n_prompt=request.n_prompt,
        n_cached=request.n_cached,
        n_generated=request.n_generated,
        started=rfc3339(round(request.started_at * 1e6) * 1000),
        seconds=round(request.seconds, 3),
    )
