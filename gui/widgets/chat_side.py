"""The chats at the side: a new one, a search through all of them, and the list."""

from __future__ import annotations

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.chats.storage import Chat, Hit
from gui.icons import dress, pixmap
from gui.models.chat_list import DETAIL_ROLE, ID_ROLE, PINNED_ROLE, TURN_ROLE, ChatList
from gui.theme import THEME, XS, S
from gui.words import tr

#: Milliseconds of silence after which a search begins.
_SEARCH_MS = 200


class ChatSide(QWidget):
    """Signals only; what becomes of them is the page's.

    Signals:
        begun: A new chat is wanted; whether it is a temporary one.
        chosen: The chat with this id, and the turn in it (0: none).
        searched: What to look for; empty: the search is over.
        asked: What to do with the chat of this id: ``rename``, ``pin`` or ``delete``.
        imported: A file is to be taken in.
    """

    begun = Signal(bool)
    chosen = Signal(object, int)  # object: the id has more bits than Qt's int
    searched = Signal(str)
    asked = Signal(str, object)
    imported = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("sidebar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(250)
        self._model = ChatList()
        self._current = 0
        self._new = QPushButton()
        dress(self._new, "plus")
        self._new.clicked.connect(lambda: self.begun.emit(False))
        self._more = QToolButton()
        dress(self._more, "more")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_search)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SEARCH_MS)
        self._settle.timeout.connect(lambda: self.searched.emit(self.search.text().strip()))
        self._nothing = QLabel()
        self._nothing.setProperty("role", "muted")
        self._nothing.setWordWrap(True)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.list = QListView()
        self.list.setObjectName("chats")
        self.list.setModel(self._model)
        self.list.setItemDelegate(_Delegate(self.list))
        self.list.setUniformItemSizes(True)  # 10,000 rows are measured by one
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self.list.clicked.connect(self._choose)
        self.list.activated.connect(self._choose)
        top = QHBoxLayout()
        top.setSpacing(XS)
        top.addWidget(self._new, 1)
        top.addWidget(self._more)
        column = QVBoxLayout(self)
        column.setContentsMargins(S, S, S, S)
        column.setSpacing(S)
        column.addLayout(top)
        column.addWidget(self.search)
        column.addWidget(self._nothing)
        column.addWidget(self.list, 1)
        self.retranslate()

    def show_chats(self, chats: list[Chat]) -> None:
        """Show these, in this order."""
        self._model.set_chats(chats)
        self._after_fill()

    def show_hits(self, hits: list[Hit] | None) -> None:
        """Show what a search found; ``None``: all chats again."""
        self._model.set_hits(hits)
        self._after_fill()

    def mark(self, chat_id: int) -> None:
        """Mark the chat that is open."""
        self._current = chat_id
        row = self._model.row_of(chat_id)
        if row >= 0:
            self.list.setCurrentIndex(self._model.index(row))
        else:
            self.list.clearSelection()

    def neighbour(self, by: int) -> int:
        """Return the id of the chat so many rows from the open one; 0: there is none."""
        row = self._model.row_of(self._current) + by
        index = self._model.index(row)
        return int(index.data(ID_ROLE)) if index.isValid() else 0

    def retranslate(self) -> None:
        """The language changed."""
        self._new.setText(tr("New chat"))
        self._new.setToolTip(f"{tr('New chat')} (Ctrl+N)")
        self._more.setToolTip(tr("More"))
        self._more.setAccessibleName(tr("More"))
        self.search.setPlaceholderText(tr("Search all chats"))
        self.search.setToolTip(f"{tr('Search all chats')} (Ctrl+K)")
        self.search.setAccessibleName(tr("Search all chats"))
        self.list.setAccessibleName(tr("Chats"))
        menu = QMenu(self)
        menu.addAction(tr("New temporary chat")).triggered.connect(lambda: self.begun.emit(True))
        menu.addAction(tr("Import…")).triggered.connect(lambda: self.imported.emit())
        self._more.setMenu(menu)
        self._after_fill()

    def _after_fill(self) -> None:
        is_empty = self._model.rowCount() == 0
        is_search = bool(self.search.text().strip())
        self._nothing.setText(tr("Nothing found") if is_search else tr("No chats yet"))
        self._nothing.setVisible(is_empty)
        self.list.setVisible(not is_empty)
        self.mark(self._current)

    def _on_search(self) -> None:
        self._settle.start()

    def _choose(self, index: QModelIndex) -> None:
        self.chosen.emit(index.data(ID_ROLE), index.data(TURN_ROLE))

    def _show_menu(self, place: QPoint) -> None:
        index = self.list.indexAt(place)
        if not index.isValid():
            return
        chat_id = index.data(ID_ROLE)
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for what, text in (
            ("rename", tr("Rename…")),
            ("pin", tr("Unpin") if index.data(PINNED_ROLE) else tr("Pin")),
            ("delete", tr("Delete")),
        ):
            action = menu.addAction(text)
            action.triggered.connect(lambda _=False, what=what: self.asked.emit(what, chat_id))
        menu.popup(self.list.viewport().mapToGlobal(place))


class _Delegate(QStyledItemDelegate):
    """Draws a chat in two lines: its title, and when it was or what was found in it."""

    def sizeHint(
        self, option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """Two lines and their margins."""
        return QSize(100, 2 * option.fontMetrics.height() + 2 * S)

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw a row."""
        colours = THEME.colours
        place: QRect = option.rect.adjusted(2, 1, -2, -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        state = option.state
        is_chosen = bool(state & QStyle.StateFlag.State_Selected)
        if is_chosen or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.selected if is_chosen else colours.raised))
            painter.drawRoundedRect(place, 6, 6)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(colours.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(place, 6, 6)
        inner = place.adjusted(S, XS, -S, -XS)
        if index.data(PINNED_ROLE):
            n_px = option.fontMetrics.height()
            painter.drawPixmap(inner.right() - n_px, inner.top(), pixmap("pin", n_px, "muted"))
            inner.setRight(inner.right() - n_px - XS)
        self._line(painter, inner, option.font, str(index.data()), colours.text)
        small = QFont(option.font)
        small.setPixelSize(max(10, THEME.font_px - 2))
        below = inner.adjusted(0, inner.height() // 2, 0, 0)
        self._line(painter, below, small, str(index.data(DETAIL_ROLE)), colours.muted)
        painter.restore()

    @staticmethod
    def _line(painter: QPainter, place: QRect, font: QFont, text: str, colour: str) -> None:
        painter.setFont(font)
        painter.setPen(QColor(colour))
        metrics = painter.fontMetrics()
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, shown)
