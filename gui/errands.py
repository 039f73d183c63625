"""Calls and streams on threads of their own, their results on the GUI's thread.

``call`` runs one blocking call of the client and hands its result back; ``stream`` does so with
every event of an answer, gathered so that a fast one cannot flood the event loop.

A callback runs on the GUI's thread, or not at all once its ``Task`` was cancelled.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from runner.client import launch
from runner.client.client import Client
from runner.client.connection import Stream
from runner.domain.address import Address
from runner.errors import CorralError
from runner.paths import Paths

logger = logging.getLogger(__name__)

T = TypeVar("T")
Failed = Callable[[CorralError], object]

#: Calls and streams at once; the others wait.
_N_AT_ONCE = 32
#: Milliseconds between two deliveries of a stream: as often as a screen can show.
_FRAME_MS = 33


class Task:
    """A call or stream under way; ``cancel`` ends it, and no callback comes after."""

    def __init__(self, *, is_stream: bool = False) -> None:
        self.is_cancelled = False
        self.is_stream = is_stream
        self._lock = threading.Lock()
        self._close: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Give it up; a stream's answer is aborted in the engine.  Any thread."""
        with self._lock:
            self.is_cancelled = True
            close, self._close = self._close, None
        if close is not None:
            # Closing a socket may wait; the thread that draws may not.
            threading.Thread(target=close, name="close", daemon=True).start()

    def closes_by(self, close: Callable[[], None]) -> bool:
        """Remember how to end it; returns whether it was cancelled already."""
        with self._lock:
            self._close = None if self.is_cancelled else close
            return self.is_cancelled


class _Gathered(Generic[T]):
    """Events on their way to the GUI's thread: added by one thread, delivered by the other."""

    def __init__(self, task: Task, took: Callable[[list[T]], object]) -> None:
        self._task = task
        self._took = took
        self._events: deque[T] = deque()
        self._is_due = threading.Event()

    def add(self, event: T) -> bool:
        """Keep ``event``; returns whether a delivery must be asked for."""
        self._events.append(event)
        if self._is_due.is_set():
            return False
        self._is_due.set()
        return True

    def deliver_soon(self, _: object) -> None:
        """Deliver with the next frame."""
        QTimer.singleShot(_FRAME_MS, lambda: self.deliver(None))

    def deliver(self, _: object) -> None:
        """Hand over all there is."""
        self._is_due.clear()
        events = [self._events.popleft() for _ in range(len(self._events))]
        if events and not self._task.is_cancelled:
            self._took(events)


class _Relay(QObject):
    """Carries a callback to the GUI's thread."""

    posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def post(self, work: Callable[[], object]) -> None:
        """Have ``work`` done on the GUI's thread; any thread."""
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile: nobody waits for it
            self.posted.emit(work)

    @Slot(object)
    def _run(self, work: Callable[[], object]) -> None:
        work()


class Errands(QObject):
    """Made on the GUI's thread; its methods return at once.

    Attributes:
        paths: Where the daemon's token is.
        address: Where it answers.

    Signals:
        begun: A call or a stream has begun.
    """

    begun = Signal()

    def __init__(self, paths: Paths, address: Address) -> None:
        super().__init__()
        self.paths = paths
        self.address = address
        self._relay = _Relay()
        self._tasks: set[Task] = set()
        self._tasks_lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_N_AT_ONCE)

    @property
    def is_quiet(self) -> bool:
        """Whether no call and no stream is under way."""
        return not self._tasks

    @property
    def is_streaming(self) -> bool:
        """Whether an answer or another stream is still coming."""
        with self._tasks_lock:
            return any(task.is_stream for task in self._tasks)

    def call(
        self,
        work: Callable[[Client], T],
        done: Callable[[T], object] | None = None,
        failed: Failed | None = None,
    ) -> Task:
        """Run ``work`` with a client; ``done`` gets its result, or ``failed`` its error."""
        task = Task()

        def run() -> None:
            try:
                result = work(self._client())
            except CorralError as error:
                self._post(task, failed, error)
            except Exception as error:
                logger.exception("a call failed")
                self._post(task, failed, CorralError(str(error)))
            else:
                self._post(task, done, result)

        self._start(task, run)
        return task

    def stream(
        self,
        begin: Callable[[Client], Stream[T]],
        took: Callable[[list[T]], object],
        done: Callable[[], object],
        failed: Failed,
    ) -> Task:
        """Follow a stream; ``took`` gets its events in order, several at a time.

        Exactly one of ``done`` and ``failed`` follows the last events, unless it is cancelled.
        """
        task = Task(is_stream=True)
        gathered = _Gathered(task, took)
        self._start(task, lambda: self._follow(task, begin, gathered, done, failed))
        return task

    def post(self, work: Callable[[], object]) -> None:
        """Have ``work`` done on the GUI's thread; any thread."""
        self._relay.post(work)

    def cancel_all(self) -> None:
        """Cancel what is under way; what is begun afterwards still runs."""
        with self._tasks_lock:
            under_way = list(self._tasks)
        for task in under_way:
            task.cancel()

    def _client(self) -> Client:
        """Return a client for one errand; called on its thread."""
        return launch.client_for(self.paths, self.address)

    def _start(self, task: Task, work: Callable[[], None]) -> None:
        """Do ``work`` on a thread of its own.

        Such a thread does not keep the process from ending; those of a ``QThreadPool`` do, however
        long the answer is that they wait for.
        """
        with self._tasks_lock:
            self._tasks.add(task)
        self.begun.emit()

        def run() -> None:
            try:
                with self._places:
                    if not task.is_cancelled:
                        work()
            finally:
                with self._tasks_lock:
                    self._tasks.discard(task)
                self.let_go(work)

        threading.Thread(target=run, name="link", daemon=True).start()

    def let_go(self, *held: object) -> None:
        """Have this and what is ``held`` let go of on the GUI's thread once the caller's is over.

        What is Qt's can crash where one thread destroys it and another what it is connected to.
        """
        self._relay.post(partial(_join, threading.current_thread(), self, *held))

    def _follow(
        self,
        task: Task,
        begin: Callable[[Client], Stream[T]],
        gathered: _Gathered[T],
        done: Callable[[], object],
        failed: Failed,
    ) -> None:
        """The work of a stream, on its thread."""
        failure: CorralError | None = None
        try:
            with begin(self._client()) as events:
                if task.closes_by(events.close):
                    return
                for event in events:
                    if task.is_cancelled:
                        return
                    if gathered.add(event):
                        self._post(task, gathered.deliver_soon, None)
        except CorralError as error:
            failure = error
        except Exception as error:
            logger.exception("a stream failed")
            failure = CorralError(str(error))
        self._post(task, gathered.deliver, None)
        if failure is None:
            self._post(task, lambda _: done(), None)
        else:
            self._post(task, failed, failure)

    def _post(self, task: Task, callback: Callable[[Any], object] | None, value: Any) -> None:
        if callback is None or task.is_cancelled:
            return

        def run() -> None:
            if not task.is_cancelled:
                callback(value)

        self._relay.post(run)


def _join(thread: threading.Thread, *_held: object) -> None:
    """Wait for a thread that has nothing more to do."""
    thread.join()
