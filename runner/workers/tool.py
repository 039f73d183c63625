"""One long job on model files, in a process of its own, seen from the thread that waits for it.

Unlike a model's worker it does one task and ends, and whoever waits is a thread and not the event
loop.  The process ends with the generator: closed early, it is killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from typing import IO, Any

import psutil

from runner.errors import RequestError, WorkerError, from_code
from runner.protocol.codec import BrokenFrame, FrameReader, encode
from runner.protocol.messages import Failed, Message
from runner.protocol.tasks import Moment, Result, Task
from runner.workers.channel import last_words

logger = logging.getLogger(__name__)

#: Seconds between two looks at whether to stop or to stand still.
_LOOK_S = 0.2
_READ_SIZE = 1 << 16
_N_LOG_LINES = 20
#: A tenth of what others get who want the same core: at the lowest of all, jobs would never end
#: on a machine that is busy for long.
_NICENESS = 10
_LAST_OF_CLASS = 7  # ioprio_set(2)


def run_tool(
    command: Sequence[str],
    task: Task,
    *,
    is_stopped: Callable[[], bool],
    is_held: Callable[[], bool],
) -> Generator[Moment, None, Result | None]:
    """Yield a task's moments and return its result; ``None`` when it was stopped.

    Args:
        command: The command line of a tool process.
        task: What to do.
        is_stopped: Whether to end the process; looked at a few times a second.
        is_held: Whether it should stand still, likewise.

    Raises:
        WorkerError: It could not be started, or died; what killed it is named.
        CorralError: What the process says went wrong.
    """
    process = _start(command)
    news: SimpleQueue[Message | None] = SimpleQueue()
    log_tail: deque[str] = deque(maxlen=_N_LOG_LINES)
    threads = [
        threading.Thread(target=_read, args=(process.stdout, news), name="tool-pipe"),
        threading.Thread(target=_log, args=(process.stderr, log_tail), name="tool-log"),
    ]
    for thread in threads:
        thread.start()
    try:
        with contextlib.suppress(OSError):  # its death is told by the other pipe
            assert process.stdin
            process.stdin.write(encode(task))
            process.stdin.flush()
        result = yield from _listen(process, news, is_stopped, is_held)
        if result is not None or is_stopped():
            return result
        code = process.wait()
        threads[1].join()
        raise _died(code, log_tail)
    finally:
        with contextlib.suppress(OSError):
            process.kill()  # one that stands still, too
        process.wait()
        for thread in threads:
            thread.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


def _listen(
    process: subprocess.Popen[bytes],
    news: SimpleQueue[Message | None],
    is_stopped: Callable[[], bool],
    is_held: Callable[[], bool],
) -> Generator[Moment, None, Result | None]:
    stands = False
    last = Moment("starting")
    while True:
        if is_stopped():
            yield last  # the caller closes us here
            return None
        if is_held() != stands:
            stands = not stands
            _hold(process.pid, stands=stands)
        try:
            message = news.get(timeout=_LOOK_S)
        except Empty:
            continue
        match message:
            case None:
                return None
            case Moment():
                last = message
                yield message
            case Failed():
                error = from_code(message.code, message.message, message.hint)
                if message.param and isinstance(error, RequestError):
                    error.param = message.param
                raise error
            case _ if isinstance(message, Result):
                return message
            case _:
                logger.error("a tool sent kind=%s", type(message).__name__)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the daemon's terminal is the daemon's to handle.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            **apart,
        )
    except OSError as error:
        raise WorkerError(f"cannot start a process for the job: {error}") from None
    _put_last(process.pid)
    return process


def _put_last(pid: int) -> None:
    """Have a process leave processor and disk to others who want them; so do its threads to come.

    From here, since what the process would need for it takes it longer to load than small work.
    """
    with contextlib.suppress(psutil.Error, OSError, AttributeError):
        child = psutil.Process(pid)
        if sys.platform == "win32":
            child.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
            child.ionice(psutil.IOPRIO_VERYLOW)
        else:
            child.nice(_NICENESS)
            # Last in its turn, but with turns: idle ones starve beside a busy disk.  Linux only.
            child.ionice(psutil.IOPRIO_CLASS_BE, _LAST_OF_CLASS)


def _read(pipe: IO[bytes], news: SimpleQueue[Message | None]) -> None:
    """Hand over what comes, then ``None``."""
    reader = FrameReader()
    try:
        while chunk := os.read(pipe.fileno(), _READ_SIZE):
            for message in reader.feed(chunk):
                news.put(message)
    except (OSError, ValueError, BrokenFrame) as error:
        logger.error("tool pipe error=%r", str(error))
    news.put(None)


def _log(pipe: IO[bytes], log_tail: deque[str]) -> None:
    """Pass the process's log on; it is formatted already."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            text = line.decode("utf-8", "replace").rstrip("\n")
            log_tail.append(text)
            logger.info("tool %s", text)


def _hold(pid: int, *, stands: bool) -> None:
    try:
        process = psutil.Process(pid)
        if stands:
            process.suspend()
        else:
            process.resume()
    except psutil.Error as error:
        logger.warning("a tool could not be held or let go: %s", error)


def _died(code: int, log_tail: deque[str]) -> WorkerError:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    words = last_words(log_tail)
    hint = "the log has more: corral daemon logs"
    if code == -9:  # what the system sends when it is out of memory
        hint = "was memory short? " + hint
    return WorkerError(
        f"the job's process ended unexpectedly ({how})" + (f": {words}" if words else ""),
        hint=hint,
    )
