"""What the first turn of a chat needs, made before there is one.

The first icons, text views and buttons cost several times what later ones do: fonts are found and
drawings rendered.  Here that happens a little in each turn of the event loop, while nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, QTimer, Slot
from PySide6.QtWidgets import QWidget

from gui.chats.tree import Turn
from gui.icons import icon
from gui.widgets.markdown_view import MarkdownView
from gui.widgets.turn_view import ICONS, TurnView


class Warming(QObject):
    """Begins when ``start`` is called, and is done soon; what it made is gone then."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._steps: list[Callable[[], QWidget | None]] = [
            *(partial(_draw, name) for name in ICONS),
            MarkdownView,
            *(partial(TurnView, Turn(0, 0, role, ""), list) for role in ("user", "assistant")),
        ]
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._step)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to make."""
        return not self._steps

    def start(self) -> None:
        """Make the first thing when the event loop has nothing else to do."""
        self._timer.start(0)

    @Slot()
    def _step(self) -> None:
        if not self._steps:
            self._timer.stop()
            return
        made = self._steps.pop(0)()
        if made is not None:
            made.deleteLater()


def _draw(name: str) -> None:
    icon(name, "muted").pixmap(16, 16)
