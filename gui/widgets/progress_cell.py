"""Draws a job's progress in a table's cell: a bar, and the share beside it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from gui.models.table import ROW_ROLE, SORT_ROLE
from gui.theme import THEME, S
from runner.domain.job import Job, JobState


class ProgressCell(QStyledItemDelegate):
    """The sort value is the share, from 0 to 1; a negative one is not known."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        share = float(index.data(SORT_ROLE))
        job: Job = index.data(ROW_ROLE)
        colours = THEME.colours
        fills = {
            JobState.DONE: colours.good,
            JobState.FAILED: colours.bad,
            JobState.RUNNING: colours.accent,
        }
        # The ground of the row, selected or not, is the style's to draw.
        blank = QStyleOptionViewItem(option)
        self.initStyleOption(blank, index)
        blank.text = ""
        widget = option.widget
        style = widget.style()
        style.drawControl(style.ControlElement.CE_ItemViewItem, blank, painter, widget)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = f"{share:.0%}" if share >= 0 else ""
        n_text = option.fontMetrics.horizontalAdvance("100%") + S
        room = QRectF(option.rect).adjusted(S, 0, -S, 0)
        bar = QRectF(room.left(), room.center().y() - 4, max(0.0, room.width() - n_text), 8)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.raised))
        painter.drawRoundedRect(bar, 4, 4)
        if share > 0:
            done = QRectF(bar)
            done.setWidth(max(8.0, bar.width() * share))
            painter.setBrush(QColor(fills.get(job.state, colours.muted)))
            painter.drawRoundedRect(done, 4, 4)
        painter.setPen(QColor(colours.text))
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, int(side), text)
        painter.restore()
