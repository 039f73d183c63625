"""Frames on a pipe: four bytes of length, little-endian, then MessagePack of one message."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from runner.protocol.messages import Message

_LENGTH = struct.Struct("<I")
#: A prompt of millions of tokens still fits; a length beyond it means a broken pipe partner.
MAX_FRAME = 256 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)
# Text that is not UTF-8 and endless nesting come out of msgspec as Python's own errors.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class BrokenFrame(Exception):
    """The other side sent something that is not a message."""


def encode(message: Message) -> bytes:
    """Return one whole frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Turns the bytes of a pipe into messages, however they are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Message]:
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
                    message: Message = _decoder.decode(body)
                except _UNDECODABLE as error:
                    raise BrokenFrame(str(error)) from None
                yield message
        finally:
            del buffer[:start]
