"""How full the context is, as a bar of parts."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFocusEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from gui.models.figures import Context
from gui.theme import THEME, XS


class ContextGauge(QWidget):
    """Shows what ``show_context`` was last given; its words are in the tool tip too."""

    def __init__(self) -> None:
        super().__init__()
        self._context = Context(0, 0, 0, 0)
        self.setFixedSize(QSize(88 + 2 * XS, 8 + 2 * XS))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.hide()
        THEME.changed.connect(self.update)

    def show_context(self, context: Context) -> None:
        """Show how full it is; hidden while there is nothing to tell."""
        self._context = context
        self.setToolTip(context.details())
        self.setAccessibleName(context.details())
        self.setVisible(bool(context.n_ctx and context.n_used))
        self.update()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Say the figures to those without a mouse."""
        super().focusInEvent(event)
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason):
            self._tell()

    def mousePressEvent(self, _event: QMouseEvent) -> None:
        """Say the figures at once."""
        self._tell()

    def _tell(self) -> None:
        QToolTip.showText(self.mapToGlobal(self.rect().bottomLeft()), self.toolTip(), self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """System prompt, earlier turns, question and answer, from left to right."""
        context, colours = self._context, THEME.colours
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.hasFocus():
            painter.setPen(QPen(QColor(colours.accent), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)
        whole = QRectF(0, 0, self.width() - 2 * XS, self.height() - 2 * XS)
        painter.translate(XS, XS)
        painter.setPen(QColor(colours.line))
        painter.setBrush(QColor(colours.raised))
        painter.drawRoundedRect(whole.adjusted(0.5, 0.5, -0.5, -0.5), 3.5, 3.5)
        if not context.n_ctx:
            return
        is_full = context.n_used > 0.9 * context.n_ctx
        left = 1.0
        system, earlier, question = context.parts
        for n_tokens, colour in (
            (system, colours.line),
            (earlier, colours.muted),
            (question, colours.warn if is_full else colours.accent),
            (context.n_answer, colours.bad if is_full else colours.text),
        ):
            width = (whole.width() - 2) * min(1.0, n_tokens / context.n_ctx)
            width = min(width, whole.width() - 1 - left)
            painter.fillRect(QRectF(left, 1.5, width, whole.height() - 3), QColor(colour))
            left += width
