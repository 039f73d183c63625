"""A tool process: one long job on model files, at low priority, over the pipe of a worker.

It ends when its job is done.  When the daemon closes the pipe, or dies, it ends at once; what it
was writing is the daemon's to remove.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

import psutil

from runner import logs
from runner.engine.pipe import keep_the_pipe, sender
from runner.errors import CorralError, RequestError
from runner.protocol.codec import BrokenFrame, FrameReader
from runner.protocol.messages import Failed, Message
from runner.protocol.tasks import Convert, Measure, Moment, Quantize, Result, Time

logger = logging.getLogger(__name__)

_READ_SIZE = 1 << 16
#: A tenth of what others get who want the same core: at the lowest of all, jobs would never end
#: on a machine that is busy for long.
_NICENESS = 10
_LAST_OF_CLASS = 7  # ioprio_set(2)


def main(argv: list[str]) -> int:
    """Do the one task that comes; ``argv[2]`` is the log level."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    logs.configure(argv[2] if len(argv) > 2 else "info")
    pipe_in, pipe_out = keep_the_pipe()
    send = sender(pipe_out)
    first: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_read, args=(pipe_in, first), name="inbox", daemon=True).start()
    _step_back()
    task = first.get()
    try:
        send(_do(task, send))
    except CorralError as error:
        param = (error.param or "") if isinstance(error, RequestError) else ""
        send(Failed("", error.code, error.message, error.hint, param))
    except Exception as error:
        logger.exception("the task failed")
        send(Failed("", "worker_failed", f"{type(error).__name__}: {error}"[:300]))
    sys.stderr.flush()
    os._exit(0)  # what the engine holds goes back with the process


def _do(task: Message, tell: Callable[[Moment], None]) -> Result:
    # Here, because each loads a library of its own that the others have no use for.
    match task:
        case Quantize():
            from runner.tools import quantize

            return quantize.run(task, tell)
        case Measure():
            from runner.tools import perplexity

            return perplexity.run(task, tell)
        case Time():
            from runner.tools import bench

            return bench.run(task, tell)
        case Convert():
            from runner.tools.convert import task as converting

            return converting.run(task, tell)
        case _:
            raise CorralError(f"expected a task, got {type(task).__name__}")


def _read(pipe_in: int, first: SimpleQueue[Message]) -> None:
    """The inbox thread: hands over the task, then waits for the end of the pipe."""
    reader = FrameReader()
    try:
        while chunk := os.read(pipe_in, _READ_SIZE):
            for message in reader.feed(chunk):
                first.put(message)
    except (OSError, BrokenFrame) as error:
        logger.error("pipe error=%r", str(error))
    os._exit(1)


def _step_back() -> None:
    """Leave processor and disk to others who want them."""
    own = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError, AttributeError):
        if sys.platform == "win32":
            own.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
            own.ionice(psutil.IOPRIO_VERYLOW)
        else:
            own.nice(_NICENESS)
            # Last in its turn, but with turns: idle ones starve beside a busy disk.  Linux only.
            own.ionice(psutil.IOPRIO_CLASS_BE, _LAST_OF_CLASS)
