"""Rows of dataclasses as a Qt table: what changed is told cell by cell, the rest stays put.

Nothing is made ahead: a cell's text is made when a view asks for it, so a thousand rows cost no
more than those in sight.  No widgets here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from gui.words import WORDS, tr

R = TypeVar("R")
Index = QModelIndex | QPersistentModelIndex

#: What sorting compares, and the row itself.
SORT_ROLE = int(Qt.ItemDataRole.UserRole)
ROW_ROLE = SORT_ROLE + 1


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column.

    Attributes:
        heading: English; shown through ``tr``.
        text: What a cell shows.
        sort: What sorting compares; ``None``: the text, letters' case ignored.
        is_number: Whether it stands at the right.
        tip: The cell's tool tip.
    """

    heading: str
    text: Callable[[R], str]
    sort: Callable[[R], Any] | None = None
    is_number: bool = False
    tip: Callable[[R], str] | None = None


class Table(QAbstractTableModel, Generic[R]):
    """Shows what ``set_rows`` was last given."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        key: Callable[[R], Hashable],
        parent: QObject | None = None,
    ) -> None:
        """``key`` tells rows apart: the same row in another state has the same key."""
        super().__init__(parent)
        self.columns = tuple(columns)
        self._key = key
        self._rows: list[R] = []
        WORDS.changed.connect(self._retranslate)

    @property
    def rows(self) -> list[R]:
        """The rows; not to be changed."""
        return self._rows

    def set_rows(self, rows: Sequence[R]) -> None:
        """Show these rows: gone ones go, new ones come last, changed ones change in place."""
        wanted = {self._key(row): row for row in rows}
        for first, last in reversed(_stretches(self._rows, lambda row: self._key(row) in wanted)):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._rows[first : last + 1]
            self.endRemoveRows()
        for at, row in enumerate(self._rows):
            new = wanted.pop(self._key(row))
            if new != row:
                self._rows[at] = new
                self.dataChanged.emit(self.index(at, 0), self.index(at, len(self.columns) - 1))
        if wanted:
            first = len(self._rows)
            self.beginInsertRows(QModelIndex(), first, first + len(wanted) - 1)
            self._rows.extend(wanted.values())
            self.endInsertRows()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], self.columns[index.column()]
        if role == ROW_ROLE:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return column.text(row)
        if role == SORT_ROLE:
            return column.sort(row) if column.sort else column.text(row).casefold()
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(_alignment(column))
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip(row) if column.tip else None
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation is not Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return tr(self.columns[section].heading)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(_alignment(self.columns[section]))
        return None

    def refresh(self) -> None:
        """Write every cell anew: what is told of the time has changed."""
        if self._rows:
            last = self.index(len(self._rows) - 1, len(self.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def _retranslate(self) -> None:
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.columns) - 1)
        self.refresh()


class Sorted(QSortFilterProxyModel, Generic[R]):
    """A table sorted by the column clicked on, and narrowed to rows that have all the words.

    ``admits`` narrows further; after it was changed call ``narrow``.
    """

    def __init__(self, source: Table[R], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.admits: Callable[[R], bool] = lambda row: True
        self._words: list[str] = []
        self._source = source
        self.setSourceModel(source)
        self.setSortRole(SORT_ROLE)
        self.setDynamicSortFilter(True)

    def search(self, text: str) -> None:
        """Show only rows in which each word of ``text`` stands in some cell."""
        self.beginFilterChange()
        self._words = text.casefold().split()
        self.endFilterChange()

    def narrow(self) -> None:
        """Ask ``admits`` anew."""
        self.beginFilterChange()
        self.endFilterChange()

    def row(self, index: Index) -> R:
        """Return the row that an index of this model stands for."""
        found: R = index.data(ROW_ROLE)
        return found

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        row = self._source.rows[source_row]
        if not self.admits(row):
            return False
        if not self._words:
            return True
        text = "\n".join(column.text(row) for column in self._source.columns).casefold()
        return all(word in text for word in self._words)

    def lessThan(self, left: Index, right: Index) -> bool:
        return bool(left.data(SORT_ROLE) < right.data(SORT_ROLE))


def _alignment(column: Column[Any]) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


def _stretches(rows: Sequence[R], stays: Callable[[R], bool]) -> list[tuple[int, int]]:
    """First and last index of each run of rows that do not stay."""
    found: list[tuple[int, int]] = []
    for at, row in enumerate(rows):
        if stays(row):
            continue
        if found and found[-1][1] == at - 1:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found
