"""Events to bytes on a socket, as they come."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, TypeVar

from aiohttp import web

from runner.domain.event import Event, Finished, TextDelta, ThinkingDelta, ToolCallDelta
from runner.domain.progress import Progress
from runner.errors import CorralError, WorkerError
from runner.server.answers import facts_of, is_gone

logger = logging.getLogger(__name__)

E_contra = TypeVar("E_contra", contravariant=True)
E = TypeVar("E", bound=Event | Progress)


class Encoder(Protocol[E_contra]):
    """How a dialect writes a stream; one for each answer, as it may count and remember."""

    @property
    def content_type(self) -> str:
        """Of the whole stream."""
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

    The headers wait for the first event, so a model that cannot load is still a plain 404 or
    500.  An error after that can only travel in the stream, in the dialect's own words.

    When the client leaves, aiohttp cancels this coroutine (``handler_cancellation``, set by
    ``app.runner_for``); closing ``events`` then aborts the work behind them.
    """
    facts = facts_of(request)
    async with aclosing(events):
        event = await _first(events)
        frames = encoder.encode(event)
        response = web.StreamResponse(
            headers={"Content-Type": encoder.content_type, "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        await response.write(frames)
        try:
            async for event in events:
                await response.write(encoder.encode(event))
            if isinstance(
                event, TextDelta | ThinkingDelta | ToolCallDelta
            ):  # must not look like an answer that ended
                raise _cut_off()
        except CorralError as error:
            facts.error = error.code
            await response.write(encoder.error(error))
        except Exception:
            if is_gone(request):
                raise
            logger.exception("unexpected error in a stream")
            facts.error = CorralError.code
            await response.write(encoder.error(CorralError("internal error")))
        if isinstance(event, Finished):
            facts.finished = event
    await response.write_eof()
    return response


async def collect(
    request: web.Request, events: AsyncGenerator[Event, None]
) -> tuple[list[Event], Finished]:
    """Return all events of an answer, and how it ended."""
    found: list[Event] = []
    async with aclosing(events):
        found.append(await _first(events))
        async for event in events:
            found.append(event)
    last = found[-1]
    if not isinstance(last, Finished):
        raise _cut_off()
    facts_of(request).finished = last
    return found, last


async def last_moment(moments: AsyncGenerator[Progress, None]) -> Progress:
    """Follow a job to its end and return its last moment."""
    async with aclosing(moments):
        last = await _first(moments)
        async for moment in moments:
            last = moment
    return last


async def _first(events: AsyncGenerator[E, None]) -> E:
    event = await anext(events, None)
    if event is None:
        raise WorkerError("there was no answer", hint="ask again")
    return event


def _cut_off() -> WorkerError:
    return WorkerError("the answer was cut off before its end", hint="ask again")
