"""``corral share``: lets those who know the key compute on this machine.

Every caller that proves the key gets a device process of its own, which ends with its connection:
what it loaded is gone then, and what it crashes is its own.  Each has a thread; few are expected.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable

from runner.errors import DeviceError
from runner.relay.handshake import Refused, admit, tell
from runner.relay.offered import Offered
from runner.relay.pipe import Side, join, watch

logger = logging.getLogger(__name__)

#: Callers who have not yet proved anything, and those who compute, at the same time.
MAX_STRANGERS, MAX_USERS = 16, 16


class Provider:
    """Serves a listening socket, which it owns, until ``close``."""

    def __init__(self, listener: socket.socket, key: str, start: Callable[[], Offered]) -> None:
        """Take what is needed.

        Args:
            listener: Bound and listening.
            key: What callers must prove to have.
            start: Starts a device's process.
        """
        self._listener = listener
        self._key = key
        self._start = start
        self._strangers = threading.BoundedSemaphore(MAX_STRANGERS)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._n_users = 0
        self._is_closed = False

    def serve(self) -> None:
        """Accept callers; returns after ``close``."""
        while not self._is_closed:
            try:
                peer, address = self._listener.accept()
            except OSError:
                if self._is_closed:
                    return
                continue  # a caller that left before it was taken
            if not self._strangers.acquire(blocking=False):
                peer.close()
                continue
            name = f"{address[0]}:{address[1]}"
            threading.Thread(target=self._meet, args=(peer, name), name=name, daemon=True).start()

    def close(self) -> None:
        """Send everybody away; safe from any thread."""
        self._is_closed = True
        with self._lock:
            peers = list(self._open)
        _end((self._listener, *peers))

    def _meet(self, peer: socket.socket, name: str) -> None:
        """One caller, from its first byte to its last."""
        with self._lock:
            self._open.add(peer)
        try:
            try:
                admit(peer, self._key)
            finally:
                self._strangers.release()
            self._admitted(peer, name)
        except Refused as reason:
            logger.warning("refused caller=%s: %s", name, reason)
        except OSError as error:
            logger.info("caller=%s left: %s", name, error)
        finally:
            with self._lock:
                self._open.discard(peer)
            peer.close()

    def _admitted(self, peer: socket.socket, name: str) -> None:
        with self._lock:
            is_full = self._n_users >= MAX_USERS
            self._n_users += not is_full
        if is_full:
            tell(peer, {"error": f"{MAX_USERS} others compute there already"})
            return
        try:
            watch(peer)
            self._compute(peer, name)
        except DeviceError as error:
            logger.error("no device for caller=%s: %s", name, error.message)
            with contextlib.suppress(OSError):
                tell(peer, {"error": error.message})
        finally:
            with self._lock:
                self._n_users -= 1

    def _compute(self, peer: socket.socket, name: str) -> None:
        offered = self._start()
        try:
            with offered.connect() as inner:
                watch(inner)
                tell(peer, {k: v for k, v in offered.told.items() if k != "port"})
                logger.info("caller=%s computes here pid=%d", name, offered.pid)
                first = join(peer, inner)
        finally:
            offered.close()
        if first is Side.FIRST:
            logger.info("caller=%s has left", name)
        else:
            logger.error("the device's process ended by itself caller=%s", name)


def _end(sockets: Iterable[socket.socket]) -> None:
    """Close sockets that other threads may be waiting on."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
