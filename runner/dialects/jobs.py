"""Corral's own JSON for jobs, and for the stream of what changes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import ModelBody, parse_name, rfc3339
from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.domain.speed import parse_speed
from runner.errors import InvalidRequest


class JobBody(ModelBody):
    """``POST /api/jobs``."""

    kind: str = "pull"
    limit: str | int | None = None


class MoveBody(msgspec.Struct):
    """``POST /api/jobs/{id}/move``."""

    place: int


class LimitBody(msgspec.Struct):
    """``POST /api/jobs/{id}/limit``."""

    limit: str | int


_job_body = msgspec.json.Decoder(JobBody)
_move_body = msgspec.json.Decoder(MoveBody)
_limit_body = msgspec.json.Decoder(LimitBody)


class ErrorAnswer(msgspec.Struct):
    """Why a job failed, or paused by itself."""

    code: str
    message: str
    hint: str


class JobAnswer(msgspec.Struct):
    """One job; ``started`` and ``finished`` are RFC 3339, the rest as in ``domain.job.Job``."""

    id: int
    kind: str
    name: str
    state: str
    phase: str
    n_done: int
    n_bytes: int
    rate_bps: int
    eta_s: float | None
    source: str
    error: ErrorAnswer | None
    started: str
    finished: str | None
    place: int
    limit_bps: int
    is_attended: bool


def parse_job(body: bytes) -> tuple[ModelName, int | None]:
    """Return the model to pull and the limit in bytes a second, if one is asked for.

    Raises:
        RequestError: A field is missing, or not good.
    """
    asked = wire.decode(body, _job_body)
    if asked.kind != "pull":
        raise InvalidRequest(
            f"kind must be 'pull', not '{asked.kind}'",
            hint="other jobs begin with their own calls",
            param="kind",
        )
    return parse_name(asked), parse_limit(asked.limit)


def parse_move(body: bytes) -> int:
    """Return the place to move to; 0 is the first."""
    place = wire.decode(body, _move_body).place
    if place < 0:
        raise InvalidRequest(f"place must be 0 or more, not {place}", param="place")
    return place


def parse_new_limit(body: bytes) -> int:
    """Return a limit in bytes a second; 0: none."""
    return parse_limit(wire.decode(body, _limit_body).limit) or 0


def parse_limit(limit: str | int | None) -> int | None:
    """Return bytes a second; ``None`` when nothing is asked for.

    Raises:
        InvalidRequest: It is no speed.
    """
    if limit is None:
        return None
    try:
        return parse_speed(limit)
    except ValueError as error:
        raise InvalidRequest(f"limit: {error}", param="limit") from None


def job(one: Job) -> bytes:
    """Return one job."""
    return wire.encode(_answer(one))


def jobs(many: Sequence[Job]) -> bytes:
    """Return a list of jobs."""
    return wire.encode({"jobs": [_answer(one) for one in many]})


def event(number: int, kind: str, body: bytes) -> bytes:
    """Return one frame of ``GET /api/events``."""
    return b"event: %s\nid: %d\ndata: %s\n\n" % (kind.encode(), number, body)


def _answer(one: Job) -> JobAnswer:
    return JobAnswer(
        id=one.job_id,
        kind=one.kind,
        name=one.name,
        state=one.state.value,
        phase=one.phase,
        n_done=one.n_done,
        n_bytes=one.n_bytes,
        rate_bps=one.rate_bps,
        eta_s=one.eta_s,
        source=one.source,
        error=ErrorAnswer(one.error.code, one.error.message, one.error.hint) if one.error else None,
        started=_moment(one.started),
        finished=None if one.finished is None else _moment(one.finished),
        place=one.place,
        limit_bps=one.limit_bps,
        is_attended=one.is_attended,
    )


def _moment(seconds: float) -> str:
    return rfc3339(int(seconds * 1000) * 1_000_000)
