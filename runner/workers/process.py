"""One worker process, from start to end.

    Starting ──► Ready ──► Stopping ──► Ended
        └───────────┴── crash ──────────►┘

``start`` returns a ready worker or raises; a worker that ended is never used again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psutil

from runner.errors import CorralError, DeviceError, NotEnoughMemory, WorkerError
from runner.protocol.messages import Embed, Embedded, Generate, Load, Loaded, Loading, Rerank
from runner.workers.channel import Channel, Reply
from runner.workers.deaths import says_want_of_memory

logger = logging.getLogger(__name__)

#: Seconds a worker has for ending by itself.
_STOP_GRACE_S = 3.0

_ids = itertools.count(1)


def new_request_id() -> str:
    """Return an id that no other request of this daemon has."""
    return f"r{next(_ids)}"


@dataclass(slots=True)
class Worker:
    """A ready worker.

    Attributes:
        channel: Its pipe.
        pid: Its process id.
        loaded: What it said when the model was loaded.
    """

    channel: Channel
    pid: int
    loaded: Loaded

    @classmethod
    async def start(
        cls,
        name: str,
        command: list[str],
        load: Load,
        *,
        timeout_s: float,
        on_exit: Callable[[], None],
        on_loading: Callable[[Loading], None] = lambda moment: None,
    ) -> Worker:
        """Start a process and load a model into it.

        Args:
            name: The model, for messages.
            command: The command line of a worker.
            load: What to load.
            timeout_s: Seconds the load may take.
            on_exit: Called once when the process has ended, whyever.
            on_loading: Called with how far the load is.

        Raises:
            WorkerError: It could not be started, or its load failed or took too long.
            NotEnoughMemory: There was none for it.
        """
        channel = await _spawn(name, command, on_exit)
        channel.on_loading = on_loading
        try:
            async with asyncio.timeout(timeout_s):
                loaded = await channel.ask(load)
        except BaseException as error:
            await end(channel)
            reason = last_error(channel.log_tail)
            if isinstance(error, TimeoutError):
                raise WorkerError(
                    f"loading {name} took longer than {timeout_s:g} seconds",
                    hint="a slow disk? raise CORRAL_LOAD_TIMEOUT",
                ) from None
            if isinstance(error, WorkerError) and not isinstance(error, DeviceError):
                raise _explained(error, reason, channel) from None
            raise
        assert isinstance(loaded, Loaded)
        return cls(channel, channel.pid, loaded)

    def generate(self, request: Generate) -> AsyncGenerator[Reply, None]:
        """Run a request; see ``Channel.stream``."""
        return self.channel.stream(request)

    def abort(self, request_id: str) -> None:
        """Give a request up; its answer ends as ``aborted``, unless it has ended already."""
        self.channel.abort(request_id)

    async def embed(self, request: Embed | Rerank) -> Embedded:
        """Run a request for vectors or scores; see ``Channel.ask``."""
        answer = await self.channel.ask(request)
        assert isinstance(answer, Embedded), "the worker answers what it was asked"
        return answer

    @property
    def n_placed(self) -> int:
        """Bytes that its model took of accelerators' memory."""
        return sum(one.n_bytes for one in self.loaded.placed)

    def n_resident(self) -> int:
        """Bytes of main memory the process holds; 0 when it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def n_private(self) -> int:
        """Bytes of memory that are free when the process ends; 0 when it has ended."""
        try:
            process = psutil.Process(self.pid)
            if sys.platform == "linux":
                found = process.memory_info()
                return max(0, int(found.rss - found.shared))
            return int(process.memory_full_info().uss)
        except psutil.Error:
            return 0

    async def stop(self) -> None:
        """End the process: asked first, killed after a grace time."""
        await end(self.channel)


def _explained(error: WorkerError, reason: str, channel: Channel) -> CorralError:
    """The error with llama.cpp's own reason, if it told one; it may be want of memory."""
    message = f"{error.message}: {reason}" if reason else error.message
    if channel.found_no_memory or says_want_of_memory(reason):
        return NotEnoughMemory(message, hint="close other programs, or use a smaller model")
    told = WorkerError(message, hint=error.hint)
    told.is_crash = error.is_crash
    return told


async def end(channel: Channel) -> None:
    """End a process: asked first, killed after a grace time; returns when it is gone.

    Who is cancelled meanwhile waits no longer than it takes to kill it: nobody else would.
    """
    channel.shut_down()
    try:
        await asyncio.wait_for(asyncio.shield(channel.exited), _STOP_GRACE_S)
    except TimeoutError:
        logger.warning("killing a worker that does not end pid=%d", channel.pid)
        channel.kill()
        await channel.exited
    except asyncio.CancelledError:
        channel.kill()
        await asyncio.shield(channel.exited)
        raise


async def _spawn(name: str, command: list[str], on_exit: Callable[[], None]) -> Channel:
    # A session of its own: Ctrl-C in the daemon's terminal is the daemon's to handle.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        _, channel = await asyncio.get_running_loop().subprocess_exec(
            lambda: Channel(name, on_exit),
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            **apart,
        )
    except OSError as error:
        raise WorkerError(f"cannot start a process for {name}: {error}") from None
    return channel


def last_error(log_tail: Iterable[str]) -> str:
    """Return llama.cpp's first complaint among the last lines of a worker's log; may be empty.

    The first one names the cause; those after it tell how the failure went up its callers.
    """
    for line in log_tail:
        head, mark, reason = line.partition(" llama.cpp: ")
        if mark and " ERROR " in head:
            return reason
    return ""
