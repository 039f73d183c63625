"""A child's end of the pipe to the daemon: its own stdin and stdout, kept from everybody else.

Anything else that prints goes to stderr, which is the log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.protocol.frames import encode

if TYPE_CHECKING:  # a tool process knows few of them, and starts sooner without the others
    from runner.protocol.messages import Message


def keep_the_pipe() -> tuple[int, int]:
    """Move stdin and stdout away, so that nobody else reads or prints there; return both."""
    pipe_in, pipe_out = os.dup(0), os.dup(1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    os.close(devnull)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(pipe_in, os.O_BINARY)
        msvcrt.setmode(pipe_out, os.O_BINARY)
    return pipe_in, pipe_out


def sender(pipe_out: int) -> Callable[[Message], None]:
    """Return ``send``; only one thread may call it.  When the daemon is gone, the process ends."""

    def send(message: Message) -> None:
        frame = memoryview(encode(message))
        try:
            while frame:
                frame = frame[os.write(pipe_out, frame) :]
        except OSError:
            os._exit(0)  # the daemon is gone

    return send
