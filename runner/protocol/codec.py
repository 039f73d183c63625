"""All messages as frames on a pipe."""

from __future__ import annotations

from runner.protocol.frames import MAX_FRAME, BrokenFrame, Frames, encode
from runner.protocol.messages import Message

__all__ = ["MAX_FRAME", "BrokenFrame", "FrameReader", "encode"]


class FrameReader(Frames[Message]):
    """Turns the bytes of a pipe into messages, however they are cut."""

    def __init__(self) -> None:
        super().__init__(Message)
