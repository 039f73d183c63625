"""``/api/quantize``, ``perplexity``, ``bench``, ``quality``: models made smaller, and measured."""

from __future__ import annotations

from aiohttp import web

from runner.dialects import jobs as job_words, making, measuring
from runner.errors import BadModelFile
from runner.server.answers import error_answer, json_answer, read_body
from runner.server.callers import name_model, require_owner
from runner.server.needs import NEEDS

routes = web.RouteTableDef()


@routes.post("/api/quantize")
async def quantize(request: web.Request) -> web.Response:
    """Begin a job and answer with it; with ``dry_run`` say what it would make instead."""
    call = making.parse_quantize(await read_body(request))
    if call.request.imatrix_path is not None:
        require_owner(request, "only the owner may name files of this machine")
    name_model(request, call.request.source)
    quantizes = request.app[NEEDS].making.quantizes
    try:
        if call.is_dry:
            return json_answer(request, making.quantize_plan(await quantizes.plan(call.request)))
        job = await quantizes.begin(call.request)
    except BadModelFile as error:  # the file is the request's own
        return error_answer(request, error, status=400)
    return json_answer(request, job_words.job(job), status=201)


@routes.post("/api/perplexity")
async def perplexity(request: web.Request) -> web.Response:
    """Begin to measure how well a model foretells a text; the answer is the job."""
    call = measuring.parse_perplexity(await read_body(request))
    name_model(request, call.model)
    if call.source is not None:
        name_model(request, call.source)
    job = await request.app[NEEDS].making.measures.begin_perplexity(call)
    return json_answer(request, job_words.job(job), status=201)


@routes.get("/api/quality")
async def quality(request: web.Request) -> web.Response:
    """What was measured of how good a model is, the latest first."""
    name = measuring.parse_query(request.query)
    name_model(request, name)
    reports = await request.app[NEEDS].making.measures.quality(name)
    return json_answer(request, measuring.quality(name, reports))


@routes.post("/api/bench")
async def bench(request: web.Request) -> web.Response:
    """Begin to measure how fast a model is; the answer is the job."""
    call = measuring.parse_bench(await read_body(request))
    name_model(request, call.model)
    job = await request.app[NEEDS].making.measures.begin_bench(call)
    return json_answer(request, job_words.job(job), status=201)


@routes.get("/api/bench")
async def benches(request: web.Request) -> web.Response:
    """What was measured of how fast a model is, the latest first."""
    name = measuring.parse_query(request.query)
    name_model(request, name)
    reports = await request.app[NEEDS].making.measures.benches(name)
    return json_answer(request, measuring.benches(name, reports))
