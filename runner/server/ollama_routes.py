"""Ollama's API, and what Corral adds to it."""

from __future__ import annotations

import time

from aiohttp import web

from runner.dialects import ollama, ollama_models, ollama_prompts, wire
from runner.domain.name import ModelName
from runner.errors import BadModelFile, ModelNotFound, Unsupported
from runner.server.answers import error_answer, facts_of, json_answer, read_body
from runner.server.callers import allowed, known, name_model, require_manager, require_owner
from runner.server.marks import ORIGIN, caller_of
from runner.server.needs import NEEDS
from runner.server.request_routes import with_terms
from runner.server.stream import collect, last_moment, stream

routes = web.RouteTableDef()


@routes.get("/")
async def root(request: web.Request) -> web.Response:
    """The words by which clients know a server of this kind."""
    return web.Response(text="Ollama is running")


@routes.get("/health")
@routes.get("/v1/health")
async def health(request: web.Request) -> web.Response:
    """Whether the daemon answers; it loads nothing and touches no disk."""
    told = {"status": "ok", "version": request.app[NEEDS].version}
    return json_answer(request, wire.encode(told))


@routes.get("/api/version")
async def version(request: web.Request) -> web.Response:
    """The API's level, on which clients decide what they may use, and our own version."""
    told = {"version": ollama.OLLAMA_LEVEL, "corral": request.app[NEEDS].version}
    return json_answer(request, wire.encode(told))


@routes.get("/api/status")
async def status(request: web.Request) -> web.Response:
    """What Ollama's clients ask before they offer models that run elsewhere: there are none."""
    return json_answer(request, wire.encode({"cloud": {"disabled": True, "source": "config"}}))


@routes.get("/api/tags")
async def tags(request: web.Request) -> web.Response:
    """The library."""
    models = await request.app[NEEDS].models.list_models()
    return json_answer(request, ollama_models.tags(allowed(request, models)))


@routes.get("/api/ps")
async def ps(request: web.Request) -> web.Response:
    """The models in memory, and those on their way there."""
    models = request.app[NEEDS].models
    running, loading = known(request, models.running()), known(request, models.loading())
    told = ollama_models.ps(running, now=time.time(), loading=loading)
    return json_answer(request, told)


@routes.post("/api/show")
async def show(request: web.Request) -> web.Response:
    """All about one model."""
    call = ollama_models.parse_show(await read_body(request))
    name_model(request, call.name)
    details = await request.app[NEEDS].models.show(call.name, whole=call.verbose)
    return json_answer(request, ollama_models.show(details, verbose=call.verbose))


@routes.post("/api/generate")
async def generate(request: web.Request) -> web.StreamResponse:
    """One answer to a prompt; a stream unless the body says ``"stream": false``."""
    return await _answer(request, ollama.parse_generate(await read_body(request)))


@routes.post("/api/chat")
async def chat(request: web.Request) -> web.StreamResponse:
    """One answer to a list of messages; a stream unless the body says ``"stream": false``."""
    return await _answer(request, ollama.parse_chat(await read_body(request)))


async def _answer(request: web.Request, call: ollama.Call) -> web.StreamResponse:
    asked = with_terms(request, call.request, call.model)
    if call.only_renders:
        prompt = await request.app[NEEDS].prompts.render(call.request)
        return json_answer(request, ollama_prompts.debug(call, prompt, at_ns=time.time_ns()))
    if call.is_empty:
        return await _load_or_unload(request, call)
    events = request.app[NEEDS].inference.infer(asked)
    try:
        if call.stream:
            return await stream(request, events, ollama.AnswerEncoder(call))
        all_events = await collect(request, events)
    except Unsupported as error:
        raise _in_its_words(call, error) from None
    return json_answer(request, ollama.whole(call, all_events, at_ns=time.time_ns()))


def _in_its_words(call: ollama.Call, error: Unsupported) -> Unsupported:
    """Return ``error`` with the model as it was written; a chat is told that it is none of those.

    Ollama's clients look for both.
    """
    whose, lacks, what = error.message.partition(" does not support ")
    if whose == f'"{call.request.model}"':
        what = "chat" if call.is_chat and what == "generate" else what
        error.message = f'"{call.model}"{lacks}{what}'
    return error


async def _load_or_unload(request: web.Request, call: ollama.Call) -> web.Response:
    """A call with nothing to answer: one object, even where a stream was asked for."""
    asked = call.request
    if call.unloads:
        if ORIGIN in request or caller_of(request).key is not None:
            require_manager(request, "taking a model out of memory is managing, not inferring")
        await _unload(request, asked.model)
    else:
        await request.app[NEEDS].inference.load(asked.model, asked.options, asked.keep_alive)
    reason = "unload" if call.unloads else "load"
    return json_answer(request, ollama.resident(call, reason, at_ns=time.time_ns()))


@routes.post("/api/unload")
async def unload(request: web.Request) -> web.Response:
    """End a model's stay in memory; says whether it was there."""
    name, facts_of(request).written = ollama_models.parse_model(await read_body(request))
    name_model(request, name)
    return json_answer(request, wire.encode({"unloaded": await _unload(request, name)}))


async def _unload(request: web.Request, name: ModelName) -> bool:
    needs = request.app[NEEDS]
    if await needs.inference.unload(name):
        return True
    await needs.models.show(name)  # a name that nobody knows is an error
    return False


@routes.post("/api/pull")
async def pull(request: web.Request) -> web.StreamResponse:
    """Bring a model into the library, from a hub or from a file of this machine."""
    call = ollama_models.parse_pull(await read_body(request))
    pulls = request.app[NEEDS].pulls
    if call.name is not None:
        name_model(request, call.name)
    if call.path is not None:
        require_owner(request, "only the owner may import files of this machine")
        moments = pulls.import_file(call.path, call.name)
    else:
        assert call.name is not None, "parse_pull gives a name or a path"
        moments = pulls.pull(call.name, call.limit_bps)
    try:
        if call.stream:
            return await stream(request, moments, ollama_models.ProgressEncoder())
        return json_answer(request, ollama_models.progress(await last_moment(moments)))
    except BadModelFile as error:
        # From a hub it is the hub's fault; a file named in the request is the request's.
        return error_answer(request, error, status=400 if call.path else None)


@routes.post("/api/push")
async def push(request: web.Request) -> web.Response:
    """Refused in clear words: there is nowhere to push to."""
    error = Unsupported("pushing models is not offered", hint="publish the file on a hub instead")
    return error_answer(request, error)


@routes.post("/api/copy")
async def copy(request: web.Request) -> web.Response:
    """Give a model a second name; clients take 200 alone for success."""
    source, destination, written = ollama_models.parse_copy(await read_body(request))
    name_model(request, source)
    name_model(request, destination)
    try:
        await request.app[NEEDS].models.copy(source, destination)
    except ModelNotFound as error:
        error.message = f'model "{written}" not found'  # of all calls, this one quotes so
        raise
    return web.Response()


@routes.delete("/api/delete")
async def delete(request: web.Request) -> web.Response:
    """Take a model out of the library; clients take 200 alone for success."""
    name, facts_of(request).written = ollama_models.parse_model(await read_body(request))
    name_model(request, name)
    await request.app[NEEDS].models.delete(name)
    return web.Response()


@routes.post("/api/shutdown")
async def shutdown(request: web.Request) -> web.Response:
    """End the daemon in good order; the answer comes before the end."""
    request.app[NEEDS].request_shutdown()
    return json_answer(request, wire.encode({"status": "shutting down"}))
