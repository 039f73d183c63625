"""Frames on a pipe: four bytes of length, little-endian, then MessagePack of one message.

Which messages there are is for others: ``codec.py`` knows them all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

_LENGTH = struct.Struct("<I")
#: A prompt of millions of tokens still fits; a length beyond it means a broken pipe partner.
MAX_FRAME = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
# Text that is not UTF-8 and endless nesting come out of msgspec as Python's own errors.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class BrokenFrame(Exception):
    """The other side sent something that is not a message."""


def encode(message: msgspec.Struct) -> bytes:
    """Return one whole frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames(Generic[T]):
    """Turns the bytes of a pipe into messages, however they are cut."""

    def __init__(self, kind: Any) -> None:
        """Begin; ``kind`` is the type, or the union of types, that messages have."""
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[T]:
        """Yield every message that ``chunk`` completes.

        Raises:
            BrokenFrame: A length beyond ``MAX_FRAME``, or a body that is no message.
        """
        buffer = self._buffer
        buffer += chunk
        start = 0
        try:
            while len(buffer) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if length > MAX_FRAME:
                    raise BrokenFrame(f"a frame of {length} bytes")
                end = start + _LENGTH.size + length
                if len(buffer) < end:
                    break
                body = bytes(buffer[start + _LENGTH.size : end])
                start = end
                try:
                    message = self._decoder.decode(body)
                except _UNDECODABLE as error:
                    raise BrokenFrame(str(error)) from None
                yield message
        finally:
            del buffer[:start]
