"""Whether a hub's host answers at all, found out soon.

The hubs' clients try one address of a host after the other, each for as long as their time-out
allows, so a network that swallows everything keeps a person waiting for minutes.  Here all
addresses are tried side by side, a moment apart (RFC 8305), and all together for some seconds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as NotInTime
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from runner.hub.connection import proxy_for

#: For finding the host's addresses and connecting to one of them, together.
PATIENCE_S = 3.0
#: Between the beginnings of two attempts (RFC 8305, section 5).
_APART_S = 0.25
#: For so long a host that answered is not asked again.
_TRUSTED_S = 60.0
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})

_Address = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Reach:
    """Knows which hosts answered lately.  Safe from any thread.

    Attributes:
        patience_s: How long a host may take.
        clock: Seconds that never go back.
    """

    patience_s: float = PATIENCE_S
    clock: Callable[[], float] = time.monotonic
    _answered_at: dict[tuple[str, int], float] = field(default_factory=dict)

    def check(self, url: str) -> None:
        """Return when the host of ``url`` takes connections, or a proxy stands before it.

        Raises:
            OSError: It does not, or not in time; its text is fit to show.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
        if not host or proxy_for(parts.scheme, parts.netloc):
            return  # the client tells what is wrong with the address, or asks the proxy
        at = self._answered_at.get((host, port))
        if at is not None and self.clock() - at < _TRUSTED_S:
            return
        _connect(host, port, self.clock() + self.patience_s, self)
        self._answered_at[host, port] = self.clock()


def _connect(host: str, port: int, deadline: float, reach: Reach) -> None:
    """Connect to one of the host's addresses and hang up; raises like ``Reach.check``."""
    pending = _addresses(host, port, deadline - reach.clock())
    late = TimeoutError(f"no answer within {reach.patience_s:g} seconds")
    last: OSError = late
    next_at = reach.clock()
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        while pending or waiting.get_map():
            now = reach.clock()
            if now >= deadline:
                raise late
            if pending and (now >= next_at or not waiting.get_map()):
                next_at = now + _APART_S
                try:
                    _begin(pending.pop(0), stack, waiting)
                except OSError as error:
                    last = error
                    continue
            wait_s = min(deadline, next_at if pending else deadline) - now
            for key, _ in waiting.select(max(0.0, wait_s)):
                sock: socket.socket = key.data
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return
                waiting.unregister(sock)
                last = OSError(code, os.strerror(code))
    raise last


def _begin(address: _Address, stack: contextlib.ExitStack, waiting: selectors.BaseSelector) -> None:
    """Begin to connect; raises ``OSError`` when that is refused at once."""
    family, kind, protocol, _, place = address
    sock = stack.enter_context(socket.socket(family, kind, protocol))
    sock.setblocking(False)
    code = sock.connect_ex(place)
    if code and code not in _UNDER_WAY:
        raise OSError(code, os.strerror(code))
    waiting.register(sock, selectors.EVENT_WRITE, sock)


def _addresses(host: str, port: int, patience_s: float) -> list[_Address]:
    """Return the host's addresses, both families by turns; raises ``OSError``.

    The system's own resolver cannot be broken off, so it is left behind when it takes too long.
    """
    found: Future[list[_Address]] = Future()

    def ask() -> None:
        try:
            found.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except Exception as error:  # carried over to the thread that waits
            found.set_exception(error)

    threading.Thread(target=ask, name="hub-address", daemon=True).start()
    try:
        addresses = found.result(max(0.0, patience_s))
    except NotInTime:
        raise TimeoutError(f"its address was not found within {patience_s:.0f} seconds") from None
    except UnicodeError:  # a label that no name can have
        raise OSError("there is no such host") from None
    sixth = [one for one in addresses if one[0] == socket.AF_INET6]
    fourth = [one for one in addresses if one[0] != socket.AF_INET6]
    mixed: list[_Address] = []
    for number in range(max(len(sixth), len(fourth))):
        mixed += [*sixth[number : number + 1], *fourth[number : number + 1]]
    return mixed
