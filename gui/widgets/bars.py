"""Bars beside their names: how large things are, one under the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.theme import THEME, S

#: Height of a bar with its margin, in pixels.
_ROW = 26


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        name: At its left.
        amount: Its length, in any unit.
        text: At its right.
        role: The field of ``Colours`` it is drawn in.
    """

    name: str
    amount: float
    text: str
    role: str = "accent"


class Bars(QWidget):
    """The longest bar takes the room there is; what they say is in the description too."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: Sequence[Bar] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        THEME.changed.connect(self.update)

    def show_bars(self, bars: Sequence[Bar]) -> None:
        """Show these."""
        self._bars = tuple(bars)
        self.setAccessibleDescription("\n".join(f"{bar.name}: {bar.text}" for bar in bars))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, max(1, len(self._bars)) * self._row())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        letters, colours, row = self.fontMetrics(), THEME.colours, self._row()
        names = max((letters.horizontalAdvance(bar.name) for bar in self._bars), default=0)
        texts = max((letters.horizontalAdvance(bar.text) for bar in self._bars), default=0)
        left = names + S
        room = max(20.0, self.width() - left - texts - 2 * S)
        most = max((bar.amount for bar in self._bars), default=0.0)
        middle = Qt.AlignmentFlag.AlignVCenter
        for number, bar in enumerate(self._bars):
            top = number * row
            painter.setPen(QColor(colours.text))
            painter.drawText(QRectF(0, top, names, row), int(middle), bar.name)
            length = room * bar.amount / most if most else 0.0
            place = QRectF(left, top + row * 0.25, max(2.0, length), row * 0.5)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(getattr(colours, bar.role)))
            painter.drawRoundedRect(place, 3, 3)
            painter.setPen(QColor(colours.muted))
            painter.drawText(QRectF(place.right() + S, top, texts + S, row), int(middle), bar.text)
        painter.end()

    def _row(self) -> int:
        return max(_ROW, self.fontMetrics().height() + S)
