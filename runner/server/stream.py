"""Events to bytes on a socket, as they come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol, Self, TypeVar

from aiohttp import web

from runner.domain.event import Event, Finished
from runner.domain.loading import LoadMoment
from runner.domain.model import RunningModel
from runner.domain.progress import Progress
from runner.domain.storage import Repaired, Verified
from runner.errors import CorralError, WorkerError
from runner.server.answers import facts_of, is_gone, told_to
from runner.server.metrics import METRICS, GapClock

logger = logging.getLogger(__name__)

#: Seconds without a word after which a client hears that its answer is still on the way.
PING_S = 10.0

E_contra = TypeVar("E_contra", contravariant=True)
Moment = Progress | LoadMoment | RunningModel
E = TypeVar("E", bound=Event | Moment | Verified | Repaired)
M = TypeVar("M", bound=Moment)


class Encoder(Protocol[E_contra]):
    """How a dialect writes a stream; one for each answer, as it may count and remember."""

    @property
    def content_type(self) -> str:
        """Of the whole stream."""
        ...

    @property
    def ping(self) -> bytes:
        """What says that an answer is still to come; empty where the dialect has no such thing."""
        ...

    def encode(self, event: E_contra, /) -> bytes:
        """Return the frames of one event."""
        ...

    def error(self, error: CorralError, /) -> bytes:
        """Return the frames that end a stream which failed."""
        ...


async def stream(
    request: web.Request, events: AsyncGenerator[E, None], encoder: Encoder[E]
) -> web.StreamResponse:
    """Send each event as it comes.

    The headers wait for the first bytes, so a model that cannot load is still a plain 404 or
    500.  An error after that can only travel in the stream, in the dialect's own words.  Once the
    prompt is being computed, a wait of ``PING_S`` makes the encoder's ``ping`` the next bytes.

    When the client leaves, aiohttp cancels this coroutine (``handler_cancellation``, set by
    ``app.runner_for``); closing ``events`` then aborts the work behind them.
    """
    facts = facts_of(request)
    clock = GapClock(request.app[METRICS].gaps)
    event: E | None = None
    async with aclosing(events), _Sender(request, encoder.content_type, encoder.ping) as sender:
        try:
            async for event in events:
                if isinstance(event, Finished):
                    facts.count(event)
                clock.tick(event)
                if frames := encoder.encode(event):
                    await sender.send(frames)
                sender.watch()
            if event is None:
                raise _no_answer()
            if not isinstance(event, Finished | Progress | RunningModel | Verified | Repaired):
                raise cut_off()  # it must not look like an answer that ended
        except CorralError as error:
            if not sender.has_begun:
                raise
            facts.error = error.code
            await sender.send(encoder.error(told_to(request, error)))
        except Exception:
            if is_gone(request) or not sender.has_begun:
                raise
            logger.exception("unexpected error in a stream")
            facts.error = CorralError.code
            await sender.send(encoder.error(CorralError("internal error")))
    await sender.response.write_eof()
    return sender.response


class _Sender:
    """Writes one response: headers with the first bytes, and a ping where nothing comes for long.

    Leaving it as a context ends the pings.
    """

    def __init__(self, request: web.Request, content_type: str, ping: bytes) -> None:
        headers = {"Content-Type": content_type, "Cache-Control": "no-cache"}
        self.response = web.StreamResponse(headers=headers)
        self._request = request
        self._ping = ping
        self._lock = asyncio.Lock()
        self._is_quiet = True
        self._pings: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether headers went."""
        return self.response.prepared

    async def send(self, frames: bytes) -> None:
        """Send whole frames."""
        async with self._lock:  # nothing goes before the headers, whoever sends them
            self._is_quiet = False
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write(frames)

    def watch(self) -> None:
        """From now on, let no wait be silent for longer than ``PING_S``, twice that at most."""
        if self._ping and self._pings is None:
            self._pings = asyncio.create_task(self._ping_when_quiet())

    async def _ping_when_quiet(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has left: others notice
            while True:
                self._is_quiet = True
                await asyncio.sleep(PING_S)
                if self._is_quiet:
                    await self.send(self._ping)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pings is not None:
            self._pings.cancel()
            await asyncio.gather(self._pings, return_exceptions=True)


async def collect(request: web.Request, events: AsyncGenerator[Event, None]) -> list[Event]:
    """Return all that came of an answer, its end last.

    Raises:
        WorkerError: It has no end.
    """
    found: list[Event] = []
    await follow(request, events, found.append)
    return found


async def follow(
    request: web.Request, events: AsyncGenerator[Event, None], take: Callable[[Event], object]
) -> Finished:
    """Hand every event of an answer to ``take``; returns how it ended.

    Raises:
        WorkerError: It has no end.
    """
    event: Event | None = None
    async with aclosing(events):
        async for event in events:
            take(event)
            if isinstance(event, Finished):
                facts_of(request).count(event)
    if event is None:
        raise _no_answer()
    if not isinstance(event, Finished):
        raise cut_off()
    return event


async def last_moment(moments: AsyncGenerator[M, None]) -> M:
    """Follow a job to its end and return its last moment."""
    async with aclosing(moments):
        last = await _first(moments)
        async for moment in moments:
            last = moment
    return last


async def _first(events: AsyncGenerator[E, None]) -> E:
    event = await anext(events, None)
    if event is None:
        raise _no_answer()
    return event


def _no_answer() -> WorkerError:
    return WorkerError("there was no answer", hint="ask again")


def cut_off() -> WorkerError:
    """Return the error of an answer that has no end."""
    return WorkerError("the answer was cut off before its end", hint="ask again")
