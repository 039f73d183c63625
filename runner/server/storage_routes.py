"""The library on the disk.

``/api/du``, ``/api/folder``, ``/api/verify``, ``/api/repair`` and ``/api/prune``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from runner.dialects import jobs as job_words, storage
from runner.domain.progress import Progress
from runner.domain.storage import Repaired, Verified
from runner.server.answers import facts_of, json_answer, read_body
from runner.server.callers import require_owner
from runner.server.marks import caller_of
from runner.server.needs import NEEDS
from runner.server.stream import cut_off, stream

routes = web.RouteTableDef()

T = TypeVar("T", Verified, Repaired)


@routes.get("/api/du")
async def disk_use(request: web.Request) -> web.Response:
    """What the library takes of the disk: each model, what models share, and the rest."""
    use = await request.app[NEEDS].storage.disk_use()
    if not caller_of(request).is_owner:  # nobody else hears where files are
        use = replace(use, folder="")
    return json_answer(request, storage.disk_use(use))


@routes.get("/api/folder")
async def show_folder(request: web.Request) -> web.Response:
    """Where the models are kept, and what is free there."""
    return json_answer(request, storage.folder(await request.app[NEEDS].folders.told()))


@routes.post("/api/folder")
async def choose_folder(request: web.Request) -> web.Response:
    """Keep the models elsewhere: begin the job that moves them, or only use what is there."""
    call = storage.parse_folder(await read_body(request))
    require_owner(request, "only the owner may name folders of this machine")
    folders = request.app[NEEDS].folders
    if call.moves and not call.is_dry:
        return json_answer(request, job_words.job(await folders.move(call.folder)), status=201)
    plan = await (folders.plan if call.is_dry else folders.use)(call.folder)
    return json_answer(request, storage.folder_plan(plan, is_dry=call.is_dry))


@routes.post("/api/verify")
async def verify(request: web.Request) -> web.StreamResponse:
    """Whether one model, or all, are what they should be; ``deep`` reads every byte."""
    call = storage.parse_verify(await read_body(request))
    facts_of(request).model = str(call.name or "")
    moments = request.app[NEEDS].storage.verify(call.name, is_deep=call.is_deep)
    return await _told(request, moments, call.stream)


@routes.post("/api/repair")
async def repair(request: web.Request) -> web.StreamResponse:
    """Mend a damaged model; what is good of its files is not fetched again."""
    call = storage.parse_repair(await read_body(request))
    facts_of(request).model = str(call.name)
    return await _told(request, request.app[NEEDS].storage.repair(call.name), call.stream)


@routes.post("/api/prune")
async def prune(request: web.Request) -> web.Response:
    """Remove what no model and no job needs; ``dry_run`` only says what that is."""
    is_dry = storage.parse_prune(await read_body(request))
    told = await request.app[NEEDS].storage.prune(is_dry=is_dry)
    return json_answer(request, storage.pruned(told))


async def _told(
    request: web.Request, moments: AsyncGenerator[Progress | T, None], is_stream: bool
) -> web.StreamResponse:
    if is_stream:
        return await stream(request, moments, storage.MomentEncoder())
    last: Progress | T | None = None
    async with aclosing(moments):
        async for moment in moments:
            last = moment
    if last is None or isinstance(last, Progress):
        raise cut_off()
    return json_answer(request, storage.result(last))
