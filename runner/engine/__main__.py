"""A worker process: keeps the pipe to the daemon, loads one model, runs the loop.

Its stdin and stdout are the pipe.  Anything else that prints goes to stderr, which is the log.
When the daemon closes the pipe, or dies, the worker ends at once, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from runner import logs
from runner.domain.loading import LoadStage
from runner.engine.disk import DiskTier
from runner.engine.loop import Loop
from runner.engine.pipe import keep_the_pipe, sender
from runner.engine.prepare import failed
from runner.engine.remote import end_process
from runner.errors import CorralError
from runner.kv.key import CacheKey
from runner.kv.shelf import Shelf
from runner.protocol.codec import BrokenFrame, FrameReader
from runner.protocol.messages import (
    FLUSH_S,
    Load,
    Loaded,
    Loading,
    Message,
    Shutdown,
)

if TYPE_CHECKING:
    from runner.engine.llama.backend import LlamaBackend

logger = logging.getLogger(__name__)

#: Prompts that wait to be written to disk may take so much memory, in bytes, or the host tier's.
_PENDING_BYTES = 256 << 20
#: Seconds that a worker which was told to end has for the rest, when its pipe has closed.
_LAST_S = FLUSH_S + 0.5
_READ_SIZE = 1 << 20
#: Of 1000: as if so much of the machine's memory were this process's, beside what is.
_OOM_SCORE = "500"
#: Seconds until a thread that computes must let another one on.  Python's own 5 ms, several times
#: a step, would let a template that does not end slow all running answers down to a crawl.
_SWITCH_S = 0.0002


def main(argv: list[str]) -> int:
    """Serve one model until told to stop; ``argv[2]`` is the log level."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    sys.setswitchinterval(_SWITCH_S)
    _be_the_first_to_go()
    logs.configure(argv[2] if len(argv) > 2 else "info")
    pipe_in, pipe_out = keep_the_pipe()
    send = sender(pipe_out)
    inbox = _Inbox(pipe_in)
    threading.Thread(target=inbox.read_all, name="inbox", daemon=True).start()
    load = inbox.first.get()
    if not isinstance(load, Load):
        logger.error("expected Load, got kind=%s", type(load).__name__)
        return 2
    loop = _load(load, send)
    if loop is None:
        return 1
    gc.freeze()  # a search of all this for garbage would hold up a step for 20 ms
    inbox.connect(loop.receive)
    loop.run()
    sys.stderr.flush()
    os._exit(0)  # the model's memory goes back with the process; no need to free it piece by piece


def _be_the_first_to_go() -> None:
    """Have Linux end this process, where memory runs out, before the daemon or the user's own.

    What was lost with it is loaded again, with less.  Source: ``proc_pid_oom_score_adj(5)``.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


class _Inbox:
    """Reads the pipe from the first moment on, so that its end is noticed during a load, too."""

    def __init__(self, pipe_in: int) -> None:
        self.first: SimpleQueue[Message] = SimpleQueue()
        self._pipe_in = pipe_in
        self._lock = threading.Lock()
        self._early: list[Message] = []  # what came before there was a loop
        self._receive: Callable[[Message], None] | None = None
        self._is_ending = False

    def connect(self, receive: Callable[[Message], None]) -> None:
        """Hand over what came and what will come."""
        with self._lock:
            for message in self._early:
                receive(message)
            self._receive = receive

    def read_all(self) -> None:
        """The inbox thread.  Ends the process when the pipe ends, or when it fails itself."""
        reader = FrameReader()
        n_read = 0
        try:
            while chunk := os.read(self._pipe_in, _READ_SIZE):
                for message in reader.feed(chunk):
                    n_read += 1
                    self._is_ending |= isinstance(message, Shutdown)
                    self._deliver(message, is_first=n_read == 1)
        except (OSError, BrokenFrame) as error:
            logger.error("pipe error=%r", str(error))
            os._exit(1)
        except Exception:
            logger.exception("reading the pipe failed")
            os._exit(1)
        if (
            self._is_ending and self._receive
        ):  # the loop ends by itself, once it has written what is worth it
            time.sleep(_LAST_S)
        os._exit(0)

    def _deliver(self, message: Message, *, is_first: bool) -> None:
        if is_first:
            self.first.put(message)
            return
        with self._lock:
            if self._receive is None:
                self._early.append(message)
            else:
                self._receive(message)


def _load(load: Load, send: Callable[[Message], None]) -> Loop | None:
    """Load the model and say so; ``None`` when it failed, which was said, too."""
    from runner.engine.llama.draft import load_draft  # after fd 1 is safe from its prints
    from runner.engine.llama.placed import load_placed

    told = _Stages(load.request_id, send)
    try:
        resident = load_placed(load, end_process, told.tell)
        backend = resident.backend
        has_draft = load.draft_path and backend.n_cold_max
        if has_draft:
            told.tell(LoadStage.DRAFT, 0.0)
        draft = load_draft(load, backend, resident.draft_devices) if has_draft else None
    except CorralError as error:
        send(failed(load.request_id, error))
        return None
    loop = Loop(
        backend.model,
        backend,
        send,
        n_host_bytes=load.n_host_bytes,
        disk=_disk(load, backend),
        draft=draft,
    )
    send(
        Loaded(
            load.request_id,
            n_ctx=backend.n_ctx,
            n_cells=backend.n_cells,
            n_threads=backend.n_threads,
            can_infill=backend.model.infill is not None,
            placed=resident.placed,
            note=resident.note,
        )
    )
    return loop


class _Stages:
    """Tells how far a load is, a percent at a time."""

    def __init__(self, request_id: str, send: Callable[[Message], None]) -> None:
        self._request_id = request_id
        self._send = send
        self._last: tuple[LoadStage, int] | None = None

    def tell(self, stage: LoadStage, share: float) -> None:
        """Tell of a stage, unless that was told; called on the thread that loads."""
        now = (stage, int(share * 100))
        if now != self._last:
            self._last = now
            self._send(Loading(self._request_id, stage, min(1.0, max(0.0, share))))


def _disk(load: Load, backend: LlamaBackend) -> DiskTier | None:
    """Return what this model keeps on disk, if anything."""
    if not (load.generates and load.disk_folder and load.n_disk_bytes and load.digest):
        return None
    key = CacheKey(load.digest, backend.build, backend.cache_settings)
    return DiskTier(
        Shelf(Path(load.disk_folder)),
        key,
        n_bytes_max=load.n_disk_bytes,
        n_pending_max=max(load.n_host_bytes, _PENDING_BYTES),
    )
