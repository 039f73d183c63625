"""Executing a model's chat template, which is a stranger's program and may not end.

A thread of its own does it.  After ``RENDER_TIMEOUT_S`` an exception is raised inside the template,
its request fails, and a new thread takes the place of the old one.  Only when even that does not
stop it is the process beyond repair: ``is_stuck`` says so, and when it is inside one C call that
keeps every thread of the process waiting, ``WATCHDOG_S`` ends the process.  What it may allocate is
limited, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from runner.domain.chat import Message, Tool
from runner.engine.backend import Vocabulary
from runner.errors import CorralError, NotEnoughMemory, TemplateFailed
from runner.prompt.compiled import Template, compiled
from runner.prompt.gotemplate.chat import GoChatTemplate
from runner.prompt.template import plain_prompt
from runner.protocol.messages import Generate

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

RENDER_TIMEOUT_S = 2.0
#: After so long without a turn for this thread, a template holds up the whole process.
WATCHDOG_S = 6.0
#: A template stops at its next bytecode; told several times, since an exception that arrives
#: inside a finalizer is lost.
_STOP_TRIES, _STOP_TRY_S = 4, 0.25
#: Memory that rendering one prompt may take on top of what the process has, in bytes.
RENDER_MEMORY = 1 << 30


@dataclass(slots=True)
class _Render:
    """One job of the render thread; ``done`` is set when ``text`` or ``error`` is."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    request: Generate
    done: threading.Event = field(default_factory=threading.Event)
    text: str = ""
    error: CorralError | MemoryError | None = None


class _Stopped(BaseException):
    """Raised inside a template that runs too long; no ``except Exception`` swallows it."""


class Renderer:
    """Owns the thread that executes templates; used by one thread, but for ``is_stuck``."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Take what has the model's own template, and its special tokens."""
        self._vocabulary = vocabulary
        self._renders: SimpleQueue[_Render | None] = SimpleQueue()
        self._template: Template | None = None
        self._stopped: list[threading.Thread] = []
        self._thread = self._start()

    @property
    def is_stuck(self) -> bool:
        """Whether a template runs on although it was told to stop."""
        return any(thread.is_alive() for thread in self._stopped)

    def render(
        self, messages: tuple[Message, ...], tools: tuple[Tool, ...], request: Generate
    ) -> str:
        """Return the prompt that the template of ``request``, or the model's own, makes.

        Raises:
            TemplateFailed: It failed, did not end in time, or wants too much memory.
            NotEnoughMemory: There is none for the prompt.
        """
        job = _Render(messages, tools, request)
        with _memory_limit() as n_allowed, _watchdog():
            self._renders.put(job)
            is_done = job.done.wait(RENDER_TIMEOUT_S)
        if is_done:
            if isinstance(job.error, MemoryError):
                raise no_memory(n_allowed)
            if job.error:
                raise job.error
            return job.text
        self._replace()
        raise TemplateFailed(
            f"the model's chat template did not end within {RENDER_TIMEOUT_S:g} seconds",
            hint="the template of this model is broken; send a raw prompt, or use another model",
        )

    def _replace(self) -> None:
        """Stop the render thread for good and start another."""
        old = self._thread
        self._stopped = [thread for thread in self._stopped if thread.is_alive()]
        self._renders.put(None)  # ends it when it was done in this very moment
        for _ in range(_STOP_TRIES):
            if not old.is_alive():
                break
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(old.ident or 0), ctypes.py_object(_Stopped)
            )
            old.join(_STOP_TRY_S)
        else:
            self._stopped.append(old)
        self._renders = SimpleQueue()
        self._thread = self._start()

    def _render_all(self, renders: SimpleQueue[_Render | None]) -> None:
        """The render thread: one job after the other, until one runs too long."""
        with contextlib.suppress(_Stopped):  # its request fails, another thread takes its place
            while job := renders.get():
                try:
                    job.text = self._render_one(job)
                except (CorralError, MemoryError) as error:
                    job.error = error
                job.done.set()

    def _render_one(self, job: _Render) -> str:
        source = job.request.template
        if source is None:
            source = self._vocabulary.template
        if not source:
            return plain_prompt(job.messages)
        if self._template is None or self._template.source != source:
            # compiled here: compiling can take long, too
            self._template = compiled(
                source, bos_text=self._vocabulary.bos_text, eos_text=self._vocabulary.eos_text
            )
        template, think = self._template, job.request.think
        if job.request.suffix and isinstance(template, GoChatTemplate):
            return template.render(job.messages, think=think, suffix=job.request.suffix)
        return template.render(job.messages, tools=job.tools, think=think)

    def close(self) -> None:
        """End the thread once it has done what it is at."""
        self._renders.put(None)

    def _start(self) -> threading.Thread:
        work, renders = self._render_all, self._renders
        thread = threading.Thread(target=work, args=(renders,), name="render", daemon=True)
        thread.start()
        return thread


@contextlib.contextmanager
def _watchdog() -> Iterator[None]:
    """End the process if the body does not; the watching thread is C and needs no GIL."""
    log = sys.__stderr__
    if log is None:
        yield
        return
    try:
        faulthandler.dump_traceback_later(WATCHDOG_S, exit=True, file=log)
    except RuntimeError:  # no thread could be started for it
        raise no_memory(0) from None
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _memory_limit() -> Iterator[int]:
    """Let allocations fail beyond ``RENDER_MEMORY``; only Linux enforces such a limit.

    Yields the bytes that may be allocated: fewer than that where the process has a limit already.

    The limit is the process's, so a template that exhausts it may cost this worker; without it,
    it could cost the machine.
    """
    n_pages = _n_pages()
    if resource is None or not n_pages:
        yield RENDER_MEMORY
        return
    old = resource.getrlimit(resource.RLIMIT_AS)
    n_used = n_pages * resource.getpagesize()
    set_already = [limit for limit in old if limit != resource.RLIM_INFINITY]
    limit = min([n_used + RENDER_MEMORY, *set_already])
    resource.setrlimit(resource.RLIMIT_AS, (limit, old[1]))
    try:
        yield max(0, limit - n_used)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


def no_memory(n_allowed: int) -> CorralError:
    """What to say when a prompt could not be made with so many bytes: whose fault that is."""
    if n_allowed < RENDER_MEMORY:
        return NotEnoughMemory(
            "no memory to make the prompt from the messages",
            hint="close other programs, or use a smaller model",
        )
    return TemplateFailed(
        f"the model's chat template wants more than {RENDER_MEMORY >> 20} MiB",
        hint="the template of this model is broken; send a raw prompt",
    )


def _n_pages() -> int:
    """Pages of this process's address space; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a Path costs more than it
            return int(file.read().split()[0])
    except OSError:
        return 0
