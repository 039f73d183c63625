"""Draws one search result: name, hub, figures and badges.

A delegate, so that only rows in sight cost anything.
"""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from gui import figures
from gui.models.found_list import FoundList, fit, recommended
from gui.models.library_table import ABILITIES
from gui.models.table import ROW_ROLE
from gui.theme import THEME, XS, M, S
from gui.words import tr
from runner.domain.search import FoundModel


class FoundCard(QStyledItemDelegate):
    """Two lines: what it is, and what there is to know."""

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        height = QFontMetrics(option.font).height()
        return QSize(200, 2 * height + 3 * S + M)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        model: FoundModel = index.data(ROW_ROLE)
        colours = THEME.colours
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(option.rect).adjusted(XS, XS / 2, -XS, -XS / 2)
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        is_over = bool(option.state & QStyle.StateFlag.State_MouseOver)
        ground = colours.selected if is_chosen else colours.raised if is_over else ""
        if ground:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ground))
            painter.drawRoundedRect(frame, 6, 6)
        if option.state & QStyle.StateFlag.State_HasFocus and is_chosen:
            painter.setPen(QPen(QColor(colours.accent), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame, 6, 6)
        inner = option.rect.adjusted(M, S, -M, -S)
        height = QFontMetrics(option.font).height()
        upper = QRect(inner.left(), inner.top(), inner.width(), height + S)
        lower = QRect(inner.left(), upper.bottom() + XS, inner.width(), height + S)
        n_here = int(index.data(FoundList.HERE_ROLE) or 0)
        upper.setRight(self._badges(painter, option.font, upper, model, n_here))
        self._name(painter, option.font, upper, model)
        self._facts(painter, option.font, lower, model)
        painter.restore()

    def _name(self, painter: QPainter, font: QFont, room: QRect, model: FoundModel) -> None:
        owner, _, name = model.name.removeprefix(f"{model.hub}/").rpartition("/")
        bold = QFont(font)
        bold.setWeight(QFont.Weight.DemiBold)
        painter.setFont(bold)
        painter.setPen(QColor(THEME.colours.text))
        side = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        metrics = QFontMetrics(bold)
        text = metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, room.width())
        painter.drawText(room, int(side), text)
        rest = room.adjusted(metrics.horizontalAdvance(text) + S, 0, 0, 0)
        if owner and rest.width() > 60:
            painter.setFont(font)
            painter.setPen(QColor(THEME.colours.muted))
            owner = QFontMetrics(font).elidedText(owner, Qt.TextElideMode.ElideRight, rest.width())
            painter.drawText(rest, int(side), owner)

    def _facts(self, painter: QPainter, font: QFont, room: QRect, model: FoundModel) -> None:
        painter.setFont(font)
        painter.setPen(QColor(THEME.colours.muted))
        text = QFontMetrics(font).elidedText(
            facts_line(model), Qt.TextElideMode.ElideRight, room.width()
        )
        side = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(room, int(side), text)

    def _badges(
        self, painter: QPainter, font: QFont, room: QRect, model: FoundModel, n_here: int
    ) -> int:
        """Draw the badges from the right; returns where they begin."""
        small = QFont(font)
        small.setPixelSize(max(10, font.pixelSize() - 2))
        metrics = QFontMetrics(small)
        right = room.right()
        for text, colour in badges(model, n_here):
            width = metrics.horizontalAdvance(text) + 2 * S
            pill = QRectF(right - width, room.top() + 1, width, metrics.height() + XS)
            painter.setPen(QPen(QColor(colour), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(pill, pill.height() / 2, pill.height() / 2)
            painter.setFont(small)
            painter.drawText(pill, int(Qt.AlignmentFlag.AlignCenter), text)
            right -= int(width) + XS
        return right - XS


def badges(model: FoundModel, n_here: int) -> list[tuple[str, str]]:
    """Return the badges of a result and their colours."""
    colours = THEME.colours
    found: list[tuple[str, str]] = []
    is_fit = fit(model)
    if is_fit is not None:
        found.append((tr("Fits"), colours.good) if is_fit else (tr("Too large"), colours.bad))
    if model.is_gated:
        found.append((tr("Licence to accept"), colours.warn))
    if n_here:
        found.append((tr("In the library"), colours.accent))
    return found


def facts_line(model: FoundModel) -> str:
    """Return what there is to know about a result, in a line."""
    best = recommended(model.quants)
    parts = [model.hub]
    if best is not None and best.n_bytes:
        parts.append(f"{best.label} {figures.size(best.n_bytes)}")
    if model.license:
        parts.append(model.license)
    parts += [tr(ABILITIES[one]) for one in model.abilities if one in ABILITIES]
    if model.n_likes:
        parts.append(tr("{n} likes", n=figures.count(model.n_likes)))
    if model.n_downloads:
        parts.append(tr("{n} downloads", n=figures.count(model.n_downloads)))
    return "  ·  ".join(parts)
