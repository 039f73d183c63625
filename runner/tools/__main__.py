"""A tool process: one long job on model files, over the pipe of a worker.

It ends when its job is done.  When the daemon closes the pipe, or dies, it ends at once; what it
was writing is the daemon's to remove.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

from runner import logs
from runner.engine.pipe import keep_the_pipe, sender
from runner.errors import CorralError, RequestError
from runner.protocol.failed import Failed
from runner.protocol.frames import BrokenFrame, Frames
from runner.protocol.tasks import Convert, Measure, Moment, Quantize, Result, Task, Time

logger = logging.getLogger(__name__)

_READ_SIZE = 1 << 16


def main(argv: list[str]) -> int:
    """Do the one task that comes; ``argv[2]`` is the log level."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    logs.configure(argv[2] if len(argv) > 2 else "info")
    pipe_in, pipe_out = keep_the_pipe()
    send = sender(pipe_out)
    first: SimpleQueue[Task] = SimpleQueue()
    threading.Thread(target=_read, args=(pipe_in, first), name="inbox", daemon=True).start()
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


def _do(task: Task, tell: Callable[[Moment], None]) -> Result:
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


def _read(pipe_in: int, first: SimpleQueue[Task]) -> None:
    """The inbox thread: hands over the task, then waits for the end of the pipe."""
    reader = Frames[Task](Task)
    try:
        while chunk := os.read(pipe_in, _READ_SIZE):
            for message in reader.feed(chunk):
                first.put(message)
    except (OSError, BrokenFrame) as error:
        logger.error("pipe error=%r", str(error))
    os._exit(1)
