"""The list of chats, or of what a search found in them; rows in, cells out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

from gui.chats.storage import Chat, Hit
from gui.words import tr

ID_ROLE = Qt.ItemDataRole.UserRole
DETAIL_ROLE = Qt.ItemDataRole.UserRole + 1
PINNED_ROLE = Qt.ItemDataRole.UserRole + 2
TURN_ROLE = Qt.ItemDataRole.UserRole + 3

_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class _Row:
    chat: Chat
    turn_id: int = 0
    snippet: str = ""


class ChatList(QAbstractListModel):
    """Shows what ``set_chats`` was last given, or the hits of a search in them."""

    def __init__(self) -> None:
        super().__init__()
        self._chats: list[Chat] = []
        self._hits: list[Hit] | None = None
        self._rows: list[_Row] = []

    def set_chats(self, chats: list[Chat]) -> None:
        """Take all chats, in the order to show."""
        self._chats = chats
        self._fill()

    def set_hits(self, hits: list[Hit] | None) -> None:
        """Show these alone; ``None``: all chats."""
        self._hits = hits
        self._fill()

    def row_of(self, chat_id: int) -> int:
        """Return where a chat stands; -1: nowhere."""
        return next((i for i, row in enumerate(self._rows) if row.chat.id == chat_id), -1)

    def rowCount(self, parent: _Index | None = None) -> int:
        """As Qt asks for it."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """As Qt asks for it."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row = self._rows[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.chat.title or tr("New chat")
            case Qt.ItemDataRole.ToolTipRole | Qt.ItemDataRole.AccessibleDescriptionRole:
                return f"{row.chat.title}\n{row.chat.model}".strip()
            case _:
                return self._own(row, role)

    @staticmethod
    def _own(row: _Row, role: int) -> Any:
        if role == ID_ROLE:
            return row.chat.id
        if role == DETAIL_ROLE:
            return row.snippet or when(row.chat.changed_s, time.time())
        if role == PINNED_ROLE:
            return row.chat.is_pinned
        return row.turn_id if role == TURN_ROLE else None

    def _fill(self) -> None:
        self.beginResetModel()
        if self._hits is None:
            self._rows = [_Row(chat) for chat in self._chats]
        else:
            by_id = {chat.id: chat for chat in self._chats}
            self._rows = [
                _Row(by_id[hit.chat_id], hit.turn_id, _plain(hit.snippet))
                for hit in self._hits
                if hit.chat_id in by_id
            ]
        self.endResetModel()


def _plain(snippet: str) -> str:
    """A snippet in one line, its words not marked."""
    return " ".join(snippet.replace("\x02", "").replace("\x03", "").split())


def when(at_s: float, now_s: float) -> str:
    """Return a moment as a person says it, both in seconds since the epoch."""
    at, now = datetime.fromtimestamp(at_s), datetime.fromtimestamp(now_s)
    n_days = (now.date() - at.date()).days
    if n_days <= 0:
        return at.strftime("%H:%M")
    if n_days == 1:
        return tr("Yesterday")
    if n_days < 7:
        return tr("{n} days ago", n=n_days)
    return at.strftime("%Y-%m-%d")
