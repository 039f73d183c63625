"""Tells when the daemon takes long to answer anything at all; looks only while it is asked for.

A model that loads or a hub that is slow makes single answers late; a daemon that stands still
leaves even the shortest question open, and that is what is tried here.
"""

from __future__ import annotations

import contextlib
import threading

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from gui.link import Link, Phase
from runner.client import launch
from runner.client.launch import Kind
from runner.domain.address import Address
from runner.errors import DaemonError

#: Milliseconds that something is open before the daemon is tried, then between two tries: while it
#: answers, and while it does not.
_PATIENCE_MS, _OFTEN_MS, _SLOW_MS = 2000, 10_000, 500
#: Seconds within which a daemon that is well answers.
_WELL_S = 2.0


class SlowWatch(QObject):
    """Lives beside the link; used on the GUI's thread.

    Signals:
        changed: The daemon takes long now, or no longer does.
    """

    changed = Signal()
    _tried = Signal(bool)

    def __init__(self, link: Link, parent: QObject) -> None:
        super().__init__(parent)
        self.is_slow = False
        self._link = link
        self._is_trying = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        self._tried.connect(self._took)
        link.begun.connect(self._wait)
        link.changed.connect(self._on_state)

    @Slot()
    def _wait(self) -> None:
        is_soon = self._timer.isActive() and self._timer.remainingTime() <= _PATIENCE_MS
        if not is_soon and not self._is_trying:
            self._timer.start(_PATIENCE_MS)

    @Slot(object)
    def _on_state(self, _: object) -> None:
        if self._link.state.phase is not Phase.UP:  # that is told already
            self._set(False)

    @Slot()
    def _look(self) -> None:
        if self._link.is_quiet or self._link.state.phase is not Phase.UP:
            self._set(False)
            return
        self._is_trying = True
        address = self._link.address
        threading.Thread(target=lambda: self._try(address), name="slow", daemon=True).start()

    def _try(self, address: Address) -> None:
        """On a thread of its own: ask for what costs the daemon nothing."""
        try:
            is_slow = launch.probe(address, timeout_s=_WELL_S).kind is Kind.SILENT
        except DaemonError:
            is_slow = False
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
            self._tried.emit(is_slow)
        self._link.let_go(self)

    @Slot(bool)
    def _took(self, is_slow: bool) -> None:
        self._is_trying = False
        self._set(is_slow and self._link.state.phase is Phase.UP)
        self._timer.start(_SLOW_MS if is_slow else _OFTEN_MS)

    def _set(self, is_slow: bool) -> None:
        if is_slow != self.is_slow:
            self.is_slow = is_slow
            self.changed.emit()
