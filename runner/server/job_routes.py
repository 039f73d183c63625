"""``/api/jobs``: long jobs, seen and steered."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import jobs as words
from runner.domain.job import Job
from runner.errors import InvalidRequest
from runner.server.answers import facts_of, json_answer, read_body
from runner.server.callers import name_model
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.get("/api/jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """All jobs: those on their way in the order of the queue, then the latest."""
    return json_answer(request, words.jobs(request.app[NEEDS].jobs.list_jobs()))


@routes.post("/api/jobs")
async def begin(request: web.Request) -> web.Response:
    """Begin a pull that goes on whoever follows it; the answer is its job."""
    name, limit_bps = words.parse_job(await read_body(request))
    name_model(request, name)
    job = await request.app[NEEDS].pulls.pull_apart(name, limit_bps)
    return json_answer(request, words.job(job), status=201)


@routes.get("/api/jobs/{id}")
async def get(request: web.Request) -> web.Response:
    """One job."""
    return _told(request, request.app[NEEDS].jobs.get(_id_of(request)))


@routes.delete("/api/jobs/{id}")
async def cancel(request: web.Request) -> web.Response:
    """End a job; what has arrived for it alone is removed."""
    return _told(request, await request.app[NEEDS].jobs.cancel(_id_of(request)))


@routes.post("/api/jobs/{id}/pause")
async def pause(request: web.Request) -> web.Response:
    """Pause a job; what has arrived is kept."""
    return _told(request, request.app[NEEDS].jobs.pause(_id_of(request)))


@routes.post("/api/jobs/{id}/resume")
async def resume(request: web.Request) -> web.Response:
    """Let a job go on that paused or failed."""
    return _told(request, request.app[NEEDS].jobs.resume(_id_of(request)))


@routes.post("/api/jobs/{id}/move")
async def move(request: web.Request) -> web.Response:
    """Give a job another place in the queue; ``{"place": 0}`` is the first."""
    place = words.parse_move(await read_body(request))
    return _told(request, request.app[NEEDS].jobs.move(_id_of(request), place))


@routes.post("/api/jobs/{id}/limit")
async def limit(request: web.Request) -> web.Response:
    """Limit a job's speed, at once: ``{"limit": "5M"}``, ``{"limit": 0}`` for none of its own.

    The id ``all`` stands for all jobs together.
    """
    limit_bps = words.parse_new_limit(await read_body(request))
    jobs = request.app[NEEDS].jobs
    if request.match_info["id"] == "all":
        jobs.limit_all(limit_bps)
        return json_answer(request, words.jobs(jobs.list_jobs()))
    return _told(request, jobs.limit(_id_of(request), limit_bps))


def _told(request: web.Request, job: Job) -> web.Response:
    facts_of(request).model = job.name
    return json_answer(request, words.job(job))


def _id_of(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(f"a job's id is a number, not '{text[:40]}'", param="id")
    return int(text)
