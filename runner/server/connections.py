"""Connections: how many there may be, and how long they may keep us waiting.

A head that does not arrive in time, a client that does not read what it asked for, and one
connection too many end here, below every handler.  The parts of aiohttp's protocol that this
leans on (``_waiter``, ``_handler_waiter``, ``_request_count``, ``handle_error``) have no public
names; the tests of this file fail should they change.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from runner.dialects import ollama, wire
from runner.errors import CapacityError, CorralError, InvalidRequest, TooLarge

logger = logging.getLogger(__name__)

#: Bytes of the request line and of one header, and how many headers there may be.
MAX_LINE = 16 * 1024
MAX_HEADERS = 128

#: Connections beyond the limit that are still told so, in their own dialect; the rest is cut.
_N_TOLD = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections, and how patient we are with them; times in seconds.

    Attributes:
        n_most: Open at the same time.
        n_most_of_peer: Of them, from one other machine; this machine's own are not counted apart.
        head_s: For a request's line and headers, from the connection's beginning or the head's
            first byte.
        idle_s: Between two requests.
        body_s: Between two pieces of a body.
        write_s: For a client to read so much that there is room for more.
        linger_s: For the rest of a body that is answered already, so that its client can read why.
    """

    n_most: int = 1024
    n_most_of_peer: int = 128
    head_s: float = 20.0
    idle_s: float = 120.0
    body_s: float = 30.0
    write_s: float = 60.0
    linger_s: float = 3.0


LIMITS = web.AppKey("limits", Limits)


@dataclass(slots=True)
class Ledger:
    """Which connections are open."""

    limits: Limits
    _peers: Counter[str] = field(default_factory=Counter)

    @property
    def n_open(self) -> int:
        """Connections open now."""
        return self._peers.total()

    def enter(self, peer: str) -> CapacityError | None:
        """Count a connection; return why it may ask nothing."""
        self._peers[peer] += 1
        limits = self.limits
        if self.n_open > limits.n_most:
            return _crowded(f"{limits.n_most} connections are open, which is the limit")
        if self._peers[peer] > limits.n_most_of_peer and not _is_local(peer):
            return _crowded(f"{limits.n_most_of_peer} connections of your machine are open")
        return None

    def leave(self, peer: str) -> None:
        """Count a connection no longer."""
        self._peers[peer] -= 1
        if self._peers[peer] <= 0:
            del self._peers[peer]


LEDGER = web.AppKey("ledger", Ledger)


class Connection(web.RequestHandler):
    """One connection, held to its limits.

    Attributes:
        refused: Why its requests are not answered; ``None``: they are.
    """

    __slots__ = ("_answered", "_head_timer", "_ledger", "_peer", "_write_timer", "refused")

    def __init__(self, server: web.Server, ledger: Ledger, **options: Any) -> None:
        super().__init__(server, **options)
        self.refused: CapacityError | None = None
        self._ledger = ledger
        self._peer: str | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self.refused = self._ledger.enter(self._peer)
        super().connection_made(transport)
        if self.refused and self._ledger.n_open > self._ledger.limits.n_most + _N_TOLD:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it no longer; once, though aiohttp may be told twice."""
        if self._peer is not None:
            self._ledger.leave(self._peer)
            self._peer = None
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head must be followed by its end in time."""
        n_requests = self._request_count
        super().data_received(data)
        if self._request_count != n_requests:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None and self._is_waiting:
            self._await_head()

    def pause_writing(self) -> None:
        """More is written than the client reads: it has some time to read it."""
        super().pause_writing()
        limits = self._ledger.limits
        if self._write_timer is None:
            self._write_timer = self._loop.call_later(limits.write_s, self._cut_unread)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP in our form."""
        if not isinstance(exc, BadHttpMessage):
            return super().handle_error(request, status, exc, message)
        logger.info("refused what is no HTTP: %s", type(exc).__name__)
        error, status = _refusal_of_head(exc)
        response = _bare_answer(error, status)
        response.force_close()
        return response

    @property
    def _handler_waiter(self) -> asyncio.Future[None] | None:
        """What the end of the daemon waits for, while it does: the answer that is under way.

        WORKAROUND https://github.com/Tribler/tribler/issues/8156: aiohttp 3.14 tells a wait that
        has just timed out as well, and logs the fault that this is, though the answer was sent.
        """
        waiter = self._answered
        return None if waiter is None or waiter.done() else waiter

    @_handler_waiter.setter
    def _handler_waiter(self, waiter: asyncio.Future[None] | None) -> None:
        self._answered = waiter

    @property
    def _is_waiting(self) -> bool:
        """Whether no request is being answered, so that what arrives belongs to a head."""
        return self._waiter is not None and not self._waiter.done()

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._ledger.limits.head_s, self._cut_slow)

    def _cut_slow(self) -> None:
        self._head_timer = None
        if self.transport is None:
            return
        limit = self._ledger.limits.head_s
        error = InvalidRequest(f"the request's headers did not arrive within {limit:g} s")
        body = wire.encode(ollama.error_body(error))
        head = (
            "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
            f"Content-Type: {ollama.CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(head.encode() + body)
        self.force_close()

    def _cut_unread(self) -> None:
        self._write_timer = None
        if isinstance(self.transport, asyncio.Transport):
            limit = self._ledger.limits.write_s
            logger.info("cut a client that read nothing for seconds=%g", limit)
            self.transport.abort()


class _Server(web.Server):
    """Makes our connections in place of aiohttp's."""

    def __init__(self, ledger: Ledger, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._ledger = ledger

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._ledger, loop=self._loop, **self._kwargs)


class LimitedRunner(web.AppRunner):
    """Serves an application on connections that are held to its limits."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        ledger = self.app[LEDGER]
        return _Server(
            ledger,
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **{
                **made._kwargs,
                "keepalive_timeout": ledger.limits.idle_s,
                "lingering_time": ledger.limits.linger_s,
                "max_line_size": MAX_LINE,
                "max_field_size": MAX_LINE,
                "max_headers": MAX_HEADERS,
            },
        )


def refusal_of(request: web.Request) -> CapacityError | None:
    """Return why this connection's requests are not answered; ``None``: they are."""
    protocol = request.protocol
    return protocol.refused if isinstance(protocol, Connection) else None


def unread_encoding() -> InvalidRequest:
    """Return the error of a body that is encoded in what nobody here decodes; a 415."""
    hint = "send it as it is, or with gzip or deflate"
    return InvalidRequest("the body's Content-Encoding is not read here", hint=hint)


def _refusal_of_head(error: BadHttpMessage) -> tuple[CorralError, int]:
    if isinstance(error, LineTooLong) or "too many" in str(error).lower():
        return (
            TooLarge(
                f"the request line or a header is larger than {MAX_LINE} bytes,"
                f" or there are more than {MAX_HEADERS} headers",
                hint="what is long belongs into the body",
            ),
            431,
        )
    if "content-encoding" in str(error):  # aiohttp's words, where it lacks the decoder
        return unread_encoding(), 415
    return InvalidRequest("this is no HTTP request", hint="is it meant for HTTPS?"), 400


def _bare_answer(error: CorralError, status: int) -> web.Response:
    body = wire.encode(ollama.error_body(error))
    return web.Response(body=body, status=status, headers={"Content-Type": ollama.CONTENT_TYPE})


def _crowded(message: str) -> CapacityError:
    return CapacityError(message, hint="close some, or try again in a moment")


def _is_local(peer: str) -> bool:
    if not peer:  # a socket in the file system
        return True
    try:
        return ipaddress.ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
