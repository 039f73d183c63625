"""The place of a turn in a chat: holds the turn's view while it is near sight, its height else.

A view costs a megabyte when its answer is long; a place costs nothing worth counting.  So a chat of
any length can be scrolled through, and only what is near sight is there.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from gui.chats.tree import Turn
from gui.theme import THEME
from gui.widgets.turn_view import TurnView

#: Qt's own bound of a height, ``QWIDGETSIZE_MAX``: none.
_NO_BOUND = (1 << 24) - 1
#: Characters in a line of a turn, roughly; and what stands around its text, in pixels.
_LINE_CHARS, _AROUND_PX = 90, 70


class TurnSlot(QWidget):
    """Empty at first, and as tall as its turn probably is."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self.view: TurnView | None = None
        self._stops: list[QWidget] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(guess_height(turn.text, THEME.font_px))

    def fill(self, view: TurnView, before: QWidget) -> None:
        """Hold a view; the height stays what it was until the view is drawn.

        Args:
            view: It.
            before: What the Tab key leads from into the view.
        """
        self.view = view
        self._stops = _stops(view)
        self._column.addWidget(view)
        self.setMaximumHeight(_NO_BOUND)
        if view.body.is_drawn:
            self.setMinimumHeight(0)
        else:
            view.body.drawn.connect(self._fit)
        # Qt has what was made last at the end, wherever it is.
        for stop in self._stops:
            QWidget.setTabOrder(before, stop)
            before = stop

    @property
    def last_stop(self) -> QWidget | None:
        """The last widget of the view that the Tab key stops at."""
        return self._stops[-1] if self._stops else None

    def clear(self) -> None:
        """Let the view go; the height stays what it was."""
        view, self.view = self.view, None
        self._stops = []
        if view is not None:
            self.setFixedHeight(self.height())
            self._column.removeWidget(view)
            view.hide()
            view.deleteLater()

    @Slot()
    def _fit(self) -> None:
        if self.view is not None:
            self.view.body.drawn.disconnect(self._fit)
            self.setMinimumHeight(0)


def _stops(view: QWidget) -> list[QWidget]:
    """The widgets of a view without parent that take the focus, in their order."""
    found: list[QWidget] = []
    widget = view.nextInFocusChain()
    while widget is not None and widget is not view:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


def guess_height(text: str, font_px: int) -> int:
    """Return roughly how tall a turn with ``text`` is, in pixels."""
    n_lines = sum(1 + len(line) // _LINE_CHARS for line in text.splitlines())
    return _AROUND_PX + round(n_lines * font_px * 1.6)
