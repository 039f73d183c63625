"""The side that uses a device: a connection to it that has proved the key."""

from __future__ import annotations

import socket
from typing import Any

from runner.errors import DeviceError
from runner.relay.handshake import greet
from runner.relay.pipe import watch

_CONNECT_S = 4.0


def call(address: str, key: str) -> tuple[socket.socket, dict[str, Any]]:
    """Return a connection that has proved the key, and what the other side says of its devices.

    Blocks for a few seconds at most, or for as long as drivers take to load there.

    Raises:
        DeviceError: It cannot be reached, refuses the key, or has nothing to give.
    """
    host, _, port = address.rpartition(":")
    try:
        peer = socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S)
    except (OSError, ValueError, UnicodeError, OverflowError) as error:
        raise DeviceError(
            f"the device {address} cannot be reached: {error}",
            hint="does 'corral share' run on that machine? does a firewall stand between?",
        ) from None
    try:
        told = greet(peer, key, address)
        watch(peer)
    except BaseException:
        peer.close()
        raise
    return peer, told
