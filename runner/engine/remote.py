"""This side's relay to a device of another machine, and what happens when that is lost.

llama.cpp connects to a port of ours on loopback, which takes one connection, from this very
process, and carries it over the one that has proved the key.  Its client cannot live without its
server: it aborts the process, somewhere inside.  So when the other machine is gone the process
ends here, in words, before llama.cpp finds out.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable

import psutil

from runner.protocol.messages import LOST_DEVICE
from runner.relay.pipe import Side, join, watch

logger = logging.getLogger(__name__)

_ACCEPT_S = 30.0


def open_relay(peer: socket.socket, address: str, on_lost: Callable[[str], object]) -> str:
    """Return ``host:port`` on loopback for llama.cpp to connect to, once.

    Args:
        peer: What ``relay.caller.call`` returned; owned from here on.
        address: Of the device.
        on_lost: Called with it when the other side ends first; on a thread of the relay.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    port = int(listener.getsockname()[1])

    def carry() -> None:
        with peer:
            with listener:
                listener.settimeout(_ACCEPT_S)
                try:
                    inner = _accept_own(listener)
                except TimeoutError:
                    return  # nobody wants it any more
            with inner:
                watch(inner)
                join(inner, peer, lambda side: on_lost(address) if side is Side.SECOND else None)

    threading.Thread(target=carry, name=f"relay {address}", daemon=True).start()
    return f"127.0.0.1:{port}"


def end_process(address: str) -> None:
    """Say which device was lost, in the words that the daemon looks for, and end."""
    sys.stderr.write(f"{LOST_DEVICE}{address}\n")
    sys.stderr.flush()
    os._exit(1)


def _accept_own(listener: socket.socket) -> socket.socket:
    """Return the first connection that comes from this process: others have no business there."""
    while True:
        inner, caller = listener.accept()
        if _is_own(caller, listener.getsockname()):
            return inner
        logger.warning("turned away what is not of this process port=%d", caller[1])
        inner.close()


def _is_own(caller: tuple[str, int], here: tuple[str, int]) -> bool:
    return any(
        tuple(each.laddr) == caller and tuple(each.raddr) == here
        for each in psutil.Process().net_connections("tcp")
    )
