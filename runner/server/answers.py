"""Responses: bodies, errors with their statuses, and a record of what the log line will say."""

from __future__ import annotations

import asyncio
import copy
import math
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

import msgspec
from aiohttp import HttpVersion11, web

from runner.dialects import ollama, wire
from runner.dialects.anthropic import errors as anthropic_errors
from runner.dialects.openai import chat as openai_chat, errors as openai_errors
from runner.domain.event import Finished
from runner.errors import (
    Cancelled,
    CapacityError,
    CorralError,
    DeadlineExceeded,
    DeviceError,
    Forbidden,
    JobNotFound,
    JobUnderWay,
    KeyNotFound,
    ModelNotFound,
    NotEnoughMemory,
    NotOnHub,
    RequestError,
    RequestNotFound,
    SourceError,
    StoreBusy,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthorized,
)
from runner.server.absent import INSTEAD
from runner.server.connections import LIMITS, refusal_of
from runner.server.marks import DOOR, caller_of

#: Paths of rerankers, and those of vLLM and llama-server, that stand under no version.
_UNVERSIONED = frozenset(
    {
        *("/rerank", "/reranking", "/score", "/tokenize", "/detokenize", "/apply-template"),
        *("/chat/completions", "/chat/completions/input_tokens", "/completions", "/embeddings"),
        *("/responses", "/responses/input_tokens", "/models"),
    }
)

#: Largest body taken, in bytes.
MAX_BODY = 64 * 1024 * 1024

#: What a body may be encoded in: aiohttp decodes it, or has refused it where it lacks the decoder.
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})

#: The first class that fits gives the status.
STATUSES: tuple[tuple[type[CorralError], int], ...] = (
    (ModelNotFound, 404),
    (RequestNotFound, 404),
    (JobNotFound, 404),
    (KeyNotFound, 404),
    (JobUnderWay, 409),
    (Unauthorized, 401),
    (TooLarge, 413),
    (TooSlow, 408),
    (Forbidden, 403),
    (RequestError, 400),
    (DeadlineExceeded, 504),
    (TooManyRequests, 429),
    (CapacityError, 503),
    (NotOnHub, 404),
    (Cancelled, 499),
    (SourceError, 502),
    (DeviceError, 502),
)
#: Seconds after which another try is worth it.
_RETRY_AFTER: tuple[tuple[type[CorralError], int], ...] = (
    (StoreBusy, 5),
    (NotEnoughMemory, 10),
    (CapacityError, 1),
)


@dataclass(slots=True)
class Facts:
    """What the log line of one request tells beside method, path and status.

    ``written``: the model as the caller wrote it, for the error that there is none.
    """

    model: str = ""
    written: str = ""
    finished: Finished | None = None
    error: str = ""

    def count(self, finished: Finished) -> None:
        """Take the end of an answer; the tokens of several are added up."""
        if self.finished is not None:
            usage = self.finished.usage.plus(finished.usage)
            finished = replace(finished, usage=usage, hit=self.finished.hit)
        self.finished = finished


FACTS = web.RequestKey("facts", Facts)


def facts_of(request: web.Request) -> Facts:
    """Return the record of ``request``, made when it is first asked for."""
    facts = request.get(FACTS)
    if facts is None:
        facts = request[FACTS] = Facts()
    return facts


def is_openai(request: web.Request) -> bool:
    """Whether the caller speaks OpenAI's dialect, or a reranker's, by the path."""
    path = request.path
    is_its_own = path.startswith(("/v1/", "/v2/")) or path in _UNVERSIONED or path in INSTEAD
    return is_its_own and not is_anthropic(request)


def is_anthropic(request: web.Request) -> bool:
    """Whether the caller speaks Anthropic's: by the path, or by a header where both share it."""
    path = request.path
    return path.startswith("/v1/messages") or (
        path.startswith("/v1/models") and "anthropic-version" in request.headers
    )


def is_gone(request: web.Request) -> bool:
    """Whether the client has left, so that nobody can be told anything."""
    return request.transport is None or request.transport.is_closing()


async def read_body(request: web.Request) -> bytes:
    """Return the body.

    Raises:
        web.HTTPUnsupportedMediaType: It is encoded as nobody here reads.
        web.HTTPRequestEntityTooLarge: It is larger than ``MAX_BODY``.
        TooSlow: It stopped coming.
    """
    if request.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise web.HTTPUnsupportedMediaType
    announced = request.content_length or 0
    if announced > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY, announced)
    pieces: list[bytes] = []
    n_read = 0
    async with aclosing(body_pieces(request)) as coming:
        async for piece in coming:
            n_read += len(piece)
            if n_read > MAX_BODY:
                raise web.HTTPRequestEntityTooLarge(MAX_BODY, n_read)
            pieces.append(piece)
    return b"".join(pieces)


async def no_answer_yet(_: web.Request) -> None:
    """Leave ``Expect`` for later: aiohttp would ask for the body before the door was looked at."""


async def body_pieces(request: web.Request) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes, which a client that waits to be asked for it is told first.

    Raises:
        TooSlow: It stopped coming.
    """
    if request.headers.get("Expect") and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # none of it is the answer's
    limit_s = request.app[LIMITS].body_s
    n_read = 0
    while True:
        try:
            async with asyncio.timeout(limit_s):
                piece = await request.content.readany()
        except TimeoutError:
            raise TooSlow(
                f"the body stopped after {n_read} bytes, and nothing came for {limit_s:g} s",
                hint="send all of it",
            ) from None
        if not piece:
            return
        n_read += len(piece)
        yield piece


def json_answer(request: web.Request, body: bytes, *, status: int = 200) -> web.Response:
    """Return a response with ``body``, which is JSON already, typed as the dialect does."""
    is_ollamas = not (is_openai(request) or is_anthropic(request))
    kind = ollama.CONTENT_TYPE if is_ollamas else openai_chat.CONTENT_TYPE
    return web.Response(body=body, status=status, headers={"Content-Type": kind})


def told_to(request: web.Request, error: CorralError) -> CorralError:
    """Return ``error`` as this caller may hear it: only the owner hears where files are."""
    access = request.app[DOOR].access
    message, hint = access.concealed(error.message), access.concealed(error.hint)
    if caller_of(request).is_owner or (message, hint) == (error.message, error.hint):
        return error
    told = copy.copy(error)
    told.message, told.hint = message, hint
    return told


def error_answer(
    request: web.Request, error: CorralError, *, status: int | None = None
) -> web.Response:
    """Return ``error`` in the caller's dialect, with the status of its class unless given."""
    if status is None:
        status = next((number for cls, number in STATUSES if isinstance(error, cls)), 500)
    facts = facts_of(request)
    facts.error = error.code
    if facts.written and isinstance(error, ModelNotFound):
        error = ModelNotFound(facts.written)  # clients look for the name that they sent
    error = told_to(request, error)
    body: msgspec.Struct
    headers = {}
    if is_anthropic(request):
        request_id = headers["request-id"] = f"req_{secrets.token_hex(12)}"
        body = anthropic_errors.error_body(error, status, request_id)
    elif is_openai(request):
        body = openai_errors.error_body(error, status)
    else:
        body = ollama.error_body(error)
    response = json_answer(request, wire.encode(body), status=status)
    response.headers.update(headers)
    if status == 504:  # clients of OpenAI ask again after 5xx by themselves, unless told otherwise
        response.headers["X-Should-Retry"] = "false"
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(math.ceil(error.wait_s) or 1)
    if status in (401, 408, 413) or refusal_of(request):
        # The rest of a body that nobody reads must not be taken for the next request.
        response.force_close()
    if status == 503:
        wait_s = next((wait for cls, wait in _RETRY_AFTER if isinstance(error, cls)), 1)
        response.headers["Retry-After"] = str(wait_s)
    return response
