"""Bytes from one socket to another and back, until one of them ends; and noticing that it did."""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from collections.abc import Callable

_CHUNK = 1 << 18
#: A peer that vanished without a word is noticed so many seconds after it said its last.
_IDLE_S, _AGAIN_S, _TIMES = 5, 2, 4


class Side(enum.Enum):
    """Which of two sockets ended first."""

    FIRST = enum.auto()
    SECOND = enum.auto()


def watch(peer: socket.socket) -> None:
    """Send small parts at once, and have the system notice when the other machine vanishes."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {
        "TCP_KEEPIDLE": _IDLE_S,
        "TCP_KEEPALIVE": _IDLE_S,  # what macOS calls it
        "TCP_KEEPINTVL": _AGAIN_S,
        "TCP_KEEPCNT": _TIMES,
        "TCP_USER_TIMEOUT": 1000 * (_IDLE_S + _AGAIN_S * _TIMES),
    }
    for name, value in wanted.items():
        if (option := getattr(socket, name, None)) is not None:
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.IPPROTO_TCP, option, value)


def join(
    first: socket.socket,
    second: socket.socket,
    on_end: Callable[[Side], object] = lambda side: None,
) -> Side:
    """Carry bytes both ways until one side ends; return which.

    Takes this thread and another one.  The caller closes both.

    Args:
        first: One side, connected.
        second: The other.
        on_end: Called once with the side that ended, before the other side can notice; on either
            thread.
    """
    ended: list[Side] = []
    lock = threading.Lock()

    def carry(source: socket.socket, sink: socket.socket, ends: tuple[Side, Side]) -> None:
        side = _carry(source, sink, ends)
        with lock:
            if not ended:
                ended.append(side)
                on_end(side)
        for each in (first, second):  # wakes the other direction
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    first.settimeout(None)
    second.settimeout(None)
    back = threading.Thread(
        target=carry, args=(second, first, (Side.SECOND, Side.FIRST)), name="relay", daemon=True
    )
    back.start()
    carry(first, second, (Side.FIRST, Side.SECOND))
    back.join()
    return ended[0]


def _carry(source: socket.socket, sink: socket.socket, ends: tuple[Side, Side]) -> Side:
    """Copy until one end fails; return which one of ``(source's, sink's)`` names."""
    buffer = memoryview(bytearray(_CHUNK))
    while True:
        try:
            n = source.recv_into(buffer)
        except OSError:
            n = 0
        if not n:
            return ends[0]
        try:
            sink.sendall(buffer[:n])
        except OSError:
            return ends[1]
