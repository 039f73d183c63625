"""A table view dressed like the rest: whole rows, sorted by a click, worked by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from gui.models.table import Sorted
from gui.theme import THEME

R = TypeVar("R")


#: Pixels that the stretched column has at least, at the usual size of type.
_LEAST = 140
#: The type that widths are given for, in pixels.
_TYPE_PX = 14


class Grid(QTableView):
    """Rows of a ``Sorted`` table; the column ``stretched`` takes what room is left.

    The columns that matter most come first: where there is not room for all, the last ones are
    left out whole, instead of being cut.
    """

    chosen = Signal(object)  # the current row, or None
    activated_row = Signal(object)  # Enter or double click
    deleted_row = Signal(object)  # Delete
    menu_wanted = Signal(QPoint, object)

    def __init__(
        self, model: Sorted[Any], *, stretched: int = 0, widths: Sequence[int] = ()
    ) -> None:
        """``widths``: pixels of the first columns, at the usual size of type."""
        super().__init__()
        self._stretched = stretched
        self._type_px = _TYPE_PX
        self._widths: list[int] = []
        self.sorted = model
        self.setModel(model)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
        self.verticalHeader().hide()
        # One height for all rows: a thousand need not be measured.
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setStretchLastSection(False)
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        self._widths = [self.columnWidth(column) for column in range(model.columnCount())]
        head.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        head.sectionResized.connect(self._on_resized)
        THEME.changed.connect(self._dress)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._ask_menu)
        self.selectionModel().currentRowChanged.connect(lambda *_: self._tell())
        model.rowsInserted.connect(lambda *_: self._tell())
        model.rowsRemoved.connect(lambda *_: self._tell())
        model.dataChanged.connect(lambda *_: self._tell())
        self.doubleClicked.connect(lambda index: self.activated_row.emit(model.row(index)))
        self._dress()

    @property
    def current(self) -> Any:
        """The row that is chosen; ``None`` when none is."""
        index = self.currentIndex()
        return self.sorted.row(index) if index.isValid() else None

    def choose(self, wanted: Callable[[Any], bool]) -> bool:
        """Make the first row that is wanted the current one; returns whether there is one."""
        for at in range(self.sorted.rowCount()):
            index = self.sorted.index(at, 0)
            if wanted(self.sorted.row(index)):
                flags = QItemSelectionModel.SelectionFlag
                self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
                self.scrollTo(index)
                return True
        return False

    def fit_rows(self) -> None:
        """Give rows the height that the text asks for; after the type changed size."""
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 16)

    def showEvent(self, event: QShowEvent) -> None:
        """Only what is shown has the type of its style."""
        super().showEvent(event)
        self.fit_rows()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the columns that there is room for."""
        super().resizeEvent(event)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.current
        if row is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.activated_row.emit(row)
        elif row is not None and event.key() == Qt.Key.Key_Delete:
            self.deleted_row.emit(row)
        else:
            super().keyPressEvent(event)

    def _fit(self) -> None:
        """Leave out the columns that would be cut, and all after them."""
        room = self.viewport().width()
        left = room - min(self._widths[self._stretched], _LEAST * self._type_px // _TYPE_PX)
        is_over = False
        for column, width in enumerate(self._widths):
            if column == self._stretched:
                continue
            left -= width
            is_over = is_over or left < 0
            if self.isColumnHidden(column) != is_over:
                self.setColumnHidden(column, is_over)
                if not is_over:
                    self.setColumnWidth(column, width)

    @Slot(int, int, int)
    def _on_resized(self, column: int, _old: int, new: int) -> None:
        """Somebody made a column wider or narrower; one that is left out has no width."""
        if new and column != self._stretched:
            self._widths[column] = new

    @Slot()
    def _dress(self) -> None:
        """The type may have another size: rows and columns have room for it."""
        self.fit_rows()
        old, self._type_px = self._type_px, THEME.font_px
        if old == self._type_px:
            return
        for column, width in enumerate(self._widths):
            self._widths[column] = width * self._type_px // old
            if not self.isColumnHidden(column):
                self.setColumnWidth(column, self._widths[column])
        self._fit()

    def _tell(self) -> None:
        self.chosen.emit(self.current)

    def _ask_menu(self, at: QPoint) -> None:
        index: QModelIndex = self.indexAt(at)
        if index.isValid():
            self.menu_wanted.emit(self.viewport().mapToGlobal(at), self.sorted.row(index))
