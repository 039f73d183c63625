"""One worker's pipe: requests go down, what comes up is routed to whoever waits for it.

The end of the process fails every waiter at once.  Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import cast

from runner.errors import (
    CorralError,
    DeadlineExceeded,
    DeviceError,
    PromptTooLong,
    RequestError,
    WorkerError,
    from_code,
)
from runner.protocol.codec import BrokenFrame, FrameReader, encode
from runner.protocol.messages import (
    LOST_DEVICE,
    Abort,
    AskCache,
    CacheState,
    ClearCache,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Loading,
    Message,
    Render,
    Rerank,
    Shutdown,
    Started,
    Step,
    Tokenize,
    Tokenized,
    UseThreads,
)
from runner.workers.deaths import died_of_want, n_oom_kills, was_struck_down

logger = logging.getLogger(__name__)

_N_LOG_LINES = 20
_MAX_LOG_LINE = 64 * 1024  # bytes; a worker that prints without end must not fill the daemon
#: Seconds that a process may outlive its stdout, and its pipes may outlive it.
_LINGER_S = 0.3
#: Seconds after its deadline in which the worker may say of a request that it has passed: it looks
#: between two steps.  A process in a long step, or one that stands still, says nothing.
_LATE_S = 2.0

#: How a C or Python program says why it dies; log lines begin with their time instead.
_LAST_WORDS = re.compile(r"\D.*GGML_ASSERT|terminate called|\s*what\(\):|\w*(Error|Exception)\b")

#: Questions with one answer, and these answers.
Question = Load | Tokenize | Detokenize | Render | Embed | Rerank | Inspect | AskCache | ClearCache
Answer = Loaded | Tokenized | Embedded | Inspected | CacheState
#: What a request hears: its start, its text, its end.
Reply = Started | Delta


class Channel(asyncio.SubprocessProtocol):
    """The pipe to one worker process; made by ``loop.subprocess_exec``.

    Attributes:
        exited: Done when the process has ended and all it said was read; its result is the
            exit code.
        log_tail: The last lines it logged.
        found_no_memory: Whether the process died of that; false while it lives.
        is_crash: Whether less may help against what it died of; false while it lives.
        n_steps: Decode steps it has computed.
        n_tokens: Tokens it has computed.
        on_loading: Called with how far the load is.
        on_work: Called with whether there is work now: when the first request to compute comes,
            and when the last one ends.
        on_device_lost: Called with its address when the process ended because a device of another
            machine was lost.
    """

    def __init__(self, name: str, on_exit: Callable[[], None]) -> None:
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.log_tail: deque[str] = deque(maxlen=_N_LOG_LINES)
        self.found_no_memory = False
        self.is_crash = False
        self.n_steps = 0
        self.n_tokens = 0
        self.on_loading: Callable[[Loading], None] = lambda stage: None
        self.on_work: Callable[[bool], None] = lambda has_work: None
        self.on_device_lost: Callable[[str], None] = lambda address: None
        self._at_work: set[str] = set()
        self._name = name
        self._on_exit = on_exit
        self._reader = FrameReader()
        self._log_rest = b""
        self._streams: dict[str, asyncio.Queue[Reply | CorralError]] = {}
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._transport: asyncio.SubprocessTransport | None = None
        self._n_oom_kills = n_oom_kills()
        self._is_killed = False  # by us, when it did not end
        self._is_broken = False  # it sent what is no message: nothing more is taken from it

    @property
    def pid(self) -> int:
        """The worker's process id; 0 before it started."""
        return (self._transport.get_pid() or 0) if self._transport else 0

    @property
    def n_active(self) -> int:
        """Requests that have not ended."""
        return len(self._streams)

    async def ask(self, request: Question) -> Answer:
        """Send a request that has one answer, and return it; cancelling aborts it in the worker.

        Raises:
            CorralError: The worker refused, failed or died.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[request.request_id] = future
        try:
            if isinstance(request, Embed | Rerank):
                self._begin(request.request_id)
            self._send(request)
            async with _until(_end_s(request)):
                return await future
        except (asyncio.CancelledError, DeadlineExceeded):
            if future.cancelled() and isinstance(request, Embed | Rerank):
                self._tell(Abort(request.request_id))
            raise
        finally:
            self._answers.pop(request.request_id, None)
            self._end_work(request.request_id)

    async def stream(self, request: Generate) -> AsyncGenerator[Reply, None]:
        """Send a request and yield what comes back, until its last ``Delta``.

        Closing the generator early aborts the request in the worker.

        Raises:
            CorralError: The worker refused, failed or died.
        """
        queue: asyncio.Queue[Reply | CorralError] = asyncio.Queue()
        self._streams[request.request_id] = queue
        is_over = False
        try:
            self._begin(request.request_id)
            self._send(request)
            end_s = _end_s(request)
            while not is_over:
                if end_s is None:
                    reply = await queue.get()
                else:
                    async with _until(end_s):
                        reply = await queue.get()
                if isinstance(reply, CorralError):
                    is_over = True
                    raise reply
                is_over = isinstance(reply, Delta) and reply.finish is not None
                yield reply
        finally:
            self._streams.pop(request.request_id, None)
            self._end_work(request.request_id)
            if not is_over:
                self._tell(Abort(request.request_id))

    def use_threads(self, n: int) -> None:
        """Have the worker compute with so many threads from its next step on."""
        self._tell(UseThreads(n))

    def abort(self, request_id: str) -> None:
        """Give a request up, but hear its end."""
        self._tell(Abort(request_id))

    def shut_down(self) -> None:
        """Ask the worker to end, and close its pipe, which ends it for certain."""
        self._tell(Shutdown())
        if self._transport and (pipe := self._transport.get_pipe_transport(0)):
            pipe.close()

    def break_off(self, error: CorralError) -> None:
        """Fail everything that waits, and ask the worker to end."""
        self._fail_all(error)
        self.shut_down()

    def _begin(self, request_id: str) -> None:
        """Take note of work, before the worker hears of it."""
        self._at_work.add(request_id)
        if len(self._at_work) == 1:
            self.on_work(True)

    def _end_work(self, request_id: str) -> None:
        """Take note of its end, however slowly its client reads."""
        if request_id in self._at_work:
            self._at_work.discard(request_id)
            if not self._at_work:
                self.on_work(False)

    def _send(self, message: Message) -> None:
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is None or pipe.is_closing() or self.exited.done():
            raise self._died()
        cast(asyncio.WriteTransport, pipe).write(encode(message))

    def _tell(self, message: Message) -> None:
        """Send what matters to a living worker only."""
        with contextlib.suppress(WorkerError):
            self._send(message)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._log(data)
            return
        if self._is_broken:
            return
        try:
            for message in self._reader.feed(data):
                self._route(message)
        except BrokenFrame as error:
            self._is_broken = True
            logger.error("worker=%s sent a broken frame: %s", self._name, error)
            self.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:  # it is ending, or of no use any more
            asyncio.get_running_loop().call_later(_LINGER_S, self.kill)

    def process_exited(self) -> None:
        # Its last words may still be in the pipes; ``connection_lost`` comes when they are read.
        asyncio.get_running_loop().call_later(_LINGER_S, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        """Tell everyone, once, that the process is gone."""
        if self.exited.done():
            return
        code = self._transport.get_returncode() if self._transport else None
        code = code if code is not None else -1
        self.exited.set_result(code)
        if self._log_rest:
            self._log(b"\n")
        cause = 1 if self._is_killed else code  # a signal of ours tells nothing
        self.found_no_memory = died_of_want(cause, self.log_tail, self._n_oom_kills, n_oom_kills())
        self.is_crash = self.found_no_memory or was_struck_down(cause)
        error = self._died()
        self._fail_all(error)
        if isinstance(error, DeviceError):
            self.on_device_lost(error.address)
        if self._transport:
            self._transport.close()
        self._on_exit()

    def kill(self) -> None:
        """End the process without asking."""
        if self._transport:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()
                self._is_killed = True

    def _route(self, message: Message) -> None:
        match message:
            case Step():
                self.n_steps, self.n_tokens = message.n_steps, message.n_tokens
                for delta in message.deltas:
                    if delta.finish is not None:
                        self._end_work(delta.request_id)
                    if queue := self._streams.get(delta.request_id):
                        queue.put_nowait(delta)
            case Started():
                if queue := self._streams.get(message.request_id):
                    queue.put_nowait(message)
            case Loaded() | Tokenized() | Embedded() | Inspected() | CacheState():
                self._end_work(message.request_id)
                future = self._answers.get(message.request_id)
                if future and not future.done():
                    future.set_result(message)
            case Failed():
                self._fail(message)
            case _:
                self._route_rest(message)

    def _route_rest(self, message: Message) -> None:
        if isinstance(message, Loading):
            self.on_loading(message)
        else:
            logger.error("worker=%s sent kind=%s", self._name, type(message).__name__)

    def _fail(self, failed: Failed) -> None:
        error = from_code(failed.code, failed.message, failed.hint)
        if failed.param and isinstance(error, RequestError):
            error.param = failed.param
        if isinstance(error, PromptTooLong):
            error.n_prompt = failed.n_needed
        self._end_work(failed.request_id)
        if queue := self._streams.get(failed.request_id):
            queue.put_nowait(error)
        future = self._answers.get(failed.request_id)
        if future and not future.done():
            future.set_exception(error)

    def _fail_all(self, error: CorralError) -> None:
        for queue in self._streams.values():
            queue.put_nowait(error)
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error)

    def _died(self) -> WorkerError:
        if address := _lost_device(self.log_tail):
            lost = DeviceError(
                f"the device {address} was lost in the midst of work (model {self._name})",
                hint="try again: the model is loaded without it",
            )
            lost.address = address
            return lost
        reason = "the model's process ended unexpectedly"
        if self.exited.done():
            reason += _shown_exit(self.exited.result())
        if words := last_words(self.log_tail):
            reason += f": {words}"
        elif self.found_no_memory:
            reason += ": there was no memory left for it"
        how = "with less" if self.is_crash else "anew"
        error = WorkerError(
            f"{reason} (model {self._name})",
            hint=f"try again, the model will be loaded {how}; the log has more: corral daemon logs",
        )
        error.is_crash = self.is_crash
        return error

    def _log(self, chunk: bytes) -> None:
        """Pass the worker's log on; it is formatted already."""
        *lines, rest = (self._log_rest + chunk).split(b"\n")
        self._log_rest = rest[-_MAX_LOG_LINE:]
        for line in lines:
            text = line.decode("utf-8", "replace")
            self.log_tail.append(text)
            logger.info("worker=%s %s", self._name, text)


def _end_s(request: Question | Generate) -> float | None:
    """When a request must have ended whatever its worker does, on the loop's clock."""
    if not isinstance(request, Generate | Embed | Rerank) or request.terms.deadline_s is None:
        return None
    return asyncio.get_running_loop().time() + request.terms.deadline_s + _LATE_S


@contextlib.asynccontextmanager
async def _until(end_s: float | None) -> AsyncGenerator[None, None]:
    """Wait inside this block until then at most.

    Raises:
        DeadlineExceeded: The block had not ended.
    """
    waiting = asyncio.timeout_at(end_s)
    try:
        async with waiting:
            yield
    except TimeoutError:
        if not waiting.expired():
            raise
        raise DeadlineExceeded(
            "the request's deadline passed, and the model's process says nothing",
            hint="a step of a large model takes its time; if it stands still: corral stop MODEL",
        ) from None


def last_words(log_tail: Iterable[str]) -> str:
    """Return what a dying process printed as its reason; empty when it died in silence."""
    said = [line.strip()[:300] for line in log_tail if _LAST_WORDS.match(line)]
    return said[-1] if said else ""


def _lost_device(log_tail: Iterable[str]) -> str:
    """Return the address of the device that a dying process lost; empty when it lost none."""
    said = [line.removeprefix(LOST_DEVICE) for line in log_tail if line.startswith(LOST_DEVICE)]
    return said[-1].strip() if said else ""


def _shown_exit(code: int) -> str:
    """How the process ended; a negative code is the signal's number."""
    return f" (signal {-code})" if code < 0 else f" (exit code {code})"
