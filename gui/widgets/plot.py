"""Memory over time, drawn: what all programs use, and of it the models."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import figures
from gui.machine import History, Sample
from gui.theme import THEME, S
from gui.words import tr

#: Room for the figures at the left, and for the times at the bottom, in pixels.
_LEFT, _BOTTOM = 64, 24


class MemoryPlot(QWidget):
    """Time runs to the right and ends now; the height is the machine's memory."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self._n_memory = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        return QSize(480, 200)

    def minimumSizeHint(self) -> QSize:
        return QSize(240, 140)

    def show_latest(self, n_memory: int) -> None:
        """Draw anew; ``n_memory`` in bytes is the plot's height."""
        self._n_memory = n_memory
        samples = list(self._history)
        if samples:
            self.setAccessibleDescription(
                tr(
                    "{used} of {size} in use, {models} by models",
                    used=figures.size(samples[-1].n_used),
                    size=figures.size(n_memory),
                    models=figures.size(samples[-1].n_models),
                )
            )
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        letters = self.fontMetrics()
        left = max(_LEFT, letters.horizontalAdvance("888.8 GB") + S)
        below = max(_BOTTOM, letters.height() + S)
        room = QRectF(self.rect()).adjusted(left, letters.height() / 2, -S, -below)
        self._draw_grid(painter, room)
        samples = list(self._history)
        if len(samples) > 1 and self._n_memory:
            painter.setClipRect(room)
            colours = THEME.colours
            self._draw_area(painter, room, samples, lambda s: s.n_used, colours.muted)
            self._draw_area(painter, room, samples, lambda s: s.n_models, colours.accent)
        painter.end()

    def _draw_grid(self, painter: QPainter, room: QRectF) -> None:
        colours, height = THEME.colours, self.fontMetrics().height()
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for quarter in range(5):
            y = room.bottom() - room.height() * quarter / 4
            painter.setPen(QPen(QColor(colours.line), 1))
            painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            if self._n_memory:
                painter.setPen(QColor(colours.muted))
                text = figures.size(self._n_memory * quarter / 4) if quarter else "0"
                beside = QRectF(0, y - height / 2, room.left() - S, height)
                painter.drawText(beside, int(side), text)
        minutes = int(self._history.shown_s // 60)
        painter.setPen(QColor(colours.muted))
        below = QRectF(room.left(), room.bottom() + 4, room.width(), height)
        top = Qt.AlignmentFlag.AlignTop
        painter.drawText(below, int(top | Qt.AlignmentFlag.AlignLeft), tr("{n} min ago", n=minutes))
        painter.drawText(below, int(top | Qt.AlignmentFlag.AlignRight), tr("now"))

    def _draw_area(
        self,
        painter: QPainter,
        room: QRectF,
        samples: list[Sample],
        amount: Callable[[Sample], int],
        colour: str,
    ) -> None:
        """Draw the line of an amount, and tint what is under it."""
        last = samples[-1].at_s

        def point(sample: Sample) -> QPointF:
            x = room.right() - room.width() * (last - sample.at_s) / self._history.shown_s
            return QPointF(x, room.bottom() - room.height() * amount(sample) / self._n_memory)

        line = [point(sample) for sample in samples]
        under = [QPointF(line[0].x(), room.bottom()), *line, QPointF(line[-1].x(), room.bottom())]
        tint = QColor(colour)
        tint.setAlphaF(0.22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(tint)
        painter.drawPolygon(QPolygonF(under))
        painter.setPen(QPen(QColor(colour), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(line))
