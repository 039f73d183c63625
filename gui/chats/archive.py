"""The chats' file on a thread of its own: work goes in, results come back on the GUI's thread.

Work is done in order, one piece after the other, so what is read has all that was written before.
``close`` waits until everything handed over is on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from gui.chats.storage import Storage
from runner.errors import CorralError, StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Archive(QObject):
    """Made on the GUI's thread; its methods return at once."""

    failed = Signal(object)  # CorralError: the file cannot be used, or a change was not kept
    _posted = Signal(object)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._work: SimpleQueue[Callable[[Storage], object] | None] = SimpleQueue()
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)
        self._thread = threading.Thread(target=self._serve, name="chats", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[Storage], T], done: Callable[[T], object] | None = None) -> None:
        """Run ``work`` with the storage; ``done`` gets its result on the GUI's thread."""

        def run(storage: Storage) -> None:
            result = work(storage)
            if done is not None:
                self._posted.emit(lambda: done(result))

        self._work.put(run)

    def close(self) -> None:
        """Return when everything handed over is on disk and the file is closed."""
        self._work.put(None)
        self._thread.join()

    @Slot(object)
    def _run(self, callback: Callable[[], Any]) -> None:
        callback()

    def _serve(self) -> None:
        try:
            storage = Storage(self._path)
        except (CorralError, OSError) as error:
            # Told when the file is first wanted: before that nobody may be there to hear it.
            if self._work.get() is not None:
                self._tell(error)
                while self._work.get() is not None:
                    pass
            return
        while (work := self._work.get()) is not None:
            try:
                work(storage)
            except Exception as error:
                logger.exception("a change of the chats failed")
                self._tell(error)
        storage.close()

    def _tell(self, error: Exception) -> None:
        told = error if isinstance(error, CorralError) else StoreError(f"chats: {error}")
        self.failed.emit(told)
