r"""Who may use a shared device: both sides prove that they know its key, and never send it.

    sharing side                                 using side
    ── "corral-device 1\n", 32 random bytes ──►
                       ◄── 32 random bytes, proof of the using side
    ── one byte: + or -, proof of the sharing side ──►
    ── 4 bytes of length, JSON: {"build", "devices"} or {"error"} ──►
    ◄── from here on llama.cpp's own protocol ──►

A proof is an HMAC-SHA256, under the key, of the side's name and both random numbers, so one that
was overheard is of no use again, and neither side can be made to answer its own question.  What
follows is neither encrypted nor protected against somebody between the two who changes it.

Blocking, on plain sockets; safe from any thread.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from runner.errors import DeviceError

_MAGIC = b"corral-device 1\n"
_NONCE, _PROOF = 32, hashlib.sha256().digest_size
_YES, _NO = b"+", b"-"
_LENGTH = struct.Struct("<I")
_MAX_TOLD = 64 * 1024
#: Seconds for the proofs, and for a device of the other side to get ready after them.
PROOF_S, READY_S = 5.0, 60.0


class Refused(Exception):
    """Whoever called has not the key, or is no Corral at all."""


def new_key() -> str:
    """Return a key: 192 random bits, as letters that need no quotes."""
    return secrets.token_urlsafe(24)


def proof(key: str, side: str, theirs: bytes, ours: bytes) -> bytes:
    """Return what ``side`` proves itself with.

    Args:
        key: The key.
        side: ``sharing`` or ``using``.
        theirs: The random bytes of the sharing side.
        ours: Those of the using side.
    """
    return hmac.new(key.encode(), side.encode() + theirs + ours, hashlib.sha256).digest()


def admit(peer: socket.socket, key: str) -> None:
    """Ask a caller for its proof, and give ours; the sharing side.

    Raises:
        Refused: It has not the key, or was too slow.
        OSError: It left.
    """
    deadline = time.monotonic() + PROOF_S
    nonce = secrets.token_bytes(_NONCE)
    peer.settimeout(PROOF_S)
    peer.sendall(_MAGIC + nonce)
    try:
        theirs = _read(peer, _NONCE + _PROOF, deadline)
    except TimeoutError:
        raise Refused("it was too slow to prove that it has the key") from None
    their_nonce, their_proof = theirs[:_NONCE], theirs[_NONCE:]
    if not hmac.compare_digest(their_proof, proof(key, "using", nonce, their_nonce)):
        peer.sendall(_NO + bytes(_PROOF))
        raise Refused("it does not have the key")
    peer.sendall(_YES + proof(key, "sharing", nonce, their_nonce))


def tell(peer: socket.socket, told: Mapping[str, Any]) -> None:
    """Say what the device is, or that there is none."""
    body = json.dumps(told).encode()
    peer.sendall(_LENGTH.pack(len(body)) + body)


def greet(peer: socket.socket, key: str, address: str) -> dict[str, Any]:
    """Prove that we have the key, ask the same of the other side; return what its device is.

    Args:
        peer: Connected to it.
        key: The key.
        address: For messages.

    Raises:
        DeviceError: It is no shared device, refuses the key, or has no device to give.
    """
    try:
        _prove(peer, key, address)
        deadline = time.monotonic() + READY_S
        (length,) = _LENGTH.unpack(_read(peer, _LENGTH.size, deadline))
        if length > _MAX_TOLD:
            raise ValueError(f"{length} bytes")
        told = json.loads(_read(peer, length, deadline))
        if not isinstance(told, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"the device {address} does not answer as a shared device does: {error}",
            hint=f"is this what 'corral share' prints there? see its log; then try {address} again",
        ) from None
    if reason := told.get("error"):
        raise DeviceError(f"the device {address} is not ready: {str(reason)[:300]}")
    return told


def _prove(peer: socket.socket, key: str, address: str) -> None:
    deadline = time.monotonic() + PROOF_S
    peer.settimeout(PROOF_S)
    opening = _read(peer, len(_MAGIC) + _NONCE, deadline)
    if not opening.startswith(_MAGIC):
        raise ValueError("something else listens there")
    theirs, ours = opening[len(_MAGIC) :], secrets.token_bytes(_NONCE)
    peer.sendall(ours + proof(key, "using", theirs, ours))
    verdict = _read(peer, 1 + _PROOF, deadline)
    if verdict[:1] != _YES:
        raise DeviceError(
            f"the device {address} refuses the key",
            hint="'corral share' on that machine shows the right one",
        )
    if not hmac.compare_digest(verdict[1:], proof(key, "sharing", theirs, ours)):
        raise DeviceError(
            f"what answers at {address} does not have the key itself",
            hint="it may be a program that stands in its place: look at that machine",
        )


def _read(peer: socket.socket, n: int, deadline: float) -> bytes:
    """Return exactly ``n`` bytes.

    Raises:
        TimeoutError: They did not come in time, however slowly they came.
        OSError: The other side left.
    """
    found = bytearray()
    while len(found) < n:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        peer.settimeout(left_s)
        part = peer.recv(n - len(found))
        if not part:
            raise ConnectionResetError("it closed the connection")
        found += part
    return bytes(found)
