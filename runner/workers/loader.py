"""Starts a model's worker with what is wanted, or as much less as is needed, and learns from it.

Who waits for the worker, and how long it stays, is the pool's.  Used from the event loop's thread
only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from runner.errors import NotEnoughMemory, WorkerError
from runner.protocol.messages import Loading
from runner.workers.deaths import is_fault
from runner.workers.entry import Entry
from runner.workers.lesser import Less, lesser, within
from runner.workers.lessons import LESSON_S, Lesson
from runner.workers.process import Worker, new_request_id
from runner.workers.refusals import is_want_of_memory
from runner.workers.wanted import PoolSettings

logger = logging.getLogger(__name__)


class Loader:
    """Loads entries; owns what was learnt of their models."""

    def __init__(self) -> None:
        self._lessons: dict[str, Lesson] = {}

    def prepare(self, entry: Entry, n_least: int) -> None:
        """Take off an entry's load what its model died of not long ago."""
        lesson = self._lessons.get(entry.wanted.key)
        if lesson and not lesson.is_over:
            entry.lesson = lesson
            entry.load = within(entry.load, lesson.load, n_least=n_least)
            entry.notes.extend(lesson.notes)

    async def start(
        self,
        entry: Entry,
        n_least: int,
        settings: PoolSettings,
        *,
        on_exit: Callable[[], None],
        on_loading: Callable[[Loading], None],
    ) -> Worker:
        """Return a worker that has loaded; the entry says with what.

        Args:
            entry: The model.
            n_least: Context that whoever waits must have, in tokens.
            settings: The pool's.
            on_exit: As in ``Worker.start``.
            on_loading: As in ``Worker.start``.

        Raises:
            WorkerError: It could not be loaded.
            NotEnoughMemory: Not even with the least that would do.
        """
        while True:
            try:
                return await Worker.start(
                    str(entry.wanted.info.name),
                    settings.command,
                    entry.load,
                    timeout_s=settings.load_timeout_s,
                    on_exit=on_exit,
                    on_loading=on_loading,
                )
            except (NotEnoughMemory, WorkerError) as error:
                less = _less(entry, n_least, settings) if is_want_of_memory(error) else None
                if less is None:
                    raise
                logger.warning(
                    "loading again with less model=%s: %s (%s)",
                    entry.wanted.info.name,
                    less.note,
                    error.message,
                )
                entry.load = replace(less.load, request_id=new_request_id())
                entry.notes.append(f"{less.note}, since memory was short: {error.message}")

    def learn_death(
        self, entry: Entry, code: int, settings: PoolSettings, *, found_no_memory: bool
    ) -> None:
        """Remember with what less to load a model whose process was struck down.

        Args:
            entry: The model.
            code: Exit code of its process; a negative one is the signal's number.
            settings: The pool's.
            found_no_memory: Whether it died of that.
        """
        faulty = is_fault(code) and not found_no_memory
        less = _less(entry, entry.wanted.n_ctx_least, settings, is_fault=faulty)
        if less:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._learn(entry, less, f"since its process died ({how})")
        elif known := entry.lesson:  # there is nothing less: it is no time to try more
            self._lessons[entry.wanted.key] = Lesson(known.load, known.notes, time.monotonic())

    def learn_want(self, entry: Entry, error: NotEnoughMemory, settings: PoolSettings) -> bool:
        """Remember with what less to load a model that lives, but found no memory for a step.

        Returns whether there is less that would do.
        """
        less = _less(entry, entry.wanted.n_ctx_least, settings)
        if less:
            self._learn(entry, less, f"since memory was short: {error.message}")
        return less is not None

    def _learn(self, entry: Entry, less: Less, reason: str) -> None:
        note = f"{less.note} for {LESSON_S / 60:.0f} minutes, {reason}"
        logger.warning("to be loaded with less model=%s: %s", entry.wanted.info.name, note)
        before = entry.lesson.notes if entry.lesson else ()
        self._lessons[entry.wanted.key] = Lesson(less.load, (*before, note), time.monotonic())


def _less(
    entry: Entry, n_least: int, settings: PoolSettings, *, is_fault: bool = False
) -> Less | None:
    return lesser(
        entry.load,
        n_least=n_least,
        n_layers=entry.wanted.n_layers,
        has_accelerator=settings.has_accelerator or bool(entry.load.remotes),
        is_fault=is_fault,
    )
