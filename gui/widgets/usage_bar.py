"""A bar of shares with its words: what is used by whom, and what is free."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.theme import THEME, XS

#: A share of the whole: how much, and the field of ``Colours`` it is drawn in.
Share = tuple[float, str]


class _Bar(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.shares: Sequence[Share] = ()
        self.whole = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(120, 10)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        room = QRectF(self.rect())
        outline = QPainterPath()
        outline.addRoundedRect(room, room.height() / 2, room.height() / 2)
        painter.setClipPath(outline)
        painter.fillRect(room, QColor(THEME.colours.raised))
        at = room.left()
        for amount, role in self.shares:
            width = room.width() * min(1.0, amount / self.whole) if self.whole else 0.0
            painter.fillRect(
                QRectF(at, room.top(), width, room.height()),
                QColor(getattr(THEME.colours, role)),
            )
            at += width
        painter.end()


class UsageBar(QWidget):
    """Shares from the left, and a line of text under them that says the same."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = _Bar()
        self._text = QLabel()
        self._text.setProperty("role", "muted")
        self._text.setAlignment(Qt.AlignmentFlag.AlignLeft)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        column.addWidget(self._bar)
        column.addWidget(self._text)

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def show_shares(self, whole: float, shares: Sequence[Share], text: str) -> None:
        """Show the shares of ``whole``, in the same unit."""
        self._bar.whole, self._bar.shares = whole, shares
        self._text.setText(text)
        self.setAccessibleName(text)
        self._bar.update()
